package history

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Whatever is asked in PromQL, it is answered in the words of Prometheus, with
// no more than the limits allow, and shows nothing that is out of sight.
func FuzzPrometheus(f *testing.F) {
	for _, q := range []string{
		`echotwin_value`, `sum by (thing) (rate(echotwin_value{property="n"}[5m]))`, `count_over_time(vector(1)[1d:10ms])`,
		`label_replace(echotwin_value, "thing", "$1", "thing", "(.*)")`, `{__name__=~".+"}`, `{__name__="__log_seq__"}`, `echotwin_value @ end() offset -5m`,
		`topk(1e9, echotwin_value)`, `quantile_over_time(-1, echotwin_value[1h:1s])`, `absent(x{a=~"(a|b){1,900}"})`, `predict_linear(echotwin_value[1h], 1e300)`,
		`1/0 == bool NaN`, `group_left`, `echotwin_value * on (thing) group_left echotwin_value`, strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000),
		strings.Repeat("-", 20000) + "1", strings.Repeat("1 + ", 4000) + "1", `"` + strings.Repeat("\u00e9", 1000) + `"`, "x{\xff=\"1\"}", `label_join(echotwin_value, "a", "", "thing", "property")`,
		`holt_winters(echotwin_value[5m], 0.5, 0.5)`, `info(echotwin_value)`, `sort_by_label(echotwin_value, "thing")`, `histogram_quantile(0.9, echotwin_value)`,
	} {
		f.Add(q)
	}
	p := newPlant(f)
	for i := range int64(50) {
		p.say(said("plant/pump", base+i*minute, "n", i, "on", i%2 == 0), said("hidden/secret", base+i*minute, "n", i))
	}
	p.settle()
	scope := Scope{{"plant/**"}}
	f.Fuzz(func(t *testing.T, query string) {
		at, end := fmt.Sprint(base/1000), fmt.Sprint(base/1000+3600)
		for endpoint, form := range map[string]url.Values{
			"query":              {"query": {query}, "time": {end}},
			"query_range":        {"query": {query}, "start": {at}, "end": {end}, "step": {"60"}},
			"series":             {"match[]": {query}},
			"label/name/values":  {"match[]": {query}},
			"labels":             {"match[]": {query}, "start": {query}},
			"metadata":           {"metric": {query}},
			"status/buildinfo":   {"limit": {query}},
			query:                {"query": {"1"}},
			"query_range as one": {"query": {"1"}, "start": {query}, "end": {query}, "step": {query}, "timeout": {query}},
		} {
			endpoint, _, _ = strings.Cut(endpoint, " as ")
			if form.Get("timeout") == "" {
				form.Set("timeout", "2")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			status, body := p.Prometheus(ctx, endpoint, "thing", form, scope)
			cancel()
			if status == 500 || status == 0 {
				t.Errorf("%s %q: %d %.200s", endpoint, query, status, body)
			}
			if !json.Valid(body) || len(body) > 32<<20 {
				t.Errorf("%s %q: %d bytes, %.200s", endpoint, query, len(body), body)
			}
			if strings.Contains(string(body), "hidden/secret") && !strings.Contains(query, "hid") {
				t.Errorf("%s %q shows what is out of sight: %.300s", endpoint, query, body)
			}
		}
	})
}
