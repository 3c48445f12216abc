package server

import (
	"net/http"
	"strings"
	"testing"
)

// A page of another site writes with a token of its own when the operator allows
// its origin, and never with the cookie of whoever looks at it. The requests are
// what a browser sends (Fetch, §3.2 and §4.8).
func TestPagesOfOtherOrigins(t *testing.T) {
	s := newLine(t, func(d *Deps) { d.Origins = []string{"https://panel.example.com"} })
	s.login()
	token := s.token(`{"name":"panel","scopes":["read","command"]}`)
	cookie := s.cookie()
	s.client = newClient()
	const panel, stranger = "Origin: https://panel.example.com", "Origin: https://evil.example.org"
	const cross = "Sec-Fetch-Site: cross-site"
	path := "/api/telemetry/plant/pump"

	// The preflight, which a browser sends because of Authorization and JSON.
	ask := []string{cross, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"}
	a := s.do("OPTIONS", path, "", append(ask, panel)...)
	a.want(t, 204, "")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://panel.example.com", "Access-Control-Allow-Methods": "POST",
		"Access-Control-Allow-Headers": "Authorization", "Vary": "Origin", "Access-Control-Max-Age": "600",
	} {
		if got := a.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("preflight: %s is %q, want %s in it", name, got, want)
		}
	}
	a = s.do("OPTIONS", path, "", append(ask, stranger)...)
	if a.want(t, 403, "forbidden"); a.Header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(a.body, "https://evil.example.org") || !strings.Contains(a.body, "ECHOTWIN_ORIGINS") {
		t.Errorf("preflight of a stranger: %v %s", a.Header, a.body)
	}

	for _, tt := range []struct {
		name, method, body string
		headers            []string
		status             int
		readable           bool // by the page
	}{
		{"a token writes", "POST", `{"speed":50}`, []string{panel, "Authorization: Bearer " + token}, 202, true},
		{"a token reads", "GET", "", []string{panel, "Authorization: Bearer " + token}, 405, true},
		{"a wrong token is told so", "POST", `{"speed":50}`, []string{panel, "Authorization: Bearer et_wrong"}, 401, true},
		{"no token is told so", "POST", `{"speed":50}`, []string{panel}, 401, true},
		// What needs no preflight: a form or a fetch of text, with the cookie that the browser has.
		{"a stranger's form with the cookie", "POST", `{"speed":50}`, []string{stranger, "Cookie: " + cookie, "Content-Type: text/plain"}, 403, false},
		{"a stranger without anything", "POST", `{"speed":50}`, []string{stranger, "Content-Type: text/plain"}, 403, false},
		{"a page of no origin with the cookie", "POST", `{"speed":50}`, []string{"Origin: null", "Cookie: " + cookie, "Content-Type: text/plain"}, 403, false},
	} {
		a := s.do(tt.method, path, tt.body, append(tt.headers, cross)...)
		if a.StatusCode != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.name, a.StatusCode, a.body, tt.status)
		}
		if got := a.Header.Get("Access-Control-Allow-Origin") != ""; got != tt.readable {
			t.Errorf("%s: may be read by the page: %v, want %v", tt.name, got, tt.readable)
		}
		// With it a page could act as whoever looks at it.
		if got := a.Header.Values("Access-Control-Allow-Credentials"); len(got) > 0 {
			t.Errorf("%s: credentials are allowed: %v", tt.name, got)
		}
	}
}

// Without ECHOTWIN_ORIGINS no answer is for pages of others, and an OPTIONS that
// is no preflight is what it was.
func TestNoOriginIsAllowedByItself(t *testing.T) {
	s := newSite(t)
	for _, origin := range []string{"https://panel.example.com", "null", "http://localhost:5173", "*"} {
		a := s.do("OPTIONS", "/api/tokens", "", "Origin: "+origin, "Access-Control-Request-Method: POST")
		if a.StatusCode != http.StatusForbidden || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", origin, a.StatusCode, a.Header)
		}
		if got := s.get("/api/me", "Origin: "+origin).Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s may read: %s", origin, got)
		}
	}
	if a := s.do("OPTIONS", "/api/tokens", ""); a.StatusCode >= 500 || a.Header.Get("Allow") == "" {
		t.Errorf("a plain OPTIONS: %d %v", a.StatusCode, a.Header)
	}
}
