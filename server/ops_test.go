package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
)

func decodeBase64(s string) ([]byte, error) { return base64.URLEncoding.DecodeString(s) }

func TestReadyNamesEachPart(t *testing.T) {
	var broken error
	s := newSite(t, func(d *Deps) {
		d.Ready = map[string]func() error{"bus": func() error { return broken }, "door": func() error { return nil }}
	})
	a := s.get("/readyz")
	a.want(t, 200, "")
	broken = errors.New("disk /dev/sda1 is full")
	a = s.get("/readyz")
	if a.StatusCode != 503 || !strings.Contains(a.body, `"bus":"not ready"`) || !strings.Contains(a.body, `"door":"ok"`) || a.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	if strings.Contains(a.body, "sda1") {
		t.Error("the public page tells about the machine")
	}
	s.get("/livez").want(t, 200, "")
}

func TestP10Metrics(t *testing.T) {
	s := newSite(t)
	s.login()
	s.get("/api/me").want(t, 200, "")
	for i := range 20 {
		s.get(fmt.Sprintf("/nope-%d", i), fmt.Sprintf("Host: host-%d", i))
		s.do(fmt.Sprintf("METHOD%d", i), "/api/me", "")
		s.get(fmt.Sprintf("/api/things/plant/t%d/state", i))
	}
	a := s.get("/metrics")
	a.want(t, 200, "")
	for _, want := range []string{
		`echotwin_http_requests_total{code="200",host="",method="GET",url="/api/me"} 1`,
		`echotwin_http_requests_total{code="404",host="",method="GET",url=""} 20`,
		`echotwin_http_requests_total{code="405",host="",method="other",url="/api/me"} 20`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, bad := range []string{"nope-", "host-", "METHOD", "plant/t1"} {
		if strings.Contains(a.body, bad) {
			t.Errorf("%q, which a client chose, is in a label", bad)
		}
	}
}

func TestP10MetricsInProduction(t *testing.T) {
	s := newSite(t, func(d *Deps) { d.Production = true })
	s.get("/metrics").want(t, 200, "") // from this machine
	s.get("/metrics", "X-Forwarded-For: 203.0.113.5").want(t, 401, "unauthorized")
	s.get("/metrics", "X-Forwarded-Proto: https").want(t, 401, "unauthorized")
	s.get("/metrics", "Host: plant.example", "X-Forwarded-Proto: https").want(t, 401, "unauthorized")
	s.get("/debug/pprof/").want(t, 401, "unauthorized")
	s.login()
	token := s.token(`{"name":"prometheus","scopes":["admin"]}`)
	s.client = newClient()
	s.get("/metrics", "X-Forwarded-For: 203.0.113.5", "Authorization: Bearer "+token).want(t, 200, "")
	if a := s.get("/debug/pprof/", "Authorization: Bearer "+token); a.StatusCode != 200 || !strings.Contains(a.body, "goroutine") {
		t.Errorf("pprof: %d", a.StatusCode)
	}
	if a := s.get("/debug/pprof/heap", "Authorization: Bearer "+token); a.StatusCode != 200 || len(a.body) == 0 {
		t.Errorf("pprof/heap: %d", a.StatusCode)
	}
	for _, path := range []string{"x", "heap/x", "../x"} {
		a := s.get("/debug/pprof/"+path, "Authorization: Bearer "+token)
		if a.want(t, 404, "not_found"); !strings.Contains(a.body, `"error":"there is nothing at `) {
			t.Errorf("pprof/%s: got %s", path, a.body)
		}
	}
	s.do("POST", "/debug/pprof/heap", "", "Authorization: Bearer "+token).want(t, 405, "method_not_allowed")
}

// token issues a token for the user who is signed in.
func (s *site) token(body string) string {
	s.Helper()
	a := s.do("POST", "/api/tokens", body)
	a.want(s.T, 201, "")
	return a.json(s.T)["token"].(string)
}

func TestTheLogHoldsNoSecrets(t *testing.T) {
	var log strings.Builder
	s := newSite(t, func(d *Deps) {
		d.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.login()
	token := s.token(`{"name":"x","scopes":["read"]}`)
	a := s.do("POST", "/api/tickets", `{}`)
	a.want(t, 201, "")
	ticket := a.json(t)["ticket"].(string)
	s.get("/api/things?ticket=" + ticket)
	s.get("/api/me", "Authorization: Bearer "+token)
	s.do("POST", "/api/login", `{"username":"admin","password":"my-private-password"}`)
	for _, secret := range []string{token, ticket, "123456", "my-private-password", s.cookie()} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %.20s…", secret)
		}
	}
	if !strings.Contains(log.String(), "path=/api/login") {
		t.Errorf("the log does not tell of the login: %s", log.String())
	}
}

// A lockedLog is read while it is written.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A page that was left while it read a list was an error in the log, and a 503 in
// the metrics that alerts look at.
func TestAClientThatLeavesIsNoError(t *testing.T) {
	log := &lockedLog{}
	s := newSite(t, func(d *Deps) {
		d.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	waits := make(chan struct{}, 1)
	s.echo.GET("/waits", func(c echo.Context) error {
		waits <- struct{}{}
		<-c.Request().Context().Done()
		return c.Request().Context().Err()
	})
	s.echo.GET("/writes", func(c echo.Context) error {
		waits <- struct{}{}
		for {
			if _, err := c.Response().Write(make([]byte, 1<<16)); err != nil {
				return err
			}
		}
	})
	for _, path := range []string{"/waits", "/writes"} {
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-waits
			leave()
		}()
		if res, err := s.client.Do(r); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		for begin := time.Now(); !strings.Contains(log.String(), "path="+path) && time.Since(begin) < 10*time.Second; {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if text := log.String(); strings.Contains(text, "ERROR") || strings.Count(text, "status=499") != 2 {
		t.Errorf("the log says\n%s", text)
	}
}

func TestP3FifteenAMinute(t *testing.T) {
	s := newSite(t)
	s.echo.POST("/limited", func(c echo.Context) error { return c.NoContent(204) }, s.perMinute(15))
	s.login()
	for i := range 15 {
		if a := s.do("POST", "/limited", ""); a.StatusCode != 204 {
			t.Fatalf("request %d: %d", i+1, a.StatusCode)
		}
	}
	a := s.do("POST", "/limited", "")
	if a.StatusCode != 429 || strings.TrimSpace(a.body) != `{"error":"Too Many Requests"}` || a.Header.Get("Retry-After") == "" {
		t.Errorf("the 16th: %d %s, Retry-After %q", a.StatusCode, a.body, a.Header.Get("Retry-After"))
	}
	s.client = newClient()
	if a := s.do("POST", "/limited", ""); a.StatusCode != 204 {
		t.Errorf("somebody else: %d", a.StatusCode)
	}
}

func TestP3TheMinuteSlides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRateLimit(15, time.Minute)
		for range 15 {
			if wait := l.take("ana"); wait != 0 {
				t.Fatal(wait)
			}
			time.Sleep(2 * time.Second)
		}
		if wait := l.take("ana"); wait != 30*time.Second {
			t.Errorf("the first slot is free in %v", wait)
		}
		time.Sleep(30 * time.Second)
		if wait := l.take("ana"); wait != 0 {
			t.Errorf("when it is free: %v", wait)
		}
		if wait := l.take("ana"); wait != 2*time.Second {
			t.Errorf("the next is free in %v", wait)
		}
		for i := range rateLimitKeys + 100 {
			l.take(fmt.Sprint(i))
		}
		if len(l.m) > rateLimitKeys {
			t.Errorf("%d keys", len(l.m))
		}
	})
}
