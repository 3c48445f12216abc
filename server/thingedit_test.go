package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/realtime/bus"
	"echotwin/realtime/twin"
)

const valveTD = `{"@context":"https://www.w3.org/2022/wot/td/v1.1","id":"urn:echotwin:plant/valve","title":"Valve","security":"none","securityDefinitions":{"none":{"scheme":"nosec"}},
	"properties":{"flow":{"type":"number","minimum":0,"maximum":100}}}`

func TestADescriptionFromItsBirthToItsEnd(t *testing.T) {
	l := newLine(t)
	l.login()
	born := l.do("POST", "/api/things", valveTD)
	born.want(t, 201, "")
	if got := born.Header.Get("Location"); got != "/api/things/plant/valve" {
		t.Errorf("Location %q", got)
	}
	l.do("POST", "/api/things", valveTD).want(t, 409, "")

	read := l.get("/api/things/plant/valve")
	tag := read.Header.Get("ETag")
	if tag == "" || tag != born.Header.Get("ETag") {
		t.Errorf("read %q, born %q", tag, born.Header.Get("ETag"))
	}
	l.do("GET", "/api/things/plant/valve", "", "If-None-Match: "+tag).want(t, 304, "")

	changed := l.do("PATCH", "/api/things/plant/valve", `{"title":"Main valve","properties":{"flow":{"maximum":null}}}`, "If-Match: "+tag)
	changed.want(t, 200, "")
	if td := changed.json(t); td["title"] != "Main valve" || strings.Contains(changed.body, `"maximum"`) {
		t.Errorf("patched: %s", changed.body)
	}
	if a := l.do("PUT", "/api/things/plant/valve", valveTD, "If-Match: "+tag); a.StatusCode != 412 || a.json(t)["code"] != "changed" {
		t.Errorf("an old tag: %d %s", a.StatusCode, a.body)
	}
	if a := l.get("/api/things/plant/valve"); a.json(t)["title"] != "Main valve" {
		t.Errorf("it was written all the same: %s", a.body)
	}
	l.do("PUT", "/api/things/plant/valve", valveTD, "If-None-Match: "+"*").want(t, 412, "")
	l.do("PUT", "/api/things/plant/valve", valveTD, "If-None-Match: "+`"x"`).want(t, 400, "")
	l.do("PUT", "/api/things/plant/valve", valveTD).want(t, 200, "")

	// Values that came besides change what is served, and so the tag, but do not
	// keep an engineer from saving what they began before.
	tag = l.get("/api/things/plant/valve").Header.Get("ETag")
	l.do("POST", "/api/telemetry/plant/valve", `{"flow":12,"noise":3}`).want(t, 202, "")
	l.settle()
	if now := l.get("/api/things/plant/valve").Header.Get("ETag"); now == tag {
		t.Error("another document has the same tag")
	}
	l.do("PATCH", "/api/things/plant/valve", `{"title":"V"}`, "If-Match: "+tag).want(t, 200, "")

	l.do("DELETE", "/api/things/plant/valve", "").want(t, 204, "")
	l.get("/api/things/plant/valve").want(t, 404, "")
	l.get("/api/things/plant/valve/state").want(t, 404, "")
	l.do("DELETE", "/api/things/plant/valve", "").want(t, 404, "")

	// Its device does not know that.
	l.do("POST", "/api/telemetry/plant/valve", `{"flow":13}`).want(t, 202, "")
	l.settle()
	state := l.get("/api/things/plant/valve/state")
	state.want(t, 200, "")
	if got := state.json(t); got["undescribed"] != true || strings.Contains(state.body, "noise") {
		t.Errorf("after all was forgotten: %s", state.body)
	}
	l.do("POST", "/api/things", valveTD).want(t, 201, "")
	l.do("DELETE", "/api/things/plant/valve?keep=data", "").want(t, 204, "")
	if a := l.get("/api/things/plant/valve/state"); !strings.Contains(a.body, `"value":13`) || a.json(t)["undescribed"] != true {
		t.Errorf("with keep=data: %s", a.body)
	}
	l.do("DELETE", "/api/things/plant/valve?keep=all", "").want(t, 422, "")
	l.do("DELETE", "/api/things/plant/valve", "").want(t, 204, "")
	l.get("/api/things/plant/valve/state").want(t, 404, "")
}

func TestWhatIsWrongWithADescriptionIsNamed(t *testing.T) {
	l := newLine(t)
	l.login()
	for _, tt := range []struct {
		method, path, body string
		status             int
		at                 string
	}{
		{"POST", "/api/things", `[]`, 400, ""},
		{"POST", "/api/things", `{"title":"x"}`, 422, "/id"},
		{"POST", "/api/things", `{"id":"a//b"}`, 422, "/id"},
		{"POST", "/api/things", `{"id":"a/b"`, 400, ""},
		{"POST", "/api/things", strings.Replace(valveTD, `"number"`, `"nummer"`, 1), 422, "/properties/flow/type"},
		{"PUT", "/api/things/plant/other", valveTD, 422, "/id"},
		{"PUT", "/api/things/plant/other", `x`, 400, ""},
		{"PATCH", "/api/things/plant/none", `{"title":"x"}`, 404, ""},
		{"PATCH", "/api/things/plant/none", `"x"`, 422, ""},
		{"POST", "/api/things", `{"id":"a/b","pad":"` + strings.Repeat("x", 300<<10) + `"}`, 413, ""},
		{"POST", "/api/things", `{"id":"a/b","pad":"` + strings.Repeat("x", 600<<10) + `"}`, 413, ""},
	} {
		a := l.do(tt.method, tt.path, tt.body)
		if at, _ := a.json(t)["at"].(string); a.StatusCode != tt.status || at != tt.at || a.json(t)["reason"] == nil {
			t.Errorf("%s %s %.60s: got %d %s, want %d at %q", tt.method, tt.path, tt.body, a.StatusCode, a.body, tt.status, tt.at)
		}
	}
	// A patch that makes nonsense of it changes nothing.
	l.do("POST", "/api/things", valveTD).want(t, 201, "")
	if a := l.do("PATCH", "/api/things/plant/valve", `{"title":null}`); a.StatusCode != 422 {
		t.Errorf("a patch without a title: %d %s", a.StatusCode, a.body)
	}
	deep := strings.Repeat(`{"x":`, 200) + `1` + strings.Repeat(`}`, 200)
	if a := l.do("PATCH", "/api/things/plant/valve", deep); a.StatusCode != 413 {
		t.Errorf("a deep patch: %d %s", a.StatusCode, a.body)
	}
	if a := l.get("/api/things/plant/valve"); a.json(t)["title"] != "Valve" {
		t.Errorf("got %s", a.body)
	}
}

func TestAFixedDescriptionIsChangedAtItsSource(t *testing.T) {
	l := newLine(t)
	l.login()
	if _, err := l.Things.Fix("the file valve.json", []byte(valveTD)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Things.Fix("the file other.json", []byte(valveTD)); err == nil {
		t.Error("two files describe one thing")
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		if a := l.do(method, "/api/things/plant/valve", valveTD); a.StatusCode != 409 || !strings.Contains(a.body, "the file valve.json") {
			t.Errorf("%s: %d %s", method, a.StatusCode, a.body)
		}
	}
	if err := l.Things.Unfix(t.Context(), "the file valve.json", twin.Key{Name: "plant/valve"}); err != nil {
		t.Fatal(err)
	}
	l.get("/api/things/plant/valve").want(t, 404, "")
}

// Two nodes on one store: whoever writes, both show it, and of patches at once
// none is lost.
func TestTwoNodesDescribeTogether(t *testing.T) {
	l := newLine(t)
	l.login()
	store, err := l.bus.Bucket(t.Context(), "things")
	if err != nil {
		t.Fatal(err)
	}
	other := twin.New(twin.Config{Log: l.Ingest})
	second := twin.NewDirectory(twin.DirectoryConfig{Twins: other, Store: store, Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound})
	go func() { _ = l.bus.Consume(t.Context(), 0, other.Apply) }()
	go func() { _ = second.Run(t.Context()) }()

	l.do("POST", "/api/things", valveTD).want(t, 201, "")
	var wg sync.WaitGroup
	for node, d := range []*twin.Directory{l.Things, second} {
		wg.Go(func() {
			for i := range 20 {
				for { // 409 after five others were first
					err := d.Patch(t.Context(), "plant/valve", fmt.Appendf(nil, `{"x:n%d-%d":1}`, node, i), twin.Match{})
					if err == nil {
						break
					}
					if !is(err, "conflict") {
						t.Error(err)
						break
					}
				}
			}
		})
	}
	wg.Wait()
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	all := func(tw *twin.Twins) bool {
		td, _ := tw.TD("plant/valve", "")
		var doc map[string]json.RawMessage
		_ = json.Unmarshal(td, &doc)
		n := 0
		for name := range doc {
			if strings.HasPrefix(name, "x:n") {
				n++
			}
		}
		return n == 40
	}
	eventually("the first node lacks patches", func() bool { return all(l.twins) })
	eventually("the second node lacks patches", func() bool { return all(other) })

	l.do("POST", "/api/telemetry/plant/valve", `{"flow":12}`).want(t, 202, "")
	l.do("DELETE", "/api/things/plant/valve", "").want(t, 204, "")
	eventually("the second node has not forgotten it", func() bool { _, ok := other.State("plant/valve"); return !ok })
}

func TestWhere(t *testing.T) {
	l := newLine(t)
	l.login()
	l.do("POST", "/api/telemetry", `{"a/one":{"t":81,"mode":"run"},"a/two":{"t":79,"mode":"run"},"a/three":{"mode":"run"},"a/four":{"t":99,"mode":"off"}}`).want(t, 202, "")
	l.settle()
	for where, want := range map[string]string{
		"t>80":                "[a/four a/one]",
		"t>80 and mode=run":   "[a/one]",
		"mode=run":            "[a/one a/three a/two]",
		"t<80 or mode=off":    "[a/four a/two]",
		"a/one:t>80 and t<80": "[a/two]",
		"none=1":              "[]",
	} {
		a := l.get("/api/things?path=a/*&where=" + strings.NewReplacer(" ", "%20", ">", "%3E", "<", "%3C", "=", "%3D").Replace(where))
		a.want(t, 200, "")
		if got := fmt.Sprint(a.list(t)); got != want {
			t.Errorf("%s: got %s, want %s", where, got, want)
		}
	}
	if a := l.get("/api/things?where=t%3E"); a.StatusCode != 422 || a.json(t)["at"] != "?where" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	// A condition must not tell what somebody may not see.
	token := l.token(`{"name":"x","scopes":["read"],"things":["a/two"]}`)
	l.client.Jar = nil
	if a := l.do("GET", "/api/things?where=a/one:t%3E80", "", "Authorization: "+"Bearer "+token); len(a.list(t)) != 0 {
		t.Errorf("got %s", a.body)
	}
}

// Editors of Windows begin a file with a byte order mark, or write another
// encoding: the first is taken, and of the second no letter is lost unseen.
func TestADescriptionAsAnEditorSavedIt(t *testing.T) {
	s := newLine(t)
	s.login()
	td := `{"@context":"https://www.w3.org/2022/wot/td/v1.1","id":"office/meter","title":"Zähler","securityDefinitions":{"n":{"scheme":"nosec"}},"security":"n"}`
	s.do("POST", "/api/things", "\ufeff"+td).want(t, 201, "")
	s.do("PATCH", "/api/things/office/meter", `{"description":"x"}`).want(t, 200, "")
	latin := strings.Replace(td, "ä", "\xe4", 1)
	a := s.do("PUT", "/api/things/office/meter", latin)
	a.want(t, 400, "malformed")
	if !strings.Contains(a.body, "not UTF-8") {
		t.Errorf("got %s", a.body)
	}
	if got := s.get("/api/things/office/meter").body; !strings.Contains(got, `"title":"Zähler"`) {
		t.Errorf("it is now %s", got)
	}
}
