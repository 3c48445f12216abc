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

// mounted is a small disk of its own, "" where none can be mounted.
func mounted(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if runtime.GOOS != "linux" || exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).Run() != nil {
		return ""
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// stuff fills a disk until so many bytes are free, and returns what fills it.
func stuff(t *testing.T, dir string, left int64) string {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, zero{}, int64(st.Bavail)*int64(st.Bsize)-left); err != nil && left > 0 {
		t.Fatal(err)
	}
	return name
}

// A folder that cannot be written to ends the start with a word about it.
func TestAFolderThatCannotBeWrittenToAtTheStart(t *testing.T) {
	dir := mounted(t, "16m")
	if dir == "" {
		t.Log("no disk can be mounted here")
		return
	}
	env := settings(t, map[string]string{"ECHOTWIN_DATA": filepath.Join(dir, "data")})
	if err := os.Mkdir(env["ECHOTWIN_DATA"], 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err := run(t.Context(), nil, func(k string) string { return env[k] }, func(addresses) { t.Error("it serves") })
	if err == nil || !strings.Contains(err.Error(), env["ECHOTWIN_DATA"]+" (ECHOTWIN_DATA) cannot be written to") || !strings.Contains(err.Error(), "mount it for writing") {
		t.Errorf("the start says %v", err)
	}
}

// A disk that is full, to what has to stay free or to the last byte, at the start
// after a kill: what is kept is shown, nothing is acknowledged, and all is well
// when there is room.
func TestADiskThatIsFullAtTheStart(t *testing.T) {
	for name, left := range map[string]int64{"nearly": 8 << 20, "to the last byte": 0} {
		t.Run(name, func(t *testing.T) {
			dir := mounted(t, "160m")
			if dir == "" {
				t.Log("no disk can be mounted here")
				return
			}
			env := settings(t, map[string]string{"ECHOTWIN_DATA": filepath.Join(dir, "data"), "ECHOTWIN_DISK_RESERVE": "32MB"})
			a, p := startProcess(t, env)
			c := signIn(t, a) // a session cannot be kept on a disk without a byte
			dev := device(t, a, "press")
			say(t, dev, "telemetry/bench/press", `{"n":1}`)
			say(t, dev, "event/bench/press/jam", `{}`)
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = p.Wait() // it was killed
			ballast := stuff(t, dir, left)

			a, stop := start(t, env)
			defer stop()
			c.base = "http://" + a.HTTP
			if got := c.value("bench/press", "n"); got != "1" {
				t.Errorf("the value is %q", got)
			}
			eventually(t, "nothing is acknowledged", func() bool {
				code, _ := c.do("POST", "/api/telemetry/bench/press", `{"n":2}`)
				return code == http.StatusServiceUnavailable
			})
			eventually(t, "/readyz says why", func() bool {
				code, body := c.do("GET", "/readyz", "")
				return code == http.StatusServiceUnavailable && strings.Contains(body, "the disk is full")
			})
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is stored again", func() bool {
				code, _ := c.do("POST", "/api/telemetry/bench/press", `{"n":3}`)
				return code == http.StatusAccepted
			})
			eventually(t, "all is well", func() bool {
				code, body := c.do("GET", "/readyz", "")
				return code == http.StatusOK && strings.Contains(body, `"history":"ok"`)
			})
		})
	}
}
