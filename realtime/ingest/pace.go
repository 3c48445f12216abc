package ingest

import (
	"hash/maphash"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// A write to the log costs the same for one reading as for a hundred: a sync of
// the disk, and a wake of everything behind the log. So while thousands of
// readings come each second, telemetry waits up to 20 ms for others to share a
// write with. A machine that has less to do has time for a write for each, and
// then what is soonest on the screens is best.
//
// Waiting may not slow down who sends one after the other, each when the one
// before is acknowledged. Somebody who was acknowledged by the last write and is
// here again is such a one, and is not held. Nor is anybody held for long where
// it brings nobody: then it is tried again only now and then.
const (
	many     = 2000 // readings a second, from which on writes are held
	pace     = 50   // writes a second
	freeRow  = 10   // writes in a row that are free
	mostVain = 6    // after so many vain holds in a row 2^6 writes are not held
)

var seed = maphash.MakeSeed()

// callerOf names who sends by the first thing that it speaks for.
func callerOf(thing string) uint64 { return maphash.String(seed, thing) }

// A pacer belongs to the goroutine that writes, but for back.
type pacer struct {
	level  float64 // readings of late, less what would have come at the rate of many
	at     time.Time
	writes *rate.Limiter
	vain   int // holds in a row that brought nobody
	skip   int // writes that are not held

	back []uint64 // guarded by gather.mu: who was acknowledged by the last write
}

func newPacer() pacer { return pacer{writes: rate.NewLimiter(pace, freeRow)} }

// hold waits until the oldest bundle is to be written. It says whether it waited.
func (g *gather) hold() bool {
	p := &g.pacer
	if p.level < many {
		return false
	}
	if p.skip > 0 {
		p.skip--
		return false
	}
	if g.urgent() {
		return false
	}
	turn := p.writes.Reserve()
	d := turn.Delay()
	if d == 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-g.wake:
			if g.urgent() {
				turn.Cancel()
				return true
			}
		}
	}
}

// urgent says whether the oldest bundle is to be written at once.
func (g *gather) urgent() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed || len(g.queue) > 1 || g.queue[0].urgent
}

// hurries says whether a chunk is not to be held. mu is held.
func (g *gather) hurries(c chunk) bool {
	return c.facts > 0 || slices.Contains(g.pacer.back, c.caller)
}

// learn takes what was written, and what a hold brought.
func (p *pacer) learn(held bool, callers, readings int) {
	now := time.Now()
	p.level = min(max(0, p.level-now.Sub(p.at).Seconds()*many)+float64(readings), 2*many)
	p.at = now
	switch {
	case !held:
	case callers > 1:
		p.vain = 0
	default:
		p.vain = min(p.vain+1, mostVain)
		p.skip = 1 << p.vain
	}
}
