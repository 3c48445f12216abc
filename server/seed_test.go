package server

import (
	"net/http"
	"strings"
	"testing"
)

func TestS6Login(t *testing.T) {
	s := newSite(t)
	a := s.do("POST", "/api/login", `{"username":"admin","password":"123456"}`)
	a.want(t, 200, "")
	if got, want := strings.TrimSpace(a.body), `{"ok":true,"username":"admin"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wrong := newSite(t).do("POST", "/api/login", `{"username":"admin","password":"1234567"}`)
	wrong.want(t, 401, "unauthorized")
	if len(wrong.Cookies()) > 0 {
		t.Errorf("a refused login set %v", wrong.Cookies())
	}
	s.do("POST", "/api/login", ``).want(t, 400, "malformed")
	s.do("POST", "/api/login", `{"username":1}`).want(t, 400, "malformed")
	s.do("POST", "/api/login", `{"username":`).want(t, 400, "malformed")
}

func TestS7LogoutS8Me(t *testing.T) {
	s := newSite(t)
	if got := strings.TrimSpace(s.get("/api/me").body); got != `{"loggedIn":false}` {
		t.Errorf("before login: %s", got)
	}
	s.login()
	me := s.get("/api/me").json(t)
	if user, _ := me["user"].(map[string]any); me["loggedIn"] != true || user["username"] != "admin" {
		t.Errorf("after login: %v", me)
	}
	out := s.do("POST", "/api/logout", "")
	if out.StatusCode != 200 || strings.TrimSpace(out.body) != `{"ok":true}` {
		t.Errorf("logout: %d %s", out.StatusCode, out.body)
	}
	if got := strings.TrimSpace(s.get("/api/me").body); got != `{"loggedIn":false}` {
		t.Errorf("after logout: %s", got)
	}
	s.do("POST", "/api/logout", "").want(t, 200, "")
}

func TestS2Cookie(t *testing.T) {
	for _, production := range []bool{false, true} {
		s := newSite(t, func(d *Deps) { d.Production = production })
		s.login()
		a := s.do("POST", "/api/login", `{"username":"admin","password":"`+map[bool]string{false: "123456", true: "a-good-password"}[production]+`"}`)
		cs := a.Cookies()
		if len(cs) != 1 {
			t.Fatalf("got cookies %v", cs)
		}
		c := cs[0]
		if c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || c.Secure != production || c.Path != "/" || c.Domain != "" {
			t.Errorf("production %v: got %s", production, c.Raw)
		}
	}
}
