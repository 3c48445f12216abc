//go:build linux

// Package crowd is many clients of a hub in a process of their own, so that a
// benchmark which asks for the CPU of the server does not count its clients.
// It is for benchmarks only, and needs Linux.
//
// The process is the benchmark's own binary, started again: whoever uses a
// Crowd calls Child before anything else runs. One goroutine there reads all
// sockets by epoll, so that thousands of clients cost little beside the server.
//
// Clients look for members "at" in updates: the time of publishing in
// nanoseconds since 1970. Each is one thing-update, and its age is what is told.
package crowd

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A Group is clients of one kind.
type Group struct {
	Addr    string   // of the server, 127.0.0.1:port
	N       int      // how many
	Targets []string // what client i asks for: /ws?path=… or /events?path=…, the one at i modulo their number
	Header  string   // further lines of the request, each with its \r\n
	Raw     bool     // says nothing and counts bytes: for the floor
	Mute    bool     // reads its first snapshot and then nothing, until Read
	Idle    bool     // expects no snapshot: ready with the first frame
	Other   bool     // of another server: every frame with an "at" is an update

	// A slow line: so many bytes a second are read, from a socket that holds
	// little, in segments of that many bytes.
	Pace, Segment int
}

// Stats is what a group saw. Counts and ages are those since the last Reset.
type Stats struct {
	Open, Ready, Closed int
	Err                 string        // the first thing that went wrong
	ReadyAfter          time.Duration // from Open until the last was ready

	Frames, Updates, Things, Bytes int64

	// Age of things when their frame was read, and of what paced clients have on
	// the screen, looked at every 20 ms.
	P50, P99, Max                   time.Duration
	ScreenP50, ScreenP99, ScreenMax time.Duration

	// After Read: how many bytes of what had waited in sockets came before the
	// first frame that was made since, at most over all clients, and how many
	// clients have had that frame.
	OldBytes int64
	Current  int
	// Backwards counts frames that were older than one before.
	Backwards int
}

type request struct {
	Do    string // open, stats, reset, read
	Group int
	What  Group
}

// A Crowd is the process.
type Crowd struct {
	tb  testing.TB
	in  *json.Encoder
	out *bufio.Scanner
	n   int
}

const childEnv = "ECHOTWIN_BENCH_CROWD"

// Child is the crowd, when this process was started to be one. It does not
// return then.
func Child() {
	if os.Getenv(childEnv) == "" {
		return
	}
	raiseLimit()
	if err := newLoop().run(os.Stdin, os.Stdout); err != nil {
		os.Stderr.WriteString("crowd: " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// Start starts the process. It ends with the benchmark.
func Start(tb testing.TB) *Crowd {
	tb.Helper()
	raiseLimit()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1", "GOGC=400")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	return &Crowd{tb: tb, in: json.NewEncoder(in), out: s}
}

func (c *Crowd) ask(r request) (s Stats) {
	c.tb.Helper()
	if err := c.in.Encode(r); err != nil {
		c.tb.Fatal("the crowd: ", err)
	}
	if !c.out.Scan() {
		c.tb.Fatal("the crowd has ended: ", c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), &s); err != nil {
		c.tb.Fatal("the crowd: ", err)
	}
	return s
}

// Open opens a group, all its clients at once, and returns its number.
func (c *Crowd) Open(g Group) int {
	c.tb.Helper()
	c.ask(request{Do: "open", What: g})
	c.n++
	return c.n - 1
}

// Ready opens a group and returns when every client has its snapshot.
func (c *Crowd) Ready(g Group) int {
	c.tb.Helper()
	i := c.Open(g)
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		s := c.Stats(i)
		switch {
		case s.Err != "":
			c.tb.Fatalf("%d of %d clients are ready, and one says: %s", s.Ready, g.N, s.Err)
		case s.Ready == g.N:
			return i
		case time.Since(begin) > 2*time.Minute:
			c.tb.Fatalf("%d of %d clients are ready after two minutes", s.Ready, g.N)
		}
	}
}

// Stats is what a group saw.
func (c *Crowd) Stats(group int) Stats {
	c.tb.Helper()
	return c.ask(request{Do: "stats", Group: group})
}

// Reset begins the counts of a group anew.
func (c *Crowd) Reset(group int) {
	c.tb.Helper()
	c.ask(request{Do: "reset", Group: group})
}

// Read has the mute clients of a group read.
func (c *Crowd) Read(group int) {
	c.tb.Helper()
	c.ask(request{Do: "read", Group: group})
}

// raiseLimit allows as many open files as the system lets it.
func raiseLimit() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		l.Cur = l.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) // too few show as clients that cannot open
	}
}
