package twin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestOneUpdateForEachBundle(t *testing.T) {
	p := &plant{t: t}
	tw, l := p.node(conveyor)
	p.say(
		reading(conveyorID, noon, `{"speed":60.4,"running":true}`),
		reading("plant/line1/pump", noon, `{"pressure":2}`),
		reading(conveyorID, noon.Add(100*time.Millisecond), `{"temperature":41,"speed":60.5}`),
	)
	if l.count() != 1 {
		t.Fatalf("got %d updates, want 1", l.count())
	}
	u := l.last()
	if u.Seq != 1 || len(u.Changes) != 2 {
		t.Fatalf("got %s", asText(u))
	}
	c := u.Changes[0]
	got := fmt.Sprintf("%s %d %s", c.Thing, c.Samples, c.TS.Format(time.RFC3339Nano))
	for _, v := range c.Values {
		got += " " + v.Name + "=" + string(v.JSON)
	}
	if want := conveyorID + " 2 2026-11-23T12:00:00.1Z speed=60.5 running=true temperature=41"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A bundle that changes nothing is told too: viewers learn how far they are.
	p.say(realtime.Record{Kind: realtime.Result, Cmd: "unknown", TS: noon, At: noon, Data: json.RawMessage(`{"ok":true}`)})
	if l.count() != 2 || l.last().Seq != 2 {
		t.Errorf("got %d updates, the last %s", l.count(), asText(l.last()))
	}
	// A bundle that comes again is no change.
	tw.Apply(p.bundles[0])
	if l.count() != 2 || tw.Seq() != 2 {
		t.Errorf("a repeated bundle was told, or moved seq to %d", tw.Seq())
	}
}

func TestWhatWasToldIsNeverWrittenAgain(t *testing.T) {
	p := &plant{t: t}
	_, l := p.node(conveyor)
	for i := range 200 {
		at := noon.Add(time.Duration(i) * time.Second)
		p.say(reading(conveyorID, at, fmt.Sprintf(`{"speed":%d,"x":%d}`, i, i)), reading(conveyorID, at, fmt.Sprintf(`{"speed":%d,"y":"%d"}`, i+1, i)))
	}
	for i, u := range l.updates {
		if got := asText(u); got != l.texts[i] {
			t.Fatalf("update %d was\n%s\nand is now\n%s", i, l.texts[i], got)
		}
	}
}

func TestAnOlderReadingIsHistory(t *testing.T) {
	p := &plant{t: t}
	tw, l := p.node(conveyor)
	p.say(reading(conveyorID, noon, `{"speed":60}`))
	p.say(reading(conveyorID, noon.Add(-time.Second), `{"speed":10,"temperature":40}`))
	if got := value(tw, conveyorID, "speed"); !strings.HasPrefix(got, "60 ") {
		t.Errorf("an older reading replaced the value: %s", got)
	}
	if got := value(tw, conveyorID, "temperature"); !strings.HasPrefix(got, "40 ") {
		t.Errorf("the new property of an older reading was dropped: %s", got)
	}
	if c := l.last().Changes; len(c) != 1 || len(c[0].Values) != 1 || c[0].Values[0].Name != "temperature" {
		t.Errorf("got %s", asText(l.last()))
	}
	if n := tw.Stats().Late; n != 1 {
		t.Errorf("got %d late values, want 1", n)
	}
	p.say(reading(conveyorID, noon.Add(-time.Minute), `{"speed":10}`))
	if c := l.last().Changes; len(c) != 0 {
		t.Errorf("a reading that changes nothing was told: %s", asText(l.last()))
	}
}

// A device whose clock jumps ahead for one reading must not be deaf to its own
// right readings afterwards.
func TestAClockThatJumpedAheadLocksNothingOut(t *testing.T) {
	p := &plant{t: t}
	tw, _ := p.node(conveyor)
	ahead := reading(conveyorID, noon, `{"speed":60}`)
	ahead.TS = noon.Add(time.Minute)
	p.say(ahead)
	p.say(reading(conveyorID, noon.Add(100*time.Millisecond), `{"speed":61}`))
	if got := value(tw, conveyorID, "speed"); !strings.HasPrefix(got, "61 ") {
		t.Errorf("got %s, want the reading that came after", got)
	}
}

func TestQuality(t *testing.T) {
	for _, tt := range []struct{ set, name, want string }{
		{`{"speed":100}`, "speed", "100 good"},
		{`{"speed":100.1}`, "speed", "100.1 out_of_range"},
		{`{"speed":-0.5}`, "speed", "-0.5 out_of_range"},
		{`{"speed":6e1}`, "speed", "6e1 good"},
		{`{"speed":"fast"}`, "speed", "50 bad"},
		{`{"speed":null}`, "speed", "50 bad"},
		{`{"speed":1e999}`, "speed", "50 bad"},
		{`{"running":1}`, "running", " bad"},
		{`{"running":false}`, "running", "false good"},
		{`{"count":7.0}`, "count", "7.0 good"},
		{`{"count":7.5}`, "count", " bad"},
		{`{"above":0}`, "above", "0 out_of_range"},
		{`{"above":0.1}`, "above", "0.1 good"},
		{`{"above":5}`, "above", "5 out_of_range"},
		{`{"new":"x"}`, "new", `"x" good`},
		{`{"new":null}`, "new", `null good`},
	} {
		// The clock stands at noon, so that nothing is stale.
		tw := New(Config{Now: func() time.Time { return noon }})
		if err := tw.Describe([]byte(conveyor)); err != nil {
			t.Fatal(err)
		}
		tw.Apply(realtime.Bundle{Seq: 1, Records: []realtime.Record{reading(conveyorID, noon.Add(-time.Second), `{"speed":50}`)}})
		r := reading(conveyorID, noon, tt.set)
		tw.Apply(realtime.Bundle{Seq: 2, Records: []realtime.Record{r}})
		if got := value(tw, conveyorID, tt.name); got != tt.want {
			t.Errorf("after %s got %s %s, want %s", tt.set, tt.name, got, tt.want)
		}
	}
}

func TestABadReadingIsAFactAndLeavesTheState(t *testing.T) {
	tw := New(Config{Now: func() time.Time { return noon }})
	l := &listener{}
	tw.OnChange(l.hear)
	if err := tw.Describe([]byte(conveyor)); err != nil {
		t.Fatal(err)
	}
	seq := uint64(0)
	say := func(after time.Duration, set string) realtime.Update {
		seq++
		tw.Apply(realtime.Bundle{Seq: seq, Records: []realtime.Record{reading(conveyorID, noon.Add(after-time.Hour), set)}})
		return l.last()
	}
	say(0, `{"temperature":50}`)
	u := say(time.Second, `{"temperature":"hot"}`)
	if len(u.Changes) != 1 || len(u.Changes[0].Values) != 0 || u.Changes[0].Marks == nil || u.Changes[0].Marks.Quality["temperature"] != Bad {
		t.Fatalf("got %s", asText(u))
	}
	want := `{"thing":"plant/line1/conveyor-2","name":"bad_reading","data":{"property":"temperature","message":"the description says number, got string","value":"hot","count":1},"ts":"2026-11-23T11:00:01.000Z"}`
	if len(u.Facts) != 1 || string(u.Facts[0].Body) != want || u.Facts[0].Seq != 2 {
		t.Errorf("got %s\nwant %s", asText(u), want)
	}
	// More of the same is no flood, and is counted.
	for i := range 20 {
		say(time.Duration(i+2)*time.Second, `{"temperature":"hot"}`)
	}
	facts := l.facts("event")
	if len(facts) != 3 {
		t.Fatalf("got %d facts for 21 bad readings in 21 seconds, want one every 10 seconds", len(facts))
	}
	if !strings.Contains(facts[1], `"count":10`) {
		t.Errorf("the second fact is %s, want it to stand for 10 readings", facts[1])
	}
	if u = say(time.Minute, `{"temperature":51}`); u.Changes[0].Marks == nil || len(u.Changes[0].Marks.Quality) != 0 {
		t.Errorf("a good reading did not clear the mark: %s", asText(u))
	}
	if n := tw.Stats().Bad; n != 21 {
		t.Errorf("got %d bad values, want 21", n)
	}
}

func TestMarksAreToldWhenTheyChangeAndWhole(t *testing.T) {
	tw := New(Config{Now: func() time.Time { return noon }})
	l := &listener{}
	tw.OnChange(l.hear)
	if err := tw.Describe([]byte(conveyor)); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		r    realtime.Record
		want *realtime.Marks
	}{
		{reading(conveyorID, noon, `{"speed":60}`), nil},
		{reading(conveyorID, noon, `{"speed":101}`), &realtime.Marks{Quality: map[string]string{"speed": OutOfRange}}},
		{reading(conveyorID, noon, `{"speed":102}`), nil},
		{realtime.Record{Kind: realtime.Status, Thing: conveyorID, TS: noon, At: noon, Name: "online"}, &realtime.Marks{Quality: map[string]string{"speed": OutOfRange}, Online: "online"}},
		{realtime.Record{Kind: realtime.Status, Thing: conveyorID, TS: noon, At: noon, Name: "offline"}, &realtime.Marks{Quality: map[string]string{"speed": OutOfRange}, Online: "offline"}},
		{reading(conveyorID, noon, `{"speed":60}`), &realtime.Marks{Online: "offline"}},
	} {
		tw.Apply(realtime.Bundle{Seq: uint64(i + 1), Records: []realtime.Record{tt.r}})
		if got := l.last().Changes[0].Marks; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("step %d: got %+v, want %+v", i, got, tt.want)
		}
	}
	n := l.count()
	tw.Apply(realtime.Bundle{Seq: 100, Records: []realtime.Record{{Kind: realtime.Status, Thing: conveyorID, Name: "offline"}}})
	if l.count() != n+1 || len(l.last().Changes) != 0 {
		t.Errorf("offline again was told as a change: %s", asText(l.last()))
	}
}

func TestEventsAreFacts(t *testing.T) {
	p := &plant{t: t}
	_, l := p.node()
	p.say(realtime.Record{Kind: realtime.Event, Thing: "plant/line1/new", TS: noon, At: noon, Name: "overheat", Data: json.RawMessage(`{"temperature":91.5}`)})
	want := `{"thing":"plant/line1/new","name":"overheat","data":{"temperature":91.5},"ts":"2026-11-23T12:00:00.000Z"}`
	u := l.last()
	if len(u.Facts) != 1 || string(u.Facts[0].Body) != want || u.Facts[0].Type != "event" || u.Facts[0].Seq != 1 || u.Facts[0].Thing != "plant/line1/new" {
		t.Errorf("got %s\nwant %s", asText(u), want)
	}
}

func TestNothingGrowsWithoutBound(t *testing.T) {
	tw := New(Config{MaxThings: 3})
	var rs []realtime.Record
	for i := range 10 {
		rs = append(rs, reading(fmt.Sprintf("thing-%d", i), noon, `{"a":1,"b":2}`))
	}
	set := map[string]int{}
	for i := range 1000 {
		set[fmt.Sprintf("p%d", i)] = i
	}
	many, _ := json.Marshal(set)
	rs = append(rs, reading("thing-0", noon, string(many)))
	tw.Apply(realtime.Bundle{Seq: 1, Records: rs})
	s := tw.Stats()
	if s.Things != 3 || len(tw.things["thing-0"].props) != maxProperties {
		t.Errorf("got %d things and %d properties", s.Things, len(tw.things["thing-0"].props))
	}
	if want := uint64(7*2 + 1000 - (maxProperties - 2)); s.Refused != want {
		t.Errorf("got %d refused values, want %d", s.Refused, want)
	}
	if p := problem(t, tw.Describe([]byte(conveyor))); p.Code != realtime.CodeTooMany {
		t.Errorf("got %+v", p)
	}
}

func TestWhatMakesNoSenseIsCounted(t *testing.T) {
	tw := New(Config{})
	tw.Apply(realtime.Bundle{Seq: 1, Records: []realtime.Record{
		{Kind: "song", Thing: "a"},
		{Kind: realtime.Status, Thing: "a", Name: "tired"},
		{Kind: realtime.Command, Thing: "a", Cmd: "1", Data: json.RawMessage(`[]`)},
		{Kind: realtime.Command, Thing: "a", Cmd: "1"},
		{Kind: realtime.Event, Thing: "a", Name: "x", Data: json.RawMessage(`{`)},
		{Kind: realtime.Telemetry, Values: []realtime.Value{{Name: "x"}}},
		{},
	}})
	if s := tw.Stats(); s.Unreadable != 6 || s.Refused != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestStateAsItIsServed(t *testing.T) {
	now := noon
	tw := New(Config{Now: func() time.Time { return now }})
	if err := tw.Describe([]byte(conveyor)); err != nil {
		t.Fatal(err)
	}
	r := reading(conveyorID, noon, `{"speed":60.4,"extra":[1]}`)
	r.At = noon.Add(5 * time.Millisecond)
	tw.Apply(realtime.Bundle{Seq: 7, Records: []realtime.Record{r}})
	now = noon.Add(1200 * time.Millisecond)
	s, ok := tw.State(conveyorID)
	got, err := json.Marshal(s)
	want := `{"thing":"plant/line1/conveyor-2","title":"Conveyor 2","seq":7,"properties":{` +
		`"extra":{"value":[1],"ts":"2026-11-23T12:00:00Z","at":"2026-11-23T12:00:00.005Z","age":1.2,"seq":7,"quality":"good","undescribed":true},` +
		`"speed":{"value":60.4,"unit":"%","ts":"2026-11-23T12:00:00Z","at":"2026-11-23T12:00:00.005Z","age":1.2,"seq":7,"quality":"good","title":"Speed","period":1}}}`
	if !ok || err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if _, ok := tw.State("nowhere"); ok {
		t.Error("a thing that is not has a state")
	}
	tw.Apply(realtime.Bundle{Seq: 8, Records: []realtime.Record{reading("a/pump", noon, `{"x":1}`), reading("b/pump", noon, `{"x":1}`)}})
	var ids []string
	for _, s := range tw.States(func(id string) bool { return id != "b/pump" }) {
		ids = append(ids, s.Thing)
	}
	if want := []string{"a/pump", conveyorID}; !reflect.DeepEqual(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
}
