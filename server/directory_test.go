package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// A directoryEvent is one event as a reader gets it.
type directoryEvent struct{ name, id, data string }

// directory opens the changes of the directory and returns a function that waits
// for the next one; one without a name is the end.
func (s *site) directory(path string, headers ...string) (next func() directoryEvent, leave func()) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 60*time.Second)
	s.Cleanup(cancel)
	r, _ := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 {
		s.Fatalf("%s: %d", path, res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	next = func() (e directoryEvent) {
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					return e
				}
			}
		}
		return directoryEvent{}
	}
	if r.Header.Get("Last-Event-ID") == "" && !strings.Contains(path, "since=") {
		if e := next(); e.name != "hello" || e.id == "" {
			s.Errorf("got %+v, want where the stream begins", e)
		} else {
			s.began = e.id
		}
	}
	return next, func() { cancel(); res.Body.Close() }
}

func (e directoryEvent) is(t *testing.T, name, thing string) {
	t.Helper()
	var d struct{ ID string }
	if json.Unmarshal([]byte(e.data), &d) != nil || e.name != name || d.ID != "urn:echotwin:"+thing {
		t.Errorf("got %+v, want %s of %s", e, name, thing)
	}
}

func TestChangesOfTheDirectory(t *testing.T) {
	l := newLine(t)
	l.login()
	next, leave := l.directory("/api/things/events")
	diff, _ := l.directory("/api/things/events?diff=true")
	gone, _ := l.directory("/api/things/events/thing_deleted")
	l.do("POST", "/api/things", valveTD).want(t, 201, "")
	first := next()
	first.is(t, "thing_created", "plant/valve")
	if first.data != `{"id":"urn:echotwin:plant/valve"}` {
		t.Errorf("got %s", first.data)
	}
	if e := diff(); !strings.Contains(e.data, `"title":"Valve"`) || !strings.Contains(e.data, `"forms"`) {
		t.Errorf("got %+v", e)
	}
	l.do("PATCH", "/api/things/plant/valve", `{"title":"V","properties":{"flow":{"maximum":null}}}`).want(t, 200, "")
	next().is(t, "thing_updated", "plant/valve")
	if e := diff(); e.data != `{"id":"urn:echotwin:plant/valve","properties":{"flow":{"maximum":null}},"title":"V"}` {
		t.Errorf("got %+v", e)
	}
	leave()
	l.do("POST", "/api/telemetry/plant/new", `{"x":1}`).want(t, 202, "")
	l.settle()
	l.do("DELETE", "/api/things/plant/valve", "").want(t, 204, "")
	diff().is(t, "thing_created", "plant/new")
	diff().is(t, "thing_deleted", "plant/valve")
	gone().is(t, "thing_deleted", "plant/valve")

	// Who comes back gets what was missed, and goes on.
	next, _ = l.directory("/api/things/events", "Last-Event-ID: "+first.id)
	next().is(t, "thing_updated", "plant/valve")
	next().is(t, "thing_created", "plant/new")
	next().is(t, "thing_deleted", "plant/valve")
	next, _ = l.directory("/api/things/events?since=" + first.id)
	next().is(t, "thing_updated", "plant/valve")
	next, _ = l.directory("/api/things/events?path=plant/*", "Last-Event-ID: another.7")
	if e := next(); e.name != "resync" || e.id == "" {
		t.Errorf("got %+v", e)
	}
	l.do("POST", "/api/things", strings.Replace(valveTD, "plant/valve", "office/valve", 1)).want(t, 201, "")
	l.do("POST", "/api/things", valveTD).want(t, 201, "")
	next().is(t, "thing_created", "plant/valve")
	l.get("/api/things/events/thing_eaten").want(t, 404, "not_found")
	l.get("/api/things/events?diff=maybe").want(t, 422, "invalid")
	l.get("/api/things/events?path=%2F").want(t, 400, "malformed")
	l.do("HEAD", "/api/things/events", "").want(t, 405, "")

	l.Server.Close()
	for e := next(); e.name != ""; e = next() {
	}
	if n := l.watch.n.Load(); n > 4 {
		t.Errorf("%d streams", n)
	}
}

// What somebody may not see they are not told of, and from the moment on when
// they may see it no more.
func TestChangesOfHiddenThings(t *testing.T) {
	l := newLine(t)
	l.login()
	l.do("POST", "/api/users", `{"username":"part","password":"correct horse","role":"viewer","things":["plant/**"]}`).want(t, 201, "")
	part := newSiteFor(l.site)
	part.do("POST", "/api/login", `{"username":"part","password":"correct horse"}`).want(t, 200, "")
	next, _ := part.directory("/api/things/events?diff=true")
	l.do("POST", "/api/things", strings.Replace(valveTD, "plant/valve", "secret/valve", 1)).want(t, 201, "")
	l.do("POST", "/api/things", valveTD).want(t, 201, "")
	next().is(t, "thing_created", "plant/valve")
	l.do("PATCH", "/api/users/part", `{"things":["office/**"]}`).want(t, 204, "")
	l.do("PATCH", "/api/things/plant/valve", `{"title":"V"}`).want(t, 200, "")
	l.do("POST", "/api/things", strings.Replace(valveTD, "plant/valve", "office/valve", 1)).want(t, 201, "")
	next().is(t, "thing_created", "office/valve")
	l.do("DELETE", "/api/users/part", "").want(t, 204, "")
	if e := next(); e.name != "" {
		t.Errorf("got %+v", e)
	}
}

// The ring is bounded, and who falls behind it is told.
func TestListingsAreBounded(t *testing.T) {
	l := newListings()
	big := json.RawMessage(`{"x":"` + strings.Repeat("x", 10_000) + `"}`)
	for i := range 3 * keptChanges {
		l.publish([]realtime.Described{{Thing: fmt.Sprintf("a/%d", i), How: realtime.Updated, Diff: big}})
	}
	if len(l.ring) != keptChanges || l.diffs > keptDiffs || l.diffs < 0 {
		t.Errorf("%d kept, %d bytes", len(l.ring), l.diffs)
	}
	news, missed, _ := l.after(10)
	if missed != 2*keptChanges-10 || len(news) != keptChanges || news[0].n != 2*keptChanges+1 {
		t.Errorf("missed %d, got %d from %d", missed, len(news), news[0].n)
	}
	if news, missed, _ := l.after(l.n); len(news) != 0 || missed != 0 {
		t.Errorf("missed %d, got %d", missed, len(news))
	}
	if news, _, _ := l.after(l.n - 1); len(news) != 1 || news[0].Diff == nil {
		t.Errorf("got %v", news)
	}
}

// A place stands for all that its tree has, by links and by paths, and follows
// the links; what a hidden thing contains is nobody's business.
func TestUnderAPlace(t *testing.T) {
	l := newLine(t)
	l.login()
	td := func(id, links string) string {
		return `{"id":"` + id + `","@context":"https://www.w3.org/2022/wot/td/v1.1","title":"x","links":[` + links + `]}`
	}
	const robot = `{"rel":"contains","href":"depot/robot"}`
	for _, d := range []string{td("plant/line9", robot), td("plant/line9/a", ""), td("depot/robot", ""), td("depot/robot/arm", ""), td("depot/other", ""), td("secret/hall", `{"rel":"contains","href":"depot/other"}`)} {
		l.do("POST", "/api/things", d).want(t, 201, "")
	}
	under := func(place string, headers ...string) string {
		t.Helper()
		a := l.do("GET", "/api/things?path=under:"+place, "", headers...)
		a.want(t, 200, "")
		return fmt.Sprint(a.list(t))
	}
	if got := under("plant/line9"); got != "[depot/robot depot/robot/arm plant/line9 plant/line9/a]" {
		t.Errorf("got %s", got)
	}
	if got := under("depot"); got != "[]" {
		t.Errorf("got %s", got)
	}
	if got := under("secret"); got != "[depot/other secret/hall]" {
		t.Errorf("got %s", got)
	}
	part := "Authorization: Bearer " + l.token(`{"name":"x","scopes":["read"],"things":["depot/**"]}`)
	if got := under("depot", part); got != "[depot/other depot/robot depot/robot/arm]" {
		t.Errorf("for who sees no container: %s", got)
	}
	if got := under("secret", part); got != "[]" {
		t.Errorf("got %s", got)
	}
	l.get("/api/things?path=under:%2F").want(t, 400, "malformed")
	l.get("/api/tree?path=under:plant/line9").want(t, 200, "")
	l.get("/api/commands?path=under:plant/line9").want(t, 200, "")
	l.get("/api/viewers?path=under:plant/line9").want(t, 200, "")
	for path, body := range map[string]string{
		"/api/tokens":  `{"name":"x","scopes":["read"],"things":["under:plant/line9"]}`,
		"/api/tickets": `{"things":["under:plant/line9"]}`,
		"/api/users":   `{"username":"y","password":"correct horse","role":"viewer","things":["under:plant/line9"]}`,
		"/api/devices": `{"username":"y","things":["under:plant/line9"]}`,
	} {
		a := l.do("POST", path, body)
		a.want(t, 422, "")
		if !strings.Contains(a.body, "plant/line1/**") || !strings.Contains(a.body, "/things/0") {
			t.Errorf("%s: %s", path, a.body)
		}
	}

	next, _ := l.directory("/api/things/events?path=under:plant/line9")
	l.do("PATCH", "/api/things/depot/other", `{"title":"y"}`).want(t, 200, "")
	l.do("PATCH", "/api/things/depot/robot/arm", `{"title":"y"}`).want(t, 200, "")
	next().is(t, "thing_updated", "depot/robot/arm")
	l.do("PATCH", "/api/things/plant/line9", `{"links":null}`).want(t, 200, "")
	next().is(t, "thing_updated", "plant/line9")
	if got := under("plant/line9"); got != "[plant/line9 plant/line9/a]" {
		t.Errorf("after the link is gone: %s", got)
	}
}

// Who comes back goes on exactly where it was, also when it had heard of no change
// yet; who was at another node, or at this one before a restart, is told to read
// the list, and goes on from there. Nobody misses something unsaid.
func TestWhoComesBackToTheDirectory(t *testing.T) {
	here, there := newLine(t), newLine(t)
	here.login()
	there.login()
	create := func(l *line, id string) {
		t.Helper()
		l.do("POST", "/api/things", strings.Replace(valveTD, "plant/valve", id, 1)).want(t, 201, "")
	}
	_, leave := here.directory("/api/things/events")
	leave()
	create(here, "plant/a")
	next, _ := here.directory("/api/things/events", "Last-Event-ID: "+here.began)
	a := next()
	a.is(t, "thing_created", "plant/a")

	// The other node has as many changes behind it, and its own first one.
	create(there, "plant/x")
	create(there, "plant/y")
	for _, id := range []string{a.id, here.began, ".", "x.1", strings.Replace(a.id, ".", ".99", 1), a.id + "x"} {
		next, leave := there.directory("/api/things/events?since=" + id)
		e := next()
		if e.name != "resync" || e.id == "" || !strings.Contains(e.data, "another node") {
			t.Errorf("since %s: got %+v", id, e)
		}
		leave()
		create(there, "plant/after"+strings.NewReplacer(".", "_").Replace(id))
		next, leave = there.directory("/api/things/events?since=" + e.id)
		next().is(t, "thing_created", "plant/after"+strings.NewReplacer(".", "_").Replace(id))
		leave()
	}
	if next, _ := here.directory("/api/things/events?since=" + strings.Replace(a.id, ".", ".99", 1)); next().name != "resync" {
		t.Error("a place that has not been yet is taken for one")
	}
}
