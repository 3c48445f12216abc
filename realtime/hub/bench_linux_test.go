package hub

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/hub/crowd"
)

// make bench prints what the design promises, against a floor that is measured
// in the same run. Nothing here fails for being slow. Each benchmark does its
// own rounds, so -benchtime 1x is meant. docs/benchmarks.md explains the
// figures.
//
// The hub, its HTTP server and the publisher are this process, whose CPU and
// memory are counted; the clients are another.

func init() { crowd.Child() }

// measureFor is how long one figure is taken.
const (
	measureFor = 8 * time.Second
	floorFor   = 4 * time.Second
)

// A stage is a hub that serves a crowd.
type stage struct {
	b     *testing.B
	hub   *Hub
	addr  string
	crowd *crowd.Crowd
	text  string // that makes each reading larger

	mu  sync.Mutex // of publishers
	seq uint64
}

func newStage(b *testing.B) *stage {
	b.Helper()
	const many = 1 << 20
	h := New(Config{Epoch: "k3f9", Limits: Limits{Connections: many, PerUser: many, PerAddress: many, Accept: many, AcceptPerAddress: many}})
	g := &stage{b: b, hub: h, crowd: crowd.Start(b)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	v := Viewer{User: "ana"}
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { h.ServeWS(w, r, v) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) { h.ServeEvents(w, r, v) })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	g.addr = l.Addr().String()
	b.Cleanup(func() {
		h.Close()
		srv.Close()
		<-ended
	})
	return g
}

// perLine is how many things a line of the benchmark's plant has, so that a
// client of one line follows as many.
const perLine = 20

func lineOf(i int) string { return "plant/l" + strconv.Itoa(i) }

func thingOf(i int) string { return lineOf(i/perLine) + "/m" + strconv.Itoa(i%perLine) }

// things are the ids of n things.
func things(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = thingOf(i)
	}
	return ids
}

// lines are the targets of clients that follow one line of n things each.
func linesOf(n int, wire, more string) []string {
	var t []string
	for i := range n / perLine {
		t = append(t, wire+"?path="+lineOf(i)+"/**"+more)
	}
	return t
}

// publish publishes a reading of each thing, as one bundle.
func (g *stage) publish(ids []string) {
	now := time.Now()
	name, value := "at", strconv.AppendInt(nil, now.UnixNano(), 10)
	if g.text != "" {
		name, value = "reading", fmt.Appendf(nil, `{"at":%s,"text":%q}`, value, g.text)
	}
	changes := make([]realtime.Change, len(ids))
	values := make([]realtime.Value, len(ids))
	for i, id := range ids {
		values[i] = realtime.Value{Name: name, JSON: value}
		changes[i] = realtime.Change{Thing: id, TS: now, Values: values[i : i+1 : i+1], Samples: 1}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq++
	g.hub.Publish(realtime.Update{Seq: g.seq, Changes: changes})
}

// load publishes each thing rate times a second, spread evenly over bursts of
// 5 ms that reach all lines, as devices do which know nothing of each other. It
// ends with the returned function.
func (g *stage) load(ids []string, rate float64) (stop func()) {
	const burst = 5 * time.Millisecond
	n := max(1, int(1/(rate*burst.Seconds())))
	parts := make([][]string, n)
	for i, id := range ids {
		parts[i%n] = append(parts[i%n], id)
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(time.Duration(float64(time.Second) / rate / float64(n)))
		defer t.Stop()
		for i := 0; ; i++ {
			select {
			case <-t.C:
				if p := parts[i%n]; len(p) > 0 {
					g.publish(p)
				}
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// A bill is what a while cost and brought.
type bill struct {
	cpu, wall time.Duration
	crowd.Stats
}

// measure is the bill of d, for one group.
func (g *stage) measure(group int, d time.Duration) bill {
	time.Sleep(time.Second) // until it runs evenly
	g.crowd.Reset(group)
	begin, cpu := time.Now(), crowd.CPU()
	time.Sleep(d)
	cpu, wall := crowd.CPU()-cpu, time.Since(begin)
	s := g.crowd.Stats(group)
	if s.Closed > 0 {
		g.b.Fatalf("%d clients were cut off: %s", s.Closed, s.Err)
	}
	return bill{cpu, wall, s}
}

func (l bill) perThing() float64 { return micros(l.cpu) / float64(max(1, l.Things)) }
func (l bill) perFrame() float64 { return micros(l.cpu) / float64(max(1, l.Frames)) }

// memory is what this process holds: resident, and heap and stacks in use.
func memory() (resident, inUse float64) {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return residentKB(), float64(m.HeapInuse+m.StackInuse) / 1024
}

func residentKB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kb, _ := strconv.Atoi(strings.Fields(rest)[0])
	return float64(kb)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// report keeps the figures in the order in which they are read.
func report(b *testing.B, figures ...any) {
	for i := 0; i < len(figures); i += 2 {
		var v float64
		switch n := figures[i+1].(type) {
		case float64:
			v = n
		case int:
			v = float64(n)
		case int64:
			v = float64(n)
		case time.Duration:
			v = millis(n)
		}
		b.ReportMetric(v, fmt.Sprint(figures[i]))
	}
	b.ReportMetric(0, "ns/op") // says nothing here, and is not shown
}
