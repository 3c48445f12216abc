package tree

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestLinksStandBeforePaths(t *testing.T) {
	tr := New(nil)
	moved := tr.Link("plant/line1", []string{"depot/robot", "plant/line1/a", "plant/line1"})
	if want := []Move{{"depot/robot", "depot", "plant/line1"}}; !slices.Equal(moved, want) {
		t.Errorf("moved %v, want %v", moved, want)
	}
	if !tr.Below("depot/robot/arm", "plant") || tr.Below("depot/robot", "depot") || !tr.Below("plant/line1/a", "plant/line1") || tr.Below("plant/line10", "plant/line1") {
		t.Error("below is wrong")
	}
	if got := tr.Roots("plant"); !slices.Equal(got, []string{"plant", "depot/robot"}) {
		t.Errorf("roots %v", got)
	}
	if moved := tr.Link("depot/hall", []string{"depot/robot"}); !slices.Equal(moved, []Move{{"depot/robot", "plant/line1", "depot/hall"}}) {
		t.Errorf("the first by id counts; moved %v", moved)
	}
	if moved := tr.Link("depot/hall", nil); !slices.Equal(moved, []Move{{"depot/robot", "depot/hall", "plant/line1"}}) {
		t.Errorf("moved %v", moved)
	}
	if moved := tr.Link("zone", []string{"plant"}); !slices.Equal(moved, []Move{{"plant", "", "zone"}}) {
		t.Errorf("moved %v", moved)
	}
	if moved := tr.Link("depot/robot", []string{"zone"}); !slices.Equal(moved, []Move{{"plant", "zone", ""}, {"zone", "", "depot/robot"}}) {
		t.Errorf("of a circle the link from the greatest id is left out; moved %v", moved)
	}
	if moved := tr.Link("depot/robot", nil); !slices.Equal(moved, []Move{{"plant", "", "zone"}, {"zone", "depot/robot", ""}}) {
		t.Errorf("what closes no circle any more counts; moved %v", moved)
	}
}

func TestHiddenThingsContainNothing(t *testing.T) {
	tr := New(func(id string) bool { return id != "secret" })
	if moved := tr.Link("secret", []string{"a/b"}); moved != nil || tr.Below("a/b", "secret") {
		t.Errorf("moved %v", moved)
	}
}

// However the links came about, circles among them: the tree is the one that the
// same links make from nothing, its moves lead from each state to the next, it has
// no circle, and its roots find what stands below.
func TestATreeDependsOnItsLinksAlone(t *testing.T) {
	ids := []string{"a", "a/b", "a/b/c", "a/d", "e/f", "e/g", "h", "h/i/j", "k/l/m/n", "k/l"}
	cuts := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		tr, told := New(nil), map[string]string{}
		for step := range 40 {
			id, to := ids[r.IntN(len(ids))], []string{}
			for range r.IntN(4) {
				to = append(to, ids[r.IntN(len(ids))])
			}
			before := maps.Clone(told)
			links := map[string][]string{id: to}
			for range r.IntN(3) { // many at once lead to where one after the other does
				links[ids[r.IntN(len(ids))]] = to[:r.IntN(len(to)+1)]
			}
			for _, m := range tr.LinkAll(links) {
				if from := orByPath(before[m.Path], m.Path); m.From != from || m.To == m.From {
					t.Fatalf("seed %d, step %d: %v, and it was below %q", seed, step, m, from)
				}
				told[m.Path] = m.To
			}
			fresh := New(nil)
			for id, to := range tr.links {
				fresh.Link(id, to)
			}
			if tr.cut {
				cuts++
			}
			for _, id := range ids {
				if got, want := tr.Parent(id), fresh.Parent(id); got != want || orByPath(told[id], id) != want {
					t.Fatalf("seed %d, step %d: %s is below %q, told %q, and of the same links %q\n%v", seed, step, id, got, told[id], want, tr.links)
				}
				if tr.circular(id) {
					t.Fatalf("seed %d, step %d: a circle above %s", seed, step, id)
				}
				for _, top := range ids {
					if got, want := inRoots(tr, id, top), tr.Below(id, top); got != want {
						t.Fatalf("seed %d, step %d: roots %v of %s have %s: %v, want %v", seed, step, tr.Roots(top), top, id, got, want)
					}
				}
			}
		}
	}
	if cuts == 0 {
		t.Error("there was no circle")
	}
}

func TestPatternsOfAPlace(t *testing.T) {
	tr := New(nil)
	tr.Link("plant", []string{"depot/robot", "a/b/c/d/e/f/g/h"})
	if got := tr.Patterns("plant", 5); !slices.Equal(got, []string{"plant", "plant/**", "a/b/c/d/e/f/g/h", "depot/robot", "depot/robot/**"}) {
		t.Errorf("got %v", got)
	}
	if got := tr.Patterns("plant", 4); !slices.Equal(got, []string{"**"}) {
		t.Errorf("got %v", got)
	}
}

func inRoots(tr *Tree, id, top string) bool {
	for _, root := range tr.Roots(top) {
		path := id
		for path != root && strings.HasPrefix(path, root+"/") && !tr.Moved(path) {
			path = byPath(path)
		}
		if path == root {
			return true
		}
	}
	return false
}

// Five thousand things in one chain, and the same closed to a circle.
func TestALongChainIsNoMatter(t *testing.T) {
	tr := New(nil)
	id := func(i int) string { return fmt.Sprintf("t/%05d", i) }
	const n = 5000
	for i := range n {
		tr.Link(id(i), []string{id(i + 1)})
	}
	if !tr.Below(id(n), id(0)) {
		t.Fatal("the chain is broken")
	}
	if moved := tr.Link(id(n), []string{id(0)}); moved != nil {
		t.Fatalf("%d moved", len(moved))
	}
	for i := range n {
		tr.Link(id(i), nil)
	}
	if !tr.Moved(id(0)) || len(tr.up) != 1 {
		t.Errorf("%d are left", len(tr.up))
	}
}

// Two things that contain each other, in a plant of hundreds, cost as little. Each
// link that was told after them had everything put in its place anew: a thousand
// took 20 s, for each list of a place and each reader of one.
func TestACircleInALargePlantIsNoMatter(t *testing.T) {
	const n = 500
	links := map[string][]string{"a": {"b"}, "b": {"a"}}
	for i := range n {
		links[fmt.Sprint("line/", i)] = []string{fmt.Sprint("depot/", i)}
	}
	var tr *Tree
	allocs := testing.AllocsPerRun(1, func() {
		tr = New(nil)
		tr.LinkAll(links)
	})
	if allocs > 50*n {
		t.Errorf("%.0f allocations for %d links", allocs, n)
	}
	if tr.Parent("b") != "a" || tr.Parent("a") != "" || tr.Parent("depot/7") != "line/7" {
		t.Errorf("a is below %q, b below %q, the depot's below %q", tr.Parent("a"), tr.Parent("b"), tr.Parent("depot/7"))
	}
}
