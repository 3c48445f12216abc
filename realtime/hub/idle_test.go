package hub

import (
	"fmt"
	"testing"
	"time"
)

// turns counts the turns that connections were given, which is what a
// connection costs.
func (g *rig) turns() (n uint64) {
	for _, s := range g.hub.shards {
		at := make(chan uint64)
		if !s.post(func(s *shard) { at <- s.turn / 2 }) {
			g.t.Fatal("the hub has ended")
		}
		n += <-at
	}
	return n
}

// An idle connection costs its ping and nothing else: rounds that bring nothing
// for it give it no turn. Nor does one of its own things while its rate does
// not allow an update.
func TestRoundsPassIdleConnectionsBy(t *testing.T) {
	g := newRig(t, Config{})
	g.set("quiet", `{"x":0}`)
	g.set("busy", `{"x":0}`)
	g.settle()
	for range 50 {
		g.dial("?path=quiet").want("snapshot")
	}
	slow := g.dial("?path=busy&rate=0.01")
	slow.want("snapshot")
	g.set("busy", `{"x":1}`)
	slow.want("update")
	begin, before := time.Now(), g.turns()
	for i := range 200 {
		g.set("busy", fmt.Sprintf(`{"x":%d}`, i+2))
		g.settle()
	}
	// The slow client's long wait goes by steps of a second, and 51 connections
	// may have had a ping.
	most := 10 + int(time.Since(begin).Seconds())*2 + 51*int(time.Since(begin)/pingSocket)
	if n := int(g.turns() - before); n > most {
		t.Errorf("200 rounds for nobody who is due gave %d turns", n)
	}
}

// appendTime writes what time.Time.AppendFormat writes.
func TestTimesOnTheWire(t *testing.T) {
	for _, at := range []time.Time{noon, time.UnixMilli(0), time.UnixMilli(1790000000009), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Date(12345, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), time.Date(-5, 1, 2, 3, 4, 5, 0, time.UTC)} {
		if got, want := string(appendTime(nil, at)), at.UTC().Format(`"2006-01-02T15:04:05.000Z"`); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
