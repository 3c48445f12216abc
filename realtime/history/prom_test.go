package history

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

// cut takes the last bytes off a file.
func cut(t *testing.T, path string, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// prom asks as an HTTP client would, for somebody who may see everything.
func (p *plant) prom(endpoint string, params ...string) (int, string) {
	return p.promAs(nil, endpoint, params...)
}

func (p *plant) promAs(scope Scope, endpoint string, params ...string) (int, string) {
	form := url.Values{}
	for i := 0; i < len(params); i += 2 {
		form.Add(params[i], params[i+1])
	}
	label := ""
	if name, ok := strings.CutPrefix(endpoint, "label/"); ok {
		endpoint, label = "label/name/values", strings.TrimSuffix(name, "/values")
	}
	status, body := p.Prometheus(p.t.Context(), endpoint, label, form, scope)
	return status, string(body)
}

func TestThePrometheusAPI(t *testing.T) {
	p := newPlant(t)
	p.say(said("plant/pump", base, "speed", 60.5, "on", true), said("plant/fan", base, "speed", 1), said("other/fan", base, "speed", 7))
	p.say(said("plant/pump", base+30*second, "speed", 61.5))
	p.settle()
	at := fmt.Sprint(base / 1000)
	later := fmt.Sprint(base/1000 + 60)
	onlyPlant := Scope{{"plant/*"}}
	for _, c := range []struct {
		scope    Scope
		endpoint string
		params   []string
		status   int
		want     string
	}{
		{nil, "query", []string{"query", "1+1", "time", at}, 200, `{"status":"success","data":{"resultType":"scalar","result":[` + at + `,"2"]}}`},
		{nil, "query", []string{"query", `"x"`, "time", at}, 200, `"result":[` + at + `,"x"]`},
		{nil, "query", []string{"query", "1/0", "time", at}, 200, `"+Inf"`},
		{nil, "query", []string{"query", `echotwin_value{thing="plant/pump",property="speed"}`, "time", at}, 200,
			`{"metric":{"__name__":"echotwin_value","property":"speed","site":"plant","thing":"plant/pump"},"value":[` + at + `,"60.5"]}`},
		{nil, "query", []string{"query", `echotwin_value{type="boolean"}`, "time", at}, 200, `"value":[` + at + `,"1"]`},
		{nil, "query", []string{"query", `sum(echotwin_value{property="speed"})`, "time", at}, 200, `"68.5"`},
		{onlyPlant, "query", []string{"query", `sum(echotwin_value{property="speed"})`, "time", at}, 200, `"61.5"`},
		{onlyPlant, "query", []string{"query", `echotwin_value{thing="other/fan"}`, "time", at}, 200, `"result":[]`},
		{nil, "query", []string{"query", "{__name__=~\"__.*\"}", "time", later}, 200, `"result":[]`},
		{nil, "query", []string{"query", "sum(", "time", at}, 400, `"errorType":"bad_data"`},
		{nil, "query", []string{"query", "1", "time", "soon"}, 400, `invalid parameter \"time\"`},
		{nil, "query", []string{"query", "1", "timeout", "x"}, 400, `invalid parameter \"timeout\"`},
		{nil, "query", []string{"query", `label_replace(echotwin_value, "thing", "x", "", "")`, "time", at}, 422, `"errorType":"execution"`},
		{nil, "query_range", []string{"query", `echotwin_value{thing="plant/pump",property="speed"}`, "start", at, "end", later, "step", "30"}, 200,
			fmt.Sprintf(`"values":[[%d,"60.5"],[%d,"61.5"],[%d,"61.5"]]`, base/1000, base/1000+30, base/1000+60)},
		{nil, "query_range", []string{"query", "1", "start", at, "end", later, "step", "0"}, 400, "zero or negative"},
		{nil, "query_range", []string{"query", "1", "start", later, "end", at, "step", "1"}, 400, "must not be before"},
		{nil, "query_range", []string{"query", "1", "end", at, "step", "1"}, 400, `invalid parameter \"start\"`},
		{nil, "query_range", []string{"query", "1", "start", at, "end", later, "step", "1ms"}, 400, "11000 points"},
		{nil, "query_range", []string{"query", "1", "start", at, "end", later, "step", "1e300"}, 400, "overflows"},
		{nil, "series", []string{"match[]", `echotwin_value{property="speed"}`}, 200, `"thing":"other/fan"`},
		{nil, "series", nil, 400, "no match[]"},
		{nil, "series", []string{"match[]", "{"}, 400, "bad_data"},
		{nil, "series", []string{"match[]", "echotwin_value", "limit", "1"}, 200, "truncated"},
		{nil, "labels", nil, 200, `["__name__","property","site","thing","type"]`},
		{nil, "label/thing/values", nil, 200, `["other/fan","plant/fan","plant/pump"]`},
		{onlyPlant, "label/thing/values", nil, 200, `["plant/fan","plant/pump"]`},
		{onlyPlant, "label/site/values", nil, 200, `["plant"]`},
		{nil, "label/__name__/values", nil, 200, `["echotwin_value"]`},
		{nil, "label/thing/values", []string{"match[]", `{property="on"}`}, 200, `["plant/pump"]`},
		{nil, "label/epoch/values", nil, 200, `[]`},
		{nil, "label//values", nil, 400, "invalid label name"},
		{nil, "metadata", nil, 200, `"type":"gauge"`},
		{nil, "metadata", []string{"metric", "up"}, 200, `{}`},
		{nil, "status/buildinfo", nil, 200, `"version":"3.`},
	} {
		status, body := p.promAs(c.scope, c.endpoint, c.params...)
		if status != c.status || !contains(body, c.want) {
			t.Errorf("%s %q: got %d %s, want %d and %s", c.endpoint, c.params, status, body, c.status, c.want)
		}
		if onlyPlant := len(c.scope) > 0; onlyPlant && contains(body, "other") {
			t.Errorf("%s %q shows what is out of sight: %s", c.endpoint, c.params, body)
		}
	}
}

// A query that would take all memory is refused with a word, and the next is
// answered.
func TestAQueryThatIsTooLarge(t *testing.T) {
	p := newPlant(t)
	p.say(said("plant/pump", base, "n", 1))
	p.settle()
	status, body := p.prom("query", "query", "count_over_time(vector(1)[1d:10ms])")
	if status != 400 || !contains(body, "8.64e+06 steps, at most 1000000 are allowed") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := p.prom("query", "query", "1"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}
