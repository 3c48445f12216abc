package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"echotwin/server/auth"
	"echotwin/server/auth/oidctest"
)

// A single sign-on is a server with a provider behind it.
type sso struct {
	*site
	p *oidctest.Provider
}

func newSSO(t *testing.T, change ...func(*auth.OIDCConfig)) *sso {
	t.Helper()
	p := oidctest.Start()
	t.Cleanup(p.Close)
	p.Set(func(p *oidctest.Provider) {
		p.Claims = map[string]any{"preferred_username": "lan", "groups": []string{"staff", "shift"}}
	})
	return &sso{newSite(t, func(d *Deps) {
		d.Auth = newAuth(t, auth.Config{Secret: d.SessionSecret})
		c := auth.OIDCConfig{Issuer: p.URL, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, Name: "Nhà máy",
			Roles: []string{"shift=operator", "boss=admin"}}
		for _, f := range change {
			f(&c)
		}
		var err error
		if d.OIDC, err = auth.NewOIDC(d.Auth, c); err != nil {
			t.Fatal(err)
		}
		d.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}), p}
}

// leave goes to the provider, and is where that sends the browser back to.
func (s *sso) leave(next string) string {
	s.Helper()
	a := s.get("/api/oidc/login?next=" + url.QueryEscape(next))
	a.want(s.T, 302, "")
	to := a.Header.Get("Location")
	if !strings.HasPrefix(to, s.p.URL+"/authorize?") {
		s.Fatalf("the browser is sent to %s", to)
	}
	res, err := s.client.Get(to)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	back := res.Header.Get("Location")
	if !strings.HasPrefix(back, s.url+oidcCallback+"?") {
		s.Fatalf("the provider answers %d and sends the browser to %q", res.StatusCode, back)
	}
	return strings.TrimPrefix(back, s.url)
}

// signIn goes there and back, and is where the browser is then.
func (s *sso) signIn(next string) string {
	s.Helper()
	a := s.get(s.leave(next))
	a.want(s.T, 302, "")
	return a.Header.Get("Location")
}

// problem is what the login page is to say.
func problemOf(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Path != "/login.html" {
		return ""
	}
	return u.Query().Get("problem")
}

func (s *sso) user() map[string]any {
	s.Helper()
	u, _ := s.get("/api/me").json(s.T)["user"].(map[string]any)
	return u
}

func TestSigningInAtAProvider(t *testing.T) {
	s := newSSO(t)
	if got := s.get("/api/me").Header.Get(oidcHeader); got != "Nh%C3%A0%20m%C3%A1y" {
		t.Errorf("the login page is told %q", got)
	}
	if got := s.signIn("/app/history?at=1"); got != "/app/history?at=1" {
		t.Fatalf("the browser is at %s", got)
	}
	if u := s.user(); u["username"] != "lan" || u["role"] != "operator" || u["oidc"] != true {
		t.Errorf("signed in is %v", u)
	}
	// The same person is the same user, whatever they are called now, and has the
	// role that their groups have now.
	s.p.Set(func(p *oidctest.Provider) {
		p.Claims["preferred_username"], p.Claims["groups"] = "lan.nguyen", []string{"boss", "shift"}
	})
	s.signIn("")
	if u := s.user(); u["username"] != "lan" || u["role"] != "admin" {
		t.Errorf("signed in is %v", u)
	}
	if list := s.get("/api/users").body; strings.Count(list, `"oidc":true`) != 1 || !strings.Contains(list, `"username":"lan"`) {
		t.Errorf("the users are %s", list)
	}
	if sessions := s.get("/api/sessions").body; strings.Count(sessions, `"id"`) != 1 {
		t.Errorf("the session before goes on: %s", sessions)
	}
	// There is no password for them, and none can be set.
	s.do("PATCH", "/api/users/lan", `{"password":"correct horse","oldPassword":""}`).want(t, 401, "unauthorized")
	admin := newSiteFor(s.site)
	admin.login()
	admin.do("PATCH", "/api/users/lan", `{"password":"correct horse"}`).want(t, 422, "invalid")
	for _, password := range []string{"", "correct horse", "123456"} {
		newSiteFor(s.site).do("POST", "/api/login", `{"username":"lan","password":"`+password+`"}`).want(t, 401, "unauthorized")
	}
	if got := strings.TrimSpace(s.do("POST", "/api/logout", "").body); got != `{"ok":true}` {
		t.Errorf("logout says %s", got)
	}
	if u := s.user(); u != nil {
		t.Errorf("after logout %v is signed in", u)
	}
	admin.do("DELETE", "/api/users/lan", "").want(t, 204, "")
}

func TestSigningOutAtTheProvider(t *testing.T) {
	s := newSSO(t, func(c *auth.OIDCConfig) { c.Logout = true })
	s.signIn("")
	next, _ := s.do("POST", "/api/logout", "").json(t)["next"].(string)
	u, err := url.Parse(next)
	if err != nil || !strings.HasPrefix(next, s.p.URL+"/end?") || u.Query().Get("from") != "here" || u.Query().Get("client_id") != oidctest.ClientID || u.Query().Get("post_logout_redirect_uri") != s.url+"/login.html" {
		t.Errorf("the browser goes on to %q", next)
	}
	s.login() // a local user has no session there
	if got := strings.TrimSpace(s.do("POST", "/api/logout", "").body); got != `{"ok":true}` {
		t.Errorf("logout says %s", got)
	}
}

func TestWhoHasNoRoleIsRefused(t *testing.T) {
	s := newSSO(t)
	s.signIn("")
	c, _, err := s.socket("", "Origin: "+s.url)
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, "hello")
	s.do("POST", "/api/tokens", `{"name":"mine","scopes":["read"]}`).want(t, 201, "")
	// They have left the group: whatever they still had is over.
	s.p.Set(func(p *oidctest.Provider) { p.Claims["groups"] = []string{"staff"} })
	if got := problemOf(newSSOClient(s).signIn("/app")); got != "role" {
		t.Errorf("the login page says %q", got)
	}
	if got := closed(t, c); got != 4001 {
		t.Errorf("the open connection ended with %d", got)
	}
	if u := s.user(); u != nil {
		t.Errorf("%v is signed in", u)
	}
	admin := newSiteFor(s.site)
	admin.login()
	if list := admin.get("/api/tokens?user=*").body; strings.Contains(list, "mine") {
		t.Errorf("a token is left: %s", list)
	}

	s = newSSO(t, func(c *auth.OIDCConfig) { c.DefaultRole = auth.Viewer })
	s.p.Set(func(p *oidctest.Provider) { p.Claims["groups"] = 7 })
	if s.signIn(""); s.user()["role"] != "viewer" {
		t.Errorf("by default %v is signed in", s.user())
	}
}

// newSSOClient is the same server for another browser.
func newSSOClient(s *sso) *sso { return &sso{newSiteFor(s.site), s.p} }

func TestANameOfALocalUserIsNotTakenOver(t *testing.T) {
	s := newSSO(t)
	s.p.Set(func(p *oidctest.Provider) {
		p.Claims["preferred_username"], p.Claims["groups"] = "admin", []string{"shift"}
	})
	if got := problemOf(s.signIn("/app")); got != "name" {
		t.Errorf("the login page says %q", got)
	}
	if u := s.user(); u != nil {
		t.Errorf("%v is signed in", u)
	}
	s.login()
	if u := s.user(); u["role"] != "admin" || u["oidc"] != nil {
		t.Errorf("the local user is %v", u)
	}
	// Nor is the name of another person at the provider.
	one := newSSOClient(s)
	s.p.Set(func(p *oidctest.Provider) { p.Claims["preferred_username"] = "lan" })
	one.signIn("")
	s.p.Set(func(p *oidctest.Provider) { p.Claims["sub"] = "subject-2" })
	if got := problemOf(newSSOClient(s).signIn("/app")); got != "name" {
		t.Errorf("the login page says %q", got)
	}
	// A name that is none here becomes one, and so does none.
	for i, name := range []any{"Nguyễn Văn Lân", "аdmin", "../admin", "admin\x00", strings.Repeat("a", 65), nil, 7} {
		s.p.Set(func(p *oidctest.Provider) {
			p.Claims["preferred_username"], p.Claims["sub"] = name, "odd-"+string(rune('a'+i))
		})
		odd := newSSOClient(s)
		odd.signIn("")
		if got, _ := odd.user()["username"].(string); !strings.HasPrefix(got, "oidc-") || len(got) != 17 {
			t.Errorf("%q is called %q", name, got)
		}
	}
	s.p.Set(func(p *oidctest.Provider) { p.Claims["email"], p.Claims["sub"] = "lan@example.com", "by-mail" })
	byMail := newSSOClient(s)
	if byMail.signIn(""); byMail.user()["username"] != "lan@example.com" {
		t.Errorf("by the address: %v", byMail.user())
	}
}

func TestWhatTheProviderSaysIsChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(p *oidctest.Provider)
		want  string
	}{
		"another nonce":    {func(p *oidctest.Provider) { p.Claims["nonce"] = "other" }, "untrusted"},
		"no nonce":         {func(p *oidctest.Provider) { p.Claims["nonce"] = nil }, "untrusted"},
		"another audience": {func(p *oidctest.Provider) { p.Claims["aud"] = "wiki" }, "untrusted"},
		"no audience":      {func(p *oidctest.Provider) { p.Claims["aud"] = nil }, "untrusted"},
		"given to another": {func(p *oidctest.Provider) {
			p.Claims["azp"] = "wiki"
			p.Claims["aud"] = []string{"wiki", oidctest.ClientID}
		}, "untrusted"},
		"another issuer":            {func(p *oidctest.Provider) { p.Claims["iss"] = "https://evil.example" }, "untrusted"},
		"expired":                   {func(p *oidctest.Provider) { p.Claims["exp"] = 1_700_000_000 }, "untrusted"},
		"nobody":                    {func(p *oidctest.Provider) { p.Claims["sub"] = nil }, "untrusted"},
		"an endless subject":        {func(p *oidctest.Provider) { p.Claims["sub"] = strings.Repeat("x", 1000) }, "untrusted"},
		"not signed":                {func(p *oidctest.Provider) { p.Unsigned = true }, "untrusted"},
		"signed by somebody":        {func(p *oidctest.Provider) { p.OtherKey = true }, "untrusted"},
		"an endless token":          {func(p *oidctest.Provider) { p.Claims["x"] = strings.Repeat("x", 2<<20) }, "untrusted"},
		"the door for codes broken": {func(p *oidctest.Provider) { p.Broken = 502 }, "unreachable"},
		"and closed":                {func(p *oidctest.Provider) { p.Broken = 403 }, "untrusted"},
		"not signed in":             {func(p *oidctest.Provider) { p.Deny = "access_denied" }, "refused"},
		"userinfo of another": {func(p *oidctest.Provider) {
			p.Claims["groups"] = nil
			p.UserInfo = map[string]any{"sub": "x", "groups": []string{"boss"}}
		}, "untrusted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSSO(t)
			s.p.Set(tt.fault)
			to := s.signIn("/app/history")
			if got := problemOf(to); got != tt.want {
				t.Errorf("the browser is at %s, want the problem %s", to, tt.want)
			}
			if u, _ := url.Parse(to); u.Query().Get("next") != "/app/history" {
				t.Errorf("and cannot try again: %s", to)
			}
			if u := s.user(); u != nil {
				t.Errorf("%v is signed in", u)
			}
			if us, err := s.Auth.Users(t.Context()); err != nil || len(us) != 1 {
				t.Errorf("the users are %+v, %v", us, err)
			}
		})
	}
}

// Who did not begin the sign-in in this browser does not end it here, and a
// return is good for once.
func TestAReturnBelongsToItsBrowser(t *testing.T) {
	s := newSSO(t)
	back := s.leave("/app")
	if got := problemOf(newSiteFor(s.site).get(back).Header.Get("Location")); got != "foreign" {
		t.Errorf("in another browser: %q", got)
	}
	for _, path := range []string{oidcCallback, oidcCallback + "?code=x", oidcCallback + "?code=x&state=", oidcCallback + "?code=x&state=" + strings.Repeat("x", 5000), oidcCallback + "?error=access_denied"} {
		one := newSSOClient(s)
		one.leave("/app")
		if got := problemOf(one.get(path).Header.Get("Location")); got != "foreign" {
			t.Errorf("%.60s: %q", path, got)
		}
	}
	if got := problemOf(newSiteFor(s.site).get(back, "Cookie: "+journeyCookie+"="+strings.Repeat("x", 3000)).Header.Get("Location")); got != "foreign" {
		t.Errorf("with a forged cookie: %q", got)
	}
	cookie := ""
	for _, c := range s.client.Jar.Cookies(mustURL(s.url + oidcCallback)) {
		if c.Name == journeyCookie {
			cookie = c.String()
		}
	}
	if strings.Contains(cookie, "/app") || cookie == "" {
		t.Errorf("the cookie %q can be read", cookie)
	}
	if got := s.get(back).Header.Get("Location"); got != "/app" {
		t.Fatalf("the browser is at %s", got)
	}
	if got := problemOf(newSiteFor(s.site).get(back, "Cookie: "+cookie).Header.Get("Location")); got != "untrusted" {
		t.Errorf("the code once more, with a stolen cookie: %q", got)
	}
	if got := problemOf(s.get(back).Header.Get("Location")); got != "foreign" {
		t.Errorf("the return once more: %q", got)
	}
	// A code that somebody else got is worth nothing in this browser, even at a
	// provider that does not care: the ID token is of another sign-in.
	s.p.Set(func(p *oidctest.Provider) { p.Sloppy = true })
	theirs := mustURL(newSSOClient(s).leave("/app")).Query().Get("code")
	mine := newSSOClient(s)
	q := mustURL(mine.leave("/app")).Query()
	q.Set("code", theirs)
	if got := problemOf(mine.get(oidcCallback + "?" + q.Encode()).Header.Get("Location")); got != "untrusted" {
		t.Errorf("with somebody else's code: %q", got)
	}
}

func mustURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

func TestNextStaysHere(t *testing.T) {
	s := newSSO(t)
	for next, want := range map[string]string{
		"": "/app", "/docs": "/docs", "https://evil.example": "/app", "//evil.example": "/app", `/\evil.example`: "/app", "/\t/evil.example": "/app", "javascript:alert(1)": "/app",
	} {
		if got := newSSOClient(s).signIn(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func TestKeysOfTheProviderMayChange(t *testing.T) {
	s := newSSO(t)
	for range 3 {
		// For a moment after it fetched keys, go-oidc gives those to whoever wants
		// newer ones; nobody rotates keys that fast.
		got := newSSOClient(s).signIn("/app")
		for try := 0; got != "/app" && try < 50; try++ {
			time.Sleep(10 * time.Millisecond)
			got = newSSOClient(s).signIn("/app")
		}
		if got != "/app" {
			t.Fatalf("the browser is at %s", got)
		}
		s.p.Rotate()
	}
	before := s.p.Asked()
	newSSOClient(s).signIn("/app")
	newSSOClient(s).signIn("/app")
	if n := s.p.Asked() - before; n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
}

func TestGroupsMayBeElsewhere(t *testing.T) {
	s := newSSO(t, func(c *auth.OIDCConfig) { c.RoleClaim = "realm_access.roles" })
	s.p.Set(func(p *oidctest.Provider) { p.Claims["realm_access"] = map[string]any{"roles": []string{"boss"}} })
	if s.signIn(""); s.user()["role"] != "admin" {
		t.Errorf("in an object: %v", s.user())
	}
	s = newSSO(t)
	s.p.Set(func(p *oidctest.Provider) {
		p.Claims["groups"], p.UserInfo = nil, map[string]any{"sub": "subject-1", "groups": "shift"}
	})
	if s.signIn(""); s.user()["role"] != "operator" {
		t.Errorf("at userinfo: %v", s.user())
	}
}

// A provider that is down when the server starts, keeps nobody from starting it
// nor from signing in with a password, and is found when it is back.
func TestAProviderThatIsDown(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	s := newSSO(t, func(c *auth.OIDCConfig) { c.Issuer = down.URL })
	a := s.get("/api/oidc/login?next=/docs")
	if got := a.Header.Get("Location"); a.StatusCode != 302 || problemOf(got) != "unreachable" || !strings.Contains(got, "next=%2Fdocs") {
		t.Errorf("got %d, %s", a.StatusCode, got)
	}
	s.login()
	plain := newSite(t)
	plain.get("/api/oidc/login").want(t, 404, "not_found")
	plain.get(oidcCallback).want(t, 404, "not_found")
	if got := plain.get("/api/me").Header.Get(oidcHeader); got != "" {
		t.Errorf("the login page is told %q", got)
	}
}

// The last administrator stays one, whoever says otherwise.
func TestTheProviderDoesNotTakeTheLastAdministrator(t *testing.T) {
	s := newSSO(t)
	s.p.Set(func(p *oidctest.Provider) { p.Claims["groups"] = []string{"boss"} })
	s.signIn("")
	s.do("DELETE", "/api/users/admin", "").want(t, 204, "")
	s.p.Set(func(p *oidctest.Provider) { p.Claims["groups"] = []string{"shift"} })
	if got := problemOf(newSSOClient(s).signIn("/app")); got != "failed" {
		t.Errorf("the login page says %q", got)
	}
	if s.user()["role"] != "admin" {
		t.Errorf("nobody is an administrator: %v", s.user())
	}
}

func TestOIDCIsConfigured(t *testing.T) {
	good := auth.OIDCConfig{Issuer: "https://login.example.com", ClientID: "x", DefaultRole: auth.Viewer}
	for want, change := range map[string]func(*auth.OIDCConfig){
		"":                            func(*auth.OIDCConfig) {},
		"ECHOTWIN_OIDC_ISSUER":        func(c *auth.OIDCConfig) { c.Issuer = "login.example.com" },
		"ECHOTWIN_OIDC_CLIENT_ID":     func(c *auth.OIDCConfig) { c.ClientID = "" },
		`"shift=boss"`:                func(c *auth.OIDCConfig) { c.Roles = []string{"shift=boss"} },
		`"=admin"`:                    func(c *auth.OIDCConfig) { c.Roles = []string{"=admin"} },
		`"king"`:                      func(c *auth.OIDCConfig) { c.DefaultRole = "king" },
		"everybody is refused":        func(c *auth.OIDCConfig) { c.DefaultRole = "" },
		"ECHOTWIN_OIDC_ISSUER: \"ftp": func(c *auth.OIDCConfig) { c.Issuer = "ftp://login.example.com" },
	} {
		c := good
		change(&c)
		if _, err := auth.NewOIDC(nil, c); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
