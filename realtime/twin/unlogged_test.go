package twin

import (
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

func TestWhatIsNotLoggedIsShownMarkedAndForgotten(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	tw := New(Config{Now: func() time.Time { return now }})
	say := func(json string, at time.Time) realtime.Record {
		return realtime.Record{Kind: realtime.Telemetry, Thing: "plant/pump", TS: at, At: at, Values: []realtime.Value{{Name: "speed", JSON: []byte(json)}}}
	}
	tw.Apply(realtime.Bundle{Seq: 7, Records: []realtime.Record{say("1", now)}})
	_, before := tw.Checkpoint()
	var told []realtime.Update
	tw.OnChange(func(u realtime.Update) { told = append(told, u) })
	told = nil

	tw.ShowUnlogged([]realtime.Record{say("2", now.Add(time.Second)), say("3", now.Add(2*time.Second))})
	if len(told) != 1 || told[0].Seq != 7 || string(told[0].Changes[0].Values[0].JSON) != "3" || told[0].Changes[0].Marks.Quality["speed"] != Unlogged {
		t.Fatalf("told %+v", told)
	}
	if s := tw.States(nil); string(s[0].Properties["speed"].Value) != "3" || s[0].Properties["speed"].Quality != Unlogged {
		t.Errorf("%+v", s[0])
	}
	props := func(b []byte) string { _, p, _ := strings.Cut(string(b), `"props"`); return p }
	if _, after := tw.Checkpoint(); props(after[0]) != props(before[0]) {
		t.Errorf("a checkpoint has what is not in the log:\n%s\n%s", before[0], after[0])
	}

	// The log is back, with something measured before what was shown.
	told = nil
	tw.Apply(realtime.Bundle{Seq: 8, Records: []realtime.Record{say("4", now.Add(time.Second))}})
	if c := told[0].Changes[0]; string(c.Values[0].JSON) != "4" || c.Marks == nil || len(c.Marks.Quality) != 0 {
		t.Errorf("told %+v", told[0])
	}
}

// The clock was an hour ahead and is set right: what arrives now is new, though
// its times are before those that are shown.
func TestAClockThatIsSetBackFreezesNothing(t *testing.T) {
	wrong := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	tw := New(Config{Now: func() time.Time { return wrong }})
	for i, at := range []time.Time{wrong, wrong.Add(-time.Hour), wrong.Add(-time.Hour - time.Second)} {
		tw.Apply(realtime.Bundle{Seq: uint64(i + 1), Records: []realtime.Record{{Kind: realtime.Telemetry, Thing: "plant/pump", TS: at, At: at,
			Values: []realtime.Value{{Name: "speed", JSON: []byte{byte('1' + i)}}}}}})
	}
	if s := tw.States(nil); string(s[0].Properties["speed"].Value) != "2" {
		t.Errorf("got %s, want 2: what came after the clock was set right, and nothing older than that", s[0].Properties["speed"].Value)
	}
}
