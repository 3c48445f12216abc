package hub

// markStep is how many things are looked at under one lock, so that Publish
// does not wait for a whole round.
const markStep = 256

// mark notes for each subscription what a round has for it and gives those
// connections a turn. Its cost is that of what changed and who follows it.
func (s *shard) mark(r *round) {
	h := s.hub
	for start := 0; start < len(r.entries); start += markStep {
		h.mu.RLock()
		for i := start; i < min(start+markStep, len(r.entries)); i++ {
			e := &r.entries[i]
			for _, g := range e.thing.groups {
				s.rouse(g, r)
				for _, sub := range g.of[s.i].apart {
					s.markState(sub, e, r)
				}
			}
		}
		h.mu.RUnlock()
	}
	h.mu.RLock()
	s.bereave(r, r.bereft)
	// What has left a place since the round was closed is not found there any more:
	// that it left is all that is told of its change, and no claim of this round may
	// be made before.
	s.bereave(r, h.open.bereft)
	h.mu.RUnlock()
	if r.factStart < r.factEnd {
		h.mu.RLock()
		s.markFacts(r)
		h.mu.RUnlock()
		s.answerSteps()
	}
	s.n, s.seq, s.factEnd = r.n, r.seq, r.factEnd
}

// markState notes one change for a subscription that hears of each.
func (s *shard) markState(sub *sub, e *entry, r *round) {
	// What has come to a place is told whatever there is to be told of it.
	came := sub.group.grove != nil && e.thing.joined.ver >= r.n
	if sub.fields != nil && !came && !sub.touched(e.thing, r.n) || sub.see != nil && !sub.see(e.thing.id) {
		return
	}
	if !sub.dirty {
		sub.dirty, sub.dirtyAt, sub.hold = true, s.now, r.before
		s.await(sub)
	}
	// A thing that had changed since the last update is in the list already, but
	// for one that was not the subscription's then.
	sub.loose = sub.loose || came
	if !sub.scan && (sub.fields != nil || e.prev <= sub.base || came) {
		if len(sub.list) >= s.hub.sizes.list {
			sub.scan, sub.list = true, nil
		} else {
			sub.list = append(sub.list, e.thing)
		}
	}
	s.count(sub, e, r)
}

// await gives the connection a turn when the subscription, which has become
// dirty, is due. One turn is enough: as long as something is left after it, the
// turn sees to the next.
func (s *shard) await(sub *sub) {
	if sub.due(s.now) {
		s.touch(sub.conn)
		return
	}
	s.schedule(sub.conn, sub.dueAt())
}

// count adds the samples of a change to the subscription that will deliver them
// first, once for each connection.
func (s *shard) count(sub *sub, e *entry, r *round) {
	if sub.paging {
		return
	}
	for _, o := range sub.overlaps {
		if o.counted.thing == e.thing && o.counted.round == r.n && !o.paging {
			if o.period <= sub.period {
				return
			}
			o.merged -= e.samples
			o.counted.thing = nil
		}
	}
	if len(sub.overlaps) > 0 {
		sub.counted.thing, sub.counted.round = e.thing, r.n
	}
	sub.merged += e.samples
}

// touched says whether round n, or a later one, has something for the fields.
func (s *sub) touched(t *thing, n uint64) bool {
	if t.gone || t.marks.ver >= n {
		return true
	}
	for i := range t.props {
		if t.props[i].ver >= n && covers(s.fields, t.props[i].name) {
			return true
		}
	}
	return false
}

// markFacts notes the facts of a round for each connection that they concern.
// Those that were forgotten before the round began count as well, so that they
// are told to be missing.
func (s *shard) markFacts(r *round) {
	ring := &s.hub.ring
	if r.factStart < ring.ghostStart { // not even their things are known
		for c := range s.conns {
			c.vague = len(c.subs) > 0
			s.touch(c)
		}
	}
	n := max(r.factStart, ring.ghostStart)
	for ; n < min(ring.start, r.factEnd); n++ {
		g := ring.ghost(n)
		s.countFact(g.thing, n, g.seq)
		if a := s.askOf(g.cmd, n); a != nil && a.told {
			s.steps = append(s.steps, step{a, a.end, true})
		}
	}
	for ; n < r.factEnd; n++ {
		f := ring.at(n)
		s.countFact(f.thing, n, f.seq)
		if a := s.askOf(f.cmd, n); a != nil && a.follows(f) {
			s.steps = append(s.steps, step{a, f.body, f.last()})
		}
	}
}

func (s *shard) countFact(thing string, n, seq uint64) {
	s.hub.index.stood(thing, seq, func(g *group) {
		for _, sub := range g.of[s.i].subs {
			c := sub.conn
			if !sub.facts || n < sub.factFrom || c.counted > n || !c.sees(thing) || n < c.factTold && !c.covers(thing, n, seq) {
				continue
			}
			if c.facts == 0 {
				c.factNext, c.factAt = n, s.now
			}
			c.facts++
			c.counted = n + 1
			s.touch(c)
		}
	})
}

// askOf is who asked for the command and gets its steps from here, because no
// subscription of the connection brings fact number n.
func (s *shard) askOf(cmd string, n uint64) *ask {
	if a := s.hub.asks[cmd]; a != nil && a.conn.shard == s && a.conn.counted <= n {
		return a
	}
	return nil
}

// covers says whether fact number n, of that thing and place seq of the log, is for
// the connection and it has not been told that it is missing.
func (c *conn) covers(thing string, n, seq uint64) bool {
	covered := false
	for _, s := range c.subs {
		switch {
		case !s.facts || n < s.factFrom || !s.group.stood(thing, seq):
		case n >= c.factTold:
			return c.sees(thing)
		case s.informed:
			return false
		default:
			covered = true
		}
	}
	return covered && c.sees(thing)
}
