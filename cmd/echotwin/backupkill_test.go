package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A server that is killed while it makes a backup has everything afterwards, and
// nothing is left of the backup: neither in its folder nor as a file that could
// be taken for a whole one.
func TestKill9DuringABackup(t *testing.T) {
	env := settings(t, nil)
	data := env["ECHOTWIN_DATA"]
	file := filepath.Join(t.TempDir(), "plant.backup")
	token := ""
	for round := range 4 {
		a, p := startProcess(t, env)
		c := signIn(t, a)
		if left, _ := filepath.Glob(filepath.Join(data, copies+"*")); len(left) > 0 {
			t.Errorf("after kill %d the folder has %v", round, left)
		}
		if got := c.value("lab/press", "n"); round > 0 && got != fmt.Sprint(round-1) {
			t.Errorf("after kill %d the value is %s", round, got)
		}
		if code, body := c.do("POST", "/api/telemetry/lab/press", fmt.Sprintf(`{"n":%d}`, round)); code != http.StatusAccepted {
			t.Fatal(code, body)
		}
		if round == 0 {
			_, made := c.do("POST", "/api/tokens", `{"name":"backup","scopes":["admin"]}`)
			token = decode[struct{ Token string }](t, made).Token
		}
		eventually(t, "history is open", func() bool {
			code, _ := c.do("GET", "/api/history?thing=lab/press&property=n", "")
			return code == http.StatusOK
		})
		if round == 3 {
			if err := command(t, env, "backup", file, "--url", "http://"+a.HTTP, "--token", token); err != nil {
				t.Error(err)
			}
			continue
		}
		done := make(chan error, 1)
		go func() { done <- command(t, env, "backup", file, "--url", "http://"+a.HTTP, "--token", token) }()
		time.Sleep(rand.N(40 * time.Millisecond))
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.Wait() // it was killed
		if err := <-done; err == nil {
			if err := os.Remove(file); err != nil { // it was quicker
				t.Error(err)
			}
		} else if _, err := os.Stat(file); err == nil {
			t.Error("a backup that was cut off has the name of a whole one")
		}
		if err := os.MkdirAll(filepath.Join(data, copies+"x", "history"), 0o700); err != nil { // as a kill a moment earlier would have left
			t.Fatal(err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := restore(t.Context(), io.Reader(f), filepath.Join(t.TempDir(), "data"), false); err != nil {
		t.Errorf("the backup after the kills: %v", err)
	}
}
