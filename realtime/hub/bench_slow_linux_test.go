package hub

import (
	"net"
	"strings"
	"testing"
	"time"

	"echotwin/realtime/hub/crowd"
)

// 1,000 clients that read, and then the same with 20 more that never do: what
// the others feel, what it takes in memory, and what those get who begin to read
// again.
func BenchmarkNeverRead(b *testing.B) {
	g := newStage(b)
	g.hub.limits.Stall = time.Minute // they are to stay
	ids := things(1000)
	g.publish(ids)
	targets := linesOf(1000, "/ws", "&rate=10")
	readers := g.crowd.Ready(crowd.Group{Addr: g.addr, N: 1000, Targets: targets})
	stop := g.load(ids, 10)
	defer stop()
	without := g.measure(readers, measureFor)
	mute := g.crowd.Ready(crowd.Group{Addr: g.addr, N: 20, Targets: targets, Mute: true})
	time.Sleep(2 * time.Second)
	g.crowd.Reset(readers)
	var kb []float64
	for range 20 {
		time.Sleep(time.Second)
		kb = append(kb, residentKB())
	}
	with := g.crowd.Stats(readers)
	third := len(kb) / 3
	g.crowd.Reset(mute)
	g.crowd.Read(mute)
	time.Sleep(3 * time.Second)
	again := g.crowd.Stats(mute)
	report(b, "ms-p99-without", without.P99, "ms-p99-with", with.P99, "p99-ratio", float64(with.P99)/float64(without.P99),
		"MB-first-third", mean(kb[:third])/1024, "MB-last-third", mean(kb[len(kb)-third:])/1024,
		"current-of-20", again.Current, "KB-old-before", float64(again.OldBytes)/1024, "backwards", again.Backwards, "cut-off", again.Closed)
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// Ten clients on a line of 20 KB/s, in small segments, each following ten
// things of 1 KB at 10 Hz: five times what the line carries. As shipped, and
// with sockets as the kernel makes them.
func BenchmarkSlowLine(b *testing.B) {
	for _, way := range []struct {
		name string
		tune func(*net.TCPConn, time.Duration)
	}{{"as-shipped", tune}, {"without-lowat", func(*net.TCPConn, time.Duration) {}}} {
		b.Run(way.name, func(b *testing.B) {
			g := newStage(b)
			g.hub.tune = way.tune
			ids := things(10)
			g.text = strings.Repeat("x", 900)
			g.publish(ids)
			group := g.crowd.Ready(crowd.Group{Addr: g.addr, N: 10, Targets: []string{"/ws?rate=10&path=plant/**"}, Pace: 20 << 10, Segment: 536})
			defer g.load(ids, 10)()
			first := g.ages(group, 10*time.Second)
			last := g.ages(group, 10*time.Second)
			report(b, "s-age-p50", last.P50.Seconds(), "s-age-max", last.Max.Seconds(),
				"s-screen-p50", last.ScreenP50.Seconds(), "s-screen-max", last.ScreenMax.Seconds(), "s-age-p50-before", first.P50.Seconds(),
				"KB/s", float64(last.Bytes)/1024/10/10, "cut-off", last.Closed)
		})
	}
}

func (g *stage) ages(group int, d time.Duration) crowd.Stats {
	time.Sleep(2 * time.Second)
	g.crowd.Reset(group)
	time.Sleep(d)
	return g.crowd.Stats(group)
}
