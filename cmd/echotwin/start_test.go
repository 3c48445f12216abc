package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests start what ships: run itself, or the whole process where it is
// to be killed, on free ports and in a temporary folder.

// settings are the environment of a quiet server: no demo line, every port free.
func settings(t testing.TB, more map[string]string) map[string]string {
	t.Helper()
	m := map[string]string{
		"HOST": "127.0.0.1", "PORT": "0", "ECHOTWIN_MQTT_ADDR": "127.0.0.1:0", "ECHOTWIN_DEMO": "false",
		"ECHOTWIN_DATA": filepath.Join(t.TempDir(), "data"), "ECHOTWIN_LOG_LEVEL": "error", "DRAIN": "100ms",
	}
	maps.Copy(m, more)
	return m
}

// start runs a server until the test ends and waits until it serves. The
// returned stop ends it earlier, in order.
func start(t testing.TB, env map[string]string) (addresses, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan addresses, 1), make(chan error, 1)
	go func() {
		ended <- run(ctx, nil, func(k string) string { return env[k] }, func(a addresses) { ready <- a })
	}()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server stopped with: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the server did not stop within 30 s")
		}
	}
	t.Cleanup(stop)
	select {
	case a := <-ready:
		return a, stop
	case err := <-ended:
		stopped = true
		t.Fatalf("the server did not start: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("the server did not start within 30 s")
	}
	return addresses{}, nil
}

// TestMain lets a test start this binary again as the server itself, to have a
// process that it can kill.
func TestMain(m *testing.M) {
	if os.Getenv("ECHOTWIN_TEST_SERVE") != "" {
		if err := run(untilStopped(), nil, os.Getenv, func(a addresses) { fmt.Printf("%s %s\n", a.HTTP, a.MQTT) }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// startProcess starts the server as a process of its own.
func startProcess(t testing.TB, env map[string]string, change ...func(*exec.Cmd)) (addresses, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	for _, c := range change {
		c(cmd)
	}
	cmd.Env = append(os.Environ(), "ECHOTWIN_TEST_SERVE=1")
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var a addresses
	for found := false; !found; {
		line, err := readLine(out)
		if err != nil {
			t.Fatalf("the process ended before it served: %v", err)
		}
		n, _ := fmt.Sscan(line, &a.HTTP, &a.MQTT)
		found = n == 2 && strings.Contains(a.HTTP, ":") && !strings.Contains(line, "level=")
	}
	go io.Copy(io.Discard, out)
	return a, cmd
}

func readLine(r io.Reader) (string, error) {
	var b strings.Builder
	for one := make([]byte, 1); ; {
		if _, err := r.Read(one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return b.String(), nil
		}
		b.WriteByte(one[0])
	}
}

// A client is a browser without a screen: it keeps cookies and does not follow
// redirects.
type client struct {
	t    testing.TB
	base string
	http *http.Client
}

func newClient(t testing.TB, a addresses) *client {
	jar, _ := cookiejar.New(nil)
	return &client{t, "http://" + a.HTTP, &http.Client{Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signIn is a client with the demo login's session.
func signIn(t testing.TB, a addresses) *client {
	t.Helper()
	c := newClient(t, a)
	if code, body := c.do("POST", "/api/login", `{"username":"admin","password":"123456"}`); code != 200 {
		t.Fatalf("login: %d %s", code, body)
	}
	return c
}

func (c *client) do(method, path, body string, header ...string) (int, string) {
	c.t.Helper()
	code, b, _ := c.full(method, path, body, header...)
	return code, b
}

func (c *client) full(method, path, body string, header ...string) (int, string, http.Header) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.base+path, bytes.NewBufferString(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, string(b), res.Header
}

// value reads one property, "" while there is none.
func (c *client) value(thing, property string) string {
	c.t.Helper()
	code, b := c.do("GET", "/api/things/"+thing+"/properties/"+property, "")
	if code != 200 {
		return ""
	}
	return strings.TrimSpace(b)
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("it never came about that %s", what)
}

func decode[T any](t testing.TB, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return v
}
