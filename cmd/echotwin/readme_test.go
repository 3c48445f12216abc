package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The READMEs are programs: what they show is run here against a server with
// the demo line, so that a newcomer's first ten minutes are tested.

const root = "../.."

var readmes = []string{"README.md", "README.vi.md"}

// A block is the code of one fence.
type block struct {
	lang, code string
	mark       string // of the comment before it: "", "run" or "run: first 5 lines"
}

var (
	fence   = regexp.MustCompile("(?ms)^(?:<!-- (run[^>]*?) -->\n)?```(\\w*)\n(.*?)^```$")
	heading = regexp.MustCompile(`(?m)^#+ `)
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func blocks(text string) (bs []block) {
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		bs = append(bs, block{lang: m[2], code: m[3], mark: m[1]})
	}
	return bs
}

// promised is what the text says that each block which is run prints, in order.
var promised = [][]string{
	{`"ok":true`, `"loggedIn":true`, `"username":"admin"`},
	{`"accepted":1`},
	{`"type":"hello"`, `"type":"snapshot"`, `"type":"update"`, `plant/line1/conveyor-2`},
	{`"thing":"plant/line1/conveyor-2"`, `"quality":`, `"age":`},
	{`"output":{"speed":60}`, // done, or verified already when the belt ran so
		`above the maximum 100`, `"maximum":100`},
}

func TestF7ReadmeRuns(t *testing.T) {
	shell := "bash"
	if _, err := exec.LookPath(shell); err != nil {
		shell = "sh"
	}
	env := settings(t, map[string]string{"ECHOTWIN_DEMO": "true"})
	a, _ := start(t, env)
	c := signIn(t, a)
	eventually(t, "the demo line sends", func() bool {
		return c.value("plant/line1/conveyor-2", "speed") != "" && c.value("plant/line1/conveyor-2", "temperature") != ""
	})
	paths := curlPaths(t)
	each := func(name, path string) func(t *testing.T) {
		return func(t *testing.T) {
			var run []block
			for _, b := range blocks(readFile(t, filepath.Join(root, name))) {
				if b.mark != "" {
					run = append(run, b)
				}
			}
			if len(run) != len(promised) {
				t.Fatalf("%d blocks are to be run, and promises are known of %d", len(run), len(promised))
			}
			printed := runBlocks(t, shell, path, a, run)
			for i, p := range promised {
				for _, want := range p {
					if !strings.Contains(printed[i], want) {
						t.Errorf("block %d does not print %s\n%s%s", i+1, want, run[i].code, printed[i])
					}
				}
			}
		}
	}
	for _, name := range readmes {
		for with, path := range paths {
			t.Run(name+" with "+with, each(name, path))
		}
	}
}

// runBlocks runs the blocks in one shell, which ends at the first command that
// fails, and returns what each one printed.
func runBlocks(t *testing.T, shell, path string, a addresses, run []block) []string {
	const end = "--- end of block ---"
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, b := range run {
		code := strings.ReplaceAll(b.code, "localhost:3000", a.HTTP)
		if n := 0; b.mark != "run" {
			if _, err := fmt.Sscanf(b.mark, "run: first %d lines", &n); err != nil {
				t.Fatalf("what is %q?", b.mark)
			}
			// The stream has no end: the reader leaves, as with Ctrl-C.
			code = fmt.Sprintf("{ %s; } | head -n %d", strings.TrimSpace(code), n)
		}
		// Each command has to succeed, and to print, on its own.
		for _, command := range strings.Split(strings.TrimSpace(code), "\n\n") {
			fmt.Fprintf(&script, "%s\necho\n", command)
		}
		fmt.Fprintf(&script, "echo '%s'\n", end)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell, "-s")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+path)
	cmd.WaitDelay = time.Second
	cmd.Stdin = strings.NewReader(script.String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	parts := strings.Split(stdout.String(), end+"\n")
	if len(parts) != len(run)+1 {
		t.Fatalf("%d blocks of %d were run:\n%s", len(parts)-1, len(run), stdout.String())
	}
	return parts[:len(run)]
}

func TestReadmesSayTheSame(t *testing.T) {
	en, vi := readFile(t, filepath.Join(root, readmes[0])), readFile(t, filepath.Join(root, readmes[1]))
	a, b := blocks(en), blocks(vi)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("block %d differs:\n%+v\n%+v", i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d blocks of code in one and %d in the other", len(a), len(b))
	}
	if n, m := len(heading.FindAllString(fence.ReplaceAllString(en, ""), -1)), len(heading.FindAllString(fence.ReplaceAllString(vi, ""), -1)); n != m {
		t.Errorf("%d headings in one and %d in the other", n, m)
	}
	if n, m := links(en), links(vi); !slices.Equal(n[1:], m[1:]) { // the first is to the other one
		t.Errorf("they link to different places:\n%q\n%q", n, m)
	}
}

// A link to a page, to a heading of one, or to a picture.
var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

func links(text string) (to []string) {
	for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		to = append(to, m[1])
	}
	return to
}

func TestLinksLead(t *testing.T) {
	var files []string
	for _, pattern := range []string{"README*.md", "docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		files = append(files, found...)
	}
	for _, f := range files {
		for _, to := range links(readFile(t, f)) {
			if strings.Contains(to, "://") || strings.HasPrefix(to, "#") {
				continue
			}
			to, _, _ = strings.Cut(to, "#")
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), to)); err != nil {
				t.Errorf("%s links to %s, which is not there", f, to)
			}
		}
	}
}

// TestReadmeMakes holds every make command of the READMEs and the docs to the
// Makefile, the first of which is how everybody begins.
func TestReadmeMakes(t *testing.T) {
	targets := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(readFile(t, filepath.Join(root, "Makefile"))))
	target := regexp.MustCompile(`^([a-z-]+):`)
	for lines.Scan() {
		if m := target.FindStringSubmatch(lines.Text()); m != nil {
			targets[m[1]] = true
		}
	}
	said := regexp.MustCompile("(?m)(?:^|`|\\w=\\S+ )make ([a-z-]+)")
	for _, f := range []string{"README.md", "README.vi.md", "docs/quickstart.md", "docs/production.md"} {
		text := readFile(t, filepath.Join(root, f))
		for _, m := range said.FindAllStringSubmatch(text, -1) {
			if !targets[m[1]] {
				t.Errorf("%s says make %s, which the Makefile does not know", f, m[1])
			}
		}
	}
	for _, f := range readmes {
		if first := blocks(readFile(t, filepath.Join(root, f)))[0]; !strings.HasSuffix(first.code, "\nmake run\n") {
			t.Errorf("%s begins with %q, want make run", f, first.code)
		}
	}
}
