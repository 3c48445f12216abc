package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A pipe among the files once held up all others, the start of the server and
// its end: whoever opens one waits for somebody to write it.
func TestAPipeInTheFolderOfThings(t *testing.T) {
	env := settings(t, nil)
	dir := filepath.Join(env["ECHOTWIN_DATA"], "things")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { // lets go who waits for it, so that the test fails and does not hang
		if f, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
	})
	a, _ := start(t, env)
	c := signIn(t, a)
	if err := os.WriteFile(filepath.Join(dir, "tank.json"), []byte(tankTD), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file beside it is read", func() bool { code, _ := c.do("GET", "/api/things/plant/tank", ""); return code == 200 })
}
