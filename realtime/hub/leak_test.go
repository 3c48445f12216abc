package hub

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain holds all tests of the package together to what Close promises: that
// nothing of a hub runs any more.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	// The benchmarks keep their clients, and fuzzing has goroutines of its own.
	if alone := flag.Lookup("test.fuzz").Value.String() == "" && flag.Lookup("test.bench").Value.String() == ""; code == 0 && alone {
		if left := leaked(10 * time.Second); len(left) > 0 {
			fmt.Printf("FAIL: %d goroutines are left after all tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// leaked is the stacks of our goroutines that are still there when the time is
// over. The one that asks is not among them.
func leaked(wait time.Duration) []string {
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		left := ourStacks()
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

func ourStacks() []string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")[1:] // the first is this one
	return slices.DeleteFunc(stacks, func(s string) bool { return !strings.Contains(s, "echotwin/") })
}

// A goroutine that does not end is seen, with where it stands, and one that
// does is waited for.
func TestLeaksAreSeen(t *testing.T) {
	end := make(chan struct{})
	go leakHere(end)
	there := func() bool {
		return slices.ContainsFunc(ourStacks(), func(s string) bool { return strings.Contains(s, "hub.leakHere") })
	}
	for !there() {
		time.Sleep(time.Millisecond)
	}
	close(end)
	for there() {
		time.Sleep(time.Millisecond)
	}
}

func leakHere(end chan struct{}) { <-end }
