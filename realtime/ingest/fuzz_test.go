package ingest

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// Whatever is sent: no panic, every line of the log can be read back with what
// encoding/json reads in the payload, and every sample is either stored or
// told.
func FuzzTelemetry(f *testing.F) {
	for _, seed := range []string{
		`{"speed":60.4,"temperature":41,"ts":"2026-11-23T08:00:00Z"}`,
		`[{"ts":1795434000120,"a":[1, {"b":null}]},{"a":"\u00e9\n"}]`,
		`[{"a":NaN},{"a":1e400},{"a":null},{},3,{"ts":1},{"b":{"c":"` + "\xff" + `"}}]`,
		`{"plant/line1/pump":[{"a":1},{"a\u0062":"x"}],"b":{"c":{ }}}`,
		`{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `,"b":-0.0e+10}`,
		`{"a":1,"a":2} x`, `{"a":"\`, `{"ts":}`, "{\"a\":tru\x00e}",
	} {
		f.Add([]byte(seed))
	}
	m := &memory{}
	in := New(Config{Log: m, Now: func() time.Time { return noon }})
	f.Cleanup(in.Close)
	f.Fuzz(func(t *testing.T, payload []byte) {
		for what, send := range map[string]func() (Answer, error){
			"telemetry": func() (Answer, error) { return in.Telemetry(t.Context(), "p", payload) },
			"batch":     func() (Answer, error) { return in.Batch(t.Context(), payload) },
			"property":  func() (Answer, error) { return in.Property(t.Context(), "p", "a", payload) },
			"event":     func() (Answer, error) { return Answer{}, in.Event(t.Context(), "p", "a", payload) },
			"result":    func() (Answer, error) { return Answer{}, in.Result(t.Context(), "c", payload) },
		} {
			m.bundles = nil
			a, err := send()
			rs := m.records(t)
			if what != "event" && what != "result" {
				if a.Accepted != len(rs) || (err == nil) != (len(rs) > 0) || len(rs) == 0 && a.RejectedTotal == 0 {
					t.Fatalf("%s: %d records of %+v, %v", what, len(rs), a, err)
				}
			}
			blank := len(bytes.TrimSpace(payload)) == 0 && what == "event"
			if !json.Valid(payload) && !blank && err == nil && a.RejectedTotal == 0 {
				t.Fatalf("%s: not JSON, and nothing is told: %s", what, m.bundles)
			}
			if what == "telemetry" && a.RejectedTotal == 0 {
				sameAsJSON(t, payload, rs)
			}
			for _, r := range rs {
				checkRecord(t, r)
			}
		}
	})
}

// sameAsJSON compares a payload in which nothing was wrong with what
// encoding/json makes of it.
func sameAsJSON(t *testing.T, payload []byte, rs []realtime.Record) {
	t.Helper()
	var samples []map[string]json.RawMessage
	if bytes.TrimSpace(payload)[0] == '{' {
		payload = []byte("[" + string(payload) + "]")
	}
	if err := json.Unmarshal(payload, &samples); err != nil || len(samples) != len(rs) {
		t.Fatalf("%d samples, %d records, %v", len(samples), len(rs), err)
	}
	for i, r := range rs {
		delete(samples[i], "ts")
		if len(samples[i]) != len(r.Values) {
			t.Fatalf("sample %d has %d properties, its record %d", i, len(samples[i]), len(r.Values))
		}
		for _, v := range r.Values {
			var c bytes.Buffer
			if json.Compact(&c, samples[i][v.Name]); !bytes.Equal(c.Bytes(), v.JSON) {
				t.Fatalf("%s of sample %d is %s, want %s", v.Name, i, v.JSON, c.Bytes())
			}
		}
	}
}

func checkRecord(t *testing.T, r realtime.Record) {
	t.Helper()
	if r.TS.After(noon.Add(time.Minute)) || r.TS.Before(oldest) {
		t.Fatalf("the time is %v", r.TS)
	}
	seen := map[string]bool{}
	for _, v := range r.Values {
		if err := realtime.CheckName(v.Name); err != nil || seen[v.Name] {
			t.Fatalf("%q is a name, seen %v: %v", v.Name, seen[v.Name], err)
		}
		seen[v.Name] = true
		var x any
		if err := json.Unmarshal(v.JSON, &x); err != nil {
			t.Fatalf("%s: %v", v.JSON, err)
		}
		if x == nil {
			t.Fatal("null was kept")
		}
		if n, ok := x.(float64); ok && math.IsInf(n, 0) {
			t.Fatalf("%s is infinite", v.JSON)
		}
		var c bytes.Buffer
		if json.Compact(&c, v.JSON); !bytes.Equal(c.Bytes(), v.JSON) {
			t.Fatalf("%s is not compact", v.JSON)
		}
	}
}
