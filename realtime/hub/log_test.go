package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The log of a group says of each place in time what changed after it, each
// thing once, and does not grow with the changes.
func TestLogOfAGroup(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var x index
	s := &shard{}
	one := &sub{way: behind, conn: &conn{shard: s}}
	x.join(one, "p/*", nil, 0, 1)
	g := one.group
	things := map[string]*thing{}
	at, samples := map[string]uint64{}, []int{0}
	for n := uint64(1); n < 4000; n++ {
		samples = append(samples, samples[n-1])
		for range rnd.IntN(4) {
			id := fmt.Sprint("p/", rnd.IntN(12))
			if things[id] == nil {
				things[id] = newThing(id, 1)
				x.addThing(things[id])
			}
			if at[id] == n {
				continue // a round has a thing once
			}
			at[id], things[id].ver = n, n
			g.note(things[id], slices.Index(things[id].groups, g), n, 3)
			samples[n] += 3
			if len(g.log) > 2*len(g.things)+slack {
				t.Fatalf("round %d: the log of %d things has %d entries", n, len(g.things), len(g.log))
			}
		}
		if id := fmt.Sprint("p/", rnd.IntN(12)); things[id] != nil && rnd.IntN(20) == 0 {
			x.dropThing(things[id])
			if g.lost < at[id] {
				t.Fatalf("round %d: nobody is told that %s, which changed at %d, is lost", n, id, at[id])
			}
			delete(things, id)
			delete(at, id)
		}
		one.since.ver = n - min(n, rnd.Uint64N(30))
		got, want := []string{}, []string{}
		for _, th := range s.lacks(one) {
			got = append(got, th.id)
		}
		for id, ver := range at {
			if ver > one.since.ver {
				want = append(want, id)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: after %d came %v, want %v", n, one.since.ver, got, want)
		}
		for _, upTo := range []uint64{n - 1, n} {
			if got := g.until(upTo); got != uint64(samples[upTo]) {
				t.Fatalf("round %d: %d samples up to %d, want %d", n, got, upTo, samples[upTo])
			}
		}
	}
}
