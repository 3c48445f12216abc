// Package tree says who stands below whom in a plant: the target of a link stands
// below the thing that contains it, and everything else below what is the next
// shorter part of its path. It is pure and belongs to whoever made it.
package tree

import (
	"maps"
	"slices"
	"strings"

	"echotwin/realtime"
)

// A Tree knows the links of things. It needs no list of the things themselves: a
// path that no link names stands where it says.
//
// A thing that several contain stands below the first of them by id. A link that
// would close a circle is left out: of those in it the one from the greatest id.
type Tree struct {
	see   func(id string) bool
	links map[string][]string // what each contains, sorted
	by    map[string][]string // who contains it, sorted
	up    map[string]string   // below whom a link puts it
	down  map[string][]string // the same from above, sorted
	over  []string            // who has somebody in down, sorted
	cut   bool                // some link is left out, or may be
}

// New returns a tree without links. Those of things that see does not accept (nil
// accepts all) do not exist in it.
func New(see func(id string) bool) *Tree {
	return &Tree{see: see, links: map[string][]string{}, by: map[string][]string{}, up: map[string]string{}, down: map[string][]string{}}
}

// A Move says that a path, with all that stands below it, stood elsewhere before.
type Move struct{ Path, From, To string }

// Link says what a thing contains from now on, and returns what moved.
func (t *Tree) Link(id string, contains []string) []Move {
	return t.LinkAll(map[string][]string{id: contains})
}

// LinkAll is Link of many things at once, which costs no more than that of one
// where a link has to be left out.
func (t *Tree) LinkAll(links map[string][]string) []Move {
	touched := map[string]bool{}
	for id, contains := range links {
		t.note(id, contains, touched)
	}
	if len(touched) == 0 {
		return nil
	}
	return t.settle(touched)
}

// note keeps what a thing contains, and adds to touched whose place that may change.
func (t *Tree) note(id string, contains []string, touched map[string]bool) {
	if t.see != nil && !t.see(id) {
		contains = nil
	}
	contains = slices.Sorted(slices.Values(contains))
	contains = slices.DeleteFunc(slices.Compact(contains), func(to string) bool { return to == id })
	was := t.links[id]
	if t.links[id] = contains; len(contains) == 0 {
		delete(t.links, id)
	}
	for _, to := range was {
		if _, still := slices.BinarySearch(contains, to); !still {
			drop(t.by, to, id)
			touched[to] = true
		}
	}
	for _, to := range contains {
		if _, before := slices.BinarySearch(was, to); !before {
			insert(t.by, to, id)
			touched[to] = true
		}
	}
}

// settle puts what was touched where its links say. As long as no link has to be
// left out, nothing else can move.
func (t *Tree) settle(touched map[string]bool) []Move {
	if t.cut {
		return t.rebuild(t.up)
	}
	before := map[string]string{}
	for path := range touched {
		if from, to := t.up[path], first(t.by[path]); from != to {
			before[path] = from
			t.put(path, to)
		}
	}
	for path := range before {
		if t.circular(path) {
			all := maps.Clone(t.up)
			for path, from := range before {
				if all[path] = from; from == "" {
					delete(all, path)
				}
			}
			return t.rebuild(all)
		}
	}
	var moves []Move
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if from, to := orByPath(before[path], path), t.Parent(path); from != to {
			moves = append(moves, Move{path, from, to})
		}
	}
	return moves
}

// circular says whether what stands above a path does not end.
func (t *Tree) circular(path string) bool {
	at := path
	for range 16 * (len(t.up) + 1) { // a path has at most that many parts between two links
		if at = t.Parent(at); at == "" {
			return false
		}
		if at == path {
			return true
		}
	}
	return true
}

// rebuild puts everything where its links say, and returns what differs from was.
func (t *Tree) rebuild(was map[string]string) []Move {
	t.up, t.down, t.over, t.cut = map[string]string{}, map[string][]string{}, nil, false
	next := map[string]int{} // which of those that contain it counts
	for path, by := range t.by {
		t.up[path] = by[0]
	}
	done := map[string]bool{}
	for _, start := range slices.Sorted(maps.Keys(t.by)) {
		for !t.walk(start, done, next) {
			t.cut = true
		}
	}
	for path, above := range t.up {
		insert(t.down, above, path)
	}
	t.over = slices.Sorted(maps.Keys(t.down))
	var moves []Move
	for _, path := range slices.Sorted(maps.Keys(t.by)) {
		if from, to := orByPath(was[path], path), t.Parent(path); from != to {
			moves = append(moves, Move{path, from, to})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(was)) { // what nobody contains any more
		if _, still := t.by[path]; !still && was[path] != byPath(path) {
			moves = append(moves, Move{path, was[path], byPath(path)})
		}
	}
	return moves
}

// walk follows what stands above start up to what is done. A circle on the way
// loses one link, and then start has to be walked again.
func (t *Tree) walk(start string, done map[string]bool, next map[string]int) bool {
	var way []string
	at := map[string]int{}
	for path := start; path != "" && !done[path]; path = t.Parent(path) {
		from, again := at[path]
		if !again {
			at[path] = len(way)
			way = append(way, path)
			continue
		}
		victim := ""
		for _, in := range way[from:] {
			if above, linked := t.up[in]; linked && (victim == "" || above > t.up[victim] || above == t.up[victim] && in > victim) {
				victim = in
			}
		}
		if next[victim]++; next[victim] < len(t.by[victim]) {
			t.up[victim] = t.by[victim][next[victim]]
		} else {
			delete(t.up, victim)
		}
		return false
	}
	for _, path := range way {
		done[path] = true
	}
	return true
}

// put hangs a path below another by a link; "" is none.
func (t *Tree) put(path, above string) {
	if was := t.up[path]; was != "" {
		if drop(t.down, was, path); t.down[was] == nil {
			i, _ := slices.BinarySearch(t.over, was)
			t.over = slices.Delete(t.over, i, i+1)
		}
	}
	if delete(t.up, path); above == "" {
		return
	}
	t.up[path] = above
	if insert(t.down, above, path); len(t.down[above]) == 1 {
		i, _ := slices.BinarySearch(t.over, above)
		t.over = slices.Insert(t.over, i, above)
	}
}

// Parent is what a path stands below; "" is nothing.
func (t *Tree) Parent(path string) string { return orByPath(t.up[path], path) }

// Moved says whether a link puts the path elsewhere than it says itself.
func (t *Tree) Moved(path string) bool { return t.up[path] != "" && t.up[path] != byPath(path) }

// Straight says whether everything stands where its path says.
func (t *Tree) Straight() bool { return len(t.up) == 0 }

// Below says whether a path is top, or stands somewhere below it.
func (t *Tree) Below(path, top string) bool {
	for ; path != ""; path = t.Parent(path) {
		if path == top {
			return true
		}
	}
	return false
}

// Above are a path and what it stands below, from the bottom.
func (t *Tree) Above(path string) []string {
	var all []string
	for ; path != ""; path = t.Parent(path) {
		all = append(all, path)
	}
	return all
}

// Roots are top and the paths that links have put somewhere below it: what stands
// below top begins with one of them, and is not Moved away on the way from it.
func (t *Tree) Roots(top string) []string {
	all := []string{top}
	for i := 0; i < len(all); i++ {
		t.within(all[i], func(above string) {
			for _, path := range t.down[above] {
				if t.Moved(path) {
					all = append(all, path)
				}
			}
		})
	}
	return all
}

// within calls f for whoever contains something by a link and stands below root
// by its path alone.
func (t *Tree) within(root string, f func(above string)) {
	if _, is := slices.BinarySearch(t.over, root); is {
		f(root)
	}
	from, _ := slices.BinarySearch(t.over, root+"/")
	for _, above := range t.over[from:] {
		if !strings.HasPrefix(above, root+"/") {
			return
		}
		path := above
		for path != root && !t.Moved(path) {
			path = byPath(path)
		}
		if path == root {
			f(above)
		}
	}
}

// Patterns are those that cover what stands below top, and perhaps more, or ** when
// they would be more than most.
func (t *Tree) Patterns(top string, most int) (all []string) {
	for _, root := range t.Roots(top) {
		if all = append(all, root); strings.Count(root, "/") < realtime.MaxSegments-1 {
			all = append(all, root+"/**")
		}
		if len(all) > most {
			return []string{"**"}
		}
	}
	return all
}

func byPath(path string) string { return path[:max(0, strings.LastIndexByte(path, '/'))] }

func orByPath(above, path string) string {
	if above != "" {
		return above
	}
	return byPath(path)
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func insert(m map[string][]string, key, v string) {
	if i, is := slices.BinarySearch(m[key], v); !is {
		m[key] = slices.Insert(m[key], i, v)
	}
}

func drop(m map[string][]string, key, v string) {
	if i, is := slices.BinarySearch(m[key], v); is {
		if m[key] = slices.Delete(m[key], i, i+1); len(m[key]) == 0 {
			delete(m, key)
		}
	}
}
