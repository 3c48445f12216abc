package hub

import "time"

// A round is what changed between two moments. Shards deal with one round at a
// time, so nothing piles up: while they are busy, the next round gathers.
type round struct {
	n         uint64
	before    uint64 // the place of the log at the end of the round before
	seq       uint64 // the place at its end
	entries   []entry
	bereft    []bereft
	factStart uint64 // its facts, by number
	factEnd   uint64
}

// An entry is one changed thing.
type entry struct {
	thing   *thing
	prev    uint64 // newest round with a change before this one
	samples int
}

// A bereft is a place and the things that have left it.
type bereft struct {
	group  *group
	things []string
}

// conduct runs a round whenever something has changed, at most every gather.
func (h *Hub) conduct() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := -gather
	for {
		select {
		case <-h.wake:
		case <-h.ctx.Done():
			return
		}
		if wait := gather - (h.now() - last); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-h.ctx.Done():
				return
			}
		}
		last = h.now()
		if !h.hand(h.closeRound()) {
			return
		}
	}
}

// closeRound ends the open round and opens the next. Each changed thing that
// somebody watches is encoded here, once for all.
func (h *Hub) closeRound() *round {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.open
	r.seq, r.factEnd = h.seq, h.ring.end
	for i := range r.entries {
		e := &r.entries[i]
		if len(e.thing.groups) == 0 {
			e.thing.frag.ver = 0
			continue
		}
		e.thing.cut(r.n, e.prev)
		for k, g := range e.thing.groups {
			g.note(e.thing, k, r.n, e.samples)
		}
	}
	next := h.spare
	clear(next.entries)
	*next = round{n: r.n + 1, before: r.seq, entries: next.entries[:0], factStart: r.factEnd}
	h.open, h.spare = next, r
	return r
}

// hand gives the round to all shards and waits until they are through. It is
// false when the hub ends.
func (h *Hub) hand(r *round) bool {
	for _, s := range h.shards {
		s.rounds <- r // has room: the shard took the one before
	}
	for _, s := range h.shards {
		select {
		case <-s.through:
		case <-h.ctx.Done():
			return false
		}
	}
	h.stats.rounds.Add(1)
	return true
}
