package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"echotwin/realtime/hub"
	"echotwin/server/auth"
)

var (
	errMissing = errors.New("missing")
	errPresent = errors.New("present")
	errChanged = errors.New("changed")
)

// memory is an auth.Store.
type memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	rev  map[string]uint64
	last uint64
	down error // answered to everything while set
}

func newMemory() *memory { return &memory{m: map[string][]byte{}, rev: map[string]uint64{}} }

func (s *memory) GetRevision(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.m[key]; ok || s.down != nil {
		return b, s.rev[key], s.down
	}
	return nil, 0, errMissing
}

// put is called under mu.
func (s *memory) put(key string, b []byte) (uint64, error) {
	if s.down == nil {
		s.last++
		s.m[key], s.rev[key] = b, s.last
	}
	return s.last, s.down
}

func (s *memory) Create(_ context.Context, key string, b []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[key]; ok {
		return 0, errPresent
	}
	return s.put(key, b)
}

func (s *memory) Update(_ context.Context, key string, b []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil && s.rev[key] != revision {
		return 0, errChanged
	}
	return s.put(key, b)
}

func (s *memory) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		delete(s.m, key)
		delete(s.rev, key)
	}
	return s.down
}

func (s *memory) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	s.mu.Lock()
	changed := s.down == nil && s.rev[key] != revision
	s.mu.Unlock()
	if changed {
		return errChanged
	}
	return s.Delete(ctx, key)
}

func (s *memory) All(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.m), s.down
}

// built stands for what Vite leaves in web/dist.
var built = fstest.MapFS{
	"login.html":                  {Data: []byte("<!doctype html><title>Sign in</title>")},
	"app.html":                    {Data: []byte("<!doctype html><title>Overview</title>")},
	"docs.html":                   {Data: []byte("<!doctype html><title>API</title>")},
	"public/.gitkeep":             {},
	"public/favicon.svg":          {Data: []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")},
	"public/echotwin.js":          {Data: []byte("export const connect = 1")},
	"public/echotwin.d.ts":        {Data: []byte("export declare const connect: number")},
	"public/assets/app-1f3a9c.js": {Data: []byte("console.log('" + strings.Repeat("speed ", 400) + "')")},
}

// A site is a server on a real socket and a client of it that keeps cookies and
// follows no redirect.
type site struct {
	*testing.T
	*Server
	url    string
	client *http.Client
	began  string // id of the newest hello of the directory
}

func newSite(t *testing.T, change ...func(*Deps)) *site {
	t.Helper()
	d := Deps{
		Config: Config{SessionSecret: "for-tests-only-0123456789-abcdefgh"},
		Web:    built,
		Log:    slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&d)
	}
	if d.Auth == nil {
		d.Auth = newAuth(t, auth.Config{Secret: d.SessionSecret, Production: d.Production, AdminPassword: productionPassword(d.Production)})
	}
	if d.Hub == nil {
		h := hub.New(hub.Config{Epoch: "test"})
		t.Cleanup(h.Close)
		d.Hub = h
	}
	s, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	hs := httptest.NewServer(s)
	t.Cleanup(hs.Close)
	return &site{T: t, Server: s, url: hs.URL, client: newClient()}
}

func productionPassword(production bool) string {
	if production {
		return "a-good-password"
	}
	return ""
}

func newAuth(t testing.TB, c auth.Config) *auth.Auth {
	t.Helper()
	c.Users, c.Sessions, c.Tokens, c.Devices, c.Seen = newMemory(), newMemory(), newMemory(), newMemory(), newMemory()
	c.NotFound, c.Exists, c.Changed, c.Log = errMissing, errPresent, errChanged, slog.New(slog.DiscardHandler)
	a, err := auth.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newClient() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// An answer is a response, read.
type answer struct {
	*http.Response
	body string
}

// json is the body as a JSON object.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%d %q is no JSON object: %v", a.StatusCode, a.body, err)
	}
	return m
}

// do sends a request; headers are "Name: value", and "Host: x" sets the host.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		if r.Header.Set(k, v); k == "Host" {
			r.Host = v
		}
	}
	res, err := s.client.Do(r)
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

func (s *site) get(path string, headers ...string) answer {
	s.Helper()
	return s.do("GET", path, "", headers...)
}

// login signs the site's client in as the first administrator.
func (s *site) login() {
	s.Helper()
	password := auth.DemoPassword
	if s.Production {
		password = productionPassword(true)
	}
	if a := s.do("POST", "/api/login", `{"username":"admin","password":"`+password+`"}`); a.StatusCode != 200 {
		s.Fatalf("login: %d %s", a.StatusCode, a.body)
	}
}

// want checks the status and, when it is given, the error's code.
func (a answer) want(t *testing.T, status int, code string) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: got %d %s, want %d", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.body, status)
	}
	if code == "" {
		return
	}
	if got := a.json(t)["code"]; got != code {
		t.Errorf("%s %s: got code %v in %s, want %s", a.Request.Method, a.Request.URL.Path, got, a.body, code)
	}
}
