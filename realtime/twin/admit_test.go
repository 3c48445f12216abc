package twin

import (
	"fmt"
	"testing"
	"time"

	"echotwin/realtime"
)

// admitted is what Admit answers to a sample, for people: "all", "none" or the
// names that have no place.
func admitted(t *testing.T, tw *Twins, id, set string) string {
	t.Helper()
	r := reading(id, noon, set)
	over, why := tw.Admit(id, r.Values)
	switch {
	case why == nil && len(over) == 0:
		return "all"
	case why == nil || why.Code != realtime.CodeTooMany || why.Maximum == nil:
		t.Fatalf("got %v because of %+v", over, why)
	case len(over) == 0:
		return "none"
	}
	names := ""
	for _, i := range over {
		names += r.Values[i].Name + " "
	}
	return names
}

// Who is told that a thing has a place sees it, however much came between, and
// who is refused has one as soon as another thing goes.
func TestPlacesAreKept(t *testing.T) {
	now := noon
	tw := New(Config{MaxThings: 3, Now: func() time.Time { return now }})
	apply := func(rs ...realtime.Record) { tw.Apply(realtime.Bundle{Seq: tw.Seq() + 1, Records: rs}) }
	apply(reading("a", noon, `{"v":1}`), reading("b", noon, `{"v":1}`))
	if got := admitted(t, tw, "c", `{"v":1}`); got != "all" {
		t.Fatalf("the third of three: %s", got)
	}
	// c is on its way: the last place is taken, for what is described, too.
	for id, want := range map[string]string{"a": "all", "c": "all", "d": "none"} {
		if got := admitted(t, tw, id, `{"v":2}`); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if p := problem(t, tw.room("d")); p.Code != realtime.CodeTooMany || *p.Maximum != 3 {
		t.Errorf("describing d: %+v", p)
	}
	apply(reading("c", noon, `{"v":1}`))
	if got := admitted(t, tw, "d", `{"v":1}`); got != "none" {
		t.Errorf("beyond: %s", got)
	}
	apply(realtime.Record{Kind: realtime.Removed, Thing: "b", TS: noon, At: noon})
	if got := admitted(t, tw, "d", `{"v":1}`); got != "all" {
		t.Errorf("after b was removed: %s", got)
	}
	// The log did not store d. Its place is not lost for ever.
	if got := admitted(t, tw, "e", `{"v":1}`); got != "none" {
		t.Errorf("e before d is given up: %s", got)
	}
	now = now.Add(promiseFor + 2*time.Second)
	if got := admitted(t, tw, "e", `{"v":1}`); got != "all" {
		t.Errorf("e after d was given up: %s", got)
	}
	if s := tw.Stats(); s.Refused != 0 || s.Things != 2 {
		t.Errorf("%+v", s)
	}
}

// A thing that has all the properties it may have takes more values of these,
// and says of the others that they are not taken: exactly, though the first ones
// are still on their way when the last ones come.
func TestPropertiesBeyondTheLimitAreTold(t *testing.T) {
	tw := New(Config{Now: func() time.Time { return noon }})
	var stored []realtime.Record
	refused := 0
	for i := range maxProperties + 44 {
		set := fmt.Sprintf(`{"p%03d":1}`, i)
		if i%100 == 0 { // the log brings what came so far
			tw.Apply(realtime.Bundle{Seq: tw.Seq() + 1, Records: stored})
			stored = nil
		}
		if admitted(t, tw, "a", set) == "all" {
			stored = append(stored, reading("a", noon, set))
		} else {
			refused++
		}
	}
	if refused != 44 {
		t.Fatalf("%d refused, want 44", refused)
	}
	tw.Apply(realtime.Bundle{Seq: tw.Seq() + 1, Records: stored})
	if s := tw.Stats(); s.Refused != 0 || len(tw.things["a"].props) != maxProperties {
		t.Errorf("%d were accepted and are not shown; it has %d", s.Refused, len(tw.things["a"].props))
	}
	if got := admitted(t, tw, "a", `{"p001":2,"x":1,"p255":2,"y":1}`); got != "x y " {
		t.Errorf("without a place: %q", got)
	}
}

func BenchmarkAdmit(b *testing.B) {
	tw := New(Config{})
	rs := make([]realtime.Record, 1000)
	for i := range rs {
		rs[i] = reading(fmt.Sprintf("plant/line%d/pump-%d", i%20, i), noon, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}`)
	}
	tw.Apply(realtime.Bundle{Seq: 1, Records: rs})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := &rs[i%len(rs)]
		tw.Admit(r.Thing, r.Values)
	}
}
