package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"echotwin/realtime"
)

// An archive is a history that tests write: what each thing was before, and
// then moments in their order.
type archive struct {
	moments []Moment        // the first is the state before everything
	stood   []realtime.Fact // at any beginning
	least   time.Time
	fail    error         // instead of the end
	hold    chan struct{} // each reading after the first waits for one

	mu      sync.Mutex
	asked   []Past
	reading atomic.Int32 // under way
}

func (a *archive) Replay(ctx context.Context, p Past) iter.Seq2[Moment, error] {
	return func(yield func(Moment, error) bool) {
		a.reading.Add(1)
		defer a.reading.Add(-1)
		a.mu.Lock()
		a.asked = append(a.asked, p)
		a.mu.Unlock()
		if p.From.Before(a.least) {
			least := float64(a.least.UnixMilli())
			yield(Moment{}, &realtime.Problem{Code: realtime.CodeOutOfRange, At: "/from", Minimum: &least, Message: "the history begins at " + realtime.Stamp(a.least)})
			return
		}
		first := map[string]realtime.Change{}
		i := 0
		for ; i < len(a.moments) && !a.moments[i].At.After(p.From); i++ {
			for _, c := range a.moments[i].Changes {
				was := first[c.Thing]
				was.Thing, was.TS, was.Marks = c.Thing, c.TS, c.Marks
				for _, v := range c.Values {
					was.Values = setTo(was.Values, v)
				}
				first[c.Thing] = was
			}
		}
		at := Moment{At: p.From}
		for _, c := range first {
			if p.See == nil || p.See(c.Thing) {
				at.Changes = append(at.Changes, c)
			} else {
				at.Changes = append(at.Changes, realtime.Change{Thing: c.Thing})
			}
		}
		if !yield(at, nil) || a.stood != nil && !yield(Moment{At: p.From, Facts: a.stood}, nil) {
			return
		}
		for ; i < len(a.moments) && (p.To.IsZero() || !a.moments[i].At.After(p.To)); i++ {
			if a.hold != nil {
				select {
				case <-a.hold:
				case <-ctx.Done():
					yield(Moment{}, ctx.Err())
					return
				}
			}
			if !yield(a.moments[i], nil) {
				return
			}
		}
		switch {
		case a.fail != nil:
			yield(Moment{}, a.fail)
		case !p.To.IsZero():
			yield(Moment{At: p.To}, nil)
		}
	}
}

func setTo(vs []realtime.Value, v realtime.Value) []realtime.Value {
	vs = slices.Clone(vs)
	for i := range vs {
		if vs[i].Name == v.Name {
			vs[i] = v
			return vs
		}
	}
	return append(vs, v)
}

// morning is when the archive of most tests begins.
var morning = time.Date(1999, 11, 23, 8, 0, 0, 0, time.UTC) // fake time begins in 2000

func speedAt(t testing.TB, at time.Time, speed int) Moment {
	c := reading(t, "plant/a", fmt.Sprintf(`{"speed":%d}`, speed))
	c.TS = at
	return Moment{At: at, Changes: []realtime.Change{c}}
}

// aMorning is a reading a second, speed 0 at eight o'clock, and an event at the
// tenth second.
func aMorning(t testing.TB, seconds int) *archive {
	a := &archive{least: morning}
	for i := range seconds {
		m := speedAt(t, morning.Add(time.Duration(i)*time.Second), i)
		if i == 10 {
			m.Facts = []realtime.Fact{event("plant/a", "jam")}
		}
		a.moments = append(a.moments, m)
	}
	return a
}

func (f *frame) when(t testing.TB) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, f.At)
	if err != nil {
		t.Fatalf("%s: no time in at", f.raw)
	}
	return at
}

func (f *frame) value(t testing.TB, thing, name string) string {
	t.Helper()
	var v struct{ State, Set map[string]json.RawMessage }
	if raw := f.Things[thing]; raw != nil {
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
	}
	return string(v.State[name]) + string(v.Set[name])
}
