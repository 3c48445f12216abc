package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"echotwin/realtime/hub"
	"echotwin/server/auth"
)

// oddNames look like a user's name, or do harm where names are used.
var oddNames = []string{
	"", " ", " admin", "admin ", "admin\x00", "ad\x00min", "admin\n", "аdmin" /* Cyrillic а */, "ａｄｍｉｎ" /* wide */, "admın", "admi\u0301n", "\u202enimda", "ad\u200bmin", "ad\u00admin",
	"../admin", "admin/..", "admin%00", "*", "admin*", "admin.>", "$SYS", "admin\"", "<b>admin</b>", "admin;drop", strings.Repeat("a", 65), strings.Repeat("é", 5000),
}

func TestOddNamesAreNobody(t *testing.T) {
	s := newSite(t)
	s.login()
	for i, name := range oddNames {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		s.do("POST", "/api/users", fmt.Sprintf(`{"username":%s,"password":"correct horse","role":"admin"}`, quoted)).want(t, 422, "invalid")
		s.do("POST", "/api/devices", fmt.Sprintf(`{"username":%s,"things":["plant/**"]}`, quoted)).want(t, 422, "invalid")
		from := fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", i)
		newSiteFor(s).do("POST", "/api/login", fmt.Sprintf(`{"username":%s,"password":"123456"}`, quoted), from).want(t, 401, "unauthorized")
	}
	// Names are told apart by case, too: there is one way to write each.
	newSiteFor(s).do("POST", "/api/login", `{"username":"Admin","password":"123456"}`).want(t, 401, "unauthorized")
	for body, status := range map[string]int{
		"{\"username\":\"admin\xff\",\"password\":\"123456\"}":                     401,
		`{"username":"admin","password":"123456\u0000"}`:                           401,
		`{"username":"admin","password":"` + strings.Repeat("x", 10_000) + `"}`:    401,
		`{"username":"admin","password":"` + strings.Repeat("x", 1_000_000) + `"}`: 413,
		`{"username":["admin"],"password":"123456"}`:                               400,
		`{"username":"admin","password":123456}`:                                   400,
		`{"username":"admin","username":"nobody","password":"123456"}`:             401,
		"\x00\x01\x02": 400,
		strings.Repeat(`{"username":`, 1000) + `"admin"` + strings.Repeat("}", 1000): 400,
	} {
		s.do("POST", "/api/login", body, "X-Forwarded-For: 198.51.100."+fmt.Sprint(len(body)%250)).want(t, status, "")
	}
	us, err := s.Auth.Users(t.Context())
	if err != nil || len(us) != 1 {
		t.Errorf("the users are %+v, %v", us, err)
	}
}

func TestOddCredentialsAreNobody(t *testing.T) {
	s := newLine(t)
	s.login()
	good := s.token(`{"name":"x","scopes":["read"]}`)
	device := s.do("POST", "/api/devices", `{"username":"pump","things":["plant/**"]}`).json(t)["password"].(string)
	s.client = newClient()
	for _, secret := range []string{
		"", "et_", "ed_", good + "\x01", good[:len(good)-1], good + "=", good + good, strings.ToUpper(good), "et_" + strings.Repeat("A", 60_000), "е" + good[1:] /* Cyrillic е */, "%65t_" + good[3:],
		good + "," + good, "null", "undefined", "Bearer " + good,
	} {
		r := httptest.NewRequest("GET", "http://localhost/api/things", nil)
		r.Header["Authorization"] = []string{"Bearer " + secret}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("%.40q gives %d %s", secret, w.Code, w.Body)
		}
	}
	// Of two headers it is the first that counts, and a wrong one is not taken for none.
	for _, tt := range []struct {
		headers []string
		want    int
	}{{[]string{"Bearer x", "Bearer " + good}, 401}, {[]string{"Bearer " + good, "Bearer x"}, 200}, {[]string{"bearer " + good}, 200}, {[]string{"Bearer  " + good}, 200}, {[]string{"Basic " + good}, 401}, {[]string{"Bearer" + good}, 401}, {[]string{"Bearer " + device}, 401}} {
		r := httptest.NewRequest("GET", "http://localhost/api/things", nil)
		r.Header["Authorization"] = tt.headers
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%.60q gives %d %s", tt.headers, w.Code, w.Body)
		}
	}
}

// Whatever stands in the headers that say who somebody is and where they come
// from, nobody is let in and nothing breaks.
func FuzzHeaders(f *testing.F) {
	h := hub.New(hub.Config{Epoch: "test"})
	f.Cleanup(h.Close)
	s, err := New(Deps{
		Config: Config{SessionSecret: "for-tests-only-0123456789-abcdefgh", Production: true, NoHTTPSRedirect: true}, Hub: h, Log: slog.New(slog.DiscardHandler),
		Auth: newAuth(f, auth.Config{Secret: "for-tests-only-0123456789-abcdefgh", Production: true, AdminPassword: "a-good-password"}),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	f.Add("Bearer et_x", "session=x", "1.2.3.4, ::1", "https://evil.example", "host:80", "Firefox", "x")
	f.Add("Basic OjpA", "session=; session=y; echotwin-sign-in=z", "[fe80::1%eth0]", "null", "[::1", "\x00", "e30.x")
	f.Add("bearer\t", "echotwin-sign-in=MTc2", "unknown, \xff", "http://localhost", "localhost:x", strings.Repeat("a", 500), "%zz")
	f.Fuzz(func(t *testing.T, authorization, cookie, forwarded, origin, host, agent, ticket string) {
		for _, path := range []string{"/api/things", "/api/sessions", "/api/telemetry/plant/pump", "/ws", "/api/oidc/callback", "/api/me", "/metrics"} {
			method := "GET"
			if strings.HasPrefix(path, "/api/telemetry") {
				method = "POST"
			}
			r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost"+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.RemoteAddr, r.Host = "127.0.0.1:9", host
			r.URL.RawQuery = "ticket=" + ticket + "&state=" + ticket
			r.Header = http.Header{"Authorization": {authorization}, "Cookie": {cookie}, "X-Forwarded-For": {forwarded}, "X-Forwarded-Host": {host}, "Origin": {origin}, "User-Agent": {agent}}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			open := path == "/api/me"
			if w.Code >= 500 || !open && (w.Code < 400 || w.Code == 413) || open && strings.Contains(w.Body.String(), `"loggedIn":true`) {
				t.Errorf("%s: got %d %s", path, w.Code, w.Body)
			}
		}
	})
}
