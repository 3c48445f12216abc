package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// list is the ids of an answer that is an array of Thing Descriptions.
func (a answer) list(t *testing.T) []string {
	t.Helper()
	var tds []struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &tds); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	ids := []string{}
	for _, td := range tds {
		ids = append(ids, strings.TrimPrefix(td.ID, "urn:echotwin:"))
	}
	return ids
}

func TestThings(t *testing.T) {
	s := newLine(t)
	s.login()
	s.do("POST", "/api/telemetry", `{"plant/valve":{"flow":1},"plant/line1/tank":{"level":50},"office/lamp":{"on":true}}`).want(t, 202, "")
	s.settle()
	for _, tt := range []struct{ query, want string }{
		{"", "[office/lamp plant/line1/tank plant/pump plant/valve]"},
		{"?path=plant/**", "[plant/line1/tank plant/pump plant/valve]"},
		{"?path=plant/*", "[plant/pump plant/valve]"},
		{"?path=none/**", "[]"},
		{"?type=Pump", "[plant/pump]"},
		{"?type=pump", "[plant/pump]"},
		{"?type=device", "[plant/pump]"},
		{"?type=saref:Device", "[plant/pump]"},
		{"?type=Pum", "[]"},
		{"?q=P-101", "[plant/pump]"},
		{"?q=b%C6%A1m", "[plant/pump]"}, // the Vietnamese title
		{"?q=VALVE", "[plant/valve]"},
		{"?path=plant/**&q=p", "[plant/line1/tank plant/pump plant/valve]"},
		{"?where=level%3E=50", "[plant/line1/tank]"},
		{"?where=level%3E50", "[]"},
		{"?where=plant/valve:flow%3D1&path=office/**", "[office/lamp]"},
		{"?after=plant/line1/tank", "[plant/pump plant/valve]"},
		{"?limit=2", "[office/lamp plant/line1/tank]"},
	} {
		for _, path := range []string{"/api/things", "/.well-known/wot"} {
			a := s.get(path + tt.query)
			a.want(t, 200, "")
			if got := fmt.Sprint(a.list(t)); got != tt.want {
				t.Errorf("%s%s: got %s, want %s", path, tt.query, got, tt.want)
			}
		}
	}
	for query, code := range map[string]string{"?path=a//b": "malformed", "?limit=0": "out_of_range", "?limit=x": "out_of_range", "?limit=9999": "out_of_range"} {
		if a := s.get("/api/things" + query); a.json(t)["code"] != code {
			t.Errorf("%s: got %s", query, a.body)
		}
	}
}

func TestListsArePaged(t *testing.T) {
	s := newLine(t)
	s.login()
	batch := map[string]any{}
	for i := range 25 {
		batch[fmt.Sprintf("plant/t%02d", i)] = map[string]int{"x": i}
	}
	b, _ := json.Marshal(batch)
	s.do("POST", "/api/telemetry", string(b)).want(t, 202, "")
	s.settle()
	var all []string
	pages := 0
	for next := "/api/things?path=plant/*&limit=10"; next != "" && pages < 10; pages++ {
		a := s.get(next)
		a.want(t, 200, "")
		all = append(all, a.list(t)...)
		link := a.Header.Get("Link")
		next = ""
		if link != "" {
			next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
	}
	if len(all) != 26 || pages != 3 {
		t.Errorf("%d things on %d pages", len(all), pages)
	}
}

func TestAThing(t *testing.T) {
	s := newLine(t)
	s.login()
	s.get("/api/things/plant/pump/properties/speed").want(t, 404, "not_found") // nothing came yet
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":60.40,"running":true,"ts":"2026-01-01T00:00:00Z"}`).want(t, 202, "")
	s.settle()

	// The cookie is for another host, so a token goes with it.
	td := s.get("/api/things/plant/pump", "Host: plant.example", "X-Forwarded-Proto: https", "Authorization: Bearer "+s.token(`{"name":"x","scopes":["read"]}`))
	td.want(t, 200, "")
	if m := td.json(t); m["id"] != "urn:echotwin:plant/pump" || m["base"] != "https://plant.example/" || td.Header.Get("Content-Type") != "application/td+json" {
		t.Errorf("got %s %s", td.Header.Get("Content-Type"), td.body)
	}
	if got := strings.TrimSpace(s.get("/api/things/plant/pump/properties/speed").body); got != "60.40" {
		t.Errorf("the value is %s", got)
	}
	if got := strings.TrimSpace(s.get("/api/things/plant%2Fpump/properties").body); got != `{"running":true,"speed":60.40}` {
		t.Errorf("all values are %s", got)
	}
	state := s.get("/api/things/plant/pump/state").json(t)
	speed := state["properties"].(map[string]any)["speed"].(map[string]any)
	if state["thing"] != "plant/pump" || speed["value"] != 60.4 || speed["ts"] != "2026-01-01T00:00:00Z" || speed["unit"] != "%" {
		t.Errorf("the state is %v", state)
	}
	for path, status := range map[string]int{
		"/api/things/plant/none":                  404,
		"/api/things/plant/none/state":            404,
		"/api/things/plant/none/properties":       404,
		"/api/things/plant/none/properties/x/sse": 404,
		"/api/things/plant/none/events/x":         404,
		"/api/things/plant/pump/properties/none":  404,
		"/api/things/plant/pump/actions":          404,
		"/api/things/plant/pump/events":           404,
		"/api/things/plant/pump/actions/setSpeed": 200,
		"/api/things/%2e%2e":                      400,
		"/api/things/%2e%2e/%2e%2e/api/me":        400,
		"/api/things/":                            400,
		"/api/things//":                           400,
		"/api/things/plant/pump/":                 400,
		"/api/things/plant%00/pump":               400,
	} {
		if a := s.getAsIs(path); a.StatusCode != status {
			t.Errorf("%s: got %d %s", path, a.StatusCode, a.body)
		}
	}
	for path, allow := range map[string]string{
		"/api/things/plant/pump": "GET, HEAD, PUT, PATCH, DELETE", "/api/things/plant/pump/state": "GET, HEAD", "/api/things/plant/pump/properties/speed": "GET, HEAD, PUT",
		"/api/things/plant/pump/properties/speed/sse": "GET", "/api/things/plant/pump/events/overheat": "GET",
	} {
		a := s.do("POST", path, "1")
		a.want(t, 405, "method_not_allowed")
		if got := a.Header.Get("Allow"); got != allow {
			t.Errorf("POST %s: Allow %q", path, got)
		}
	}
	if a := s.do("HEAD", "/api/things/plant/pump/properties/speed/sse", ""); a.StatusCode != 405 {
		t.Errorf("HEAD of a stream: %d", a.StatusCode)
	}
}

// getAsIs is get with a path that nobody cleans on its way.
func (s *site) getAsIs(path string) answer {
	s.Helper()
	r, _ := http.NewRequest("GET", s.url, nil)
	r.URL.Opaque = path
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	res.Body.Close()
	return answer{res, ""}
}

func TestATokenSeesItsThingsOnly(t *testing.T) {
	s := newLine(t)
	s.login()
	s.do("POST", "/api/telemetry", `{"plant/pump":{"speed":1},"office/lamp":{"on":true}}`).want(t, 202, "")
	s.settle()
	token := s.token(`{"name":"plant","scopes":["command"],"things":["plant/**"]}`)
	s.client = newClient()
	auth := "Authorization: Bearer " + token
	if got := fmt.Sprint(s.get("/api/things", auth).list(t)); got != "[plant/pump]" {
		t.Errorf("got %s", got)
	}
	s.get("/api/things/plant/pump/state", auth).want(t, 200, "")
	for _, path := range []string{"", "/state", "/properties", "/properties/on", "/properties/on/sse", "/events/x"} {
		hidden, unknown := s.get("/api/things/office/lamp"+path, auth), s.get("/api/things/office/none"+path, auth)
		hidden.want(t, 404, "not_found")
		if strings.ReplaceAll(hidden.body, "lamp", "none") != unknown.body {
			t.Errorf("%s: what is hidden (%s) can be told from what is not there (%s)", path, hidden.body, unknown.body)
		}
	}
	s.do("POST", "/api/things/office/lamp/actions/on", "", auth).want(t, 404, "not_found")
	s.do("POST", "/api/telemetry/office/lamp", `{"on":true}`, auth).want(t, 403, "forbidden")
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":2}`, auth).want(t, 202, "")
	s.do("POST", "/api/telemetry", `{"office/lamp":{"on":true}}`, auth).want(t, 403, "forbidden")
	if a := s.do("POST", "/api/telemetry", `{"office/lamp":{"on":true},"plant/pump":{"speed":3}}`, auth); a.StatusCode != 202 || !strings.Contains(a.body, "/office~1lamp") {
		t.Errorf("a batch for both: %d %s", a.StatusCode, a.body)
	}
}

func TestAViewerOnlyLooks(t *testing.T) {
	s := newLine(t)
	s.login()
	s.do("POST", "/api/users", `{"username":"vi","password":"correct horse","role":"viewer"}`).want(t, 201, "")
	s.client = newClient()
	s.do("POST", "/api/login", `{"username":"vi","password":"correct horse"}`).want(t, 200, "")
	s.get("/api/things/plant/pump").want(t, 200, "")
	s.do("POST", "/api/things/plant/pump/actions/setSpeed", `{"speed":80}`).want(t, 403, "forbidden")
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":80}`).want(t, 403, "forbidden")
	s.do("POST", "/api/tokens", `{"name":"x","scopes":["command"]}`).want(t, 422, "invalid")
	if len(s.devices.inputs) != 0 {
		t.Errorf("sent %v", s.devices.inputs)
	}
	for _, path := range []string{"/api/users", "/api/devices", "/debug/pprof/"} {
		s.get(path).want(t, 403, "forbidden")
	}
}
