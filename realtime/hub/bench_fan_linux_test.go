package hub

import (
	"fmt"
	"testing"

	"echotwin/realtime/hub/crowd"
)

// CPU per thing-update delivered: 1,000 things at 10 Hz, clients with 20 each.
func BenchmarkFanOut(b *testing.B) {
	for _, clients := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			fanOut(b, clients, linesOf(1000, "/ws", "&rate=10"))
		})
	}
}

// The same where conflation cannot help: each client follows one thing, so
// every frame has one update.
func BenchmarkOneUpdateAFrame(b *testing.B) {
	for _, clients := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			var targets []string
			for _, id := range things(1000) {
				targets = append(targets, "/ws?rate=20&path="+id)
			}
			fanOut(b, clients, targets)
		})
	}
}

func fanOut(b *testing.B, clients int, targets []string) {
	g := newStage(b)
	ids := things(1000)
	g.publish(ids)
	group := g.crowd.Ready(crowd.Group{Addr: g.addr, N: clients, Targets: targets})
	stop := g.load(ids, 10)
	l := g.measure(group, measureFor)
	stop()
	size := int(l.Bytes / max(1, l.Frames))
	floor := g.crowd.Floor(clients, size, float64(l.Frames)/l.wall.Seconds(), floorFor)
	report(b,
		"µs/update", l.perThing(), "µs/frame", l.perFrame(), "µs/raw-write", floor, "frame/raw-write", l.perFrame()/floor,
		"updates/frame", float64(l.Things)/float64(l.Frames), "B/frame", size,
		"updates/s", float64(l.Things)/l.wall.Seconds(), "cores", l.cpu.Seconds()/l.wall.Seconds(), "ms-age-p50", l.P50, "ms-age-p99", l.P99)
}
