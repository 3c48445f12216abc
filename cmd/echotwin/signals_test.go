//go:build unix

package main

import (
	"os/exec"
	"os/signal"
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
