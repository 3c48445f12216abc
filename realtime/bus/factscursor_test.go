package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

func alarm(thing, step string) realtime.Fact {
	return realtime.Fact{Type: "alarm", Thing: thing, Body: fmt.Appendf(nil, `{"step":%q}`, step)}
}

// A stretch is what After says beside the facts.
type stretch struct {
	Cursor string
	Missed int64
}

// after is what After gives of the type alarm, at most so many.
func after(t *testing.T, f *Facts, cursor string, most int) (all []string, s stretch) {
	t.Helper()
	var err error
	s.Cursor, s.Missed, err = f.After(t.Context(), "alarm", cursor, func(at string, _ time.Time, one realtime.Fact) bool {
		all = append(all, fmt.Sprintf("%d:%s", one.Seq, one.Body))
		return len(all) < most
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, s
}

// A cursor leads through the facts of one type, one by one, and past those of
// others, so that it does not grow old while only those come.
func TestACursorLeadsThroughTheFactsOfAType(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	f := openFacts(t, b, FactsConfig{})
	begin, err := f.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, s := after(t, f, begin, 9); len(got) != 0 || s.Missed != 0 || s.Cursor != begin {
		t.Errorf("an empty stream has %v, %+v", got, s)
	}
	f.Add(1, []realtime.Fact{alarm("a/1", "1"), event("a/1", "x"), alarm("a/2", "2")})
	f.Add(2, []realtime.Fact{event("a/1", "y")})
	f.Add(3, []realtime.Fact{alarm("a/1", "3")})
	stored(t, f, 3)
	one, s := after(t, f, begin, 1)
	rest, end := after(t, f, s.Cursor, 9)
	if got := strings.Join(append(one, rest...), " "); got != `1:{"step":"1"} 1:{"step":"2"} 3:{"step":"3"}` || s.Missed+end.Missed != 0 {
		t.Errorf("got %s, %+v, %+v", got, s, end)
	}
	if want, err := f.End(t.Context()); err != nil || want != end.Cursor {
		t.Errorf("the end is %s and the cursor %s: %v", want, end.Cursor, err)
	}
	f.Add(4, []realtime.Fact{event("a/1", "z")})
	stored(t, f, 4)
	if got, s := after(t, f, end.Cursor, 9); len(got) != 0 || s.Cursor == end.Cursor {
		t.Errorf("got %v, and the cursor did not move past what is no alarm: %+v", got, s)
	}
	b.Close()

	b = open(t, Config{Dir: dir})
	f = openFacts(t, b, FactsConfig{})
	f.Add(5, []realtime.Fact{alarm("a/1", "5")})
	stored(t, f, 5)
	if got, _ := after(t, f, s.Cursor, 9); !slices.Equal(got, []string{`1:{"step":"2"}`, `3:{"step":"3"}`, `5:{"step":"5"}`}) {
		t.Errorf("after a restart: %v", got)
	}
	// The numbers of a stream that was made anew are others, the places are not.
	moved := strings.Split(s.Cursor, ".")
	moved[3] = "77"
	if got, s := after(t, f, strings.Join(moved, "."), 9); len(got) != 3 || s.Missed != 0 {
		t.Errorf("by its place: %v, %+v", got, s)
	}
	for _, foreign := range []string{"", "other.1.0.1", "x.y", b.Epoch() + ".a.b.c"} {
		got, s := after(t, f, foreign, 9)
		if len(got) != 4 || s.Missed != -1 {
			t.Errorf("%q: %v, %+v", foreign, got, s)
		}
		if got, s := after(t, f, s.Cursor, 9); len(got) != 0 || s.Missed != 0 {
			t.Errorf("%q once more: %v, %+v", foreign, got, s)
		}
	}
}

// What the stream had to forget is counted, once.
func TestACursorSaysWhatItMissed(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	f := openFacts(t, b, FactsConfig{MaxBytes: 64 << 10})
	f.Add(1, []realtime.Fact{alarm("a/1", "1")})
	stored(t, f, 1)
	_, first := after(t, f, b.Epoch()+".0.-1.0", 9)
	big := strings.Repeat("x", 1000)
	for seq := uint64(2); seq <= 201; seq++ {
		f.Add(seq, []realtime.Fact{alarm("a/1", big)})
	}
	stored(t, f, 201)
	got, s := after(t, f, first.Cursor, 1000)
	if s.Missed < 100 || int(s.Missed)+len(got) != 200 {
		t.Fatalf("%d came and %d are said to be missed, of 200", len(got), s.Missed)
	}
	if got, s := after(t, f, s.Cursor, 1000); len(got) != 0 || s.Missed != 0 {
		t.Errorf("then %d came and %d are missed", len(got), s.Missed)
	}
	if err := f.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{200, 0} {
		got, s := after(t, f, first.Cursor, 1000)
		if len(got) != 0 || s.Missed != want {
			t.Errorf("of an emptied stream, the time %d: %v, %+v", i, got, s)
		}
		first = s
	}
}
