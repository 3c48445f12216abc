package hub

import (
	"cmp"
	"slices"
	"strings"
)

// Presence is how many connections follow a thing and may see it. It is counted
// when somebody asks: a subscription costs its group one number, whatever the
// number of things behind it.
//
// Most subscriptions need no more than that number. The odd ones are those
// whose connection may not see everything, or has another that may cover the
// same thing; they are looked at one by one.

// odd says whether a subscription has to be looked at. The caller holds Hub.mu.
func (s *sub) odd() bool { return s.conn.viewer.See != nil || len(s.overlaps) > 0 }

// present counts a subscription in its group, or moves it when it has become
// odd or plain. The caller holds Hub.mu.
func (s *sub) present() {
	s.absent()
	if !s.odd() {
		s.group.plain++
		s.presence = plainly
		return
	}
	s.presence = int32(len(s.group.odd)) + 1
	s.group.odd = append(s.group.odd, s)
}

// absent takes it out again.
func (s *sub) absent() {
	switch g := s.group; s.presence {
	case nowhere:
		return
	case plainly:
		g.plain--
	default:
		last := g.odd[len(g.odd)-1]
		g.odd[s.presence-1], last.presence = last, s.presence
		g.odd[len(g.odd)-1] = nil
		g.odd = g.odd[:len(g.odd)-1]
	}
	s.presence = nowhere
}

// own makes v the connection's owner. What its subscriptions count for may
// change by that.
func (s *shard) own(c *conn, v Viewer) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	c.viewer = v
	for _, sub := range c.subs {
		sub.present()
	}
}

// The places of a subscription in its group; what is above is one among odd.
const (
	nowhere = 0
	plainly = -1
)

// viewers counts the connections whose subscription in the group is the one that
// they follow the thing by. The caller holds Hub.mu.
func (g *group) viewers(thing string) int {
	n := g.plain
	for _, s := range g.odd {
		if s.first(thing) && s.conn.sees(thing) {
			n++
		}
	}
	return n
}

// first says whether the subscription is the oldest of its connection that
// covers the thing, so that the connection is counted once.
func (s *sub) first(thing string) bool {
	for _, o := range s.overlaps {
		if o.num < s.num && o.group.covers(thing) {
			return false
		}
	}
	return true
}

// A Viewed is a thing that somebody follows.
type Viewed struct {
	Thing   string `json:"thing"`
	Viewers int    `json:"viewers"`
}

// Viewers is how many connections of this server follow the thing and may see it.
func (h *Hub) Viewers(thing string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := 0
	h.index.covering(thing, func(g *group) { n += g.viewers(thing) })
	return n
}

// Viewed are the things that the pattern covers and see accepts (nil means all)
// and that somebody follows, by id: at most limit of them after the id after.
// More says that there are more.
func (h *Hub) Viewed(pattern, after string, limit int, see func(thing string) bool) (page []Viewed, more bool) {
	page = []Viewed{}
	for _, id := range h.followed(pattern) {
		if id <= after || see != nil && !see(id) {
			continue
		}
		n := h.Viewers(id)
		switch {
		case n == 0:
		case len(page) == limit:
			return page, true
		default:
			page = append(page, Viewed{id, n})
		}
	}
	return page, false
}

// followed are the ids of the things that the pattern and some subscription
// cover, sorted.
func (h *Hub) followed(pattern string) []string {
	var ids []string
	h.mu.RLock()
	covered(&h.index.things, pattern, func(t *thing) {
		if len(t.groups) > 0 && !t.gone {
			ids = append(ids, t.id)
		}
	})
	h.mu.RUnlock()
	slices.Sort(ids)
	return ids
}

// audience is the presence of all things in figures.
type audience struct {
	followed int      // things that some subscription covers
	most     []Viewed // those with the most viewers, the most first
}

// audience finds the things with the most viewers. They are ranked by their
// subscriptions, which costs one number for each pattern that covers a thing,
// and only the first are counted exactly.
func (h *Hub) audience(limit int) audience {
	var all []Viewed
	h.mu.RLock()
	covered(&h.index.things, "**", func(t *thing) {
		if len(t.groups) == 0 || t.gone {
			return
		}
		n := 0
		for _, g := range t.groups {
			n += g.count
		}
		all = append(all, Viewed{t.id, n})
	})
	h.mu.RUnlock()
	rank := func(a, b Viewed) int {
		return cmp.Or(cmp.Compare(b.Viewers, a.Viewers), strings.Compare(a.Thing, b.Thing))
	}
	slices.SortFunc(all, rank)
	out := audience{followed: len(all), most: all[:min(limit, len(all))]}
	for i := range out.most {
		out.most[i].Viewers = h.Viewers(out.most[i].Thing)
	}
	return out
}
