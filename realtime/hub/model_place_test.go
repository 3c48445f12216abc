package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"echotwin/realtime"
	"echotwin/realtime/tree"
)

// A modelTree is who contains whom in a truth, and where everything stood because
// of that, for those who see all and for guests.
type modelTree struct {
	links map[string][]string
	trees map[string]*tree.Tree
	stood map[string]map[string]history // user and place → thing → "in" or ""
}

var modelPlaces = []string{"a", "a/l0", "b/l1", "b/l1/u3", "a/secret"}

func newModelTree() *modelTree {
	return &modelTree{
		links: map[string][]string{}, stood: map[string]map[string]history{},
		trees: map[string]*tree.Tree{"ana": tree.New(nil), "guest": tree.New(func(id string) bool { return !strings.Contains(id, "secret") })},
	}
}

// link has something contain other things than before.
func (t *truth) link(rnd *rand.Rand, ids []string, at uint64) realtime.Linked {
	likely := []string{"a/l0", "b/l1/u3", "b/l1", "a/l2", "a/secret", ids[rnd.IntN(len(ids))]}
	l := realtime.Linked{Thing: likely[rnd.IntN(len(likely))]}
	for range rnd.IntN(4) {
		to := ids[rnd.IntN(len(ids))]
		if rnd.IntN(4) == 0 {
			to = likely[rnd.IntN(len(likely))] // with all that stands below it, or a circle
		}
		l.Contains = append(l.Contains, to)
	}
	m := t.tree
	if m.links[l.Thing] = l.Contains; l.Contains == nil {
		delete(m.links, l.Thing)
	}
	for user, tr := range m.trees {
		if tr.Link(l.Thing, l.Contains) == nil {
			continue
		}
		for _, place := range modelPlaces {
			for _, id := range ids {
				m.note(user, place, id, version{t.seq, at, ""})
			}
		}
	}
	return l
}

// note keeps where the thing stands when that is news.
func (m *modelTree) note(user, place, id string, is version) {
	key := user + " " + place
	if m.stood[key] == nil {
		m.stood[key] = map[string]history{}
	}
	if m.trees[user].Below(id, place) {
		is.text = "in"
	}
	h := m.stood[key][id]
	if h == nil {
		h = history{{text: m.begin(id, place)}}
	}
	if h.newest().text != is.text {
		h = append(h, is)
	}
	m.stood[key][id] = h
}

// begin is where the thing stood before there were any links.
func (m *modelTree) begin(id, place string) string {
	if id == place || strings.HasPrefix(id, place+"/") {
		return "in"
	}
	return ""
}

// from is what may have been so for somebody who has everything up to seq.
func (m *modelTree) from(user, place, id string, seq uint64) history {
	h := m.stood[user+" "+place][id]
	if h == nil {
		h = history{{text: m.begin(id, place)}}
	}
	return h.from(seq)
}

// all is what a hub is told of the links at its start.
func (m *modelTree) all() (all []realtime.Linked) {
	for id, to := range m.links {
		all = append(all, realtime.Linked{Thing: id, Contains: to})
	}
	slices.SortFunc(all, func(a, b realtime.Linked) int { return strings.Compare(a.Thing, b.Thing) })
	return all
}

func (m *modelTree) forget(seq uint64) {
	for _, things := range m.stood {
		for id, h := range things {
			things[id] = slices.Clone(h.from(seq))
		}
	}
}

// place is the place that the subscription follows; "" is none.
func (s *viewerSub) place() string {
	place, ok := strings.CutPrefix(s.path, realtime.Under)
	if !ok {
		return ""
	}
	return place
}

// has says whether the thing is the subscription's, as far as the client was told.
func (s *viewerSub) has(id string) bool {
	if s.place() != "" {
		return s.members[id]
	}
	return match(s.path, id)
}

// may says whether the thing can be the subscription's in truth, and whether it
// can be none of it, for somebody who has everything up to seq.
func (v *viewer) may(s *viewerSub, id string, seq uint64) (yes, no bool) {
	if s.place() == "" {
		yes = match(s.path, id)
		return yes, !yes
	}
	for _, is := range v.truth.tree.from(v.user, s.place(), id, seq) {
		yes, no = yes || is.text != "", no || is.text == ""
	}
	// Of what came after seq one subscription may have told, and the place not yet.
	for _, is := range v.truth.things[id]["*ts"].from(seq) {
		no = no || is.text == "" && !s.members[id]
	}
	return yes, no
}

// coverings are the sets of the subscriptions that can cover the thing.
func (v *viewer) coverings(subs []*viewerSub, id string, seq uint64) [][]*viewerSub {
	all := [][]*viewerSub{nil}
	for _, s := range subs {
		yes, no := v.may(s, id, seq)
		if !yes {
			continue
		}
		with := [][]*viewerSub{}
		for _, set := range all {
			with = append(with, append(slices.Clone(set), s))
			if no {
				with = append(with, set)
			}
		}
		all = with
	}
	return all
}

// places says whether what a viewer follows may change while it does.
func (v *viewer) places() bool {
	return v.w.moving && slices.ContainsFunc(v.subs, func(s *viewerSub) bool { return s.place() != "" })
}

// belong takes what a frame says of who belongs to a subscription by place; things
// that are gone belong to none.
func (v *viewer) belong(f frame) {
	for _, s := range v.subs {
		if s.place() == "" {
			continue
		}
		if s.members == nil {
			s.members = map[string]bool{}
		}
		for _, id := range f.Joined[s.id] {
			s.members[id] = true
		}
	}
	for name := range f.Joined {
		if !slices.ContainsFunc(v.subs, func(s *viewerSub) bool { return s.id == name && s.place() != "" }) {
			v.fail("things joined %s, which is not here: %s", name, f.raw)
		}
	}
}

func (v *viewer) part(f frame) {
	for id, raw := range f.Things {
		for _, s := range v.subs {
			if string(raw) == "null" {
				delete(s.members, id)
			}
		}
	}
	for _, s := range v.subs {
		for _, id := range f.Left[s.id] {
			delete(s.members, id)
			v.w.counts.left.Add(1)
		}
	}
	if len(f.Left) > 0 {
		v.prune()
	}
}

// misplaced says whether a resume of places may be answered by a snapshot: what
// left them before a restart, or long ago, is not remembered.
func (v *viewer) misplaced(f frame, at bookmark) bool {
	return strings.Contains(f.Reason, "stood below") &&
		slices.ContainsFunc(v.resumes, func(s *viewerSub) bool { return s.place() != "" }) &&
		(v.user == "guest" || v.w.moving || at.seq <= v.truth.restarted)
}

// standing is where a thing stood, for a failure.
func (v *viewer) standing(id string, seq uint64) (text string) {
	for _, s := range v.subs {
		if place := s.place(); place != "" {
			text += fmt.Sprintf("; for %s it is below %s: %v, and was told to be: %v", v.user, place, v.truth.tree.from(v.user, place, id, seq), s.members[id])
		}
	}
	return text
}

// wrongPlaceFacts is wrongFacts where things move. How many are missing cannot be
// counted then, so where that was said only their order is looked at.
func (v *viewer) wrongPlaceFacts(seq uint64) string {
	told, at := map[factRecord]bool{}, uint64(0)
	counted := true
	for _, i := range v.items {
		switch {
		case i.resync:
			counted = false
		case told[i.fact]:
			return fmt.Sprintf("fact %v came twice", i.fact)
		case i.fact.seq < at:
			return fmt.Sprintf("fact %v came after one of %d", i.fact, at)
		default:
			told[i.fact], at = true, i.fact.seq
		}
	}
	for _, f := range v.truth.facts {
		if counted && f.seq <= seq && !told[f] && v.sees(f.thing) && slices.ContainsFunc(v.subs, func(s *viewerSub) bool { return s.begun && f.seq > s.from && v.steady(s, f) }) {
			return fmt.Sprintf("fact %v is not here%s", f, v.standing(f.thing, f.seq))
		}
	}
	return ""
}

// steady says whether the fact's thing belonged to the subscription, and since,
// where nobody can know that it did then: of before a restart, of what guests do
// not follow, of more than is remembered and of what has no state.
func (v *viewer) steady(s *viewerSub, f factRecord) bool {
	if s.place() == "" {
		return match(s.path, f.thing)
	}
	ts := v.truth.things[f.thing]["*ts"]
	if v.w.lasting && v.w.sizes.ghosts >= usualSizes.ghosts && v.user == "ana" && f.seq > v.truth.restarted && len(ts) > 0 && ts[0].at < f.seq {
		return v.truth.tree.from(v.user, s.place(), f.thing, f.seq)[0].text == "in"
	}
	return !slices.ContainsFunc(v.truth.tree.from(v.user, s.place(), f.thing, f.seq), func(is version) bool { return is.text == "" })
}
