package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server that is told to stop while it starts ends in order, wherever it is,
// and what it had acknowledged before is there once when one serves again: the
// facts in their stream, the values, and both in history.
func TestASignalDuringTheStart(t *testing.T) {
	env := settings(t, nil)
	a, p := startProcess(t, env)
	hello := signIn(t, a).watch("").until("hello", func(f frame) bool { return f.Type == "hello" })
	dev := device(t, a, "press")
	const events = 30
	measured := time.Now().Add(-time.Minute)
	for n := range events {
		say(t, dev, fmt.Sprintf("event/bench/press/n%d", n), `{}`)
		say(t, dev, "telemetry/bench/press", fmt.Sprintf(`{"ts":%d,"force":%d}`, measured.Add(time.Duration(n)*time.Second).UnixMilli(), n))
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // it was killed

	begin := time.Now()
	_, p = startProcess(t, env)
	took := time.Since(begin)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	for i := range 10 {
		stopDuringStart(t, env, took*time.Duration(i)/8)
	}

	a, _ = startProcess(t, env)
	c := signIn(t, a)
	eventually(t, "history is open", func() bool {
		code, body := c.do("GET", "/readyz", "")
		return code == http.StatusOK && strings.Contains(body, `"history":"ok"`) && strings.Contains(body, `"facts":"ok"`)
	})
	if got := c.value("bench/press", "force"); got != fmt.Sprint(events-1) {
		t.Errorf("the force is %s", got)
	}
	eventually(t, "the facts are stored", func() bool {
		_, m := c.do("GET", "/metrics", "")
		return strings.Contains(m, fmt.Sprintf("echotwin_facts_messages %d\n", events))
	})
	_, came := c.watch("").resume(hello.Epoch, hello.Seq, "bench/press")
	var names []string
	for _, f := range came {
		if f.Type == "event" {
			names = append(names, f.Name)
		}
	}
	for n := range events {
		if len(names) != events || names[n] != fmt.Sprintf("n%d", n) {
			t.Fatalf("the events are %v", names)
		}
	}
	eventually(t, "history has the values", func() bool {
		_, body := c.do("GET", "/prometheus/api/v1/query?query="+"count_over_time(echotwin_value%7Bproperty%3D%22force%22%7D%5B1h%5D)", "")
		return strings.Contains(body, fmt.Sprintf(`"%d"]`, events))
	})
}

// stopDuringStart starts a server and tells it to stop a moment later.
func stopDuringStart(t *testing.T, env map[string]string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "ECHOTWIN_TEST_SERVE=1")
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		// Before main has asked for the signal, it ends the process by itself.
		var exit *exec.ExitError
		early := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled()
		if err != nil && !early {
			t.Errorf("stopped %v after it was started, it ended with %v", after, err)
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		t.Fatalf("stopped %v after it was started, it did not end within a minute", after)
	}
}
