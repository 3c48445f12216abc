package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// sessions are what the list says.
func (s *site) sessions(query string) []sessionView {
	s.Helper()
	a := s.get("/api/sessions" + query)
	a.want(s.T, 200, "")
	var out []sessionView
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		s.Fatal(err)
	}
	return out
}

func TestSessionsOverHTTP(t *testing.T) {
	s := newLine(t)
	s.login()
	s.do("POST", "/api/users", `{"username":"ana","password":"correct horse","role":"viewer"}`).want(t, 201, "")
	ana, phone := newSiteFor(s.site), newSiteFor(s.site)
	for _, one := range []*site{ana, phone} {
		one.do("POST", "/api/login", `{"username":"ana","password":"correct horse"}`, "User-Agent: Browser\u202e 1", "X-Forwarded-For: 203.0.113.5").want(t, 200, "")
	}
	mine := ana.sessions("")
	if len(mine) != 2 || mine[0].Own == mine[1].Own || mine[0].Agent != "Browser 1" || mine[0].From != "203.0.113.5" {
		t.Fatalf("got %+v", mine)
	}
	byPhone := mine[0]
	if byPhone.Own {
		byPhone = mine[1]
	}
	if list := ana.get("/api/sessions").body; strings.Contains(list, strings.TrimPrefix(ana.cookie(), "session=")) {
		t.Error("the list holds the cookie")
	}
	ana.get("/api/sessions?user=admin").want(t, 403, "forbidden")
	ana.get("/api/sessions?user=*").want(t, 403, "forbidden")
	ana.do("DELETE", "/api/sessions?user=admin", "").want(t, 403, "forbidden")
	ana.do("DELETE", "/api/sessions/"+s.sessions("")[0].ID, "").want(t, 404, "not_found")
	if all := s.sessions("?user=*"); len(all) != 3 {
		t.Errorf("everybody has %+v", all)
	}

	// What is ended, is ended for its open connections, too.
	c, _, err := phone.socket("", "Origin: "+s.url)
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, "hello")
	ana.do("DELETE", "/api/sessions/"+byPhone.ID, "").want(t, 204, "")
	if got := closed(t, c); got != 4001 {
		t.Errorf("the connection ended with %d", got)
	}
	phone.get("/api/things").want(t, 401, "unauthorized")
	ana.do("DELETE", "/api/sessions/"+byPhone.ID, "").want(t, 404, "not_found")

	for range 3 {
		newSiteFor(s.site).do("POST", "/api/login", `{"username":"ana","password":"correct horse"}`).want(t, 200, "")
	}
	var seen []string
	for next, pages := "?limit=2", 0; next != ""; pages++ {
		if pages > 4 {
			t.Fatal("the list does not end")
		}
		a := ana.get("/api/sessions" + next)
		var page []sessionView
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page) > 2 {
			t.Fatalf("got %s", a.body)
		}
		for _, one := range page {
			seen = append(seen, one.ID)
		}
		link := strings.Trim(strings.TrimSuffix(a.Header.Get("Link"), `; rel="next"`), "<>")
		next = strings.TrimPrefix(link, "/api/sessions")
	}
	if fmt.Sprint(seen) != fmt.Sprint(ids(ana.sessions(""))) || len(seen) != 4 {
		t.Errorf("by pages %v", seen)
	}
	ana.get("/api/sessions?after=x").want(t, 400, "malformed")
	ana.get("/api/sessions?limit=0").want(t, 422, "out_of_range")

	ana.do("DELETE", "/api/sessions?keep=all", "").want(t, 422, "invalid")
	if got := ana.do("DELETE", "/api/sessions?keep=current", "").body; strings.TrimSpace(got) != `{"ended":3}` {
		t.Errorf("everywhere else: %s", got)
	}
	if left := ana.sessions(""); len(left) != 1 || !left[0].Own {
		t.Errorf("left are %+v", left)
	}
	if got := s.do("DELETE", "/api/sessions?user=ana", "").body; strings.TrimSpace(got) != `{"ended":1}` {
		t.Errorf("by an administrator: %s", got)
	}
	ana.get("/api/sessions").want(t, 401, "unauthorized")
	s.do("DELETE", "/api/sessions", "").want(t, 200, "")
	s.get("/api/sessions").want(t, 401, "unauthorized")
}

func ids(list []sessionView) []string {
	out := make([]string, len(list))
	for i, one := range list {
		out[i] = one.ID
	}
	return out
}
