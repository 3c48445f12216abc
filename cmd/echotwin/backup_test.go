package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command runs echotwin with arguments.
func command(t *testing.T, env map[string]string, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return run(ctx, args, func(k string) string { return env[k] }, func(addresses) { t.Error("it serves") })
}

// screenOf is what a viewer is shown: all things with their states, without ages
// and presence, which move by themselves.
func screenOf(t *testing.T, c *client, things ...string) (all []string) {
	t.Helper()
	_, list := c.do("GET", "/api/things?limit=1000&path=lab/press", "")
	all = append(all, strings.ReplaceAll(list, c.base, ""))
	for _, id := range things {
		code, body := c.do("GET", "/api/things/"+id+"/state", "")
		if code != 200 {
			t.Fatalf("%s: %d %s", id, code, body)
		}
		s := decode[map[string]any](t, body)
		for _, p := range s["properties"].(map[string]any) {
			delete(p.(map[string]any), "age")
			delete(p.(map[string]any), "quality")
		}
		delete(s, "seq")
		text := strings.Builder{}
		for _, name := range []string{"n", "mode"} {
			p, _ := s["properties"].(map[string]any)[name].(map[string]any)
			text.WriteString(name)
			text.WriteString("=")
			for _, k := range []string{"value", "ts", "at", "seq"} {
				text.WriteString(" ")
				text.WriteString(strings.TrimSpace(jsonText(t, p[k])))
			}
		}
		all = append(all, text.String())
	}
	return all
}

func historyOf(t *testing.T, c *client) string {
	t.Helper()
	eventually(t, "history is open", func() bool { _, b := c.do("GET", "/readyz", ""); return strings.Contains(b, `"history":"ok"`) })
	code, body := c.do("GET", "/api/history?thing=lab/press&property=n&format=ndjson", "")
	if code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	return body
}

// A restore on an empty machine gives the same screen, the same history and the
// same sign-in as the server had when the backup was made, while it was written to.
func TestBackupAndRestoreWhileRunning(t *testing.T) {
	t.Parallel() // it waits for NATS to restore, mostly
	env := settings(t, nil)
	if err := os.MkdirAll(filepath.Join(env["ECHOTWIN_DATA"], "things"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(env["ECHOTWIN_DATA"], "things", "press.json"), benchTD(7), 0o600); err != nil {
		t.Fatal(err)
	}
	a, stop := start(t, env)
	c := signIn(t, a)
	for i := range 50 {
		if code, body := c.do("POST", "/api/telemetry/lab/press", `{"n":`+jsonText(t, i)+`,"mode":"auto"}`); code != 202 {
			t.Fatal(code, body)
		}
	}
	eventually(t, "history has them", func() bool { return strings.Count(historyOf(t, c), "\n") >= 50 })
	screen, history := screenOf(t, c, "lab/press"), historyOf(t, c)

	// Somebody else goes on writing.
	writing, end := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for writing.Err() == nil {
			c.do("POST", "/api/telemetry/lab/other", `{"x":1}`)
		}
	}()
	_, made := c.do("POST", "/api/tokens", `{"name":"backup","scopes":["admin"]}`)
	token := decode[struct{ Token string }](t, made).Token
	file := filepath.Join(t.TempDir(), "plant.backup")
	err := command(t, env, "backup", file, "--url", "http://"+a.HTTP, "--token", token)
	if wrong := command(t, env, "backup", file+"2", "--url", "http://"+a.HTTP, "--token", "none"); wrong == nil || !strings.Contains(wrong.Error(), "401") {
		t.Errorf("with a wrong token: %v", wrong)
	}
	end()
	<-written
	if err != nil {
		t.Fatal(err)
	}
	stop()

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	into := settings(t, nil)
	if err := command(t, into, "restore", file); err != nil {
		t.Fatal(err)
	}
	if err := command(t, into, "restore", file); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over what is there: %v", err)
	}
	a, stop = start(t, into)
	c = signIn(t, a)
	if got := screenOf(t, c, "lab/press"); !equalText(got, screen) {
		t.Errorf("the screen is\n%s\nand was\n%s", got, screen)
	}
	if got := historyOf(t, c); got != history {
		t.Errorf("history is\n%s\nand was\n%s", got, history)
	}
	if code, _, _ := c.full("GET", "/api/me", "", "Authorization", "Bearer "+token); code != 200 {
		t.Errorf("the token: %d", code)
	}
	if code, body := c.do("POST", "/api/telemetry/lab/press", `{"n":1000}`); code != 202 {
		t.Errorf("it cannot be written to: %d %s", code, body)
	}
	stop()

	// The stopped folder, to a file and back.
	again, third := filepath.Join(t.TempDir(), "again"), settings(t, nil)
	if err := command(t, into, "backup", again); err != nil {
		t.Fatal(err)
	}
	if err := command(t, third, "restore", again); err != nil {
		t.Fatal(err)
	}
	damagedBackups(t, data)
}

// damagedBackups leave nothing behind and say where they are damaged.
func damagedBackups(t *testing.T, whole []byte) {
	t.Helper()
	entries := entriesOf(t, whole)
	// Where tar itself sees no more than the end of a file, every cut was taken for
	// the end of the backup.
	for _, at := range entries {
		u, err := newUnarchiver(bytes.NewReader(whole[:at]))
		for err == nil {
			_, err = u.next()
		}
		if !errors.Is(err, errNotWhole) || errors.Is(err, io.EOF) {
			t.Fatalf("cut at byte %d of %d, between two entries: %v", at, len(whole), err)
		}
	}
	for what, data := range map[string][]byte{
		"empty": nil, "no backup": []byte(strings.Repeat("hello ", 1000)),
		"cut":                whole[:len(whole)/2],
		"cut before its end": whole[:entries[len(entries)-1]], // between two entries
		"without end":        whole[:len(whole)-3000],
		"flipped":            flip(whole, bytes.LastIndex(whole, []byte(streamsPart+"LOG/"))+700), // in what follows that header
	} {
		dir := filepath.Join(t.TempDir(), "data")
		err := restore(t.Context(), bytes.NewReader(data), dir, false)
		if err == nil || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v", what, err)
		}
		if left, _ := filepath.Glob(dir + "*"); len(left) > 0 {
			t.Errorf("%s leaves %v", what, left)
		}
	}
	if err := restore(t.Context(), bytes.NewReader(whole), filepath.Join(t.TempDir(), "data"), false); err != nil {
		t.Error(err)
	}
}

// entriesOf are the places where the entries of a tar file begin.
func entriesOf(t *testing.T, file []byte) (at []int) {
	t.Helper()
	r := bytes.NewReader(file)
	for tr := tar.NewReader(r); ; {
		begins := (len(file) - r.Len() + 511) &^ 511
		h, err := tr.Next()
		if err == io.EOF {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, begins)
		if _, err := io.CopyN(io.Discard, tr, h.Size); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// A mistake in the name of the folder made a backup of nothing, and so did --url
// without a token, both without a word.
func TestBackupOfNothingIsRefused(t *testing.T) {
	dir := t.TempDir()
	file, missing := filepath.Join(dir, "plant.backup"), filepath.Join(dir, "plnat")
	for want, args := range map[string][]string{
		"there is nothing of echotwin in the data folder " + missing: {"backup", file, "--data=" + missing},
		"wants --token": {"backup", file, "--data=" + missing, "--url=http://plant.example"},
	} {
		if err := command(t, nil, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want an error that says %q", args, err, want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestANewerDataFolderIsRefused(t *testing.T) {
	env := settings(t, nil)
	if err := os.MkdirAll(env["ECHOTWIN_DATA"], 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeVersion(env["ECHOTWIN_DATA"], dataVersion+1); err != nil {
		t.Fatal(err)
	}
	err := command(t, env)
	if err == nil || !strings.Contains(err.Error(), "is of version 3, and this program knows up to 2") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(env["ECHOTWIN_DATA"]); len(left) != 1 {
		t.Errorf("it was touched: %v", left)
	}
}

// A folder without a version is of version 1.
func TestAFolderOfVersion1IsMigrated(t *testing.T) {
	env := settings(t, nil)
	a, stop := start(t, env)
	c := signIn(t, a)
	c.do("POST", "/api/telemetry/lab/press", `{"n":1}`)
	stop()
	note := filepath.Join(env["ECHOTWIN_DATA"], versionFile)
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	if v, err := readVersion(env["ECHOTWIN_DATA"]); v != 1 || err != nil {
		t.Fatal(v, err)
	}
	a, _ = start(t, env)
	if c := signIn(t, a); c.value("lab/press", "n") != "1" {
		t.Error("the values are gone")
	}
	if v, err := readVersion(env["ECHOTWIN_DATA"]); v != 2 || err != nil {
		t.Error(v, err)
	}
}

func TestDoctor(t *testing.T) {
	env := settings(t, nil)
	a, stop := start(t, env)
	c := signIn(t, a)
	for range 20 {
		c.do("POST", "/api/telemetry/lab/press", `{"n":1}`)
	}
	examine := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmds, err := readCommand(append([]string{"doctor"}, args...), func(k string) string { return env[k] })
		if err != nil {
			t.Fatal(err)
		}
		return out.String(), func() error { e := doctor(t.Context(), cmds, &out); return outcome(&out, e) }()
	}
	if _, err := examine(); err == nil || !strings.Contains(err.Error(), "while a server runs") {
		t.Errorf("under a running server: %v", err)
	}
	stop()
	if _, err := examine(); !strings.Contains(err.Error(), "nothing is wrong") || !strings.Contains(err.Error(), "the checkpoint is of bundle") {
		t.Errorf("healthy: %v", err)
	}

	data := env["ECHOTWIN_DATA"]
	blocks, _ := filepath.Glob(filepath.Join(data, "nats", "jetstream", "$G", "streams", "LOG*", "msgs", "*.blk"))
	block := blocks[len(blocks)-1]
	text, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(block, flip(text, len(text)-50), 0o600); err != nil {
		t.Fatal(err)
	}
	os.MkdirAll(filepath.Join(data, "things"), 0o700)
	os.WriteFile(filepath.Join(data, "things", "bad.json"), []byte(`{"title":1}`), 0o600)
	os.MkdirAll(filepath.Join(data, "history", "samples", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), 0o700)
	_, said := examine()
	for _, want := range []string{"does not fit its checksum", "Would do with --fix", "bad.json is not taken", "01ARZ3NDEKTSV4RRFFQ69G5FAV of history is damaged", "something is wrong"} {
		if !strings.Contains(said.Error(), want) {
			t.Errorf("doctor does not say %q:\n%v", want, said)
		}
	}
	if now, _ := os.ReadFile(block); !bytes.Equal(now, flip(text, len(text)-50)) {
		t.Error("it changed what it only looks at")
	}
	os.Remove(filepath.Join(data, "things", "bad.json"))
	if _, said := examine("--fix"); strings.Count(said.Error(), "FIXED") != 2 {
		t.Errorf("with --fix:\n%v", said)
	}
	if _, err := os.Stat(block + ".damaged"); err != nil {
		t.Error("no copy is kept: ", err)
	}
	if _, said := examine(); !strings.Contains(said.Error(), "nothing is wrong") {
		t.Errorf("afterwards:\n%v", said)
	}
	a, _ = start(t, env)
	if c := signIn(t, a); c.value("lab/press", "n") != "1" {
		t.Error("the values are gone")
	}
}

// said is what a command printed, with how it ended.
type said string

func (s said) Error() string { return string(s) }

func outcome(out io.Reader, err error) error {
	b, _ := io.ReadAll(out)
	if err != nil {
		b = append(b, err.Error()...)
	}
	return said(b)
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func equalText(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }
