package history

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A column is found whatever the order in which its thing sends, and descriptions
// are asked for again after a while.
func TestColumnsInAnyOrder(t *testing.T) {
	asked, unit := 0, "bar"
	h := New(Config{Dir: t.TempDir(), Describe: func(string, string) (Description, bool) {
		asked++
		return Description{Unit: unit}, true
	}})
	c := &columns{h: h, of: map[string]*columnRow{}, recent: map[uint64]*stream{}}
	rnd := rand.New(rand.NewPCG(1, 1))
	now := time.UnixMilli(1790000000000)
	first := map[string]*column{}
	for range 2000 {
		thing := fmt.Sprint("plant/", rnd.IntN(3))
		r := c.row(thing, now)
		for k := rnd.IntN(12); k < 12; k += 1 + rnd.IntN(3) {
			name := fmt.Sprint("p", k)
			if rnd.IntN(20) == 0 {
				name = fmt.Sprint("p", rnd.IntN(12))
			}
			col := c.column(r, name)
			if col.thing != thing || col.name != name {
				t.Fatalf("%s of %s is %s of %s", name, thing, col.name, col.thing)
			}
			if key := thing + " " + name; first[key] == nil {
				first[key] = col
			} else if first[key] != col {
				t.Fatalf("%s of %s has two columns", name, thing)
			}
		}
	}
	if asked != len(first) || len(first) != 36 {
		t.Errorf("%d descriptions were asked for, for %d columns", asked, len(first))
	}
	unit = "kPa"
	r := c.row("plant/1", now.Add(recheck+1))
	if got := c.column(r, "p3").desc.Unit; got != unit || asked != 36+12 {
		t.Errorf("after %v the unit is %s, and %d were asked for", recheck, got, asked-36)
	}
	c.row("plant/1", now) // a clock that was set back
	if asked != 36+24 {
		t.Error("after a clock was set back nobody asked")
	}
}

// Samples are put together by stream, each stream's in their order, and none is
// lost.
func TestTogether(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	s := &session{}
	all := make([]*stream, 50)
	for i := range all {
		all[i] = &stream{}
	}
	for range 200 {
		in := make([]sample, rnd.IntN(300))
		for i := range in {
			in[i] = sample{all[rnd.IntN(1+rnd.IntN(len(all)))], int64(i), rnd.Float64()}
		}
		out := s.together(in)
		if len(out) != len(in) {
			t.Fatalf("%d samples became %d", len(in), len(out))
		}
		ended := map[*stream]bool{}
		for i, one := range out {
			if in[one.ts] != one {
				t.Fatalf("%v is none of them", one)
			}
			if i > 0 && out[i-1].stream == one.stream {
				if out[i-1].ts >= one.ts {
					t.Fatal("the order of a stream is another")
				}
				continue
			}
			if ended[one.stream] {
				t.Fatal("a stream is not together")
			}
			ended[one.stream] = true
		}
	}
}

// After a kill nobody knew any more which samples had moved to a free
// millisecond, and one that came with the time of such a place was taken for
// late, found its place taken, and was lost.
func TestMovedSamplesAreKnownAfterARestart(t *testing.T) {
	s := &stream{certain: 90}
	for i, ts := range []int64{95, 99, 100, 101, 102} { // the last two came with 100 and 101
		s.found(ts, float64(i))
	}
	s.orig = s.last
	for i, tt := range []struct {
		ts   int64
		v    float64
		at   int64
		late bool
		keep bool
	}{
		{101, 10, 103, false, true},
		{102, 11, 104, false, true},
		{100, 2, 0, false, false}, // read again, and there
		{99, 12, 105, false, true},
		{98, 13, 98, true, true},
		{200, 14, 200, false, true},
		{150, 15, 150, true, true}, // late, as ever
	} {
		at, late, keep := s.admit(tt.ts, tt.v)
		if at != tt.at || late != tt.late || keep != tt.keep {
			t.Errorf("%d. %d went to %d, late %t, kept %t; want %+v", i, tt.ts, at, late, keep, tt)
		}
	}
	for ts := range int64(3 * maxShift) {
		s.found(1000+ts, 1)
	}
	if len(s.row) > maxShift {
		t.Errorf("a row of %d is kept", len(s.row))
	}
}
