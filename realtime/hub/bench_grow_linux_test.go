package hub

import (
	"fmt"
	"testing"
	"time"

	"echotwin/realtime/hub/crowd"
)

// Publish to frame, and what it is when the machine has half of the fan-out's
// load to carry besides.
func BenchmarkPublishToFrame(b *testing.B) {
	for _, load := range []struct {
		name    string
		clients int
	}{{"unloaded", 0}, {"half-load", 1000}} {
		b.Run(load.name, func(b *testing.B) {
			g := newStage(b)
			ids := things(1000)
			g.publish(append(ids, "probe/m"))
			if load.clients > 0 {
				g.crowd.Ready(crowd.Group{Addr: g.addr, N: load.clients, Targets: linesOf(1000, "/ws", "&rate=10")})
				defer g.load(ids, 5)()
			}
			// A crowd of its own, so that no other client's reading is in the figure.
			probe := crowd.Start(b)
			group := probe.Ready(crowd.Group{Addr: g.addr, N: 1, Targets: []string{"/ws?rate=20&path=probe/m"}})
			probe.Reset(group)
			for range 120 {
				time.Sleep(63 * time.Millisecond) // below the client's rate
				g.publish([]string{"probe/m"})
			}
			time.Sleep(100 * time.Millisecond)
			s := probe.Stats(group)
			report(b, "ms-p50", s.P50, "ms-p99", s.P99, "ms-max", s.Max, "frames", s.Things)
		})
	}
}

// The cost as one thing grows and all else stays: 10 times the things, of which
// those that more are there nobody follows; 10 times the clients; and as many
// clients with a pattern of its own each.
func BenchmarkGrowth(b *testing.B) {
	const rate = 2
	for _, c := range []struct {
		name            string
		things, clients int
		targets         []string
	}{
		{"base", 1000, 1000, linesOf(1000, "/ws", "&rate=2")},
		{"things-x10", 10000, 1000, linesOf(1000, "/ws", "&rate=2")},
		{"connections-x10", 1000, 10000, linesOf(1000, "/ws", "&rate=2")},
		{"patterns-10000", 10000, 10000, patterns()},
	} {
		b.Run(c.name, func(b *testing.B) {
			g := newStage(b)
			ids := things(c.things)
			if c.name == "patterns-10000" {
				ids = digits()
			}
			g.publish(ids)
			cpu := crowd.CPU()
			group := g.crowd.Ready(crowd.Group{Addr: g.addr, N: c.clients, Targets: c.targets})
			connect := micros(crowd.CPU()-cpu) / float64(c.clients)
			stop := g.load(ids, rate)
			l := g.measure(group, measureFor)
			stop()
			leave := g.leaveAll()
			report(b, "cores", l.cpu.Seconds()/l.wall.Seconds(), "µs/update", l.perThing(), "updates/s", float64(l.Things)/l.wall.Seconds(),
				"updates/frame", float64(l.Things)/float64(max(1, l.Frames)), "readings/s", float64(len(ids)*rate),
				"µs-cpu/connect", connect, "µs/leave", micros(leave)/float64(c.clients))
		})
	}
}

// digits are 10,000 things with four parts to their ids.
func digits() []string {
	ids := make([]string, 10000)
	for i := range ids {
		ids[i] = fmt.Sprintf("p/a%d/b%d/c%d/d%d", i/1000, i/100%10, i/10%10, i%10)
	}
	return ids
}

// patterns are 10,000 different ones over digits: 4,000 that leave one part
// open and cover ten things each, and 6,000 of one thing.
func patterns() []string {
	var ps []string
	for i := range 1000 {
		x, y, z := i/100, i/10%10, i%10
		ps = append(ps,
			fmt.Sprintf("p/*/b%d/c%d/d%d", x, y, z), fmt.Sprintf("p/a%d/*/c%d/d%d", x, y, z),
			fmt.Sprintf("p/a%d/b%d/*/d%d", x, y, z), fmt.Sprintf("p/a%d/b%d/c%d/*", x, y, z))
	}
	ps = append(ps, digits()[:6000]...)
	for i, p := range ps {
		ps[i] = "/ws?rate=2&path=" + p
	}
	return ps
}

// leaveAll ends all connections and returns what that took the shards.
func (g *stage) leaveAll() time.Duration {
	cpu := crowd.CPU()
	for _, s := range g.hub.shards {
		done := make(chan bool)
		s.post(func(s *shard) {
			for c := range s.conns {
				s.drop(c, "1006")
			}
			close(done)
		})
		<-done
	}
	return crowd.CPU() - cpu
}
