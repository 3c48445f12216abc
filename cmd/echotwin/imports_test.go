package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the architecture: what each package may import of ours. A
// package that is not in it does not belong here.
var mayImport = map[string][]string{
	"cmd/echotwin":             {"*"},
	"server":                   {"server/auth", "realtime", "realtime/*", "gpt", "web"},
	"server/auth":              {},
	"server/auth/oidctest":     {}, // a scripted provider, for tests only
	"realtime":                 {},
	"realtime/bus":             {"realtime"},
	"realtime/mqtt":            {"realtime"},
	"realtime/ingest":          {"realtime"},
	"realtime/tree":            {"realtime"},
	"realtime/twin":            {"realtime", "realtime/tree"},
	"realtime/hub":             {"realtime", "realtime/sse", "realtime/tree"},
	"realtime/hub/crowd":       {}, // clients in a process of their own, for benchmarks only
	"realtime/notify":          {"realtime"},
	"realtime/notify/smtptest": {}, // a mail server, for tests only
	"realtime/sse":             {},
	"realtime/history":         {"realtime"},
	"realtime/simulator":       {"realtime"},
	"gpt":                      {"gpt/knowledge"},
	"gpt/knowledge":            {},
	"gpt/upstreamtest":         {}, // a scripted model server, for tests only
	"web":                      {},
}

// onlyIn keeps the large libraries inside the one room that knows them, so
// that replacing one is a change to one package.
var onlyIn = map[string]string{
	"github.com/labstack/echo":         "server",
	"github.com/openai/openai-go":      "gpt",
	"github.com/nats-io/":              "realtime/bus",
	"github.com/mochi-mqtt/":           "realtime/mqtt",
	"github.com/gorilla/websocket":     "realtime/hub",
	"github.com/coreos/go-oidc":        "server/auth",
	"golang.org/x/oauth2":              "server/auth",
	"github.com/gorilla/sessions":      "server",
	"github.com/prometheus/prometheus": "realtime/history",
	"github.com/wneessen/go-mail":      "realtime/notify",
}

// topLevel is what the root of the project may hold, tracked by git or not.
var topLevel = []string{"cmd", "server", "realtime", "gpt", "web", "go.mod", "go.sum", "docker-compose.yml", "README.md", "README.vi.md",
	"Makefile", "Dockerfile", "docs", "deploy", "LICENSE", "data", "bin"}

func TestImportsFollowTheArchitecture(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || len(d.Name()) > 2 && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			imp, _ := strconv.Unquote(i.Path.Value)
			checkImport(t, path, pkg, imp)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range seen {
		if _, ok := mayImport[pkg]; !ok {
			t.Errorf("package %s is not part of the architecture", pkg)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d packages found: the walk is broken", len(seen))
	}
}

func checkImport(t *testing.T, path, pkg, imp string) {
	if ours, ok := strings.CutPrefix(imp, "echotwin/"); ok {
		allowed := slices.ContainsFunc(mayImport[pkg], func(a string) bool {
			dir, star := strings.CutSuffix(a, "*")
			return a == ours || star && strings.HasPrefix(ours, dir)
		})
		if !allowed {
			t.Errorf("%s: %s may not import %s", path, pkg, imp)
		}
	}
	for lib, room := range onlyIn {
		if strings.HasPrefix(imp, lib) && pkg != room {
			t.Errorf("%s: only %s may import %s", path, room, imp)
		}
	}
}

func TestTopLevelHoldsOnlyWhatIsExpected(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}
