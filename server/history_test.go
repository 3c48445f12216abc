package server

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	prom "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"echotwin/realtime"
	"echotwin/realtime/history"
)

// A past is a line that keeps history.
type past struct {
	*line
	history *history.History
}

func newPast(t *testing.T) *past {
	t.Helper()
	p := &past{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	p.line = newLine(t, func(d *Deps) {
		p.history = history.New(history.Config{Dir: t.TempDir(), Log: later{&p.line}, Logger: slog.New(slog.DiscardHandler),
			Describe: func(thing, property string) (history.Description, bool) {
				told, ok := d.Twins.Described(thing, property)
				return history.Description{Type: told.Type, Unit: told.Unit}, ok
			}})
		d.History = p.history
		d.Ready = map[string]func() error{"history": p.history.Ready}
	})
	wg.Go(func() { _ = p.bus.Consume(ctx, 0, p.history.Offer) })
	wg.Go(func() { _ = p.history.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	p.login()
	return p
}

// later is the log of a line that is still being made.
type later struct{ line **line }

func (l later) Epoch() string               { return (*l.line).bus.Epoch() }
func (l later) Last() uint64                { return (*l.line).bus.Last() }
func (l later) Continues(epoch string) bool { return (*l.line).bus.Continues(epoch) }
func (l later) Consume(ctx context.Context, after uint64, apply func(realtime.Bundle)) error {
	return (*l.line).bus.Consume(ctx, after, apply)
}

// say stores readings of the pump and waits until they are in history.
func (p *past) say(body string) {
	p.Helper()
	p.do("POST", "/api/telemetry/plant/pump", body).want(p.T, 202, "")
	p.kept()
}

func (p *past) kept() {
	p.Helper()
	for deadline := time.Now().Add(20 * time.Second); p.history.Ready() != nil || p.history.Seq() < p.bus.Last(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatal("history does not follow the log")
		}
	}
}

func TestHistoryOfAProperty(t *testing.T) {
	p := newPast(t)
	now := time.Now().UnixMilli() / 60000 * 60000
	p.say(fmt.Sprintf(`[{"ts":%d,"speed":60,"running":true,"mode":"auto"},{"ts":%d,"speed":61.5,"mode":"hand"}]`, now-120_000, now-60_000))
	a := p.get(fmt.Sprintf("/api/history?thing=plant/pump&property=speed&property=mode,running&from=%d&to=%d", now-600_000, now))
	a.want(t, 200, "")
	var got history.Trend
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	speed, mode := got.Series[0], got.Series[1]
	if got.Thing != "plant/pump" || got.From != now-600_000 || got.To != now || got.Epoch != p.bus.Epoch() || got.Seq != p.bus.Last() || len(got.Series) != 3 {
		t.Errorf("got %s", a.body)
	}
	if speed.Unit != "%" || speed.Type != "number" || len(speed.Buckets) != 2 || speed.Buckets[1] != (history.Bucket{TS: now - 60_000, Min: 61.5, Max: 61.5, Mean: 61.5, Last: 61.5, Count: 1}) {
		t.Errorf("got %+v", speed)
	}
	if mode.Type != "string" || strings.Join(mode.Names, " ") != "auto hand" || got.Series[2].Names[1] != "true" {
		t.Errorf("got %s", a.body)
	}
	if a := p.get("/api/history?thing=plant/pump&property=speed"); a.StatusCode != 200 || !strings.Contains(a.body, "61.5") {
		t.Errorf("the last hour: %d %s", a.StatusCode, a.body)
	}
	if a := p.get("/readyz"); a.StatusCode != 200 || !strings.Contains(a.body, `"history":"ok"`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestWhatIsWrongWithAQuestionToHistoryIsSaid(t *testing.T) {
	p := newPast(t)
	p.say(`{"speed":60}`)
	const ok = "/api/history?thing=plant/pump&property=speed"
	for path, want := range map[string]struct {
		status int
		code   string
		at     string
	}{
		"/api/history":                                    {400, "malformed", "?thing"},
		"/api/history?thing=plant/pump":                   {400, "malformed", "?property"},
		"/api/history?thing=a//b&property=speed":          {400, "malformed", ""},
		"/api/history?thing=plant/none&property=speed":    {404, "not_found", "?property"},
		"/api/history?thing=plant/pump&property=spede":    {404, "not_found", "?property"},
		"/api/history?thing=plant/pump&property=a+b":      {400, "malformed", ""},
		ok + "&from=yesterday":                            {400, "malformed", "?from"},
		ok + "&to=-1hour":                                 {400, "malformed", "?to"},
		ok + "&from=1000":                                 {422, "out_of_range", "?from"},
		ok + "&from=-1h&to=-2h":                           {422, "invalid", "?to"},
		ok + "&buckets=0":                                 {422, "out_of_range", "?buckets"},
		ok + "&buckets=2001":                              {422, "out_of_range", "?buckets"},
		ok + "&buckets=many":                              {422, "out_of_range", "?buckets"},
		ok + "&format=xml":                                {422, "invalid", "?format"},
		ok + strings.Repeat("&property=x1", 1) + manyOf(): {422, "out_of_range", "?property"},
	} {
		a := p.get(path)
		if a.StatusCode != want.status || a.json(t)["code"] != want.code || want.at != "" && a.json(t)["at"] != want.at {
			t.Errorf("%s: got %d %s, want %+v", path, a.StatusCode, a.body, want)
		}
	}
	for _, from := range []string{"-90s", "-1.5h", "-7d", "-1y", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+07:00", "now&to=2100-01-01T00:00:00Z"} {
		p.get(ok+"&from="+from).want(t, 200, "")
	}
}

func manyOf() string {
	var b strings.Builder
	for i := range history.MaxProperties {
		fmt.Fprintf(&b, "&property=p%d", i)
	}
	return b.String()
}

func TestHistoryAsLines(t *testing.T) {
	p := newPast(t)
	now := time.Now().UnixMilli() / 60000 * 60000
	p.say(fmt.Sprintf(`[{"ts":%d,"speed":60,"running":true,"mode":"a, \"b\""},{"ts":%d,"speed":61.5,"mode":"=1+1"}]`, now-120_000, now-60_500))
	const path = "/api/history?thing=plant/pump&property=speed&property=mode&property=running"
	stamp := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

	a := p.get(path, "Accept: text/csv")
	a.want(t, 200, "")
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"ts", "thing", "property", "value"},
		{stamp(now - 120_000), "plant/pump", "mode", `a, "b"`}, {stamp(now - 120_000), "plant/pump", "running", "true"}, {stamp(now - 120_000), "plant/pump", "speed", "60"},
		{stamp(now - 60_500), "plant/pump", "mode", "'=1+1"}, {stamp(now - 60_500), "plant/pump", "speed", "61.5"}}
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", rows, want)
	}
	if d := a.Header.Get("Content-Disposition"); !strings.Contains(d, "plant_pump.csv") {
		t.Errorf("the file is called %s", d)
	}

	a = p.get(path + "&format=ndjson")
	a.want(t, 200, "")
	if first, _, _ := strings.Cut(a.body, "\n"); first != fmt.Sprintf(`{"ts":%d,"thing":"plant/pump","property":"mode","value":"a, \"b\""}`, now-120_000) {
		t.Errorf("got %s", a.body)
	}

	a = p.get(path + "&format=ndjson&buckets=1")
	a.want(t, 200, "")
	for line := range strings.Lines(a.body) {
		var row struct {
			Property       string
			Min, Max, Mean *float64
			Last           any
			Count          int
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if row.Property == "mode" && (row.Last != "=1+1" || row.Min != nil || row.Count != 2) || row.Property == "speed" && (*row.Mean != 60.75 || row.Last != 61.5) {
			t.Errorf("got %s", line)
		}
	}
	p.get(path+"x&format=csv").want(t, 404, "not_found")
}

func TestHistoryShowsOnlyWhatOneMaySee(t *testing.T) {
	p := newPast(t)
	p.say(`{"speed":60}`)
	p.do("POST", "/api/telemetry/secret/pump", `{"speed":77}`).want(t, 202, "")
	p.kept()
	token := p.token(`{"name":"x","scopes":["read"],"things":["plant/**"]}`)
	bearer := "Authorization: Bearer " + token
	p.get("/api/history?thing=plant/pump&property=speed", bearer).want(t, 200, "")
	p.get("/api/history?thing=secret/pump&property=speed", bearer).want(t, 404, "not_found")
	for _, path := range []string{"query?query=echotwin_value", "label/thing/values", "series?match[]=echotwin_value"} {
		if a := p.get(prometheusPrefix+path, bearer); a.StatusCode != 200 || strings.Contains(a.body, "secret") || !strings.Contains(a.body, "plant/pump") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	p.do("POST", "/api/logout", "").want(t, 200, "")
	a := p.get(prometheusPrefix + "query?query=1")
	if a.StatusCode != 401 || a.json(t)["status"] != "error" || a.json(t)["errorType"] != "unauthorized" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	p.get("/api/history?thing=plant/pump&property=speed").want(t, 401, "unauthorized")
}

// Grafana and every client of Prometheus use this client, or do as it does.
func TestTheClientOfPrometheusWorksUnchanged(t *testing.T) {
	p := newPast(t)
	now := time.Now().UnixMilli() / 1000 * 1000
	p.say(fmt.Sprintf(`[{"ts":%d,"speed":60},{"ts":%d,"speed":62}]`, now-60_000, now-30_000))
	token := p.token(`{"name":"grafana","scopes":["read"]}`)
	for name, rt := range map[string]http.RoundTripper{
		"basic":  config.NewBasicAuthRoundTripper(config.NewInlineSecret("grafana"), config.NewInlineSecret(token), http.DefaultTransport),
		"bearer": config.NewAuthorizationCredentialsRoundTripper("Bearer", config.NewInlineSecret(token), http.DefaultTransport),
	} {
		c, err := api.NewClient(api.Config{Address: p.url + "/prometheus", RoundTripper: rt})
		if err != nil {
			t.Fatal(err)
		}
		q, ctx := prom.NewAPI(c), t.Context()
		v, warnings, _, err := q.Query(ctx, `avg_over_time(echotwin_value{thing="plant/pump",property="speed"}[5m])`, time.UnixMilli(now))
		if err != nil || len(warnings) > 0 || v.String() != fmt.Sprintf(`{property="speed", site="plant", thing="plant/pump"} => 61 @[%d]`, now/1000) {
			t.Errorf("%s: query: %v %v %v", name, v, warnings, err)
		}
		v, _, _, err = q.QueryRange(ctx, `echotwin_value`, prom.Range{Start: time.UnixMilli(now - 60_000), End: time.UnixMilli(now), Step: 30 * time.Second})
		if m, ok := v.(model.Matrix); err != nil || !ok || len(m) != 1 || len(m[0].Values) != 3 || m[0].Values[2].Value != 62 {
			t.Errorf("%s: query_range: %v %v", name, v, err)
		}
		sets, _, _, err := q.Series(ctx, []string{"echotwin_value"}, time.UnixMilli(now-3600_000), time.UnixMilli(now))
		if err != nil || len(sets) != 1 || sets[0]["thing"] != "plant/pump" {
			t.Errorf("%s: series: %v %v", name, sets, err)
		}
		names, _, _, err := q.LabelNames(ctx, nil, time.UnixMilli(now-3600_000), time.UnixMilli(now))
		if err != nil || fmt.Sprint(names) != "__name__, property, site, thing" {
			t.Errorf("%s: labels: %v %v", name, names, err)
		}
		values, _, _, err := q.LabelValues(ctx, "property", nil, time.UnixMilli(now-3600_000), time.UnixMilli(now))
		if err != nil || fmt.Sprint(values) != "[speed]" {
			t.Errorf("%s: values: %v %v", name, values, err)
		}
		meta, err := q.Metadata(ctx, "", "")
		if err != nil || meta["echotwin_value"][0].Type != "gauge" {
			t.Errorf("%s: metadata: %v %v", name, meta, err)
		}
		info, err := q.Buildinfo(ctx)
		if err != nil || info.Version == "" {
			t.Errorf("%s: buildinfo: %v %v", name, info, err)
		}
		_, _, _, err = q.Query(ctx, "sum(", time.Time{})
		var apiErr *prom.Error
		if e, ok := err.(*prom.Error); ok {
			apiErr = e
		}
		if apiErr == nil || apiErr.Type != prom.ErrBadData {
			t.Errorf("%s: a query that makes no sense: %#v", name, err)
		}
	}
}

func TestWithoutHistoryTheServerSaysSo(t *testing.T) {
	s := newSite(t)
	s.login()
	s.get("/api/history?thing=a&property=b").want(t, 503, "unavailable")
	if a := s.get(prometheusPrefix + "labels"); a.StatusCode != 503 || a.json(t)["errorType"] != "unavailable" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
