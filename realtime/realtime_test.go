package realtime

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, thing string
		want           bool
	}{
		{"plant/line1/pump", "plant/line1/pump", true},
		{"plant/line1/pump", "plant/line1/pump2", false},
		{"plant/line1/pump", "plant/line1", false},
		{"plant/line1", "plant/line1/pump", false},
		{"plant/*/pump", "plant/line1/pump", true},
		{"plant/*", "plant/line1/pump", false},
		{"plant/*", "plant/line1", true},
		{"*", "plant", true},
		{"*", "plant/line1", false},
		{"plant/**", "plant/line1/pump", true},
		{"plant/**", "plant/line1", true},
		{"plant/**", "plant", false},
		{"**", "plant", true},
		{"*/**", "plant", false},
		{"*/**", "plant/line1", true},
	} {
		if got := Match(tt.pattern, tt.thing); got != tt.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tt.pattern, tt.thing, got, tt.want)
		}
	}
}

func TestCheckPaths(t *testing.T) {
	for _, tt := range []struct {
		s              string
		thing, pattern bool
	}{
		{"plant/line1/conveyor-1", true, true},
		{"a", true, true},
		{"a/b/c/d/e/f/g/h", true, true},
		{"a/b/c/d/e/f/g/h/i", false, false},
		{"plant/**", false, true},
		{"plant/*/x", false, true},
		{"plant/**/x", false, false},
		{"", false, false},
		{"/plant", false, false},
		{"plant/", false, false},
		{"plant/properties/x", false, false},
		{"plant/a b", false, false},
		{"plant/+", false, false},
		{"plant/é", false, false},
		{strings.Repeat("x", 65), false, false},
	} {
		if err := CheckThing(tt.s); (err == nil) != tt.thing {
			t.Errorf("CheckThing(%q) = %v, want ok %v", tt.s, err, tt.thing)
		}
		if err := CheckPattern(tt.s); (err == nil) != tt.pattern {
			t.Errorf("CheckPattern(%q) = %v, want ok %v", tt.s, err, tt.pattern)
		}
	}
	if err := CheckThing(strings.Repeat("/", 1<<20)); len(err.Error()) > 300 {
		t.Errorf("the message repeats %d bytes of what was sent", len(err.Error()))
	}
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	ts := time.UnixMilli(1790000000123).UTC()
	in := []Record{
		{Kind: Telemetry, Thing: "plant/line1/pump", TS: ts, At: ts.Add(2 * time.Millisecond),
			Values: []Value{{"speed", json.RawMessage(`60.40`)}, {"mode", json.RawMessage(`"auto"`)}, {"on", json.RawMessage(`true`)}}},
		{Kind: Event, Thing: "plant/line1/pump", TS: ts, At: ts, Name: "overheat", Data: json.RawMessage(`{"temperature":91.5}`)},
		{Kind: Status, Thing: "plant/line1/pump", TS: ts, At: ts, Name: "offline"},
		{Kind: Result, TS: ts, At: ts, Cmd: "01JD", Data: json.RawMessage(`{"ok":true}`)},
	}
	var lines []byte
	for _, r := range in {
		lines = AppendRecord(lines, r)
	}
	out, err := ParseRecords(lines)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(out, in) {
		t.Errorf("got  %+v\nwant %+v", out, in)
	}
}

func TestParseRecordsKeepsWhatIsRight(t *testing.T) {
	good := AppendRecord(nil, Record{Kind: Status, Thing: "a", Name: "online"})
	out, err := ParseRecords(append(good, "{oops\n"...))
	if len(out) != 1 || err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %d records and %v, want the first record and an error that names line 2", len(out), err)
	}
}

func TestParseValuesLastOfADoubleNameWins(t *testing.T) {
	vs, err := ParseValues([]byte(`{"a":1,"b":2,"a":3}`))
	if err != nil || len(vs) != 2 || string(vs[0].JSON) != "3" {
		t.Errorf("got %v, %v", vs, err)
	}
}

func FuzzParseRecords(f *testing.F) {
	f.Add(AppendRecord(nil, Record{Kind: Telemetry, Thing: "a", Values: []Value{{"x", json.RawMessage("1")}}}))
	f.Fuzz(func(t *testing.T, b []byte) { ParseRecords(b) }) // must not panic
}
