package hub

import (
	"fmt"
	"testing"
	"time"

	"echotwin/realtime/hub/crowd"
)

// Memory of an idle connection: resident without what is shared with files,
// and heap and stacks in use, each with all that is behind the connection in
// this process (net, net/http, gorilla, the hub).
func BenchmarkIdleMemory(b *testing.B) {
	for _, wire := range []string{"/ws", "/events"} {
		for _, clients := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("%s/clients=%d", wire[1:], clients), func(b *testing.B) {
				g := newStage(b)
				g.publish(things(1000))
				g.crowd.Ready(crowd.Group{Addr: g.addr, N: 100, Targets: linesOf(1000, wire, "")}) // what is made once
				resident, inUse := memory()
				g.crowd.Ready(crowd.Group{Addr: g.addr, N: clients, Targets: linesOf(1000, wire, "")})
				time.Sleep(2 * time.Second) // the http.Server lets go of what it held
				r, u := memory()
				n := float64(clients)
				report(b, "KB-resident", (r-resident)/n, "KB-heap+stack", (u-inUse)/n, "KB-budget", map[string]int{"/ws": 6, "/events": 4}[wire])
			})
		}
	}
}

// What 10,000 idle connections cost while 1,000 things change at 10 Hz for 100
// others: their heartbeats, and nothing for each round.
func BenchmarkIdleCost(b *testing.B) {
	g := newStage(b)
	ids := things(1000)
	g.publish(append(ids, "quiet/m"))
	busy := g.crowd.Ready(crowd.Group{Addr: g.addr, N: 100, Targets: linesOf(1000, "/ws", "&rate=10")})
	stop := g.load(ids, 10)
	defer stop()
	without := g.measure(busy, measureFor)
	const idle = 10000
	g.crowd.Ready(crowd.Group{Addr: g.addr, N: idle, Targets: []string{"/ws?path=quiet/m"}})
	// Two whole periods, so that every connection has its two pings in it.
	with := g.measure(busy, 2*pingSocket)
	cores := func(l bill) float64 { return l.cpu.Seconds() / l.wall.Seconds() }
	report(b, "cores-without", cores(without), "cores-with", cores(with),
		"µs/idle-connection/s", (cores(with)-cores(without))*1e6/idle, "rounds/s", float64(g.hub.stats.rounds.Load())/g.hub.now().Seconds())
}

// 5,000 clients that come at once, until each has its snapshot.
func BenchmarkConnectStorm(b *testing.B) {
	for _, wire := range []string{"/ws", "/events"} {
		b.Run(wire[1:], func(b *testing.B) {
			g := newStage(b)
			g.publish(things(1000))
			const clients = 5000
			cpu := crowd.CPU()
			group := g.crowd.Ready(crowd.Group{Addr: g.addr, N: clients, Targets: linesOf(1000, wire, "")})
			report(b, "ms-all-have-their-snapshot", g.crowd.Stats(group).ReadyAfter, "µs-cpu/connection", micros(crowd.CPU()-cpu)/clients)
		})
	}
}
