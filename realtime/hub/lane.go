package hub

import "encoding/json"

// sendFacts appends the facts that wait for the connection. All state before
// them is out, so each of them may move the cursor. Those that share a seq stay
// together: an update between them would claim them all.
func (s *shard) sendFacts(c *conn, t *turn) {
	if !s.sendOld(c, t) || t.facts == 0 && !c.vague {
		return
	}
	ring := &s.hub.ring
	if t.facts > 0 && t.factNext < ring.start || c.vague {
		s.overflowed(c, t)
	}
	n, ok := s.nextFact(c, t.factNext)
	for ok {
		f := ring.at(n)
		if len(t.out) > s.hub.sizes.turn && !(t.sent > 0 && f.seq == t.last) {
			t.factNext, t.more = n, true
			return
		}
		m, another := s.nextFact(c, n+1)
		more := another && ring.at(m).seq == f.seq
		s.appendFact(c, t, f, more)
		t.sent++
		t.facts = max(t.facts-1, 1)
		n, ok = m, another
	}
	t.facts, t.factNext = 0, s.factEnd
}

func (s *shard) nextFact(c *conn, n uint64) (uint64, bool) {
	for ; n < s.factEnd; n++ {
		if f := s.hub.ring.at(n); c.covers(f.thing, n, f.seq) {
			return n, true
		}
	}
	return 0, false
}

func (s *shard) appendFact(c *conn, t *turn, f *fact, more bool) {
	b := append(s.body[:0], `{"type":"`...)
	b = append(append(b, f.kind...), '"')
	b = s.appendPast(appendMember(b, "seq", f.seq), f.seq)
	if more {
		b = append(b, `,"more":true`...)
	}
	if f.kind == "cmd" {
		if a := s.hub.asks[f.cmd]; a != nil && a.conn == c && a.follows(f) {
			b = appendID(b, a.id)
			if f.last() {
				t.done = append(t.done, a)
			}
		}
	}
	if len(f.body) > 0 {
		b = append(append(b, ','), f.body...)
	}
	b = append(b, '}')
	s.body = b
	cursor := f.seq
	if more {
		cursor = 0
	}
	t.out = s.appendFrame(t.out, c, f.kind, s.cursor(c, cursor), b)
	t.last = max(t.last, f.seq)
}

// overflowed tells how many facts the connection was too slow for.
func (s *shard) overflowed(c *conn, t *turn) {
	ring := &s.hub.ring
	missed := 0
	if t.facts > 0 {
		// Who came to stand in a place since brings facts that were not counted when
		// they came about, so what is forgotten is looked at itself, too.
		left, gone := 0, 0
		for n := max(t.factNext, ring.ghostStart); n < s.factEnd; n++ {
			switch thing, seq := ring.about(n); {
			case !c.covers(thing, n, seq):
			case n < ring.start:
				gone++
			default:
				left++
			}
		}
		t.factNext = max(t.factNext, ring.start)
		missed, t.facts = max(gone, t.facts-left), max(left, 1)
	} else {
		t.factNext = s.factEnd
	}
	if missed == 0 && !c.vague {
		return
	}
	// A struct of numbers and a fixed text cannot fail to be encoded.
	b, _ := json.Marshal(resync{Type: "resync", Replay: s.hub.clock != nil, Missed: missed, AtLeast: c.vague, From: t.last, To: ring.forgotten(), Reason: "this connection was too slow for its facts; the history has them"})
	t.out = s.appendFrame(t.out, c, "resync", 0, b)
	t.resync, t.missed, t.factTold = true, missed, min(ring.start, s.factEnd)
}

// inform notes that the client knows of all its facts before number n which are
// missing. A subscription that comes later may begin before n, and what it shares
// with another one must not be told again.
func (c *conn) inform(n uint64) {
	c.factTold = max(c.factTold, n)
	for _, s := range c.subs {
		s.informed = s.facts
	}
}
