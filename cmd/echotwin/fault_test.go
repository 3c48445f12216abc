package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that gets full under a running server: nothing is acknowledged and
// everybody is told why, viewers go on to see what comes, marked, and all is well
// again when there is room. What was acknowledged before and after is in the log.
func TestAFullDiskFromTheDeviceToTheScreen(t *testing.T) {
	dir := t.TempDir()
	if runtime.GOOS != "linux" || exec.Command("mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", dir).Run() != nil {
		t.Log("a small disk cannot be mounted here; realtime/bus has the same without one")
		return
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	env := settings(t, map[string]string{"ECHOTWIN_DATA": filepath.Join(dir, "data"), "ECHOTWIN_DISK_RESERVE": "32MB"})
	a, stop := start(t, env)
	defer stop()
	c := signIn(t, a)
	v := c.watch("?path=bench/**&rate=20")
	send := func(n string) (int, string, http.Header) {
		return c.full("POST", "/api/telemetry/bench/press", `{"n":`+n+`}`)
	}
	if code, body, _ := send("1"); code != 202 {
		t.Fatal(code, body)
	}
	v.until("the first reading", func(f frame) bool { return f.value("bench/press", "n") == "1" })

	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, zero{}, int64(st.Bavail)*int64(st.Bsize)-(16<<20)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	v.until("the word that nothing is stored", func(f frame) bool { return f.Type == "status" })
	code, body, header := send("2")
	if code != 503 || header.Get("Retry-After") == "" || !strings.Contains(body, "the disk is full") {
		t.Errorf("%d %s, Retry-After %q", code, body, header.Get("Retry-After"))
	}
	v.until("what was not stored", func(f frame) bool { return f.value("bench/press", "n") == "2" })
	if _, state := c.do("GET", "/api/things/bench/press/state", ""); !strings.Contains(state, `"quality":"unlogged"`) {
		t.Errorf("it is not marked: %s", state)
	}
	if code, body := c.do("GET", "/readyz", ""); code != 503 || !strings.Contains(body, "the disk is full") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	dev := device(t, a, "press")
	if err := publish(dev, "telemetry/bench/press", `{"n":3}`); err == nil {
		t.Error("MQTT acknowledges what is not stored")
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is stored again", func() bool { code, _, _ := send("4"); return code == 202 })
	v.until("what is stored again", func(f frame) bool { return f.value("bench/press", "n") == "4" })
	eventually(t, "the mark is gone", func() bool {
		_, state := c.do("GET", "/api/things/bench/press/state", "")
		return strings.Contains(state, `"quality":"good"`)
	})
	if code, body := c.do("GET", "/readyz", ""); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
}

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }
