package hub

import (
	"fmt"
	"slices"

	"echotwin/realtime"
)

// A departure is a thing that stands below some places no more.
type departure struct {
	thing    string
	from     []string
	ver, seq uint64
}

// keep remembers a departure, and the newest of them at most.
func (v *grove) keep(d departure, most int) {
	if v.away == nil {
		v.away = map[string]int{}
	}
	v.left = append(v.left, d)
	v.away[d.thing]++
	less := len(v.left) - most
	if less <= 0 {
		return
	}
	v.lost = since{v.left[less-1].ver, v.left[less-1].seq}
	for i := range v.left[:less] {
		old := &v.left[i]
		if v.away[old.thing]--; v.away[old.thing] == 0 {
			delete(v.away, old.thing)
		}
		*old = departure{}
	}
	v.left = v.left[less:]
}

// after calls f with the places that the thing has left since place seq of the
// log. A fact of there is still theirs, or it would be lost to who is a little late.
func (v *grove) after(thing string, seq uint64, f func(places []string)) {
	if v.away[thing] == 0 {
		return
	}
	for i := len(v.left) - 1; i >= 0 && v.left[i].seq > seq; i-- {
		if v.left[i].thing == thing {
			f(v.left[i].from)
		}
	}
}

// stood says whether a fact of the thing, of place seq of the log, belongs to the
// group: it stands there, or did then.
func (g *group) stood(thing string, seq uint64) bool {
	stood := g.covers(thing)
	if g.grove != nil && !stood {
		g.grove.after(thing, seq, func(places []string) { stood = stood || slices.Contains(places, g.place) })
	}
	return stood
}

// stood calls f for each group that has a fact of the thing, perhaps twice.
func (x *index) stood(thing string, seq uint64, f func(*group)) {
	x.covering(thing, f)
	for _, v := range x.groves {
		v.after(thing, seq, func(places []string) {
			for _, place := range places {
				if g := v.places[place]; g != nil {
					f(g)
				}
			}
		})
	}
}

// misses says whether the things that left the place since are not all known.
func (s *sub) misses() bool {
	v := s.group.grove
	return v != nil && !s.since.has(v.lost.ver, v.lost.seq)
}

// departed calls f for the things that left the place since the subscription had
// everything, and did not come back.
func (s *sub) departed(f func(thing string)) {
	v := s.group.grove
	if v == nil {
		return
	}
	told := map[string]bool{}
	tell := func(thing string) {
		if !told[thing] && s.conn.sees(thing) && !s.holds(thing) {
			told[thing] = true
			f(thing)
		}
	}
	for i := len(v.left) - 1; i >= 0 && !s.since.has(v.left[i].ver, v.left[i].seq); i-- {
		if d := &v.left[i]; slices.Contains(d.from, s.group.place) {
			tell(d.thing)
		}
	}
	for _, thing := range s.parted {
		tell(thing)
	}
}

// bereave notes for the subscriptions of places that something left them.
func (s *shard) bereave(r *round, all []bereft) {
	for i := range all {
		b := &all[i]
		s.rouse(b.group, r)
		for _, sub := range b.group.of[s.i].apart {
			if sub.paging { // a page may have named it, and may be long out
				sub.parted = append(sub.parted, b.things...)
			}
			if !sub.dirty {
				sub.dirty, sub.dirtyAt, sub.hold = true, s.now, r.before
				s.await(sub)
			}
		}
	}
}

// A membership says who joined and who left a subscription by place, in one frame.
type membership struct{ joined, left []byte }

func (m *membership) reset() { m.joined, m.left = m.joined[:0], m.left[:0] }

func (m *membership) empty() bool { return len(m.joined)+len(m.left) == 0 }

// note adds a thing to the list of the subscription, which is the last one.
func note(dst []byte, sub, thing string, first bool) []byte {
	if first {
		if len(dst) > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendKey(dst, sub), '[', ']')
	}
	dst = append(comma(dst[:len(dst)-1]), '"')
	return append(append(dst, thing...), '"', ']')
}

func (m *membership) append(dst []byte) []byte {
	if len(m.joined) > 0 {
		dst = append(append(append(dst, `,"joined":{`...), m.joined...), '}')
	}
	if len(m.left) > 0 {
		dst = append(append(append(dst, `,"left":{`...), m.left...), '}')
	}
	return dst
}

// leaving appends who left the subscription. What nothing else of the connection
// covers is gone from its screen, which the frame says as it does of a thing that
// is removed.
func (s *shard) leaving(c *conn, n *sub, stamp uint64, dst []byte) []byte {
	first := true
	n.departed(func(thing string) {
		s.members.left = note(s.members.left, n.id, thing, first)
		first = false
		if slices.ContainsFunc(c.subs, func(o *sub) bool { return o.holds(thing) }) {
			return
		}
		if t := s.hub.index.byID[thing]; t != nil {
			if t.stamps[s.i] == stamp {
				return
			}
			t.stamps[s.i] = stamp
		}
		dst = append(appendKey(comma(dst), thing), "null"...)
	})
	return dst
}

// misplaced says why nobody knows what left the places since the cursor, or
// nothing. The descriptions have no place in the log: another server may have
// heard of a link before or after the same reading.
func (s *shard) misplaced(c *conn, seq uint64) string {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	for _, n := range c.subs {
		v := n.group.grove
		switch {
		case v == nil:
		case s.hub.shared:
			return fmt.Sprintf("what stands below %s may not have been the same for a server that the cursor is of", n.group.place)
		case seq < max(v.began, v.lost.seq):
			return fmt.Sprintf("what stood below %s at the cursor %d is not remembered; that begins at %d", n.group.place, seq, max(v.began, v.lost.seq))
		}
	}
	return ""
}

// leftAfter is the things that have left one of the paths, which are places, since
// place seq of the log, and where they left last, for the viewer.
func (h *Hub) leftAfter(seq uint64, paths []string, of Viewer) map[string]uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	v := h.index.groves[of.tree()]
	if v == nil || of.See != nil && of.Rights == "" { // nobody shares that tree
		return nil
	}
	left := map[string]uint64{}
	for i := len(v.left) - 1; i >= 0 && v.left[i].seq > seq; i-- {
		d := &v.left[i]
		if slices.ContainsFunc(d.from, func(place string) bool { return slices.Contains(paths, realtime.Under+place) }) {
			left[d.thing] = max(left[d.thing], d.seq)
		}
	}
	return left
}
