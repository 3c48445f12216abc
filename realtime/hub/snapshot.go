package hub

import (
	"strconv"
)

// startSnapshot has the subscription told everything from scratch. Things that
// change while its pages go out are noted like any change, and the last page
// repeats them, so that it can claim what it says.
func (s *shard) startSnapshot(sub *sub) {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	if !sub.paging {
		sub.pageHold = s.seq
		if sub.dirty {
			sub.pageHold = sub.hold
		}
	}
	sub.paging, sub.page, sub.matched, sub.hidden = true, 0, 0, 0
	sub.served(s.n)
	sub.snap = make([]*thing, 0, len(sub.group.things))
	for _, t := range sub.group.things {
		if t.gone && !sub.conn.sees(t.id) {
			continue // not even its name
		}
		if t.gone {
			// Another subscription may still owe the client its removal, and must
			// not be taken to have told it.
			for _, o := range sub.appendWith(s.all[:0], t.id)[1:] {
				if !o.since.has(t.ver, t.seq) {
					sub.snap = append(sub.snap, t)
					break
				}
			}
			continue
		}
		sub.matched++
		if !sub.conn.sees(t.id) {
			sub.hidden++
			continue
		}
		sub.snap = append(sub.snap, t)
	}
	s.touch(sub.conn)
}

// pageOf appends the next page of a snapshot, if one is on its way.
func (s *shard) pageOf(c *conn, t *turn) {
	var sub *sub
	for _, one := range c.subs {
		if one.paging && !one.facts && t.old < len(c.older()) {
			continue // it would begin among facts that were read for the others alone
		}
		if one.paging && sub == nil {
			sub = one
		} else if one.paging {
			t.more = true
		}
	}
	if sub == nil {
		return
	}
	t.page = sub
	sub.upto = sub.group.until(s.n)
	w := want{since: sub.since, fields: sub.fields}
	if len(sub.overlaps) > 0 {
		w.all = append(s.all[:0], sub) // not nil, which would mean that there is no other
	}
	things := append(s.things[:0], '{')
	s.members.reset()
	for t.pageEnd = sub.page; t.pageEnd < len(sub.snap) && len(things) < s.hub.sizes.page; t.pageEnd++ {
		things = s.stateOf(sub, sub.snap[t.pageEnd], &w, things)
	}
	more := t.pageEnd < len(sub.snap)
	if !more { // and what changed since the first page, or is new since then
		for _, th := range s.changed(sub) {
			things = s.stateOf(sub, th, &w, things)
		}
		if sub.scan { // which finds no thing that was removed and forgotten meanwhile
			for _, th := range sub.snap {
				if th.gone {
					things = s.stateOf(sub, th, &w, things)
				}
			}
		}
		things = s.leaving(c, sub, s.turn+1, things)
	}
	s.things = append(things, '}')
	t.more = t.more || more
	s.appendPage(c, t, sub, more)
}

// stateOf appends a thing once in a page.
func (s *shard) stateOf(sub *sub, th *thing, w *want, dst []byte) []byte {
	if th.stamps[s.i] == s.turn+1 || !sub.group.has(th) || s.hub.index.replaced(th) { // who came in its place has changed since, too
		return dst
	}
	th.stamps[s.i] = s.turn + 1
	if w.all != nil {
		w.all = sub.appendWith(w.all[:0], th.id)
	}
	return th.appendState(comma(dst), w)
}

func (s *shard) appendPage(c *conn, t *turn, sub *sub, more bool) {
	seq := s.claim(c, t)
	b := append(s.body[:0], `{"type":"snapshot"`...)
	b = appendID(b, sub.answer)
	b = append(b, `,"sub":"`...)
	b = append(append(b, sub.id...), `","epoch":`...)
	b = strconv.AppendQuote(b, s.hub.epoch)
	b = s.appendPast(appendMember(b, "seq", seq), seq)
	b = appendMember(b, "matched", uint64(sub.matched))
	b = appendMember(b, "hidden", uint64(sub.hidden))
	b = append(b, `,"more":`...)
	b = strconv.AppendBool(b, more)
	b = s.members.append(b)
	b = append(b, `,"things":`...)
	b = append(append(b, s.things...), '}')
	s.body = b
	cursor := uint64(0)
	if !more && !c.pagingBut(sub) {
		cursor = seq
	}
	t.out = s.appendFrame(t.out, c, "snapshot", cursor, b)
	t.last = seq
}

// pagingBut says whether another snapshot is on its way than this one.
func (c *conn) pagingBut(one *sub) bool {
	for _, s := range c.subs {
		if s.paging && s != one {
			return true
		}
	}
	return false
}

func (s *shard) commitPage(c *conn, t *turn) {
	sub := t.page
	if t.pageEnd < len(sub.snap) {
		sub.page = t.pageEnd
		return
	}
	sub.paging, sub.whole, sub.snap, sub.parted, sub.answer = false, true, nil, nil, nil
	if !sub.facts {
		s.joinFacts(c, sub)
	}
	sub.served(s.n)
	// What had to wait for the snapshot has its turn now. Nothing else may come
	// that would give it one.
	t.more = t.more || c.facts > 0 || len(c.older()) > 0 || c.vague || c.resumed || c.held
}

// joinFacts has the subscription get all facts after its snapshot. That may
// have claimed less than the server knows, so some are there already, or were
// and are forgotten; none of them is out, or the cursor would be further.
func (s *shard) joinFacts(c *conn, sub *sub) {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	ring := &s.hub.ring
	sub.facts, sub.factFrom = true, ring.findAny(c.last)
	if first := sub.factFrom; first < s.factEnd {
		if c.facts > 0 { // one that shares the seq of the cursor may wait for its turn
			first = min(first, c.factNext)
		}
		s.recount(c, first)
		c.vague = c.vague || ring.ghostStart > 0 && c.last < ring.known
	}
}

// recountWaiting is for a connection whose subscriptions or rights have changed since
// its facts came.
func (s *shard) recountWaiting(c *conn) {
	if c.facts > 0 {
		s.hub.mu.RLock()
		defer s.hub.mu.RUnlock()
		s.recount(c, c.factNext)
	}
}

// recount finds the facts for the connection from number first on, which may
// lie ahead of the shard. Forgotten ones count too, so that they are told to be
// missing. The caller holds Hub.mu.
func (s *shard) recount(c *conn, first uint64) {
	ring := &s.hub.ring
	c.facts, c.counted = 0, s.factEnd
	c.vague = c.vague || first < min(ring.ghostStart, s.factEnd)
	for n := max(first, ring.ghostStart); n < s.factEnd; n++ {
		if thing, seq := ring.about(n); c.covers(thing, n, seq) {
			if c.facts == 0 {
				c.factNext, c.factAt = n, s.now
			}
			c.facts++
		}
	}
}
