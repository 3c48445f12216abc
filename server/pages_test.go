package server

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
)

func TestS5StaticFiles(t *testing.T) {
	s := newSite(t)
	for path, typ := range map[string]string{
		"/login.html":                  "text/html",
		"/public/login.html":           "text/html",
		"/public/favicon.svg":          "image/svg+xml",
		"/public/assets/app-1f3a9c.js": "text/javascript",
		"/public/echotwin.js":          "text/javascript",
		"/public/echotwin.d.ts":        "text/plain",
	} {
		a := s.get(path)
		a.want(t, 200, "")
		if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, typ) {
			t.Errorf("%s is %q", path, got)
		}
		if head := s.do("HEAD", path, ""); head.StatusCode != 200 || head.body != "" {
			t.Errorf("HEAD %s: %d with %d bytes", path, head.StatusCode, len(head.body))
		}
		again := s.get(path, "If-None-Match: "+a.Header.Get("ETag"))
		if a.Header.Get("ETag") == "" || again.StatusCode != http.StatusNotModified {
			t.Errorf("%s with its ETag %q: %d", path, a.Header.Get("ETag"), again.StatusCode)
		}
	}
	for path, want := range map[string]string{
		"/public/assets/app-1f3a9c.js": "public, max-age=31536000, immutable",
		"/public/favicon.svg":          "no-cache",
		"/login.html":                  "no-cache",
	} {
		if got := s.get(path).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
}

// A page of another site may load the live client, and nothing else of ours.
func TestOtherSitesMayLoadTheClient(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]string{
		"/public/echotwin.js":          "*",
		"/public/echotwin.d.ts":        "*",
		"/public/assets/app-1f3a9c.js": "",
		"/public/favicon.svg":          "",
		"/login.html":                  "",
		"/api/me":                      "",
	} {
		a := s.get(path, "Origin: https://elsewhere.example")
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s allows %q, want %q", path, got, want)
		}
	}
	if got := s.get("/public/echotwin.js").Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("its address stays, so it must be asked for again, but got Cache-Control %q", got)
	}
}

func TestScriptsAreSentCompressed(t *testing.T) {
	s := newSite(t)
	const path = "/public/assets/app-1f3a9c.js"
	plain := s.get(path, "Accept-Encoding: identity")
	zipped := s.get(path, "Accept-Encoding: br, gzip")
	if zipped.Header.Get("Content-Encoding") != "gzip" || len(zipped.body) >= len(plain.body) {
		t.Fatalf("got %d bytes, %v", len(zipped.body), zipped.Header)
	}
	r, err := gzip.NewReader(strings.NewReader(zipped.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); string(b) != plain.body || err != nil {
		t.Errorf("unpacked it is something else: %v", err)
	}
	if plain.Header.Get("ETag") == zipped.Header.Get("ETag") {
		t.Error("two representations share an ETag")
	}
}

// Everything behind the login that somebody could try to reach as a file.
func TestF1NothingBehindTheLoginIsAFile(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{
		"/public/app/index.html", "/public/app.html", "/public/app", "/app.html", "/docs.html", "/index.html", "/dist/app.html",
		"/public/../app.html", "/public/..%2fapp.html", "/public/%2e%2e/app.html", "/public/%2e%2e%2fapp.html", "/public/..%5capp.html",
		"/public//app.html", "//app.html", "//public/../app.html", "/public/./app.html", "/public/assets/../../app.html",
		"/public", "/public/", "/public/assets", "/public/assets/", "/public/.gitkeep", "/.env", "/public/../.env",
		"/login.html/../app.html", "/public/app.html%00.js", "/public/assets/app-1f3a9c.js/", "/Public/favicon.svg",
	} {
		a := s.rawGet(path)
		if strings.Contains(a.body, "Overview") {
			t.Errorf("%s shows the dashboard", path)
		}
		if a.StatusCode != 404 {
			t.Errorf("%s: got %d %s", path, a.StatusCode, a.body)
		}
	}
}

// rawGet sends a path as it is: http.Client would clean it.
func (s *site) rawGet(path string) answer {
	s.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{res, string(b)}
}

func TestS9App(t *testing.T) {
	s := newSite(t)
	a := s.get("/app")
	a.want(t, 401, "unauthorized")
	for path, next := range map[string]string{
		"/app":                   "%2Fapp",
		"/app?thing=plant%2Fx":   "%2Fapp%3Fthing%3Dplant%252Fx",
		"/app/things/plant/line": "%2Fapp%2Fthings%2Fplant%2Fline",
	} {
		a = s.get(path, "Accept: text/html,application/xhtml+xml")
		if a.StatusCode != 302 || a.Header.Get("Location") != "/login.html?next="+next {
			t.Errorf("%s: got %d %q", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	s.login()
	for _, path := range []string{"/app", "/app?thing=x", "/app/things/x"} {
		if a = s.get(path); a.StatusCode != 200 || !strings.Contains(a.body, "Overview") {
			t.Errorf("%s signed in: %d %s", path, a.StatusCode, a.body)
		}
	}
	s.do("POST", "/api/logout", "").want(t, 200, "")
	s.get("/app").want(t, 401, "unauthorized")
	if a := s.get("/"); a.StatusCode != 302 || a.Header.Get("Location") != "/app" {
		t.Errorf("/: %d %q", a.StatusCode, a.Header.Get("Location"))
	}
}

func TestLoginGoesOnlyToOurOwnPages(t *testing.T) {
	for next, want := range map[string]string{
		"/app":                          "/app",
		"/app?thing=plant%2Fx#a":        "/app?thing=plant%2Fx#a",
		"/docs":                         "/docs",
		"":                              "/app",
		"app":                           "/app",
		"https://evil.example/":         "/app",
		"//evil.example/":               "/app",
		"///evil.example/":              "/app",
		"/\\evil.example/":              "/app",
		"\\\\evil.example/":             "/app",
		"/\t/evil.example/":             "/app",
		"/\n/evil.example/":             "/app",
		"\t//evil.example/":             "/app",
		" //evil.example/":              "/app",
		"javascript:alert(1)":           "/app",
		"/a\r\nSet-Cookie: x=y":         "/app",
		"/a\\..\\evil":                  "/app",
		"/a\x7f":                        "/app",
		"/" + strings.Repeat("a", 3000): "/app",
	} {
		if got := localPath(next); got != want {
			t.Errorf("%.40q leads to %q, want %q", next, got, want)
		}
	}
	a := newSite(t).do("POST", "/api/login", `{"username":"admin","password":"123456","next":"//evil.example"}`)
	if a.json(t)["next"] != "/app" {
		t.Errorf("got %s", a.body)
	}
}

func TestS12UnknownPath(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/nope", "/api/nope", "/api", "/api/loginn", "/health/", "/<script>alert(1)</script>", "/a%20b"} {
		a := s.get(path, "Accept: text/html")
		a.want(t, 404, "not_found")
		want, _, _ := strings.Cut(strings.ReplaceAll(path, "%20", " "), "?")
		if m := a.json(t); m["path"] != want || !strings.Contains(m["error"].(string), want) {
			t.Errorf("%s: got %s", path, a.body)
		}
		if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
			t.Errorf("%s: %s", path, got)
		}
	}
	if a := s.get("/" + strings.Repeat("x", 10000)); a.StatusCode != 404 || len(a.body) > 1000 {
		t.Errorf("a long path: %d with %d bytes", a.StatusCode, len(a.body))
	}
}

func TestS12WrongMethod(t *testing.T) {
	s := newSite(t)
	s.login()
	for _, tt := range []struct{ method, path, allow string }{
		{"GET", "/api/login", "POST"},
		{"DELETE", "/api/me", "GET"},
		{"POST", "/health", "GET"},
		{"PUT", "/app", "GET"},
		{"BREW", "/api/login", "POST"},
	} {
		a := s.do(tt.method, tt.path, "")
		a.want(t, 405, "method_not_allowed")
		if got := a.Header.Get("Allow"); !strings.Contains(got, tt.allow) {
			t.Errorf("%s %s: Allow %q", tt.method, tt.path, got)
		}
	}
}

func TestS14Docs(t *testing.T) {
	s := newSite(t)
	a := s.get("/docs")
	if a.StatusCode != 200 || !strings.Contains(a.body, "API") {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
}

func TestPagesHaveAStrictPolicy(t *testing.T) {
	s := newSite(t)
	s.login()
	for path, trusted := range map[string]bool{"/app": true, "/login.html": true, "/docs": false} {
		h := s.get(path).Header
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: %q lets too much in", path, policy)
		}
		if strings.Contains(policy, "require-trusted-types-for 'script'") != trusted {
			t.Errorf("%s: trusted types in %q", path, policy)
		}
		for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy"} {
			if h.Get(name) == "" {
				t.Errorf("%s lacks %s", path, name)
			}
		}
	}
	for _, path := range []string{"/api/me", "/nope", "/public/favicon.svg"} {
		if got := s.get(path).Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s may be sniffed: %q", path, got)
		}
	}
}

func TestWithoutPagesTheServerSaysHowToBuildThem(t *testing.T) {
	s := newSite(t, func(d *Deps) { d.Web = fstest.MapFS{".gitkeep": {}} })
	s.login()
	for _, path := range []string{"/login.html", "/app", "/docs"} {
		if a := s.get(path); a.StatusCode != 503 || !strings.Contains(a.body, "make build") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	s.get("/api/me").want(t, 200, "")
	s.get("/public/.gitkeep").want(t, 404, "not_found")
}
