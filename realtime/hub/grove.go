package hub

import (
	"fmt"
	"slices"
	"strings"

	"echotwin/realtime"
	"echotwin/realtime/tree"
)

// A subscription by place follows what stands below a thing or a place in the tree
// of the plant, by links and by paths. Its group has those things as the group of
// a pattern has its own: a link that changes moves the things it is about from
// group to group, and costs nothing else.
//
// A thing that has come to stand elsewhere is announced: it counts as changed in
// whole, so whoever has it now is told all of it. That it has left is kept for a
// while, for those who are to be told.

const (
	// maxGroves bounds the trees of different rights, each of which every new link
	// has to be told.
	maxGroves = 256

	// maxRoots is how many patterns a place may stand for where the past is read;
	// with more of them everything is read, and chosen from.
	maxRoots = 128
)

// A grove is the tree as those see it who have the same rights: of a thing that
// they may not see they know no links either. It is guarded by Hub.mu.
type grove struct {
	tree   *tree.Tree
	places map[string]*group
	began  uint64 // what left before this place of the log is not known

	left []departure    // the oldest first
	away map[string]int // how many of left a thing has
	lost since          // the newest that was forgotten
}

// grove is the tree for the viewer, or nil when there are too many.
func (h *Hub) grove(c *conn) *grove {
	x, key := &h.index, c.viewer.tree()
	if key == "" && c.viewer.See != nil {
		key = fmt.Sprint("connection ", c.num)
	}
	if v := x.groves[key]; v != nil {
		return v
	}
	if len(x.groves) >= maxGroves && !x.fell() {
		return nil
	}
	v := &grove{tree: tree.New(c.viewer.See), places: map[string]*group{}, began: max(x.groves[""].began, h.seq+1)}
	v.tree.LinkAll(x.links)
	x.groves[key] = v
	return v
}

// tree names the tree that viewers of the same rights share; "" is that of all.
func (v *Viewer) tree() string {
	if v.See != nil && v.Rights != "" {
		return "may see " + v.Rights
	}
	return ""
}

// fell makes room by a tree that nobody looks at.
func (x *index) fell() bool {
	for key, v := range x.groves {
		if key != "" && len(v.places) == 0 {
			delete(x.groves, key)
			return true
		}
	}
	return false
}

// each calls f for the things that stand below the path.
func (v *grove) each(x *index, path string, f func(*thing)) {
	for _, root := range v.tree.Roots(path) {
		if n := x.things.node(root); n != nil {
			v.walk(n, root, f)
		}
	}
}

func (v *grove) walk(n *node[*thing], path string, f func(*thing)) {
	if n.here != nil {
		f(n.here)
	}
	for seg, kid := range n.kids {
		if under := path + "/" + seg; v.tree.Straight() || !v.tree.Moved(under) {
			v.walk(kid, under, f)
		}
	}
}

// above calls f for the groups of the places that the thing stands below.
func (v *grove) above(thing string, f func(*group)) {
	if len(v.places) == 0 {
		return
	}
	for path := thing; path != ""; path = v.tree.Parent(path) {
		if g := v.places[path]; g != nil {
			f(g)
		}
	}
}

// link notes what things contain, as part of the open round and of place seq.
func (h *Hub) link(all []realtime.Linked, seq uint64) {
	if len(all) == 0 {
		return
	}
	x := &h.index
	if x.links == nil {
		x.links = map[string][]string{}
	}
	links := make(map[string][]string, len(all))
	for _, l := range all {
		links[l.Thing] = l.Contains
		if x.links[l.Thing] = l.Contains; len(l.Contains) == 0 {
			delete(x.links, l.Thing)
		}
	}
	for _, v := range x.groves {
		moves := v.tree.LinkAll(links)
		from := map[string]string{}
		for _, m := range moves {
			from[m.Path] = m.From
		}
		moved := map[*thing]bool{}
		for _, m := range moves {
			v.each(x, m.Path, func(t *thing) {
				if !moved[t] {
					moved[t] = true
					h.replant(v, t, from, seq)
				}
			})
		}
	}
}

// replant moves a thing from the groups of where it stood to those of where it
// stands. From is what moved, and what that stood below.
func (h *Hub) replant(v *grove, t *thing, from map[string]string, seq uint64) {
	now, was := v.tree.Above(t.id), []string{}
	for path := t.id; path != ""; {
		was = append(was, path)
		if above, moved := from[path]; moved {
			path = above
		} else {
			path = v.tree.Parent(path)
		}
	}
	for len(now) > 0 && len(was) > 0 && now[len(now)-1] == was[len(was)-1] {
		now, was = now[:len(now)-1], was[:len(was)-1]
	}
	joined := slices.DeleteFunc(slices.Clone(now), func(place string) bool { return slices.Contains(was, place) })
	// Also of what is removed: who has the place now has never heard of it, and
	// must not be taken to have told another subscription's client that it is gone.
	if len(joined) > 0 {
		h.announce(t, seq)
	}
	for _, place := range joined {
		if g := v.places[place]; g != nil {
			g.add(t)
		}
	}
	left := slices.DeleteFunc(was, func(place string) bool { return slices.Contains(now, place) })
	if len(left) == 0 {
		return
	}
	v.keep(departure{t.id, left, h.open.n, seq}, h.sizes.ghosts)
	for _, place := range left {
		if g := v.places[place]; g != nil {
			g.part(t)
			if g.bereft != h.open.n {
				g.bereft, g.entry = h.open.n, len(h.open.bereft)
				h.open.bereft = append(h.open.bereft, bereft{group: g})
			}
			b := &h.open.bereft[g.entry]
			b.things = append(b.things, t.id)
		}
	}
}

// announce has a thing count as changed in whole.
func (h *Hub) announce(t *thing, seq uint64) {
	h.enter(t)
	t.ver, t.seq = h.open.n, seq
	t.joined = since{h.open.n, seq}
	for i := range t.props {
		t.props[i].ver, t.props[i].seq = h.open.n, seq
	}
	if t.marks.ver > 0 {
		t.marks.ver, t.marks.seq = h.open.n, seq
	}
}

// part takes a thing out of the group of a place.
func (g *group) part(t *thing) {
	if !slices.Contains(t.groups, g) {
		return
	}
	lost := g.lost
	g.drop(t, *t.seat(g))
	g.lost = lost // that it left is told
	t.quit(g)
}

// covers says whether a thing of that id belongs to the group. The caller holds
// Hub.mu.
func (g *group) covers(thing string) bool {
	if g.grove != nil {
		return g.grove.tree.Below(thing, g.place)
	}
	return match(g.pattern, thing)
}

// has is covers for a thing that is there, or was until it was removed.
func (g *group) has(t *thing) bool {
	return g.grove == nil || slices.Contains(t.groups, g) || t.gone && g.covers(t.id)
}

// joined says whether a thing of the place came to it since the subscription had
// everything.
func (s *sub) joined(t *thing) bool {
	if t.gone {
		return false // perhaps from the groups, too
	}
	at := t.seat(s.group).joined
	return !s.since.has(at.ver, at.seq)
}

// holds says whether the thing belongs to the subscription, as far as its shard has
// heard: who has come back since has left for now.
func (s *sub) holds(thing string) bool {
	if !s.group.covers(thing) {
		return false
	}
	t := s.conn.shard.hub.index.byID[thing]
	if s.group.grove == nil || t == nil {
		return true
	}
	seat := t.seat(s.group)
	return seat.born || seat.joined.ver <= s.conn.shard.n
}

// scope is the patterns that have all of the paths, which may be places, and says
// which things are really theirs, for somebody who may see those.
func (h *Hub) scope(paths []string, see func(string) bool) (patterns []string, covers func(thing string) bool) {
	patterns = slices.DeleteFunc(slices.Clone(paths), isPlace)
	only := slices.Clone(patterns)
	if len(patterns) == len(paths) {
		return patterns, func(thing string) bool {
			return slices.ContainsFunc(only, func(p string) bool { return match(p, thing) })
		}
	}
	tr := tree.New(see)
	h.mu.RLock()
	tr.LinkAll(h.index.links)
	h.mu.RUnlock()
	var places []string
	for _, path := range paths {
		place, is := strings.CutPrefix(path, realtime.Under)
		if !is {
			continue
		}
		places = append(places, place)
		patterns = append(patterns, tr.Patterns(place, maxRoots)...)
	}
	return patterns, func(thing string) bool {
		return slices.ContainsFunc(only, func(p string) bool { return match(p, thing) }) ||
			slices.ContainsFunc(places, func(p string) bool { return tr.Below(thing, p) })
	}
}

func isPlace(path string) bool { return strings.HasPrefix(path, realtime.Under) }

// regroup puts the subscriptions by place of a connection where its new rights
// let them be. It returns those for which there is no room.
func (s *shard) regroup(c *conn) (refused []*sub) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, n := range c.subs {
		if n.group.grove == nil {
			continue
		}
		v := s.hub.grove(c)
		if v == nil {
			refused = append(refused, n)
			continue
		}
		if v == n.group.grove {
			continue
		}
		path := n.group.pattern
		n.absent()
		s.hub.index.leave(n, s.i)
		if s.hub.index.join(n, path, v, s.i, len(s.hub.shards)); n.group.count == 1 {
			n.group.beginLog(s.hub.open.n - 1)
		}
		n.present()
	}
	return refused
}

func tooManyGroves(at string) *realtime.Problem {
	most := float64(maxGroves)
	return &realtime.Problem{Code: realtime.CodeTooMany, At: at + "path", Maximum: &most,
		Message: fmt.Sprintf("places are followed with %d different rights already; follow a pattern such as plant/line1/** instead", maxGroves)}
}

// standAs gives a hub of the past the tree of the present: where things stood is
// in no history.
func (h *Hub) standAs(now *Hub) {
	now.mu.RLock()
	all := make([]realtime.Linked, 0, len(now.index.links))
	for id, to := range now.index.links {
		all = append(all, realtime.Linked{Thing: id, Contains: to})
	}
	now.mu.RUnlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.link(all, 0)
}
