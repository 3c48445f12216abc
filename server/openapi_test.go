package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// document loads what the server serves.
func (s *site) document() *openapi3.T {
	s.Helper()
	a := s.get("/openapi.json")
	a.want(s.T, 200, "")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(a.body))
	if err != nil {
		s.Fatal(err)
	}
	if err := doc.Validate(s.Context(), openapi3.EnableExamplesValidation()); err != nil {
		s.Fatal(err)
	}
	return doc
}

// behind are the documented paths that one route of the router serves.
func behind(method, path string) []string {
	switch path {
	case "/api/things/*":
		var all []string
		for _, op := range operations() {
			if op.method == method && strings.HasPrefix(op.path, "/api/things/{id}") {
				all = append(all, op.path)
			}
		}
		return all
	case "/app/*":
		return []string{"/app/{page}"}
	case "/public/*":
		return []string{"/public/{file}"}
	case "/debug/pprof/*":
		return []string{"/debug/pprof/{profile}"}
	case "/api/telemetry/*":
		return []string{"/api/telemetry/{thing}"}
	}
	segs := strings.Split(path, "/")
	for i, seg := range segs {
		if name, ok := strings.CutPrefix(seg, ":"); ok {
			segs[i] = "{" + name + "}"
		}
	}
	return []string{strings.Join(segs, "/")}
}

func TestS14TheDocumentIsTheRoutes(t *testing.T) {
	s := newSite(t)
	doc := s.document()
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	var served, documented []string
	for _, r := range s.echo.Routes() {
		if r.Method == http.MethodHead || strings.HasPrefix(r.Method, "echo") {
			continue
		}
		for _, path := range behind(r.Method, r.Path) {
			served = append(served, r.Method+" "+path)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	for _, r := range served {
		if !slices.Contains(documented, r) {
			t.Errorf("%s is served and not documented", r)
		}
	}
	for _, r := range documented {
		if !slices.Contains(served, r) {
			t.Errorf("%s is documented and not served", r)
		}
	}
	ids := map[string]bool{}
	for _, op := range operations() {
		if ids[op.id()] {
			t.Errorf("two operations are called %s", op.id())
		}
		ids[op.id()] = true
	}
}

// documented returns what holds an answer to the document.
func (s *site) documented() func(method, path, body string, a answer) {
	s.Helper()
	doc := s.document()
	doc.Servers = nil
	router, err := legacy.NewRouter(doc)
	if err != nil {
		s.Fatal(err)
	}
	return func(method, path, body string, a answer) {
		s.Helper()
		// The router of the test knows no slashes within a parameter.
		r, _ := http.NewRequest(method, strings.ReplaceAll(path, "%2F", "-"), strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		route, params, err := router.FindRoute(r)
		if err != nil {
			s.Errorf("%s %s: %v", method, path, err)
			return
		}
		in := &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params, Options: &openapi3filter.Options{IncludeResponseStatus: true}}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.StatusCode, Header: a.Header, Options: in.Options,
			Body: io.NopCloser(bytes.NewReader([]byte(a.body)))}
		if err := openapi3filter.ValidateResponse(s.Context(), out); err != nil {
			s.Errorf("%s %s: %v", method, path, err)
		}
	}
}

// An answer is what the document says it is.
func TestS14AnswersAreAsDocumented(t *testing.T) {
	s := newLine(t)
	check := s.documented()
	s.login()
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":60.4,"running":true}`).want(t, 202, "")
	s.settle()
	for _, call := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/health", "", 200},
		{"GET", "/livez", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/api/me", "", 200},
		{"GET", "/api/things", "", 200},
		{"GET", "/api/things?limit=0", "", 422},
		{"GET", "/.well-known/wot", "", 200},
		{"GET", "/api/things/plant%2Fpump", "", 200},
		{"GET", "/api/things/plant%2Fpump/state", "", 200},
		{"GET", "/api/things/plant%2Fpump/properties", "", 200},
		{"GET", "/api/things/plant%2Fpump/properties/speed", "", 200},
		{"GET", "/api/things/plant%2Fnone/state", "", 404},
		{"GET", "/api/history?thing=plant/pump&property=speed", "", 503},
		{"GET", "/prometheus/api/v1/query?query=1", "", 503},
		{"GET", "/api/connections", "", 200},
		{"GET", "/api/connections?after=x", "", 400},
		{"DELETE", "/api/connections/x-1", "", 404},
		{"GET", "/api/viewers", "", 200},
		{"PUT", "/api/alarms/rules/r", `{"thing":"plant/*","property":"speed","high":5}`, 201},
		{"PUT", "/api/alarms/rules/q", `{"promql":"echotwin_value > 5","for":60}`, 201},
		{"GET", "/api/alarms/rules", "", 200},
		{"GET", "/api/alarms/rules/r", "", 200},
		{"GET", "/api/alarms/rules/none", "", 404},
		{"GET", "/api/commands", "", 200},
		{"GET", "/api/commands/none", "", 404},
		{"POST", "/api/telemetry", `{"plant/pump":{"speed":1}}`, 202},
		{"POST", "/api/telemetry/plant%2Fpump", `[{"speed":1},{"speed":2}]`, 202},
		{"POST", "/api/telemetry/plant%2Fpump", `{"speed":`, 400},
		{"POST", "/api/tokens", `{"name":"x","scopes":["read"],"things":["plant/**"],"expires":"2099-01-01T00:00:00Z"}`, 201},
		{"GET", "/api/tokens", "", 200},
		{"POST", "/api/tickets", `{"things":["plant/**"]}`, 201},
		{"POST", "/api/users", `{"username":"ana","password":"correct horse","role":"operator"}`, 201},
		{"POST", "/api/users", `{"username":"ana","password":"correct horse","role":"operator"}`, 409},
		{"GET", "/api/users", "", 200},
		{"POST", "/api/devices", `{"username":"pump","things":["plant/pump"]}`, 201},
		{"GET", "/api/devices", "", 200},
		{"POST", "/api/login", `{"username":"ana","password":"correct horse"}`, 200},
		{"POST", "/api/logout", "", 200},
		{"GET", "/api/tokens", "", 401},
		{"GET", "/api/me", "", 200},
	} {
		a := s.do(call.method, call.path, call.body)
		name := fmt.Sprintf("%s %s", call.method, call.path)
		if a.StatusCode != call.status {
			t.Errorf("%s: got %d %s", name, a.StatusCode, a.body)
			continue
		}
		check(call.method, call.path, call.body, a)
	}
}

func TestTheStreamsDocumentHoldsTogether(t *testing.T) {
	s := newSite(t)
	a := s.get("/asyncapi.json")
	a.want(t, 200, "")
	doc := a.json(t)
	if doc["asyncapi"] != "3.0.0" {
		t.Errorf("asyncapi %v", doc["asyncapi"])
	}
	refs := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if r, ok := v["$ref"].(string); ok {
				refs++
				if find(doc, r) == nil {
					t.Errorf("%s leads nowhere", r)
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
	if refs < 20 {
		t.Errorf("only %d references", refs)
	}
	page := s.get("/docs/streams")
	for _, want := range []string{"snapshot", "resume", "wscat", "/asyncapi.json", "{&#34;type&#34;:&#34;sub&#34;"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// find follows a local reference.
func find(doc map[string]any, ref string) any {
	var v any = doc
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// Examples are what people paste, so they follow their own schemas.
func TestExamplesOfFramesFollowTheirSchemas(t *testing.T) {
	var doc struct {
		Components struct {
			Messages map[string]struct {
				Payload  json.RawMessage
				Examples []struct{ Payload any }
			}
		}
	}
	if err := json.Unmarshal(asyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	for name, m := range doc.Components.Messages {
		var schema openapi3.Schema
		if err := json.Unmarshal(m.Payload, &schema); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, e := range m.Examples {
			if err := schema.VisitJSON(e.Payload, openapi3.EnableJSONSchema2020()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Frames are what the document says, as a client of the real hub gets them.
func TestFramesAreAsDocumented(t *testing.T) {
	var doc struct {
		Components struct {
			Messages map[string]struct{ Payload openapi3.Schema }
		}
	}
	if err := json.Unmarshal(asyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	s := newLine(t)
	s.login()
	c, _, err := s.socket("")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	until := func(typ string) map[string]any {
		t.Helper()
		for {
			var m map[string]any
			if err := c.ReadJSON(&m); err != nil {
				t.Fatalf("waiting for %s: %v", typ, err)
			}
			got, _ := m["type"].(string)
			seen[got] = true
			msg, ok := doc.Components.Messages["server."+got]
			if !ok {
				t.Fatalf("%v is not in the document", m)
			}
			if err := msg.Payload.VisitJSON(m, openapi3.EnableJSONSchema2020()); err != nil {
				t.Errorf("%v: %v", m, err)
			}
			for member := range m {
				if msg.Payload.Properties[member] == nil {
					t.Errorf("%v: %s is not in the document", m, member)
				}
			}
			if got == typ {
				return m
			}
		}
	}
	hello := until("hello")
	send(t, c, `{"type":"sub","id":1,"path":"plant/**","rate":20}`)
	snapshot := until("snapshot")
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":60.4}`).want(t, 202, "")
	until("update")
	if err := s.Ingest.Event(t.Context(), "plant/pump", "overheat", []byte(`{"temperature":91.5}`)); err != nil {
		t.Fatal(err)
	}
	until("event")
	send(t, c, `{"type":"cmd","id":"7","thing":"plant/pump","action":"setSpeed","input":{"speed":80},"timeout":5,"key":"k"}`)
	for until("cmd")["status"] != "done" {
	}
	send(t, c, `{"type":"cmd","id":"8","thing":"plant/pump","action":"setSpeed","input":{"speed":999}}`)
	until("error")
	send(t, c, `{"type":"ping"}`)
	until("pong")
	send(t, c, fmt.Sprintf(`{"type":"resume","id":2,"epoch":%q,"seq":%.0f,"subs":[{"path":"plant/**"}]}`, hello["epoch"], snapshot["seq"]))
	sub := until("resumed")["subs"].([]any)[0]
	send(t, c, fmt.Sprintf(`{"type":"unsub","id":3,"sub":%q}`, sub))
	until("ok")
	send(t, c, "help")
	until("help")
	send(t, c, `{"type":"auth","token":"`+s.token(`{"name":"x","scopes":["read"]}`)+`"}`)
	until("ok")
	send(t, c, `{"type":"nonsense"}`)
	until("error")
	var tokens []struct{ ID string } // the connection is the token's now
	if err := json.Unmarshal([]byte(s.get("/api/tokens").body), &tokens); err != nil {
		t.Fatal(err)
	}
	s.do("DELETE", "/api/tokens/"+tokens[0].ID, "").want(t, 204, "")
	until("bye")
	for _, typ := range []string{"hello", "snapshot", "update", "event", "cmd", "error", "pong", "resumed", "ok", "help", "bye"} {
		if !seen[typ] {
			t.Errorf("no %s came", typ)
		}
	}
}
