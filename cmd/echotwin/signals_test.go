//go:build unix

package main

import (
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// Whoever is used to other servers sends SIGHUP after a change of settings, and
// so does logrotate. It used to end the process in the middle of everything.
func TestHangupWithoutTerminalEndsNothing(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("SIGHUP is ignored here, as under nohup")
	}
	a, cmd := startProcess(t, settings(t, nil), func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} })
	c := signIn(t, a)
	ws := c.watch("?path=lab/**")
	for range 3 {
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if code, body := c.do("POST", "/api/telemetry/lab/press", `{"force":1}`); code != 202 {
		t.Errorf("after SIGHUP: %d %s", code, body)
	}
	ws.until("the reading", func(f frame) bool { return f.value("lab/press", "force") != "" })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// A balancer went on sending viewers to a server that turned all of them away:
// it refused streams for the whole drain, and /readyz said that it was ready.
func TestADrainingServerIsNotReady(t *testing.T) {
	a, cmd := startProcess(t, settings(t, map[string]string{"DRAIN": "4s"}))
	c := signIn(t, a)
	for range 20 { // they go one by one within 3 s
		c.watch("?path=lab/**")
	}
	if code, body := c.do("GET", "/readyz", ""); code != 200 || !strings.Contains(body, `"streams":"ok"`) {
		t.Errorf("while it serves: %d %s", code, body)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "/readyz says so", func() bool {
		code, body := c.do("GET", "/readyz", "")
		return code == 503 && strings.Contains(body, `"streams":"not ready"`)
	})
	if code, body := c.do("GET", "/livez", ""); code != 200 {
		t.Errorf("while it drains it is alive: %d %s", code, body)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
