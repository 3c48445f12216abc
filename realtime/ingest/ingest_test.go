package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"echotwin/realtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a log that keeps what it is given.
type memory struct {
	mu      sync.Mutex
	bundles [][]byte
	err     error
}

func (m *memory) Append(_ context.Context, lines []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, m.err
	}
	m.bundles = append(m.bundles, bytes.Clone(lines))
	return uint64(len(m.bundles)), nil
}

func (m *memory) records(t testing.TB) []realtime.Record {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []realtime.Record
	for _, b := range m.bundles {
		rs, err := realtime.ParseRecords(b)
		if err != nil {
			t.Fatalf("%v in\n%s", err, b)
		}
		all = append(all, rs...)
	}
	return all
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// start is an Ingest at noon with a log in memory.
func start(t testing.TB, cfg Config) (*Ingest, *memory) {
	m := &memory{}
	if cfg.Log == nil {
		cfg.Log = m
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	in := New(cfg)
	t.Cleanup(in.Close)
	return in, m
}

// show writes records as people read them.
func show(rs []realtime.Record) string {
	var s []string
	for _, r := range rs {
		one := fmt.Sprintf("%s %s", r.Kind, r.Thing)
		if !r.TS.Equal(noon) {
			one += " at " + r.TS.Format("2006-01-02T15:04:05.000")
		}
		for _, v := range r.Values {
			one += fmt.Sprintf(" %s=%s", v.Name, v.JSON)
		}
		s = append(s, one)
	}
	return strings.Join(s, "\n")
}

func problems(a Answer) string {
	var s []string
	for _, p := range a.Rejected {
		s = append(s, fmt.Sprintf("%s %s: %s", p.At, p.Code, p.Message))
	}
	return strings.Join(s, "\n")
}

func TestTelemetryIsStoredAsItWasWritten(t *testing.T) {
	for _, tt := range []struct{ payload, want string }{
		{`{"speed":60.4,"temperature":41}`, `speed=60.4 temperature=41`},
		{"\r\n { \"speed\" :\t60.40 } \n", `speed=60.40`},
		{`{"big":12345678901234567890,"small":1e-7,"neg":-0.0,"exp":1E+2}`, `big=12345678901234567890 small=1e-7 neg=-0.0 exp=1E+2`},
		{`{"on":true,"off":false,"text":"60 °C, \"ok\" \u00e9\n"}`, `on=true off=false text="60 °C, \"ok\" \u00e9\n"`},
		{`{"pos":{ "x" : 1, "y":[ 1 , null, {"z":null} ] },"list":[],"obj":{ }}`, `pos={"x":1,"y":[1,null,{"z":null}]} list=[] obj={}`},
		{`{"sp\u0065ed":1}`, `speed=1`},
		{`{"ts":"2026-11-23T11:59:58.5Z","a":1}`, `at 2026-11-23T11:59:58.500 a=1`},
		{`{"a":1,"ts":"2026-11-23T18:59:58+07:00"}`, `at 2026-11-23T11:59:58.000 a=1`},
		{`{"a":1,"ts":1795434000120}`, `at 2026-11-23T11:40:00.120 a=1`},
		{`{"a":1,"ts":1795434000120.9}`, `at 2026-11-23T11:40:00.120 a=1`},
		{`{"a":1,"ts":946684800000}`, `at 2000-01-01T00:00:00.000 a=1`},
		{`{"deep":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, `deep=` + strings.Repeat("[", 16) + strings.Repeat("]", 16)},
	} {
		in, m := start(t, Config{})
		a, err := in.Telemetry(t.Context(), "plant/pump", []byte(tt.payload))
		if err != nil || a.Accepted != 1 || a.Seq != 1 || a.RejectedTotal != 0 || a.Clamped != 0 {
			t.Errorf("%s: %+v, %v", tt.payload, a, err)
		}
		if got, want := show(m.records(t)), "telemetry plant/pump "+tt.want; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.payload, got, want)
		}
	}
}

func TestAnArrayOfSamplesIsOneBundle(t *testing.T) {
	in, m := start(t, Config{})
	a, err := in.Telemetry(t.Context(), "plant/pump", []byte(` [ {"ts":1795434000120,"a":1} , {"ts":1795434000220,"a":2} ] `))
	if err != nil || a.Accepted != 2 || a.Seq != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
	want := "telemetry plant/pump at 2026-11-23T11:40:00.120 a=1\ntelemetry plant/pump at 2026-11-23T11:40:00.220 a=2"
	if got := show(m.records(t)); got != want {
		t.Errorf("got\n%s", got)
	}
	if len(m.bundles) != 1 {
		t.Errorf("%d bundles", len(m.bundles))
	}
}

func TestABatchIsOfManyThings(t *testing.T) {
	in, m := start(t, Config{})
	a, err := in.Batch(t.Context(), []byte(`{"plant/pump":{"a":1},"plant\/tank":[{"b":1},{"b":2}]}`))
	if err != nil || a.Accepted != 3 || a.Seq != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
	if got := show(m.records(t)); got != "telemetry plant/pump a=1\ntelemetry plant/tank b=1\ntelemetry plant/tank b=2" {
		t.Errorf("got\n%s", got)
	}
}

func TestBatchForKeepsToWhatTheSenderMay(t *testing.T) {
	in, m := start(t, Config{})
	mine := func(thing string) bool { return thing == "plant/pump" }
	a, err := in.BatchFor(t.Context(), []byte(`{"plant/tank":[{"b":1},{"b":2}],"plant/pump":{"a":1}}`), mine)
	if err != nil || a.Accepted != 1 || problems(a) != "/plant~1tank forbidden: you may not write to plant/tank" {
		t.Errorf("got %+v, %v", a, err)
	}
	if got := show(m.records(t)); got != "telemetry plant/pump a=1" {
		t.Errorf("got\n%s", got)
	}
	_, err = in.BatchFor(t.Context(), []byte(`{"plant/tank":{"b":1}}`), mine)
	if p := new(realtime.Problem); !errors.As(err, &p) || p.Code != realtime.CodeForbidden {
		t.Errorf("got %v", err)
	}
}

func TestProperty(t *testing.T) {
	in, m := start(t, Config{})
	for _, payload := range []string{`60.40`, ` "auto" `, `{ "x": 1 }`, `true`} {
		if a, err := in.Property(t.Context(), "plant/pump", "mode", []byte(payload)); err != nil || a.Accepted != 1 || a.Seq == 0 {
			t.Errorf("%s: %+v, %v", payload, a, err)
		}
	}
	want := "telemetry plant/pump mode=60.40\ntelemetry plant/pump mode=\"auto\"\ntelemetry plant/pump mode={\"x\":1}\ntelemetry plant/pump mode=true"
	if got := show(m.records(t)); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestTheFutureIsClamped(t *testing.T) {
	in, m := start(t, Config{})
	a, err := in.Telemetry(t.Context(), "p", []byte(`[{"ts":"2026-11-23T12:01:00Z","a":1},{"ts":"2026-11-23T12:01:00.001Z","a":2},{"ts":253402300799999,"a":3}]`))
	if err != nil || a.Accepted != 3 || a.Clamped != 2 || a.RejectedTotal != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
	if got := show(m.records(t)); got != "telemetry p at 2026-11-23T12:01:00.000 a=1\ntelemetry p a=2\ntelemetry p a=3" {
		t.Errorf("got\n%s", got)
	}
	if s := in.Stats(); s.Clamped != 2 {
		t.Errorf("Stats().Clamped = %d", s.Clamped)
	}
}

func TestFacts(t *testing.T) {
	in, m := start(t, Config{})
	for what, err := range map[string]error{
		"event":  in.Event(t.Context(), "plant/pump", "overheat", []byte("{ \"temperature\": 91.5, \"why\":null }\n")),
		"bare":   in.Event(t.Context(), "plant/pump", "started", []byte(" ")),
		"status": in.Status(t.Context(), "plant/pump", "online"),
		"result": in.Result(t.Context(), "01JD", []byte(`{"output":{"a":[1, 2]},"ok":true}`)),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var got []string
	for _, r := range m.records(t) {
		if !r.TS.Equal(noon) || !r.At.Equal(noon) {
			t.Errorf("%+v is not of noon", r)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s %s", r.Kind, r.Thing, r.Name, r.Cmd, r.Data))
	}
	for _, want := range []string{
		`event plant/pump overheat  {"temperature":91.5,"why":null}`,
		`event plant/pump started  `,
		`status plant/pump online  `,
		`result   01JD {"output":{"a":[1,2]},"ok":true}`,
	} {
		if !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") {
			t.Errorf("%q is missing in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

func TestFactsThatAreWrong(t *testing.T) {
	in, m := start(t, Config{})
	long := `"` + strings.Repeat("x", MaxValue) + `"`
	for _, tt := range []struct {
		name string
		err  error
		want string // a part of code at message
	}{
		{"event thing", in.Event(t.Context(), "a//b", "x", nil), "malformed  "},
		{"event name", in.Event(t.Context(), "a", "x y", nil), "malformed  "},
		{"event data", in.Event(t.Context(), "a", "x", []byte(`{"a":NaN}`)), "malformed /a NaN is not a number"},
		{"event cut", in.Event(t.Context(), "a", "x", []byte(`{"a":`)), "malformed  not JSON"},
		{"event more", in.Event(t.Context(), "a", "x", []byte(`1 2`)), "malformed  not JSON: byte 2"},
		{"event large", in.Event(t.Context(), "a", "x", []byte(long)), "too_large  "},
		{"status thing", in.Status(t.Context(), "", "online"), "malformed  "},
		{"status", in.Status(t.Context(), "a", `"online"`), "invalid  "},
		{"result cmd", in.Result(t.Context(), "", []byte(`{"ok":true}`)), "malformed  "},
		{"result array", in.Result(t.Context(), "c", []byte(`[true]`)), "malformed  want"},
		{"result empty", in.Result(t.Context(), "c", nil), "malformed  want"},
		{"result without ok", in.Result(t.Context(), "c", []byte(`{}`)), "invalid /ok"},
		{"result with a word", in.Result(t.Context(), "c", []byte(`{"ok":"yes"}`)), "invalid /ok"},
		{"result cut", in.Result(t.Context(), "c", []byte(`{"ok":true`)), "malformed  not JSON"},
		{"result too large", in.Result(t.Context(), "c", make([]byte, MaxPayload+1)), "too_large  "},
	} {
		p := new(realtime.Problem)
		if !errors.As(tt.err, &p) {
			t.Errorf("%s: got %v, want a Problem", tt.name, tt.err)
			continue
		}
		if got := fmt.Sprintf("%s %s %s", p.Code, p.At, p.Message); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if n := len(m.records(t)); n != 0 {
		t.Errorf("%d records were stored", n)
	}
}

func TestPut(t *testing.T) {
	in, m := start(t, Config{})
	earlier := noon.Add(-time.Second)
	seq, err := in.Put(t.Context(),
		realtime.Record{Kind: realtime.Command, Thing: "plant/pump", Cmd: "01JD", Data: []byte(" {\n\"status\": \"sent\"}"), At: earlier},
		realtime.Record{Kind: realtime.Event, Thing: "plant/pump", Name: "x"})
	if err != nil || seq != 1 || len(m.bundles) != 1 {
		t.Fatalf("got %d, %v", seq, err)
	}
	rs := m.records(t)
	if len(rs) != 2 || string(rs[0].Data) != `{"status":"sent"}` || !rs[0].TS.Equal(earlier) || !rs[1].TS.Equal(noon) || !rs[1].At.Equal(noon) {
		t.Errorf("got %+v", rs)
	}
	for what, r := range map[string]realtime.Record{
		"no kind":    {Thing: "a"},
		"no thing":   {Kind: realtime.Command},
		"bad thing":  {Kind: realtime.Command, Thing: `a"b`},
		"bad name":   {Kind: realtime.Event, Thing: "a", Name: "x\ny"},
		"bad cmd":    {Kind: realtime.Result, Cmd: `"`},
		"bad data":   {Kind: realtime.Command, Thing: "a", Data: []byte(`{"a":`)},
		"bad value":  {Kind: realtime.Telemetry, Thing: "a", Values: []realtime.Value{{Name: "a", JSON: []byte("NaN")}}},
		"no value":   {Kind: realtime.Telemetry, Thing: "a", Values: []realtime.Value{{Name: "a"}}},
		"value name": {Kind: realtime.Telemetry, Thing: "a", Values: []realtime.Value{{Name: "", JSON: []byte("1")}}},
		"too large":  {Kind: realtime.Command, Thing: "a", Data: []byte(`"` + strings.Repeat("x", maxLine) + `"`)},
	} {
		if _, err := in.Put(t.Context(), realtime.Record{Kind: realtime.Event, Thing: "a", Name: "right"}, r); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := in.Put(t.Context()); err == nil {
		t.Error("nothing was put without an error")
	}
	if n := len(m.records(t)); n != 2 {
		t.Errorf("%d records are stored, want the first two only", n)
	}
}

func TestStats(t *testing.T) {
	in, m := start(t, Config{})
	in.Telemetry(t.Context(), "p", []byte(`[{"a":1,"b":2},{"a":NaN},{"a":3}]`))
	in.Event(t.Context(), "p", "x", nil)
	in.Event(t.Context(), "p", "x", []byte("{"))
	m.mu.Lock()
	m.err = errors.New("disk full")
	m.mu.Unlock()
	in.Telemetry(t.Context(), "p", []byte(`[{"a":1},{"a":2}]`))
	in.Close()
	got := in.Stats()
	if got.Latency <= 0 {
		t.Error("no latency")
	}
	got.Latency = 0
	size := uint64(len(m.bundles[0]) + len(m.bundles[1]))
	want := Stats{Readings: 2, Values: 3, Facts: 1, Rejected: 2, Lost: 2, Bundles: 2, Failures: 1, Bytes: size}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
