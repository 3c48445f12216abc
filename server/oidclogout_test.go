package server

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"echotwin/server/auth"
	"echotwin/server/auth/oidctest"
)

// loggedOut posts a logout token as the provider does.
func (s *sso) loggedOut(token string, headers ...string) answer {
	s.Helper()
	return s.do("POST", "/api/oidc/backchannel-logout", url.Values{"logout_token": {token}}.Encode(), append(headers, "Content-Type: application/x-www-form-urlencoded")...)
}

func backchannel(c *auth.OIDCConfig) { c.Backchannel = true }

// browser is another one of the same person, signed in at the provider's session.
func (s *sso) browser(sid any) *sso {
	s.Helper()
	s.p.Set(func(p *oidctest.Provider) { p.Claims["sid"] = sid })
	one := &sso{newSiteFor(s.site), s.p}
	if got := one.signIn("/app"); got != "/app" {
		s.Fatalf("the browser is at %s", got)
	}
	return one
}

func TestTheProviderSignsPeopleOut(t *testing.T) {
	s := newSSO(t, backchannel)
	phone, desk, old := s.browser("sid-phone"), s.browser("sid-desk"), s.browser(nil)
	local := newSiteFor(s.site)
	local.login()
	in := func(want string) {
		t.Helper()
		got := ""
		for name, one := range map[string]*site{"phone": phone.site, "desk": desk.site, "old": old.site, "local": local} {
			if one.get("/api/me").json(t)["loggedIn"] == true {
				got += name + " "
			}
		}
		for _, name := range []string{"phone", "desk", "old", "local"} {
			if strings.Contains(got, name) != strings.Contains(want, name) {
				t.Fatalf("signed in are %q, want %q", got, want)
			}
		}
	}
	in("phone desk old local")
	c, _, err := phone.socket("")
	if err != nil {
		t.Fatal(err)
	}
	s.loggedOut(s.p.LogoutToken(map[string]any{"sub": nil, "sid": "sid-phone"})).want(t, 200, "")
	in("desk old local")
	if code := closed(t, c); code != 4001 {
		t.Errorf("the open connection ends with %d", code)
	}
	// Of somebody else's session nothing ends, whoever has the sid.
	s.loggedOut(s.p.LogoutToken(map[string]any{"sub": "subject-2", "sid": "sid-desk"})).want(t, 200, "")
	in("desk old local")
	// What the provider never named is ended with the person, and so is everything
	// when no session is named.
	s.loggedOut(s.p.LogoutToken(map[string]any{"sid": "sid-other"})).want(t, 200, "")
	in("desk local")
	s.loggedOut(s.p.LogoutToken(map[string]any{"exp": nil})).want(t, 200, "")
	in("local")
	again := s.browser("sid-new")
	if again.user()["username"] != "lan" {
		t.Error("they cannot come back")
	}
}

func TestLogoutTokensThatAreNotInOrder(t *testing.T) {
	s := newSSO(t, backchannel)
	one := s.browser("sid-1")
	good := s.p.LogoutToken(map[string]any{"sub": nil, "sid": "sid-none"})
	s.loggedOut(good).want(t, 200, "")
	now, from := time.Now(), 0
	event := "http://schemas.openid.net/event/backchannel-logout"
	for name, token := range map[string]string{
		"once more":         good,
		"nothing":           "",
		"no token":          "a.b.c",
		"another issuer":    s.p.LogoutToken(map[string]any{"iss": "https://evil.example"}),
		"another audience":  s.p.LogoutToken(map[string]any{"aud": "another"}),
		"no audience":       s.p.LogoutToken(map[string]any{"aud": nil}),
		"a nonce":           s.p.LogoutToken(map[string]any{"nonce": "x"}),
		"an empty nonce":    s.p.LogoutToken(map[string]any{"nonce": ""}),
		"no events":         s.p.LogoutToken(map[string]any{"events": nil}),
		"another event":     s.p.LogoutToken(map[string]any{"events": map[string]any{"x": map[string]any{}}}),
		"an event of null":  s.p.LogoutToken(map[string]any{"events": map[string]any{event: nil}}),
		"events in a list":  s.p.LogoutToken(map[string]any{"events": []string{event}}),
		"no iat":            s.p.LogoutToken(map[string]any{"iat": nil}),
		"an old iat":        s.p.LogoutToken(map[string]any{"iat": now.Add(-time.Hour).Unix()}),
		"a future iat":      s.p.LogoutToken(map[string]any{"iat": now.Add(time.Hour).Unix()}),
		"expired":           s.p.LogoutToken(map[string]any{"exp": now.Add(-5 * time.Minute).Unix()}),
		"no jti":            s.p.LogoutToken(map[string]any{"jti": nil}),
		"a long jti":        s.p.LogoutToken(map[string]any{"jti": strings.Repeat("x", 300)}),
		"nobody":            s.p.LogoutToken(map[string]any{"sub": nil}),
		"a long sid":        s.p.LogoutToken(map[string]any{"sid": strings.Repeat("x", 300)}),
		"another signature": good[:len(good)-6] + "AAAAAA",
	} {
		// Each from an address of its own, so that they are not counted together.
		from++
		if a := s.loggedOut(token, fmt.Sprint("X-Forwarded-For: 192.0.2.", from)); a.StatusCode != 400 || a.json(t)["code"] != "malformed" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %s", name, a.StatusCode, a.body)
		}
	}
	s.p.Set(func(p *oidctest.Provider) { p.Unsigned = true })
	s.loggedOut(s.p.LogoutToken(nil)).want(t, 400, "malformed")
	s.p.Set(func(p *oidctest.Provider) { p.Unsigned, p.OtherKey = false, true })
	s.loggedOut(s.p.LogoutToken(nil)).want(t, 400, "malformed")
	s.p.Set(func(p *oidctest.Provider) { p.OtherKey = false })
	if one.user() == nil {
		t.Error("one of them ended the session")
	}
	s.loggedOut(s.p.LogoutToken(nil)).want(t, 200, "")
	if one.user() != nil {
		t.Error("the good one did not")
	}
}

// While the provider's keys cannot be fetched nothing is wrong with its token: it
// was told 400, which a provider does not send again, and people stayed signed in.
func TestALogoutWithoutKeysIsSentAgain(t *testing.T) {
	s := newSSO(t, backchannel)
	one := s.browser("sid-1")
	s.p.Rotate()
	s.p.Set(func(p *oidctest.Provider) { p.Keyless = true })
	token := s.p.LogoutToken(nil)
	s.loggedOut(token).want(t, 503, "unavailable")
	if got := newSSOClient(s).signIn("/app"); !strings.Contains(got, "unreachable") {
		t.Errorf("who signs in meanwhile is at %s", got)
	}
	s.p.Set(func(p *oidctest.Provider) { p.Keyless = false })
	s.loggedOut(token).want(t, 200, "")
	if one.user() != nil {
		t.Error("the session did not end")
	}
}

// Who sends bad tokens again and again waits, and has the provider's keys fetched
// a bounded number of times.
func TestBadLogoutTokensAreSlowedDown(t *testing.T) {
	s := newSSO(t, backchannel)
	s.p.Set(func(p *oidctest.Provider) { p.OtherKey = true })
	last := 0
	for range 25 {
		last = s.loggedOut(s.p.LogoutToken(nil)).StatusCode
	}
	if last != 429 {
		t.Errorf("the 25th is answered by %d", last)
	}
	if n := s.p.Asked(); n > 25 {
		t.Errorf("the keys were asked for %d times", n)
	}
}

func TestNoLogoutUnlessItIsSwitchedOn(t *testing.T) {
	s := newSSO(t)
	one := s.browser("sid-1")
	s.loggedOut(s.p.LogoutToken(nil)).want(t, 404, "not_found")
	if one.user() == nil {
		t.Error("the session ended")
	}
}

// An account that is closed at the provider ends here with the session's time.
func TestSessionsOfAProviderMayBeShorter(t *testing.T) {
	s := newSSO(t, func(c *auth.OIDCConfig) { c.Session = time.Hour })
	s.signIn("/app")
	var all []struct{ Started, Expires time.Time }
	list := s.get("/api/sessions")
	if err := json.Unmarshal([]byte(list.body), &all); err != nil || len(all) != 1 {
		t.Fatalf("got %s", list.body)
	}
	got := all[0]
	if life := got.Expires.Sub(got.Started); life < time.Hour-time.Second || life > time.Hour+time.Second {
		t.Errorf("the session lasts %s: %s", life, list.body)
	}
}
