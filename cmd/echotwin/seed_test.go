package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"echotwin/gpt/upstreamtest"
)

// The rows of the original that concern the program as a whole. The others are
// in the tests of server.

// S1: port 3000 or PORT, on all interfaces unless HOST says otherwise.
func TestS1ListensOnPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	a, _ := start(t, settings(t, map[string]string{"PORT": jsonNumber(uint64(port))}))
	if _, got, _ := net.SplitHostPort(a.HTTP); got != jsonNumber(uint64(port)) {
		t.Errorf("listens on %s, want port %d", a.HTTP, port)
	}
	c, err := readConfig(nil, env(nil))
	if err != nil || c.listenAddr() != ":3000" {
		t.Errorf("without PORT and HOST it would listen on %q, want :3000 on all interfaces", c.listenAddr())
	}
}

// A port that is taken is an error that names the setting, not a hang.
func TestTakenPortIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := settings(t, map[string]string{"PORT": jsonNumber(uint64(l.Addr().(*net.TCPAddr).Port))})
	err = run(context.Background(), nil, env(m), func(addresses) { t.Error("it says that it serves") })
	if err == nil || !strings.Contains(err.Error(), "PORT") {
		t.Errorf("got %v, want an error that names PORT", err)
	}
}

// S13, P7, F10: the demo login works in development, and production refuses to
// start with what everybody knows, and says how to mend it.
func TestS13DemoLoginOnlyInDevelopment(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	signIn(t, a)
	good := map[string]string{"NODE_ENV": "production", "SESSION_SECRET": "q7Zt0mW3xvB9LpR2sYcN8dKfHa5JgUeX1oTiVb4Q", "ECHOTWIN_ADMIN_PASSWORD": "a password of our own"}
	for _, tt := range []struct {
		name, value, want string
	}{
		{"ECHOTWIN_ADMIN_PASSWORD", "123456", "ECHOTWIN_ADMIN_PASSWORD"},
		{"SESSION_SECRET", "", "SESSION_SECRET"},
		{"SESSION_SECRET", "short", "SESSION_SECRET"},
	} {
		m := settings(t, good)
		m[tt.name] = tt.value
		err := run(context.Background(), nil, env(m), func(addresses) { t.Errorf("production starts with %s=%q", tt.name, tt.value) })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%q: got %v, want an error that names %s", tt.name, tt.value, err, tt.want)
		}
	}
	a, _ = start(t, settings(t, good))
	c := newClient(t, a)
	if code, _ := c.do("POST", "/api/login", `{"username":"admin","password":"123456"}`, "X-Forwarded-Proto", "https"); code != 401 {
		t.Errorf("the demo password in production: %d, want 401", code)
	}
	if code, body := c.do("POST", "/api/login", `{"username":"admin","password":"a password of our own"}`, "X-Forwarded-Proto", "https"); code != 200 {
		t.Errorf("the own password in production: %d %s", code, body)
	}
}

// S16, F2: one process uses all cores, and several processes on one bus are one
// system: a session made on one is valid on the other, and a reading that one
// took reaches the viewers of the other.
func TestS16TwoProcessesAreOneSystem(t *testing.T) {
	if n := runtime.GOMAXPROCS(0); n < runtime.NumCPU() {
		t.Errorf("GOMAXPROCS is %d of %d cores", n, runtime.NumCPU())
	}
	shared := outside(t)
	one, _ := start(t, settings(t, shared))
	two, _ := start(t, settings(t, shared))

	c1 := signIn(t, one)
	c2 := newClient(t, two)
	c2.http.Jar = c1.http.Jar // cookies go by host, so the port does not matter
	if code, body := c2.do("GET", "/api/me", ""); code != 200 || !strings.Contains(body, `"loggedIn":true`) {
		t.Fatalf("the session of one on two: %d %s", code, body)
	}
	viewer := c2.watch("?path=bench/**")
	viewer.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })
	say(t, device(t, one, "press"), "telemetry/bench/press-1", `{"force":7}`)
	viewer.until("the reading that one took", func(f frame) bool { return f.value("bench/press-1", "force") == "7" })
}

// S17: without a key everything but the assistant works.
func TestS17StartsWithoutKey(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	if code, body := c.do("GET", "/readyz", ""); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	code, body := c.do("POST", "/api/gpt", `{"question":"Hello GPT"}`)
	if code != 500 || !strings.Contains(body, "OPENAI_API_KEY") {
		t.Errorf("/api/gpt without a key: %d %s, want 500 that names OPENAI_API_KEY", code, body)
	}
}

// The tutorial's section 11, line by line, with the curl of this machine where
// there is one: the scripts that people wrote for the original go on working.
func TestTutorialCurlSession(t *testing.T) {
	up := upstreamtest.Start(upstreamtest.Say("Flask ", "chặn, ", "FastAPI ", "thì không."))
	t.Cleanup(up.Close)
	a, _ := start(t, settings(t, map[string]string{"OPENAI_BASE_URL": up.URL, "OPENAI_API_KEY": "sk-test"}))

	// What the lines do, without curl.
	c := newClient(t, a)
	if code, body := c.do("POST", "/api/login", `{"username":"admin","password":"123456"}`); code != 200 || !sameJSON(body, `{"ok":true,"username":"admin"}`) {
		t.Errorf("login: %d %s", code, body)
	}
	if code, body := c.do("GET", "/api/me", ""); code != 200 || !strings.Contains(body, `"loggedIn":true`) || !strings.Contains(body, `"username":"admin"`) {
		t.Errorf("me: %d %s", code, body)
	}
	if code, body := c.do("POST", "/api/gpt", `{"question":"Nêu điểm khác nhau giữa Flask và FastAPI"}`); code != 200 || !strings.Contains(body, `"answer":"Flask chặn, FastAPI thì không."`) {
		t.Errorf("gpt: %d %s", code, body)
	}

	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("no curl here: the lines were tried without it")
		return
	}
	lines := strings.ReplaceAll(`
curl -sS -c cookie.txt -X POST http://localhost:3000/api/login \
  -H 'Content-Type: application/json' \
  -d '{"username":"admin","password":"123456"}'; echo

curl -sS -b cookie.txt http://localhost:3000/api/me; echo

curl -sS -b cookie.txt -X POST http://localhost:3000/api/gpt \
  -H 'Content-Type: application/json' \
  -d '{"question":"Nêu điểm khác nhau giữa Flask và FastAPI"}'; echo
`, "localhost:3000", a.HTTP)
	cmd := exec.Command("sh", "-c", lines)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{`"ok":true`, `"loggedIn":true`, `"answer":"Flask chặn, FastAPI thì không."`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the session printed %s, want %s in it", out, want)
		}
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

// P6: what is logged also goes to a file, and no secret does.
func TestP6LogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "echotwin.log")
	a, stop := start(t, settings(t, map[string]string{"ECHOTWIN_LOG_FILE": file, "ECHOTWIN_LOG_LEVEL": "debug"}))
	c := newClient(t, a)
	c.do("POST", "/api/login", `{"username":"admin","password":"wrong-secret-1"}`)
	c.do("POST", "/api/login", `{"username":"admin","password":"123456"}`)
	c.do("GET", "/events?ticket=not-a-ticket-2", "")
	stop()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "/api/login") {
		t.Errorf("the file does not hold the request: %s", b)
	}
	for _, secret := range []string{"wrong-secret-1", "123456", "not-a-ticket-2"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("the file holds the secret %q", secret)
		}
	}
}
