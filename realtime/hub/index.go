package hub

import (
	"slices"
	"strings"

	"echotwin/realtime"
)

// A group is all subscriptions with the same pattern, and the things that it
// covers. A change finds its subscriptions through the groups of its thing.
type group struct {
	pattern string
	grove   *grove // of the group of a place; else nil
	place   string
	bereft  uint64 // newest round in which things left the place, and its entry there
	entry   int

	things []*thing
	of     []roster // by shard
	count  int      // of subs, under Hub.mu

	// The things by when they changed last, under Hub.mu; see note.
	log     []logged
	round   uint64 // that changed any of them last
	samples uint64 // in all
	before  uint64 // that round
	lost    uint64 // the newest round with the removal of a thing that was forgotten

	// Under Hub.mu, for presence.
	plain int    // subs that are one viewer of every thing
	odd   []*sub // those that have to be looked at
}

// index finds the groups of a thing and the things of a pattern without looking
// at all of either. It is guarded by Hub.mu.
type index struct {
	patterns node[*group]
	things   node[*thing]
	byID     map[string]*thing // the same things, found at once

	links  map[string][]string // what things contain
	groves map[string]*grove   // the trees of that, by what those who follow a place may see
}

// A node of a tree by segments.
type node[T comparable] struct {
	here T
	kids map[string]*node[T]
}

func (n *node[T]) get(path string) (here T) {
	if n = n.node(path); n != nil {
		here = n.here
	}
	return here
}

// node is the node of a path, or nil.
func (n *node[T]) node(path string) *node[T] {
	for more := true; more && n != nil; {
		var seg string
		seg, path, more = strings.Cut(path, "/")
		n = n.kids[seg]
	}
	return n
}

func (n *node[T]) put(path string, v T) {
	for more := true; more; {
		var seg string
		seg, path, more = strings.Cut(path, "/")
		kid := n.kids[seg]
		if kid == nil {
			if n.kids == nil {
				n.kids = map[string]*node[T]{}
			}
			kid = &node[T]{}
			n.kids[seg] = kid
		}
		n = kid
	}
	n.here = v
}

// drop removes a value and every node that held only it.
func (n *node[T]) drop(path string) {
	var none T
	seg, rest, more := strings.Cut(path, "/")
	kid := n.kids[seg]
	if kid == nil {
		return
	}
	if more {
		kid.drop(rest)
	} else {
		kid.here = none
	}
	if kid.here == none && len(kid.kids) == 0 {
		delete(n.kids, seg)
	}
}

// covering calls f for each pattern in the tree that covers the path.
func covering(n *node[*group], path string, f func(*group)) {
	if deep := n.kids["**"]; deep != nil && deep.here != nil {
		f(deep.here)
	}
	seg, rest, more := strings.Cut(path, "/")
	for _, name := range [2]string{seg, "*"} {
		kid := n.kids[name]
		switch {
		case kid == nil:
		case more:
			covering(kid, rest, f)
		case kid.here != nil:
			f(kid.here)
		}
	}
}

// covered calls f for each thing in the tree that the pattern covers.
func covered(n *node[*thing], pattern string, f func(*thing)) {
	seg, rest, more := strings.Cut(pattern, "/")
	at := func(kid *node[*thing]) {
		switch {
		case kid == nil:
		case more:
			covered(kid, rest, f)
		case kid.here != nil:
			f(kid.here)
		}
	}
	switch seg {
	case "**":
		for _, kid := range n.kids {
			if kid.here != nil {
				f(kid.here)
			}
			covered(kid, "**", f)
		}
	case "*":
		for _, kid := range n.kids {
			at(kid)
		}
	default:
		at(n.kids[seg])
	}
}

// addThing makes the thing findable and puts it into the groups that cover it.
func (x *index) addThing(t *thing) {
	if x.byID == nil {
		x.byID = map[string]*thing{}
	}
	x.byID[t.id] = t
	x.things.put(t.id, t)
	x.covering(t.id, func(g *group) { g.add(t) })
}

// covering calls f for each group that covers the thing.
func (x *index) covering(thing string, f func(*group)) {
	covering(&x.patterns, thing, f)
	for _, v := range x.groves {
		v.above(thing, f)
	}
}

func (x *index) dropThing(t *thing) {
	delete(x.byID, t.id)
	x.things.drop(t.id)
	for i, g := range t.groups {
		g.drop(t, t.seats[i])
	}
	t.groups, t.seats = nil, nil
}

// add puts a thing into the group.
func (g *group) add(t *thing) {
	t.groups, t.seats = append(t.groups, g), append(t.seats, seat{at: len(g.things), log: -1, joined: t.joined})
	g.things = append(g.things, t)
}

// seat is the thing's place in a group that it is in.
func (t *thing) seat(g *group) *seat { return &t.seats[slices.Index(t.groups, g)] }

// quit takes the group out of the thing's own list.
func (t *thing) quit(g *group) {
	i, end := slices.Index(t.groups, g), len(t.groups)-1
	t.groups[i], t.seats[i] = t.groups[end], t.seats[end]
	t.groups[end] = nil
	t.groups, t.seats = t.groups[:end], t.seats[:end]
}

// drop takes the thing of that seat out of the group; the last one moves there.
// Looking for it would make the end of 10,000 things a matter of 10,000 times
// 10,000 looks. Groups of one thing are few.
func (g *group) drop(t *thing, from seat) {
	last := g.things[len(g.things)-1]
	last.seat(g).at = from.at
	g.things[from.at], g.things[len(g.things)-1] = last, nil
	g.things = g.things[:len(g.things)-1]
	if from.log >= 0 {
		g.log[from.log].thing = nil
	}
	g.lost = max(g.lost, t.ver)
}

// join puts a subscription into the group of its pattern, or of its place in the
// tree v.
func (x *index) join(s *sub, pattern string, v *grove, shard, shards int) {
	place, isPlace := strings.CutPrefix(pattern, realtime.Under)
	var g *group
	if isPlace {
		g = v.places[place]
	} else {
		g = x.patterns.get(pattern)
	}
	switch {
	case g != nil:
	case isPlace:
		g = &group{pattern: pattern, grove: v, place: place, of: make([]roster, shards)}
		v.places[place] = g
		v.each(x, place, func(t *thing) {
			g.add(t)
			t.seats[len(t.seats)-1].born = true
		})
	default:
		g = &group{pattern: pattern, of: make([]roster, shards)}
		x.patterns.put(pattern, g)
		covered(&x.things, pattern, g.add)
	}
	g.count++
	of := &g.of[shard]
	s.group, s.slot, s.way = g, len(of.subs), apart
	of.subs = append(of.subs, s)
	of.apart = s.enlist(of.apart)
}

// replaced says whether the thing was removed, forgotten and made anew since:
// its id stands for another one now.
func (x *index) replaced(t *thing) bool {
	now := x.byID[t.id]
	return now != nil && now != t
}

// leave takes it out, and the group with its last one.
func (x *index) leave(s *sub, shard int) {
	g := s.group
	s.turn(behind, shard) // which is in no list
	subs := g.of[shard].subs
	last := subs[len(subs)-1]
	subs[s.slot], last.slot = last, s.slot
	subs[len(subs)-1] = nil
	g.of[shard].subs = subs[:len(subs)-1]
	if g.count--; g.count > 0 {
		return
	}
	if g.grove != nil {
		delete(g.grove.places, g.place)
	} else {
		x.patterns.drop(g.pattern)
	}
	for _, t := range g.things {
		t.quit(g)
	}
}

// remove takes v out of s without keeping the order.
func remove[T comparable](s []T, v T) []T {
	i := slices.Index(s, v)
	if i < 0 {
		return s
	}
	var none T
	s[i] = s[len(s)-1]
	s[len(s)-1] = none
	return s[:len(s)-1]
}

// overlap says whether some thing can be covered by both patterns.
func overlap(p, q string) bool {
	if isPlace(p) || isPlace(q) {
		return true // today or tomorrow
	}
	for {
		a, arest, amore := strings.Cut(p, "/")
		b, brest, bmore := strings.Cut(q, "/")
		if a == "**" || b == "**" {
			return true
		}
		if a != b && a != "*" && b != "*" {
			return false
		}
		if !amore || !bmore {
			return amore == bmore
		}
		p, q = arest, brest
	}
}

func match(pattern, thing string) bool { return pattern == thing || realtime.Match(pattern, thing) }
