package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/server/auth"
)

// limited adds the operator "part", who has to do with some things only, and
// answers a client of theirs.
func (s *site) limited(things string) *site {
	s.Helper()
	s.do("POST", "/api/users", `{"username":"part","password":"correct horse","role":"operator","things":`+things+`}`).want(s.T, 201, "")
	one := newSiteFor(s)
	one.do("POST", "/api/login", `{"username":"part","password":"correct horse"}`).want(s.T, 200, "")
	return one
}

// A user who is limited to things knows nothing of the others, by whatever way
// they ask, and what is issued to them is limited as they are.
func TestAUserLimitedToThings(t *testing.T) {
	p := newPast(t)
	p.say(`{"speed":60.4}`)
	p.do("POST", "/api/telemetry/office/lamp", `{"power":7}`).want(t, 202, "")
	p.do("POST", "/api/things/plant/pump/actions/setSpeed", `{"speed":50}`).want(t, 200, "")
	p.settle()
	p.kept()
	me := p.limited(`["office/**"]`)
	token := "Authorization: Bearer " + me.token(`{"name":"x","scopes":["command"],"things":["**"]}`)
	ticket := "?ticket=" + me.do("POST", "/api/tickets", `{}`).json(t)["ticket"].(string)
	command := p.get("/api/commands").body
	id := command[strings.Index(command, `"cmd":"`)+7:][:26]
	for _, as := range []string{"", token} {
		headers := []string{"X-Nothing: 1"}
		if as != "" {
			headers = append(headers, as)
		}
		for _, path := range []string{"", "/state", "/properties", "/properties/speed", "/properties/speed/sse", "/events/overheat"} {
			me.get("/api/things/plant/pump"+path, headers...).want(t, 404, "not_found")
		}
		me.get("/api/history?thing=plant/pump&property=speed", headers...).want(t, 404, "not_found")
		me.get("/api/commands/"+id, headers...).want(t, 404, "not_found")
		me.do("POST", "/api/commands/"+id+"/cancel", "", headers...).want(t, 404, "not_found")
		me.do("POST", "/api/things/plant/pump/actions/setSpeed", `{"speed":50}`, headers...).want(t, 404, "not_found")
		me.do("POST", "/api/telemetry/plant/pump", `{"speed":1}`, headers...).want(t, 403, "forbidden")
		me.do("POST", "/api/telemetry", `{"plant/pump":{"speed":1}}`, headers...).want(t, 403, "forbidden")
		me.do("POST", "/api/telemetry/office/lamp", `{"power":8}`, headers...).want(t, 202, "")
		for _, path := range []string{"/api/things", "/.well-known/wot", "/api/commands", "/api/viewers",
			prometheusPrefix + "query?query=echotwin_value", prometheusPrefix + `query?query=echotwin_value{thing="plant/pump"}`,
			prometheusPrefix + "series?match[]=echotwin_value", prometheusPrefix + "label/thing/values", prometheusPrefix + "label/property/values",
			prometheusPrefix + "query_range?query=count(echotwin_value)by(thing)&step=60&start=" + fmt.Sprint(time.Now().Add(-time.Minute).Unix()) + "&end=" + fmt.Sprint(time.Now().Unix())} {
			a := me.get(path, headers...)
			if a.StatusCode != 200 || strings.Contains(a.body, "pump") || strings.Contains(a.body, `"speed"`) {
				t.Errorf("%s: got %d %s", path, a.StatusCode, a.body)
			}
			if strings.HasPrefix(path, prometheusPrefix+"label/thing") && !strings.Contains(a.body, "office/lamp") {
				t.Errorf("%s lacks one's own: %s", path, a.body)
			}
		}
	}
	for query, headers := range map[string][]string{"": nil, ticket: {"X-Nothing: 1"}} {
		c, _, err := me.socket(query, headers...)
		if err != nil {
			t.Fatal(err)
		}
		send(t, c, `{"type":"sub","path":"**"}`)
		m := await(t, c, "snapshot")
		if things := m["things"].(map[string]any); len(things) != 1 || things["office/lamp"] == nil || m["hidden"] != 1.0 {
			t.Errorf("got %v", m)
		}
		if query == "" {
			send(t, c, `{"type":"cmd","thing":"plant/pump","action":"setSpeed","input":{"speed":50}}`)
			if m := await(t, c, "error"); m["code"] != "forbidden" {
				t.Errorf("got %v", m)
			}
		}
	}
}

// Another role and other things reach what is open already, and nobody has to
// sign in again.
func TestLimitsReachOpenConnections(t *testing.T) {
	l := newLine(t)
	l.login()
	l.do("POST", "/api/telemetry", `{"plant/pump":{"speed":1},"office/lamp":{"power":7}}`).want(t, 202, "")
	l.settle()
	me := l.limited(`["**"]`)
	c, _, err := me.socket("")
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, `{"type":"sub","path":"**"}`)
	if m := await(t, c, "snapshot"); m["hidden"] != 0.0 || len(m["things"].(map[string]any)) != 2 {
		t.Fatalf("got %v", m)
	}
	next, _ := me.events("/api/things/plant/pump/properties/speed/sse")
	if got := next(); got != "1" {
		t.Fatalf("the property says %q", got)
	}
	l.do("PATCH", "/api/users/part", `{"things":["office/**"]}`).want(t, 204, "")
	if m := await(t, c, "snapshot"); m["hidden"] != 1.0 || len(m["things"].(map[string]any)) != 1 {
		t.Errorf("got %v", m)
	}
	send(t, c, `{"type":"cmd","thing":"plant/pump","action":"setSpeed","input":{"speed":50}}`)
	if m := await(t, c, "error"); m["code"] != "forbidden" {
		t.Errorf("got %v", m)
	}
	if got := next(); got != "the end" {
		t.Errorf("the property still says %q", got)
	}
	l.do("PATCH", "/api/users/part", `{"things":null}`).want(t, 204, "")
	if m := await(t, c, "snapshot"); m["hidden"] != 0.0 || len(m["things"].(map[string]any)) != 2 {
		t.Errorf("got %v", m)
	}
	l.do("PATCH", "/api/users/part", `{"role":"viewer"}`).want(t, 204, "")
	deadline := time.Now().Add(10 * time.Second)
	for code := any(nil); code != "forbidden"; {
		if time.Now().After(deadline) {
			t.Fatal("a viewer still commands")
		}
		send(t, c, `{"type":"cmd","id":"v","thing":"plant/pump","action":"nothing"}`)
		code = await(t, c, "error")["code"]
		time.Sleep(20 * time.Millisecond)
	}
}

func TestUsersAreChangedAsAWhole(t *testing.T) {
	s := newSite(t)
	s.login()
	s.do("POST", "/api/users", `{"username":"ana","password":"correct horse","role":"admin","things":["plant/**"]}`).want(t, 422, "invalid")
	s.do("POST", "/api/users", `{"username":"ana","password":"correct horse","role":"viewer","things":["plant/#"]}`).want(t, 422, "invalid")
	s.do("POST", "/api/users", `{"username":"ana","password":"correct horse","role":"viewer","things":["plant/**"]}`).want(t, 201, "")
	s.do("PATCH", "/api/users/ana", `{"role":"admin"}`).want(t, 422, "invalid")
	s.do("PATCH", "/api/users/ana", `{"role":"engineer","password":"short"}`).want(t, 422, "invalid")
	s.do("PATCH", "/api/users/ana", `{"things":[]}`).want(t, 422, "invalid")
	s.do("PATCH", "/api/users/ana", `{"things":7}`).want(t, 400, "malformed")
	if got := s.get("/api/users").body; !strings.Contains(got, `"role":"viewer","things":["plant/**"]`) {
		t.Errorf("a refused change left its marks: %s", got)
	}
	s.do("PATCH", "/api/users/ana", `{"role":"admin","things":null}`).want(t, 204, "")
}

// However many demote each other at once, somebody stays.
func TestThereIsAlwaysAnAdministrator(t *testing.T) {
	s := newSite(t)
	s.login()
	for i := range 4 {
		s.do("POST", "/api/users", fmt.Sprintf(`{"username":"a%d","password":"correct horse","role":"admin"}`, i)).want(t, 201, "")
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			viewer := auth.Viewer
			_, _ = s.Auth.ChangeUser(t.Context(), fmt.Sprintf("a%d", i), auth.Change{Role: &viewer})
		})
		wg.Go(func() { _ = s.Auth.DeleteUser(t.Context(), fmt.Sprintf("a%d", (i+1)%4)) })
	}
	wg.Go(func() { _ = s.Auth.DeleteUser(t.Context(), "admin") })
	wg.Wait()
	us, err := s.Auth.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, u := range us {
		if u.Role == auth.Administrator {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d administrators are left of %d users", n, len(us))
	}
}

// What one may and what would let one do the rest is said to programs, too.
func TestMeSaysWhatOneMay(t *testing.T) {
	s := newSite(t)
	s.login()
	me := s.limited(`["plant/**"]`)
	got := me.get("/api/me").body
	for _, want := range []string{`"things":["plant/**"]`, `"commandThings"`, `"editThings":"engineer"`, `"manageUsers":"admin"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	a := me.get("/api/users")
	a.want(t, 403, "forbidden")
	if needs := a.json(t)["needs"]; fmt.Sprint(needs) != "map[permission:manageUsers role:admin]" {
		t.Errorf("needs %v", needs)
	}
	a = me.get("/api/tokens", "Authorization: Bearer "+me.token(`{"name":"x","scopes":["read"]}`))
	if needs := a.json(t)["needs"]; fmt.Sprint(needs) != "map[permission:ownAccount scope:admin]" {
		t.Errorf("needs %v", needs)
	}
}
