package server

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestTokensOverHTTP(t *testing.T) {
	s := newSite(t)
	s.login()
	a := s.do("POST", "/api/tokens", `{"name":"ci","scopes":["read"],"things":["plant/**"],"expires":"2099-01-01T00:00:00Z"}`)
	a.want(t, 201, "")
	issued := a.json(t)
	secret, id := issued["token"].(string), issued["id"].(string)
	if a.Header.Get("Cache-Control") != "no-store" || len(secret) < 40 {
		t.Errorf("got %s, %s", a.Header.Get("Cache-Control"), a.body)
	}
	if list := s.get("/api/tokens"); strings.Contains(list.body, secret) || !strings.Contains(list.body, id) {
		t.Errorf("the list is %s", list.body)
	}
	bearer := "Authorization: Bearer " + secret
	me := newSiteFor(s).get("/api/me", bearer).json(t)["user"].(map[string]any)
	if me["username"] != "admin" || me["scope"] != "read" {
		t.Errorf("it is %v", me)
	}
	// A token cannot make itself a better one.
	s.do("POST", "/api/tokens", `{"name":"more","scopes":["admin"]}`, bearer).want(t, 403, "forbidden")
	s.get("/api/tokens", bearer).want(t, 403, "forbidden")
	s.get("/api/users", bearer).want(t, 403, "forbidden")
	narrow := s.token(`{"name":"narrow","scopes":["admin"],"things":["plant/**"]}`)
	s.do("POST", "/api/tokens", `{"name":"wide","scopes":["admin"]}`, "Authorization: Bearer "+narrow).want(t, 403, "forbidden")
	s.do("POST", "/api/users", `{"username":"x","password":"correct horse","role":"admin"}`, "Authorization: Bearer "+narrow).want(t, 403, "forbidden")

	for body, at := range map[string]string{
		`{"scopes":["read"]}`:                                                   "/name",
		`{"name":"x"}`:                                                          "/scopes",
		`{"name":"x","scopes":["root"]}`:                                        "/scopes/0",
		`{"name":"x","scopes":["read"],"things":[]}`:                            "/things",
		`{"name":"x","scopes":["read"],"things":["a","b//c"]}`:                  "/things/1",
		`{"name":"x","scopes":["read"],"expires":"2001-01-01T00:00:00Z"}`:       "/expires",
		`{"name":"` + strings.Repeat("x", 101) + `","scopes":["read"]}`:         "/name",
		`{"name":"x","scopes":["read"],"things":["a` + many(`","a`, 70) + `"]}`: "/things",
	} {
		a := s.do("POST", "/api/tokens", body)
		a.want(t, 422, "invalid")
		if got := a.json(t); got["at"] != at || got["reason"] == nil {
			t.Errorf("%.60s: got %s", body, a.body)
		}
	}
	s.do("POST", "/api/tokens", `{"name":1,"scopes":["read"]}`).want(t, 400, "malformed")
	s.do("POST", "/api/tokens", `{"name":"x","scopes":["read"],"expires":"tomorrow"}`).want(t, 400, "malformed")
	if a := s.do("DELETE", "/api/tokens/"+id, ""); a.StatusCode != 204 {
		t.Errorf("delete: %d %s", a.StatusCode, a.body)
	}
	s.do("DELETE", "/api/tokens/"+id, "").want(t, 404, "not_found")
	s.client = newClient()
	s.get("/api/things", bearer).want(t, 401, "unauthorized")
}

func many(s string, n int) string { return strings.Repeat(s, n) }

// newSiteFor is the same server for another client.
func newSiteFor(s *site) *site {
	return &site{T: s.T, Server: s.Server, url: s.url, client: newClient()}
}

func TestP9PasswordFlow(t *testing.T) {
	s := newSite(t)
	form := func(pairs ...string) answer {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return s.do("POST", "/api/token", v.Encode(), "Content-Type: application/x-www-form-urlencoded")
	}
	a := form("grant_type", "password", "username", "admin", "password", "123456")
	a.want(t, 200, "")
	m := a.json(t)
	if m["token_type"] != "bearer" || m["expires_in"] != 3600.0 || m["scope"] != "read command" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s", a.body)
	}
	bearer := "Authorization: Bearer " + m["access_token"].(string)
	if me := s.get("/api/me", bearer).json(t); me["loggedIn"] != true {
		t.Errorf("it is %v", me)
	}
	s.get("/api/users", bearer).want(t, 403, "forbidden")
	if a := form("grant_type", "password", "username", "admin", "password", "123456", "scope", "admin"); a.json(t)["scope"] != "read command admin" {
		t.Errorf("got %s", a.body)
	}
	for want, pairs := range map[string][]string{
		"unsupported_grant_type": {"grant_type", "client_credentials"},
		"invalid_grant":          {"grant_type", "password", "username", "admin", "password", "x"},
		"invalid_scope":          {"grant_type", "password", "username", "admin", "password", "123456", "scope", "root"},
	} {
		a := form(pairs...)
		a.want(t, 400, want)
		if a.json(t)["error"] != want {
			t.Errorf("got %s", a.body)
		}
	}
	for range 4 {
		form("grant_type", "password", "username", "admin", "password", "x")
	}
	form("grant_type", "password", "username", "admin", "password", "x")
	form("grant_type", "password", "username", "admin", "password", "123456").want(t, 429, "too_many")
}

func TestTicketsOverHTTP(t *testing.T) {
	s := newLine(t)
	s.login()
	a := s.do("POST", "/api/tickets", `{"things":["plant/**"]}`)
	a.want(t, 201, "")
	ticket := a.json(t)["ticket"].(string)
	expires, err := time.Parse(time.RFC3339, a.json(t)["expires"].(string))
	if err != nil || time.Until(expires) > 6*time.Minute {
		t.Errorf("it expires %v, %v", expires, err)
	}
	s.do("POST", "/api/tickets", `{"things":["a//b"]}`).want(t, 422, "invalid")
	owner := s.client
	s.client = newClient()
	q := "?ticket=" + url.QueryEscape(ticket)
	td := s.get("/api/things/plant/pump" + q)
	td.want(t, 200, "")
	// The links of the description work as they are, for a client that knows
	// nothing of tickets.
	form := td.json(t)["properties"].(map[string]any)["speed"].(map[string]any)["forms"].([]any)[0].(map[string]any)
	if href := form["href"].(string); !strings.HasSuffix(href, q) {
		t.Errorf("the link is %s", href)
	}
	s.get("/api/things"+q).want(t, 200, "")
	for _, path := range []string{"/api/tokens", "/api/commands", "/api/gpt"} {
		s.get(path+q).want(t, 401, "unauthorized")
	}
	s.do("POST", "/api/things/plant/pump/actions/setSpeed"+q, `{"speed":80}`).want(t, 401, "unauthorized")
	s.do("POST", "/api/tickets"+q, `{}`).want(t, 401, "unauthorized")
	s.get("/api/things"+q+"x").want(t, 401, "unauthorized")
	s.client = owner
	s.get("/api/things"+q+"x").want(t, 401, "unauthorized") // a wrong ticket is not taken for none
	s.do("POST", "/api/logout", "").want(t, 200, "")
	s.get("/api/things"+q).want(t, 401, "unauthorized")
}

func TestUsersOverHTTP(t *testing.T) {
	s := newSite(t)
	s.login()
	s.do("POST", "/api/users", `{"username":"ana","password":"correct horse","role":"operator"}`).want(t, 201, "")
	s.do("POST", "/api/users", `{"username":"ana","password":"correct horse","role":"operator"}`).want(t, 409, "conflict")
	s.do("POST", "/api/users", `{"username":"bo","password":"short","role":"operator"}`).want(t, 422, "invalid")
	if list := s.get("/api/users"); strings.Contains(list.body, "argon2id") || !strings.Contains(list.body, `"ana"`) {
		t.Errorf("the list is %s", list.body)
	}
	ana := newSiteFor(s)
	ana.do("POST", "/api/login", `{"username":"ana","password":"correct horse"}`).want(t, 200, "")
	ana.do("PATCH", "/api/users/ana", `{"role":"admin"}`).want(t, 403, "forbidden")
	ana.do("PATCH", "/api/users/admin", `{"password":"a new password"}`).want(t, 403, "forbidden")
	ana.do("PATCH", "/api/users/ana", `{"password":"a new password"}`).want(t, 401, "unauthorized")
	ana.do("PATCH", "/api/users/ana", `{"password":"a new password","oldPassword":"correct horse"}`).want(t, 204, "")
	ana.get("/api/tokens").want(t, 401, "unauthorized") // the old sessions are over
	ana.do("POST", "/api/login", `{"username":"ana","password":"a new password"}`).want(t, 200, "")
	s.do("PATCH", "/api/users/ana", `{"role":"boss"}`).want(t, 422, "invalid")
	s.do("PATCH", "/api/users/ana", `{}`).want(t, 422, "invalid")
	s.do("PATCH", "/api/users/nobody", `{"role":"viewer"}`).want(t, 404, "not_found")
	s.do("PATCH", "/api/users/admin", `{"role":"viewer"}`).want(t, 422, "invalid")
	s.do("DELETE", "/api/users/admin", ``).want(t, 422, "invalid")
	s.do("DELETE", "/api/users/ana", ``).want(t, 204, "")
	ana.get("/api/tokens").want(t, 401, "unauthorized")
}
