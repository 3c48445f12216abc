package hub

import "slices"

// Most subscriptions want all of their things and may see all of them. What they
// lack is the same but for when they had it, so it is noted once, in the log of
// their group, and not for each of them: a round touches such a subscription
// only when it had everything. The others keep a list of their own.

// A way is how a subscription hears of changes.
type way uint8

const (
	apart  way = iota // each change is noted for it
	idle              // it has everything, and waits for any change of its group
	behind            // what it lacks is at the end of the group's log
)

// A roster is the subscriptions of a group that belong to one shard, which alone
// touches it.
type roster struct {
	subs  []*sub
	apart []*sub
	idle  []*sub
}

// A logged is a thing and the round that changed it last. Where it was before
// in the log is a hole.
type logged struct {
	round uint64
	thing *thing
}

// slack is how many holes a log may have beside as many as things.
const slack = 8

// note logs that round n changed the thing, whose group number k this is. The
// caller holds Hub.mu.
func (g *group) note(t *thing, k int, n uint64, samples int) {
	if g.round != n {
		g.round, g.before = n, g.samples
	}
	g.samples += uint64(samples)
	if at := t.seats[k].log; at >= 0 {
		g.log[at].thing = nil
	}
	if len(g.log) >= 2*len(g.things)+slack {
		g.tidy()
	}
	t.seats[k].log = len(g.log)
	g.log = append(g.log, logged{n, t})
}

// tidy closes the holes.
func (g *group) tidy() {
	left := g.log[:0]
	for _, l := range g.log {
		if l.thing != nil {
			l.thing.seat(g).log = len(left)
			left = append(left, l)
		}
	}
	clear(g.log[len(left):])
	g.log = left
}

// beginLog is for a new group: it logs what changed in the newest rounds, of
// which a shard may not have heard yet.
func (g *group) beginLog(n uint64) {
	for _, t := range g.things {
		if t.ver >= n {
			g.note(t, slices.Index(t.groups, g), n, 0)
		}
	}
}

// until is how many samples there were up to round n, which is the newest or
// the one before it.
func (g *group) until(n uint64) uint64 {
	if g.round > n {
		return g.before
	}
	return g.samples
}

// lacks is the things that changed since the subscription had everything. It is
// good until the next call.
func (s *shard) lacks(sub *sub) []*thing {
	s.list = s.list[:0]
	log := sub.group.log
	for i := len(log) - 1; i >= 0 && log[i].round > sub.since.ver; i-- {
		if t := log[i].thing; t != nil {
			s.list = append(s.list, t)
		}
	}
	return s.list
}

// rouse gives the idle subscriptions of a group that round r has changed a turn.
func (s *shard) rouse(g *group, r *round) {
	those := g.of[s.i].idle
	for i, sub := range those {
		those[i] = nil
		sub.way, sub.dirty, sub.dirtyAt, sub.hold = behind, true, s.now, r.before
		s.await(sub)
	}
	g.of[s.i].idle = those[:0]
}

// turn puts the subscription where it hears of changes in another way.
func (s *sub) turn(to way, shard int) {
	all := &s.group.of[shard]
	switch s.way {
	case apart:
		all.apart = s.quit(all.apart)
	case idle:
		all.idle = s.quit(all.idle)
	}
	switch s.way = to; to {
	case apart:
		all.apart = s.enlist(all.apart)
	case idle:
		all.idle = s.enlist(all.idle)
	}
}

func (s *sub) enlist(in []*sub) []*sub {
	s.place = len(in)
	return append(in, s)
}

func (s *sub) quit(from []*sub) []*sub {
	end := len(from) - 1
	last := from[end]
	from[s.place], last.place = last, s.place
	from[end] = nil
	return from[:end]
}

// usual says whether the group's log does for the subscription.
func (s *sub) usual() bool {
	return s.fields == nil && s.see == nil && len(s.overlaps) == 0 && !s.paging && s.since.seq == 0
}

// part has changes noted for the subscription by itself from now on. The caller
// holds Hub.mu, perhaps for reading.
func (s *sub) part() {
	if s.way == apart {
		return
	}
	if s.way == behind {
		s.scan, s.merged = true, s.samples()
	}
	s.turn(apart, s.conn.shard.i)
}

// samples is how many came since the last update. The caller holds Hub.mu.
func (s *sub) samples() int {
	if s.way != behind {
		return s.merged
	}
	return int(s.group.until(s.conn.shard.n) - s.told)
}
