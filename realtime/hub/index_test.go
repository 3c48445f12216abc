package hub

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"echotwin/realtime"
)

// The index answers as looking at all pairs would, whatever came first, and
// holds nothing when all have left.
func TestIndexEqualsMatch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	path := func(pattern bool) string {
		p := ""
		for i := range 1 + rnd.IntN(4) {
			seg := string(rune('a' + rnd.IntN(3)))
			if pattern && rnd.IntN(4) == 0 {
				seg = "*"
			}
			if p += "/" + seg; pattern && i > 0 && rnd.IntN(4) == 0 {
				p += "/**"
				break
			}
		}
		return p[1:]
	}
	var x index
	things := map[string]*thing{}
	subs := map[*sub]bool{}
	for step := range 20_000 {
		switch rnd.IntN(4) {
		case 0:
			if id := path(false); things[id] == nil {
				things[id] = newThing(id, 1)
				x.addThing(things[id])
			}
		case 1:
			s := &sub{}
			x.join(s, path(true), nil, 0, 1)
			subs[s] = true
		case 2:
			for id, th := range things {
				x.dropThing(th)
				delete(things, id)
				break
			}
		case 3:
			for s := range subs {
				x.leave(s, 0)
				delete(subs, s)
				break
			}
		}
		if step%50 > 0 {
			continue
		}
		for id, th := range things {
			got, want := map[*sub]bool{}, map[*sub]bool{}
			for _, g := range th.groups {
				for _, s := range g.of[0].subs {
					got[s] = true
				}
			}
			for s := range subs {
				if realtime.Match(s.group.pattern, id) {
					want[s] = true
				}
			}
			for i, g := range th.groups {
				if g.things[th.seats[i].at] != th {
					t.Fatalf("step %d: %s is not where %s has it", step, id, g.pattern)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("step %d: %s is found by %d subscriptions, want %d", step, id, len(got), len(want))
			}
		}
	}
	for s := range subs {
		x.leave(s, 0)
	}
	for _, th := range things {
		x.dropThing(th)
	}
	if len(x.patterns.kids)+len(x.things.kids) > 0 {
		t.Error("the index keeps nodes of what has left")
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		p, q string
		want bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a/*", "*/b", true},
		{"a/*", "a", false},
		{"a/**", "a", false},
		{"a/**", "a/*/c", true},
		{"**", "x/y/z", true},
		{"a/**", "b/**", false},
		{"*/b/**", "a/*/c", true},
	} {
		if overlap(tt.p, tt.q) != tt.want || overlap(tt.q, tt.p) != tt.want {
			t.Errorf("overlap(%q, %q), want %v both ways", tt.p, tt.q, tt.want)
		}
	}
}
