package server

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/realtime/bus"
	"echotwin/realtime/twin"
)

const pumpTM = `{"@context":"https://www.w3.org/2022/wot/td/v1.1","@type":["tm:ThingModel"],"id":"urn:echotwin:model:pumps","title":"Pump {{N}}",
	"properties":{"flow":{"type":"number","minimum":0,"maximum":"{{MAX}}"}},"events":{"dry":{}},"tm:optional":["/events/dry"]}`

func pumpOf(n int) string {
	return fmt.Sprintf(`{"id":"plant/p%d","echotwin:model":"/api/models/pumps","echotwin:values":{"N":%d,"MAX":%d}}`, n, n, 10*n)
}

// Twenty pumps are one model.
func TestAModelFromItsBirthToItsEnd(t *testing.T) {
	l := newLine(t)
	l.login()
	born := l.do("POST", "/api/models", pumpTM)
	born.want(t, 201, "")
	if got := born.Header.Get("Location"); got != "/api/models/pumps" {
		t.Errorf("Location %q", got)
	}
	l.do("POST", "/api/models", pumpTM).want(t, 409, "conflict")
	for n := range 20 {
		l.do("POST", "/api/things", pumpOf(n+1)).want(t, 201, "")
	}
	thing := l.get("/api/things/plant/p7")
	if thing.json(t)["title"] != "Pump 7" || !strings.Contains(thing.body, `"maximum":70`) || !strings.Contains(thing.body, `"rel":"type"`) {
		t.Errorf("got %s", thing.body)
	}
	if a := l.get("/api/things/plant/p7?as=given"); a.json(t)["echotwin:model"] != "/api/models/pumps" || strings.Contains(a.body, "forms") || a.Header.Get("ETag") != thing.Header.Get("ETag") {
		t.Errorf("as given: %s", a.body)
	}
	l.get("/api/things/plant/p7?as=taken").want(t, 422, "invalid")
	l.get("/api/things/plant/pump?as=given").want(t, 200, "")
	if got := len(l.get("/api/things?model=pumps&limit=5").list(t)); got != 5 {
		t.Errorf("the list has %d", got)
	}
	if got := len(l.get("/api/things?model=pumps").list(t)); got != 20 {
		t.Errorf("the list has %d", got)
	}

	read := l.get("/api/models/pumps")
	tag := read.Header.Get("ETag")
	l.do("GET", "/api/models/pumps", "", "If-None-Match: "+tag).want(t, 304, "")
	l.do("PATCH", "/api/models/pumps", `{"title":"Big pump {{N}}"}`, "If-Match: "+tag).want(t, 200, "")
	l.do("PATCH", "/api/models/pumps", `{"title":"Pump"}`, "If-Match: "+tag).want(t, 412, "changed")
	l.do("PUT", "/api/models/pumps", pumpTM, "If-None-Match: *").want(t, 412, "changed")
	now := l.get("/api/things/plant/p7")
	if now.json(t)["title"] != "Big pump 7" || now.Header.Get("ETag") == thing.Header.Get("ETag") {
		t.Errorf("got %s", now.body)
	}
	bad := l.do("PATCH", "/api/models/pumps", `{"description":"{{NEW}}"}`)
	if bad.StatusCode != 422 || bad.json(t)["at"] != "/echotwin:values/NEW" || !strings.Contains(bad.body, "plant/p1 would not fit") {
		t.Errorf("got %d %s", bad.StatusCode, bad.body)
	}
	uses := l.get("/api/models/pumps/uses")
	if !strings.Contains(uses.body, `{"name":"MAX","at":["/properties/flow/maximum"],"type":"number"}`) || len(uses.json(t)["things"].([]any)) != 20 {
		t.Errorf("got %s", uses.body)
	}
	if a := l.do("DELETE", "/api/models/pumps", ""); a.StatusCode != 409 || !strings.Contains(a.body, "plant/p1, plant/p10") || !strings.Contains(a.body, "and 10 more") {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	for n := range 20 {
		l.do("DELETE", fmt.Sprintf("/api/things/plant/p%d", n+1), "").want(t, 204, "")
	}
	l.do("DELETE", "/api/models/pumps", "").want(t, 204, "")
	l.get("/api/models/pumps").want(t, 404, "not_found")
	l.do("DELETE", "/api/models/pumps", "").want(t, 404, "not_found")
	if got := l.get("/api/models").body; strings.TrimSpace(got) != "[]" {
		t.Errorf("left: %s", got)
	}
}

func TestWhatIsWrongWithAModelIsNamed(t *testing.T) {
	l := newLine(t)
	l.login()
	l.do("POST", "/api/models", pumpTM).want(t, 201, "")
	for _, tt := range []struct {
		method, path, body string
		status             int
		at                 string
	}{
		{"POST", "/api/models", `[]`, 400, ""},
		{"POST", "/api/models", `{"title":"x"}`, 422, "/id"},
		{"POST", "/api/models", `{"id":"a/b","@type":"tm:ThingModel"}`, 422, "/id"},
		{"PUT", "/api/models/fan", `{"title":"x"}`, 422, "/@type"},
		{"PUT", "/api/models/fan", pumpTM, 422, "/id"},
		{"PUT", "/api/models/fan", `{"@type":"tm:ThingModel","properties":{"a":{"type":"nummer"}}}`, 422, "/properties/a/type"},
		{"PATCH", "/api/models/fan", `{"title":"x"}`, 404, ""},
		{"PATCH", "/api/models/pumps", `7`, 422, ""},
		{"PUT", "/api/models/fan", `{"@type":"tm:ThingModel","x":"` + strings.Repeat("x", 300<<10) + `"}`, 413, ""},
		{"POST", "/api/things", pumpTM, 422, "/id"},
		{"PUT", "/api/things/plant/p1", strings.Replace(pumpTM, "urn:echotwin:model:pumps", "plant/p1", 1), 422, "/@type"},
		{"PUT", "/api/things/plant/p1", `{"echotwin:model":"pumps","echotwin:values":{"N":1}}`, 422, "/echotwin:values/MAX"},
		{"PUT", "/api/things/plant/p1", `{"echotwin:model":"fans"}`, 422, "/echotwin:model"},
	} {
		a := l.do(tt.method, tt.path, tt.body)
		if at, _ := a.json(t)["at"].(string); a.StatusCode != tt.status || at != tt.at || a.json(t)["reason"] == nil {
			t.Errorf("%s %s %.60s: got %d %s, want %d at %q", tt.method, tt.path, tt.body, a.StatusCode, a.body, tt.status, tt.at)
		}
	}
}

// A model must not tell of things that somebody may not see, nor let them be
// changed by it.
func TestAModelOfHiddenThings(t *testing.T) {
	l := newLine(t)
	l.login()
	l.do("POST", "/api/models", pumpTM).want(t, 201, "")
	l.do("POST", "/api/things", pumpOf(1)).want(t, 201, "")
	l.do("POST", "/api/things", strings.Replace(pumpOf(2), "plant/p2", "secret/p2", 1)).want(t, 201, "")
	part := "Authorization: Bearer " + l.token(`{"name":"x","scopes":["admin"],"things":["plant/**"]}`)
	l.client.Jar = nil
	if a := l.do("GET", "/api/models/pumps/uses", "", part); strings.Contains(a.body, "secret") || a.json(t)["hidden"] != 1.0 {
		t.Errorf("got %s", a.body)
	}
	if a := l.do("DELETE", "/api/models/pumps", "", part); a.StatusCode != 409 || strings.Contains(a.body, "secret") || !strings.Contains(a.body, "plant/p1 and 1 more") {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	for _, method := range []string{"PUT", "PATCH"} {
		if a := l.do(method, "/api/models/pumps", strings.Replace(pumpTM, "Pump", "P", 1), part); a.StatusCode != 403 || strings.Contains(a.body, "secret") {
			t.Errorf("%s: got %d %s", method, a.StatusCode, a.body)
		}
	}
}

// Two nodes on one real store: what either writes both show, in whatever order
// it comes, and of many who change a model and its things at once nothing is lost
// and nothing is left that does not fit.
func TestTwoNodesOfOneModel(t *testing.T) {
	l := newLine(t)
	l.login()
	store, err := l.bus.Bucket(t.Context(), "things")
	if err != nil {
		t.Fatal(err)
	}
	other := twin.New(twin.Config{Log: l.Ingest})
	second := twin.NewDirectory(twin.DirectoryConfig{Twins: other, Store: store, Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound, Logger: slog.New(slog.DiscardHandler)})
	go func() { _ = l.bus.Consume(t.Context(), 0, other.Apply) }()
	go func() { _ = second.Run(t.Context()) }()

	l.do("POST", "/api/models", pumpTM).want(t, 201, "")
	anyone := func(string) bool { return true }
	var wg sync.WaitGroup
	for node, d := range []*twin.Directory{l.Things, second} {
		wg.Go(func() {
			for i := range 20 {
				for { // the other node may not have heard of the model, and others may be first
					id := fmt.Sprintf("plant/n%d-%d", node, i)
					_, err := d.Put(t.Context(), id, fmt.Appendf(nil, `{"echotwin:model":"pumps","echotwin:values":{"N":%d,"MAX":5}}`, i), twin.Match{})
					if err == nil {
						break
					}
					if !is(err, "conflict") && !strings.Contains(err.Error(), "no model") {
						t.Error(err)
						break
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
		wg.Go(func() {
			for i := range 10 {
				for {
					err := d.PatchModel(t.Context(), "pumps", fmt.Appendf(nil, `{"x:n%d-%d":1}`, node, i), twin.Match{}, anyone)
					if err == nil {
						break
					}
					if !is(err, "conflict") && !is(err, "not_found") {
						t.Error(err)
						break
					}
				}
			}
		})
	}
	wg.Wait()
	all := func(tw *twin.Twins) bool {
		things := tw.Things("", func(id string) bool { return strings.HasPrefix(id, "plant/n") })
		for _, td := range things {
			if strings.Count(string(td), `"x:n`) != 20 {
				return false
			}
		}
		return len(things) == 40
	}
	for end := time.Now().Add(60 * time.Second); !all(l.twins) || !all(other); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the first node has all: %v, the second: %v", all(l.twins), all(other))
		}
	}
	for i := range 20 {
		a, _ := l.twins.Tag(fmt.Sprintf("plant/n1-%d", i))
		if b, _ := other.Tag(fmt.Sprintf("plant/n1-%d", i)); a != b {
			t.Errorf("%d: the nodes serve %s and %s", i, a, b)
		}
	}
	if err := second.RemoveModel(t.Context(), "pumps", twin.Match{}, anyone); !is(err, "conflict") {
		t.Errorf("got %v", err)
	}
}
