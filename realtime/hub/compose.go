package hub

import (
	"slices"
	"strconv"
	"time"
)

// A turn is what a connection gets in one write. Composing changes nothing but
// scratch; commit makes it true once the socket has taken the first byte. So a
// client that takes nothing has been told nothing, and gets it newer later.
type turn struct {
	out  []byte
	more bool          // there is more to say at once
	next time.Duration // when there will be; zero means when something changes

	answered bool   // answers are in it
	last     uint64 // the client's cursor after it
	held     bool   // the newest claim is held back by what has to wait
	updated  bool   // an update is in it
	resumed  bool   // a resume still wants its last update
	updates  int    // things in updates
	samples  int

	old      int // recalled facts that are in it or not wanted any more
	facts    int // that still wait after it
	factNext uint64
	factTold uint64
	resync   bool
	sent     int // facts in it
	missed   int

	piped bool // what a replay has to say is in it

	done []*ask // whose last step is in it

	subs  []*sub // served by it
	stale *sub   // too far behind to be told of what was removed: starts again
	cut   *sub   // served in part
	rest  []*thing

	page    *sub // whose snapshot has a page in it
	pageEnd int
}

// compose writes down what the connection is due, without any lasting effect.
func (s *shard) compose(c *conn) turn {
	s.turn += 2 // the odd number after it stamps pages
	t := turn{out: s.out[:0], last: c.last, facts: c.facts, factNext: c.factNext, resumed: c.resumed, held: c.held}
	if len(c.answers) > 0 {
		t.out, t.answered = append(t.out, c.answers...), true
	}
	if c.closing != nil {
		return t
	}
	if c.replay != nil {
		b := c.replay.pipe.look()
		t.out, t.piped = append(t.out, b...), b != nil
		s.out = t.out
		return t
	}
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	t.subs = s.due[:0]
	hurry := s.hurry(c, &t)
	s.pick(c, &t, hurry)
	if len(t.subs) > 0 {
		s.update(c, &t)
	}
	if hurry && t.whole() {
		s.sendFacts(c, &t)
	}
	if (t.resumed || t.held) && t.facts == 0 && t.old == len(c.older()) && t.cut == nil && !c.paging() {
		s.catchUp(c, &t)
	}
	if len(t.out) < s.hub.sizes.turn {
		s.pageOf(c, &t)
	} else if c.paging() {
		t.more = true // or a page that found no room would wait for ever
	}
	s.out, s.due = t.out, t.subs
	return t
}

// hurry says whether facts are to go out now. All changed state goes before
// them, though not more often than the server's own rate.
func (s *shard) hurry(c *conn, t *turn) bool {
	if t.facts == 0 && !c.vague && len(c.older()) == 0 {
		return false
	}
	held := false
	for _, sub := range c.subs {
		if sub.paging && sub.facts {
			return false // a resume whose snapshot is on its way: state first
		}
		held = held || sub.dirty && !sub.paging && !sub.due(s.now)
	}
	if at := c.lastUpdate + s.period(s.hub.limits.Rate); held && s.now < at {
		t.next = at
		return false
	}
	return true
}

func (s *shard) period(rate float64) time.Duration {
	return time.Duration(float64(time.Second) / rate)
}

// pick takes the subscriptions whose turn it is and finds when the others'
// will be.
func (s *shard) pick(c *conn, t *turn, hurry bool) {
	for _, sub := range c.subs {
		switch {
		case !sub.dirty || sub.paging:
		case sub.scan && sub.rest == nil && sub.since.ver < s.hub.forgotVer && sub.since.seq < s.hub.forgot, s.outlived(sub),
			sub.way == behind && sub.since.ver < sub.group.lost, sub.misses():
			t.stale = sub
		case hurry || sub.due(s.now):
			t.subs = append(t.subs, sub)
		default:
			if at := sub.dueAt(); t.next == 0 || at < t.next {
				t.next = at
			}
		}
	}
}

// outlived says whether a thing that the subscription lists was removed,
// forgotten and made anew meanwhile: no frame can say both of one id, and the
// new thing does not know what the old one had.
func (s *shard) outlived(sub *sub) bool {
	return sub.since.ver < s.hub.forgotVer &&
		(slices.ContainsFunc(sub.list, s.hub.index.replaced) || slices.ContainsFunc(sub.rest, s.hub.index.replaced))
}

// whole says whether the turn's update has all that changed, so that facts may
// follow it.
func (t *turn) whole() bool {
	return t.cut == nil && t.stale == nil && !slices.ContainsFunc(t.subs, (*sub).halfway)
}

// lastPage says whether the turn ends the subscription's snapshot.
func (t *turn) lastPage(sub *sub) bool { return t.page == sub && t.pageEnd == len(sub.snap) }

// halfway says whether something changed while the client was told the rest of
// what did not fit into one frame.
func (s *sub) halfway() bool { return s.rest != nil && (s.scan || len(s.list) > 0) }

// claim is the newest place up to which the client will have everything: held
// back by what has to wait, and never behind what was claimed before.
func (s *shard) claim(c *conn, t *turn) uint64 {
	seq := s.seq
	for _, sub := range c.subs {
		switch {
		case sub.paging && sub.whole && !t.lastPage(sub):
			seq = min(seq, sub.pageHold)
		case !sub.dirty || sub.paging:
		case sub.flushed != s.turn || sub == t.cut:
			seq = min(seq, sub.hold)
		case sub.halfway():
			seq = min(seq, sub.restHold)
		}
	}
	old := c.older()
	t.held = seq < s.seq || t.facts > 0 || t.old < len(old) || c.vague && !t.resync
	if t.old < len(old) {
		return max(min(seq, old[t.old].seq-1), t.last)
	}
	switch ring := &s.hub.ring; {
	case t.facts > 0 && t.factNext < ring.start || c.vague && !t.resync:
		return t.last // until it is told what it missed
	case t.facts > 0:
		seq = min(seq, ring.at(t.factNext).seq-1)
	}
	return max(seq, t.last)
}

// update appends one update frame for the subscriptions of the turn.
func (s *shard) update(c *conn, t *turn) {
	for _, sub := range t.subs {
		sub.flushed = s.turn
	}
	things := append(s.things[:0], '{')
	s.members.reset()
	samples := 0
	for _, sub := range t.subs {
		if t.cut != nil {
			sub.flushed = 0 // waits for what the frame had no room for
			continue
		}
		things = s.updateOf(c, t, sub, things)
		samples += sub.samples()
		sub.upto = sub.group.until(s.n)
	}
	s.things = things
	if len(things) == 1 && s.members.empty() {
		return // only what the client has already, or may not have
	}
	seq := s.claim(c, t)
	b := append(s.body[:0], `{"type":"update","prev":`...)
	b = strconv.AppendUint(b, t.last, 10)
	b = s.appendPast(appendMember(b, "seq", seq), seq)
	b = s.members.append(appendMember(b, "merged", uint64(max(samples, t.updates))))
	b = append(b, `,"things":`...)
	b = append(append(b, things...), '}', '}')
	s.body = b
	t.out = s.appendFrame(t.out, c, "update", s.cursor(c, seq), b)
	t.last, t.updated, t.samples = seq, true, max(samples, t.updates)
}

// cursor is what an SSE reader may resume from: nothing while a snapshot is
// still on its way.
func (s *shard) cursor(c *conn, seq uint64) uint64 {
	if c.paging() {
		return 0
	}
	return seq
}

// updateOf appends what one subscription has to say.
func (s *shard) updateOf(c *conn, t *turn, sub *sub, dst []byte) []byte {
	list := sub.rest
	if list == nil {
		list = s.changed(sub)
	}
	dst = s.leaving(c, sub, s.turn, dst)
	var joined map[*thing]bool
	for i, th := range list {
		if len(dst) > s.hub.sizes.update {
			t.cut, t.rest = sub, list[i:]
			return dst
		}
		if !sub.group.has(th) {
			continue // it has left
		}
		if sub.group.grove != nil && !joined[th] && sub.joined(th) {
			s.members.joined = note(s.members.joined, sub.id, th.id, joined == nil)
			if joined == nil {
				joined = map[*thing]bool{}
			}
			joined[th] = true // the list may name it twice
		}
		if sub.loose || sub.fields != nil || len(sub.overlaps) > 0 || sub.group.grove != nil {
			if th.stamps[s.i] == s.turn {
				continue
			}
			th.stamps[s.i] = s.turn
		}
		n := len(dst)
		dst = comma(dst)
		from := len(dst)
		if dst = s.thingFor(c, t, sub, th, dst); len(dst) == from {
			dst = dst[:n]
			continue
		}
		t.updates++
	}
	return dst
}

// changed is the things that may have something new for the subscription.
func (s *shard) changed(sub *sub) []*thing {
	switch {
	case sub.way == behind:
		return s.lacks(sub)
	case !sub.scan:
		return sub.list
	}
	var list []*thing
	for _, th := range sub.group.things {
		if !sub.since.has(th.ver, th.seq) && sub.conn.sees(th.id) {
			list = append(list, th)
		}
	}
	return list
}

// thingFor appends what a thing has for the connection.
func (s *shard) thingFor(c *conn, t *turn, sub *sub, th *thing, dst []byte) []byte {
	if len(sub.overlaps) == 0 {
		f := &th.frag
		if sub.fields == nil && sub.since.seq == 0 && f.ver > sub.since.ver && (f.prev <= sub.since.ver || f.full) {
			return append(dst, f.json...)
		}
		return th.appendSet(dst, &want{since: sub.since, fields: sub.fields})
	}
	s.all = sub.appendWith(s.all[:0], th.id)
	s.some = s.some[:0]
	joins := false
	for _, o := range s.all {
		if o.flushed == s.turn {
			s.some = append(s.some, o)
			joins = joins || o.group.grove != nil && o.joined(th)
		}
	}
	return th.appendSet(dst, &want{due: s.some, all: s.all, joins: joins})
}

// catchUp says the whole claim in an update that may be empty: at the end of a
// resume, and when what held a claim back has been told and left nothing to add.
// Without that the cursor would stay behind until the next change.
func (s *shard) catchUp(c *conn, t *turn) {
	end := t.resumed && !(t.updated && t.sent == 0)
	t.resumed = false
	seq := s.claim(c, t)
	if seq == t.last && !end {
		return // the update of this turn has said it
	}
	b := append(s.body[:0], `{"type":"update","prev":`...)
	b = strconv.AppendUint(b, t.last, 10)
	b = s.appendPast(appendMember(b, "seq", seq), seq)
	b = append(b, `,"merged":0,"things":{}}`...)
	s.body = b
	t.out = s.appendFrame(t.out, c, "update", s.cursor(c, seq), b)
	t.last, t.updated = seq, true
}

// commit makes a turn true.
func (s *shard) commit(c *conn, t *turn) {
	if t.answered {
		c.answers = nil
	}
	c.last, c.resumed, c.held = t.last, t.resumed, t.held
	c.facts, c.factNext = t.facts, t.factNext
	c.commitOld(t)
	if t.resync {
		c.vague = false
		c.inform(t.factTold)
	}
	if t.updated {
		c.lastUpdate = s.now
		merged := uint64(max(0, t.samples-t.updates))
		c.updates += uint64(t.updates)
		c.merged += merged
		s.counts.updates.Add(uint64(t.updates))
		s.counts.merged.Add(merged)
		s.counts.waited.observe(waitBounds, t.waited(s).Seconds())
	}
	c.tally.facts += uint64(t.sent)
	c.missed += uint64(t.missed)
	s.counts.facts.Add(uint64(t.sent))
	s.counts.missed.Add(uint64(t.missed))
	if t.resync {
		s.counts.resyncs.Add(1)
	}
	for _, sub := range t.subs {
		switch {
		case sub == t.cut:
			sub.putOff(s, t.rest)
			t.more = true
		case sub.flushed == s.turn:
			if sub.caughtUp(s.n); t.updated {
				sub.sent(s.now)
			}
			t.more = t.more || sub.urgent
		default:
			sub.urgent, t.more = true, true
		}
	}
	if t.page != nil {
		s.commitPage(c, t)
	}
	if t.piped {
		c.replay.pipe.taken()
	}
	if c.replay != nil && c.replay.pipe.finished() {
		s.bye(c, goodbye{code: 1000})
	}
	for _, a := range t.done {
		s.hub.forgetAsk(a)
	}
	if t.stale != nil {
		s.startSnapshot(t.stale)
	}
}

// putOff keeps what did not fit into the frame. What changes meanwhile is
// listed anew, so that an end is reached however much changes.
func (sub *sub) putOff(s *shard, rest []*thing) {
	if sub.way != apart {
		sub.turn(apart, s.i)
	}
	if sub.rest == nil {
		sub.base, sub.restHold = s.n, s.seq
		sub.list, sub.scan = nil, false
		rest = append([]*thing(nil), rest...)
	}
	sub.rest, sub.urgent, sub.merged = rest, true, 0
}

// caughtUp notes that the client has everything up to round n, or up to where
// the list was put off.
func (sub *sub) caughtUp(n uint64) {
	if !sub.halfway() {
		sub.served(n)
		return
	}
	sub.since, sub.hold = sub.upTo(sub.base), sub.restHold
	sub.rest, sub.urgent, sub.merged = nil, true, 0
}

// upTo is what the client has when it has everything up to round n. One that
// resumed may have more: its cursor can be ahead of its shard by a round, or, of
// a restarted server, by all that is still being read. What it had must not come
// again older.
func (s *sub) upTo(n uint64) since {
	if s.since.seq > s.conn.shard.seq {
		return since{ver: n, seq: s.since.seq}
	}
	return since{ver: n}
}

// served notes that the client has everything up to round n.
func (s *sub) served(n uint64) {
	clear(s.list)
	if s.list = s.list[:0]; cap(s.list) > 64 {
		s.list = nil
	}
	s.since, s.base, s.rest = s.upTo(n), n, nil
	s.dirty, s.scan, s.loose, s.urgent, s.merged = false, false, false, false, 0
	s.told = s.upto
	if s.usual() {
		s.turn(idle, s.conn.shard.i)
	} else if s.way != apart {
		s.turn(apart, s.conn.shard.i)
	}
}
