package realtime

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
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

// What the scanner understands it reads as encoding/json does, and what it
// read is its own.
func FuzzParseRecords(f *testing.F) {
	f.Add(AppendRecord(nil, Record{Kind: Telemetry, Thing: "a", Values: []Value{{"x", json.RawMessage("1")}}}))
	for _, line := range []string{
		`{"kind":"telemetry","thing":"a/b","ts":1,"at":-2,"set":{"a":-0.5e+10,"b":"x","a":[1,{"c":null},[]],"d":{}}}`,
		`{"kind":"event","thing":"a","ts":0,"at":12,"name":"n","data":{"a":"é","b":"\u00e9"}}`,
		`{"kind":"result","ts":1,"at":2,"cmd":"c","data":null}`,
		`{"kind":"status","thing":"a","ts":01,"at":2}`,
		`{"kind":"telemetry","ts":1,"at":2,"set":{}}`,
		`{"kind":"telemetry","ts":1,"at":2,"set":{"a":01}}`,
		`{"kind":"telemetry","ts":1,"at":2,"set":{"a":1.,"b":-}}`,
		`{"kind":"telemetry","ts":1e3,"at":2,"set":null,"KIND":"x"} `,
		`{"kind":"x","thing":"` + strings.Repeat("a", maxShared) + `","ts":1,"at":9999999999999999999,"data":"\xff"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseRecords(b) // must not panic
		line, _, _ := bytes.Cut(b, []byte{'\n'})
		line = bytes.Clone(line)
		want, err := parseRecord(line)
		var s scanner
		for _, before := range []string{ // what it may take over from the line before
			`{"kind":"telemetry","thing":"a/b","ts":1,"at":2,"set":{"x":1,"a":2,"b":3}}`,
			`{"kind":"telemetry","thing":"a","ts":1,"at":2,"set":{"a":1,"b":2}}`,
			string(line),
		} {
			s.record([]byte(before))
			here := bytes.Clone(line)
			got, ok := s.record(here)
			if !ok {
				return
			}
			clear(here)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v, %v", got, want, err)
			}
		}
	})
}

// The lines of the log are read the quick way; a change of AppendRecord that
// the scanner does not know would cost ten times as much in silence.
func TestScannerUnderstandsWhatIsWritten(t *testing.T) {
	for _, r := range []Record{
		{Kind: Telemetry, Thing: "plant/line1/pump", Values: []Value{{"speed", json.RawMessage(`60.40`)}, {"mode", json.RawMessage(`"auto"`)}, {"at", json.RawMessage(`[1,{"x":-1e-3}]`)}}},
		{Kind: Event, Thing: "plant/line1/pump", Name: "overheat", Data: json.RawMessage(`{"temperature":91.5}`)},
		{Kind: Event, Thing: "plant/line1/pump", Name: "overheat"},
		{Kind: Status, Thing: "plant/line1/pump", Name: "offline"},
		{Kind: Command, Thing: "p", Cmd: "01JD", Data: json.RawMessage(`{"cmd":"01JD","status":"sent"}`)},
		{Kind: Result, Cmd: "01JD", Data: json.RawMessage(`{"ok":true}`)},
	} {
		line := bytes.TrimSuffix(AppendRecord(nil, r), []byte{'\n'})
		if _, ok := new(scanner).record(line); !ok {
			t.Errorf("the scanner does not understand %s", line)
		}
	}
}

// A short number is what strconv makes of it, to the last bit.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "60.4", "-0.001", "123456789012345", "999999999999999", "1234567890.12345", "9007199254740993", "0.000000000000001", "1e3", "1.", ".5", "-", "", "1.2.3", "00.1", "1e999", "+1", "0x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := short([]byte(s))
		want, err := strconv.ParseFloat(s, 64)
		if ok && (err != nil || math.Float64bits(got) != math.Float64bits(want)) {
			t.Errorf("%q: got %v, want %v, %v", s, got, want, err)
		}
		if _, ok := Number([]byte(s)); ok != (err == nil) {
			t.Errorf("%q: got %v, want %v", s, ok, err)
		}
	})
}

// The lines of a bundle are read with what the one before had in mind.
func TestLinesOfABundleDoNotMix(t *testing.T) {
	var lines []byte
	var want []Record
	for i, names := range [][]string{{"a", "b"}, {"a", "b"}, {"a"}, {"a", "c", "b"}, {"b", "a"}, {"c"}, {}, {"a", "b", "c", "d"}} {
		r := Record{Kind: Telemetry, Thing: "t" + strconv.Itoa(i/2), TS: time.UnixMilli(int64(i)).UTC(), At: time.UnixMilli(2).UTC()}
		for k, n := range names {
			r.Values = append(r.Values, Value{n, json.RawMessage(strconv.Itoa(10*i + k))})
		}
		lines, want = AppendRecord(lines, r), append(want, r)
	}
	wide := Record{Kind: Telemetry, Thing: "wide", TS: time.UnixMilli(1).UTC(), At: time.UnixMilli(2).UTC()}
	for i := range 200 {
		wide.Values = append(wide.Values, Value{"n" + strconv.Itoa(i), json.RawMessage(strconv.Itoa(i))})
	}
	for range 3 {
		lines, want = AppendRecord(lines, wide), append(want, wide)
	}
	got, err := ParseRecords(lines)
	clear(lines)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v, %v", got, want, err)
	}
}

// A value that stays must not hold the memory of a long line that is gone.
func TestPartsOfLongLinesStandAlone(t *testing.T) {
	long, _ := json.Marshal(strings.Repeat("x", maxShared))
	rs, err := ParseRecords(AppendRecord(nil, Record{Kind: Telemetry, Thing: "a", Values: []Value{{"long", long}, {"n", json.RawMessage("1")}}}))
	if err != nil || cap(rs[0].Values[1].JSON) > 64 {
		t.Errorf("a value of one byte holds %d, %v", cap(rs[0].Values[1].JSON), err)
	}
}

func BenchmarkParseRecords(b *testing.B) {
	var lines []byte
	r := Record{Kind: Telemetry, Thing: "plant/line1/conveyor-1", TS: time.UnixMilli(1790000000123), At: time.UnixMilli(1790000000125)}
	for i := range 10 {
		r.Values = append(r.Values, Value{"property" + strconv.Itoa(i), json.RawMessage(strconv.FormatFloat(60.4+float64(i), 'f', 2, 64))})
	}
	for range 100 {
		lines = AppendRecord(lines, r)
	}
	for _, way := range []struct {
		name string
		do   func(line []byte) bool
	}{
		{"scanner", func(line []byte) bool { rs, err := ParseRecords(line); return err == nil && len(rs) == 100 }},
		{"encoding-json", func(lines []byte) bool {
			for line := range bytes.Lines(lines) {
				if _, err := parseRecord(line); err != nil {
					return false
				}
			}
			return true
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !way.do(lines) {
					b.Fatal("the lines cannot be read")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100/1000, "µs/reading")
		})
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		outer, inner string
		want         bool
	}{
		{"**", "a", true}, {"**", "**", true}, {"a/**", "a/b/*", true}, {"a/**", "a/**", true}, {"a/*", "a/*", true}, {"a/*", "a/b", true}, {"*/b", "a/b", true},
		{"a/*", "a/**", false}, {"a/b", "a/*", false}, {"a/**", "**", false}, {"a/**", "a", false}, {"a/*", "a/b/c", false}, {"a/b", "a", false}, {"*", "**", false}, {"a/**", "*/b", false},
	} {
		if got := Within(tt.outer, tt.inner); got != tt.want {
			t.Errorf("Within(%q, %q) = %v", tt.outer, tt.inner, got)
		}
	}
}
