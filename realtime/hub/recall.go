package hub

import (
	"context"
	"math"
	"time"

	"golang.org/x/sync/semaphore"

	"echotwin/realtime"
)

// FactStore has the facts that a hub no longer has in memory. The twins' hub is
// given the stream FACTS.
type FactStore interface {
	// Read calls yield with the facts that one of the patterns covers, of the
	// places after one and up to another, in order. Facts up to since may be
	// missing.
	Read(ctx context.Context, patterns []string, after, upTo uint64, yield func(realtime.Fact)) (since uint64, err error)

	// Stored is the place up to which all facts can be read.
	Stored() uint64
}

const (
	// What one resume may bring back, and what all of them together may hold
	// until it is sent.
	recallFacts = 4096
	recallBytes = 1 << 20
	recallRoom  = 32 << 20

	// recallTime bounds a resume that has to read old facts. A client that waited
	// so long is told what it misses instead.
	recallTime = 10 * time.Second

	// recallTries is how often the ring may forget while old facts are read.
	recallTries = 5
)

// recalled is the facts between a cursor and the ring.
type recalled struct {
	facts  []fact
	upTo   uint64 // they go up to here
	missed int    // older ones, after the cursor, that are not among them
	exact  bool   // so many it is, and no more
	weight int64  // of the room that they take
	room   *semaphore.Weighted
}

// free gives the room back. Nil has none.
func (r *recalled) free() {
	if r != nil && r.weight > 0 {
		r.room.Release(r.weight)
		r.weight = 0
	}
}

// recall reads the facts that a resume needs and the ring no longer has. It
// waits, so it runs where a client's next message may wait too, and never in a
// shard. Nil means that there is nothing to read, or that it could not be read:
// then the ring says what is missed.
func (h *Hub) recall(ctx context.Context, v Viewer, at cursor, rs []subRequest) *recalled {
	if h.archive == nil || at.epoch != h.epoch || !h.forgotAfter(at.seq) || len(rs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recallTime)
	defer cancel()
	r := &recalled{upTo: at.seq, exact: true, weight: recallBytes, room: h.recallRoom}
	if h.recallRoom.Acquire(ctx, r.weight) != nil {
		return nil
	}
	var paths []string
	for i := range rs {
		paths = append(paths, rs[i].Path)
	}
	patterns, covers := h.scope(paths, v.See)
	left := h.leftAfter(at.seq, paths, v)
	for thing := range left {
		if patterns = append(patterns, thing); len(left) > maxRoots {
			patterns = []string{"**"}
			break
		}
	}
	bytes := 0
	for range recallTries {
		upTo := min(h.forgotten(), h.archive.Stored())
		if upTo <= r.upTo {
			break
		}
		since, err := h.archive.Read(ctx, patterns, r.upTo, upTo, func(f realtime.Fact) {
			n, ok := newFact(&f, f.Seq)
			if !ok || v.See != nil && !v.See(f.Thing) || !covers(f.Thing) && f.Seq >= left[f.Thing] {
				return
			}
			r.facts, bytes = append(r.facts, n), bytes+len(n.body)
			for len(r.facts) > recallFacts || bytes > recallBytes && len(r.facts) > 1 {
				bytes -= len(r.facts[0].body)
				r.facts[0], r.facts = fact{}, r.facts[1:]
				r.missed++
			}
		})
		if err != nil {
			h.log.Warn("old facts could not be read", "error", err)
			r.free()
			return nil
		}
		r.exact = r.exact && since <= r.upTo
		r.upTo = upTo
	}
	if less := r.weight - int64(min(bytes, recallBytes)); less > 0 {
		h.recallRoom.Release(less)
		r.weight -= less
	}
	h.stats.recalled.Add(uint64(len(r.facts)))
	return r
}

// recallFor is recall for a resume over WebSocket. It runs in the reader, so that
// what the client says after the resume waits for it.
func (h *Hub) recallFor(c *conn, m *message) *recalled {
	at := cursor{m.Epoch, m.Seq}
	if h.archive == nil || at.epoch != h.epoch || !h.forgotAfter(at.seq) {
		return nil
	}
	viewer := make(chan Viewer, 1)
	if !c.shard.post(func(*shard) { viewer <- c.viewer }) {
		return nil
	}
	v := <-viewer
	if v.User == "" {
		return nil // has to sign in first
	}
	return h.recall(h.ctx, v, at, m.Subs)
}

// forgotten is the place of the newest fact that the ring has no more.
func (h *Hub) forgotten() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.ring.forgotten()
}

func (h *Hub) forgotAfter(seq uint64) bool { return seq < h.forgotten() }

// holdOld gives the connection what was recalled for it, in place of what it
// had before.
func (c *conn) holdOld(r *recalled) {
	c.recalled.free()
	c.recalled = r
}

// older are the recalled facts that are still to be sent.
func (c *conn) older() []fact {
	if c.recalled == nil {
		return nil
	}
	return c.recalled.facts
}

// sendOld appends recalled facts. It is false when there was no room for all.
func (s *shard) sendOld(c *conn, t *turn) bool {
	old := c.older()
	for t.old < len(old) {
		f := &old[t.old]
		if len(t.out) > s.hub.sizes.turn && !(t.sent > 0 && f.seq == t.last) {
			t.more = true
			return false
		}
		t.old++
		if !c.covers(f.thing, math.MaxUint64, f.seq) {
			continue // it has left that subscription
		}
		more := t.old < len(old) && old[t.old].seq == f.seq
		s.appendFact(c, t, f, more)
		t.sent++
	}
	return true
}

// commitOld forgets the recalled facts that are out.
func (c *conn) commitOld(t *turn) {
	if t.old == 0 {
		return
	}
	clear(c.recalled.facts[:t.old])
	if c.recalled.facts = c.recalled.facts[t.old:]; len(c.recalled.facts) == 0 {
		c.holdOld(nil)
	}
}

// Begin says where the hub starts, before the first update: at place seq, with
// the newest facts up to there, all that there were after factsSince, and with
// updates to come that tell all state that changed after stateSince and where
// it changed. Without it a hub knows of nothing before its first update, and a
// cursor from before that gets a snapshot.
func (h *Hub) Begin(seq uint64, facts []realtime.Fact, factsSince, stateSince uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fed, h.seq, h.began = true, seq, seq+1 // what time did is just after seq
	h.ring.known, h.forgot = factsSince, stateSince
	all := h.index.groves[""]
	all.began = max(all.began, h.began)
	for i := range facts {
		if n, ok := newFact(&facts[i], facts[i].Seq); ok {
			h.ring.add(n)
		}
	}
	end := h.ring.end
	h.open.before, h.open.factStart = seq, end
	for _, s := range h.shards {
		s.post(func(s *shard) { s.seq, s.factEnd = max(s.seq, seq), max(s.factEnd, end) })
	}
}
