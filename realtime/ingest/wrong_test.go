package ingest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"echotwin/realtime"
)

// Every way we know of to send something wrong: the places and reasons that
// the sender is told, and what is kept beside it.
func TestWrongTelemetryIsToldByPlace(t *testing.T) {
	deep := strings.Repeat("[", 17) + `"]"` + strings.Repeat("]", 17)
	for _, tt := range []struct {
		payload string
		kept    string   // what show says of it
		told    []string // the beginning of each problem
	}{
		// What is not telemetry at all.
		{``, ``, []string{` malformed: not JSON: the payload is empty: want a value`}},
		{`  `, ``, []string{` malformed: not JSON: the payload ends in the middle`}},
		{`hello`, ``, []string{` malformed: want an object of properties`}},
		{`60.4`, ``, []string{` malformed: want an object of properties`}},
		{`null`, ``, []string{` malformed: want an object of properties`}},
		{`"text"`, ``, []string{` malformed: want an object of properties`}},
		{"\xef\xbb\xbf{}", ``, []string{` malformed: want an object of properties`, ` malformed: not JSON: byte 3 is '{'`}},
		{`{}`, ``, []string{` invalid: the sample is empty`}},
		{`[]`, ``, []string{` invalid: the array is empty`}},
		{`[{}]`, ``, []string{`/0 invalid: the sample is empty`}},
		{`{"ts":1795434000120}`, ``, []string{` invalid: the sample has a ts and nothing else`}},
		{`[[{"a":1}]]`, ``, []string{`/0 invalid: want an object of properties`}},

		// One wrong value beside right ones.
		{`{"speed":NaN,"b":2}`, `p b=2`, []string{`/speed malformed: NaN is not a number of JSON`}},
		{`[{"a":1},{"speed":-Infinity,"b":2}]`, "p a=1\np b=2", []string{`/1/speed malformed: -Infinity is not a number`}},
		{`{"a":inf,"b":-nan(ind),"c":1.#QNAN,"d":1}`, `p d=1`, []string{`/a malformed: inf is`, `/b malformed: -nan(ind) is`, `/c malformed: 1.#QNAN is`}},
		{`{"a":01,"b":1.,"c":.5,"d":+1,"e":1e,"f":-,"g":0x1F,"h":12.5V}`, ``, []string{
			`/a malformed: 01 is not JSON`, `/b malformed: 1. is`, `/c malformed: .5 is`, `/d malformed: +1 is`,
			`/e malformed: 1e is`, `/f malformed: - is`, `/g malformed: 0x1F is`, `/h malformed: 12.5V is`}},
		{`{"a":True,"b":None,"c":undefined,"d":'x',"e":1}`, `p e=1`, []string{
			`/a malformed: True is not JSON`, `/b malformed: None`, `/c malformed: undefined`, `/d malformed: 'x'`}},
		{`{"a":1e400,"b":-1e400,"c":1e-400}`, `p c=1e-400`, []string{`/a out_of_range: 1e400 is beyond`, `/b out_of_range: -1e400 is beyond`}},
		{`{"a":` + strings.Repeat("1", 129) + `,"b":` + strings.Repeat("1", 128) + `}`, `p b=` + strings.Repeat("1", 128), []string{`/a too_large: a number of 129 characters`}},
		{`{"a":null,"b":1}`, `p b=1`, []string{`/a invalid: null is not a value here`}},
		{`{"pos":{"x":1,"y":{"z":null}},"b":1}`, `p b=1`, []string{`/pos/y/z invalid: null is not a value here`}},
		{`{"a":,"b":1}`, `p b=1`, []string{`/a malformed: the value is missing`}},
		{`{"a":[1,NaN],"b":[1,],"c":{"x":[{},{"y~/z":nan}]}}`, ``, []string{
			`/a/1 malformed: NaN`, `/b/1 malformed: the value is missing`, `/c/x/1/y~0~1z malformed: nan`}},
		{`{"a":` + deep + `,"b":1}`, `p b=1`, []string{`/a` + strings.Repeat("/0", 16) + ` too_large: arrays and objects go deeper than 16`}},
		{`{"a":"` + strings.Repeat("x", MaxValue-1) + `","b":"` + strings.Repeat("x", MaxValue-2) + `"}`,
			`p b="` + strings.Repeat("x", MaxValue-2) + `"`, []string{`/a too_large: a value of 65537 bytes; at most 65536`}},
		{"{\"a\":\"x\ny\",\"b\":\"\xff\",\"c\":\"\\x41\",\"d\":\"\\u12g4\",\"e\":1}", `p e=1`, []string{
			`/a malformed: a text with a control`, `/b malformed: a text that is not UTF-8`, `/c malformed: a text with a \`, `/d malformed: a text with a \`}},

		// Names.
		{`{"a b":1,"":2,"é":3,"x/y":4,"c":5}`, `p c=5`, []string{
			`/a b malformed: "a b" is not a name`, `/ malformed: "" is not a name`, `/é malformed: "é" is`, `/x~1y malformed: "x/y" is`}},
		{"{\"\xff\":1,\"\\q\":2,\"c\":5}", `p c=5`, []string{"/\uFFFD malformed: ", `/\q malformed: `}},
		{`{"a":1,"b":2,"a":3}`, `p a=1 b=2`, []string{`/a malformed: this property stands twice`}},

		// Times.
		{`{"ts":"yesterday","a":1}`, ``, []string{`/ts invalid: "yesterday" is no time: want RFC 3339`}},
		{`[{"a":1,"ts":"1795434000120"},{"a":2}]`, `p a=2`, []string{`/0/ts invalid: "1795434000120" is no time`}},
		{`{"ts":null,"a":1}`, ``, []string{`/ts invalid: null is no time`}},
		{`{"ts":true,"a":1}`, ``, []string{`/ts invalid: true is no time`}},
		{`{"ts":{"a":1},"a":1}`, ``, []string{`/ts invalid: {"a":1} is no time`}},
		{`{"ts":NaN,"a":1}`, ``, []string{`/ts invalid: NaN is no time`}},
		{`{"ts":,"a":1}`, ``, []string{`/ts invalid:  is no time`}},
		{`{"ts":"2026-11-23T08:00:00","a":1}`, ``, []string{`/ts invalid: "2026-11-23T08:00:00" is no time`}},
		{`{"ts":"2026-02-30T08:00:00Z","a":1}`, ``, []string{`/ts invalid: `}},
		{`{"ts":1795434000,"a":1}`, ``, []string{`/ts out_of_range: 1795434000 is before the year 2000, the clock is not set or counts seconds`}},
		{`{"ts":-5,"a":1}`, ``, []string{`/ts out_of_range: -5 is before`}},
		{`{"ts":"1970-01-01T00:00:09Z","a":1}`, ``, []string{`/ts out_of_range: "1970-01-01T00:00:09Z" is before the year 2000, the clock is not set:`}},
		{`{"ts":1795434000120000,"a":1}`, ``, []string{`/ts invalid: 1795434000120000 is no time`}},
		{`{"ts":1e99,"a":1}`, ``, []string{`/ts invalid: 1e99 is no time`}},
		{`{"ts":1795434000120,"a":1,"ts":1795434000120}`, ``, []string{`/ts invalid: ts stands twice`}},
		{`[{"ts":0,"a":NaN},{"a":2}]`, `p a=2`, []string{`/0/ts out_of_range: 0 is`, `/0/a malformed: NaN`}},

		// Payloads that break: what ended before is kept.
		{`{"a":1`, ``, []string{`/a malformed: not JSON: the payload ends in the middle: want , or }`}},
		{`{"a":`, ``, []string{`/a malformed: not JSON: the payload ends in the middle: want a value`}},
		{`{"a"`, ``, []string{` malformed: not JSON: the payload ends in the middle: want : behind a name`}},
		{`{"a`, ``, []string{` malformed: not JSON: the payload ends in the middle: want the closing quote`}},
		{`{"a":"x\`, ``, []string{`/a malformed: not JSON: the payload ends in the middle: want the closing quote`}},
		{`{"a":1,}`, ``, []string{` malformed: not JSON: byte 7 is '}': want a name in quotes`}},
		{`{"a":1;"b":2}`, ``, []string{`/a malformed: 1;`, `/a malformed: not JSON: byte 7 is '"': want , or }`}},
		{`{a:1}`, ``, []string{` malformed: not JSON: byte 1 is 'a': want a name in quotes`}},
		{`{"a":1} {"a":2}`, `p a=1`, []string{` malformed: not JSON: byte 8 is '{': want nothing behind`}},
		{`{"a":1}é`, `p a=1`, []string{` malformed: not JSON: byte 7 is 'é': want nothing behind`}},
		{"{\"a\":1}\x00", `p a=1`, []string{` malformed: not JSON: byte 7 is '\x00'`}},
		{`[{"a":1},{"b":2},{"a":`, "p a=1\np b=2", []string{`/2/a malformed: not JSON: the payload ends`}},
		{`[{"a":1} {"a":2}]`, "p a=1", []string{`/0 malformed: not JSON: byte 9 is '{': want , or ]`}},
		{`[{"a":1},]`, `p a=1`, []string{`/1 invalid: want an object`}},
		{`[{"a":1},3,"x",null,{"a":2}]`, "p a=1\np a=2", []string{`/1 invalid: want an object`, `/2 invalid`, `/3 invalid`}},
		{`{"a":[1}`, ``, []string{`/a malformed: not JSON: byte 7 is '}': want , or ]`}},
		{`{"a":{"x" 1}}`, ``, []string{`/a malformed: not JSON: byte 10 is '1': want : behind a name`}},
		{`{"a":` + strings.Repeat("[", 100), ``, []string{`/a malformed: not JSON: the payload ends in the middle`}},
	} {
		in, m := start(t, Config{})
		a, err := in.Telemetry(t.Context(), "p", []byte(tt.payload))
		check(t, tt.payload, a, err, m, tt.kept, tt.told)
	}
}

func TestWrongBatchesAreToldByPlace(t *testing.T) {
	for _, tt := range []struct {
		payload, kept string
		told          []string
	}{
		{`[]`, ``, []string{` malformed: want an object of things`}},
		{``, ``, []string{` malformed: want an object of things`}},
		{`{}`, ``, []string{` invalid: the object is empty`}},
		{`{} x`, ``, []string{` invalid: the object is empty`, ` malformed: not JSON: byte 3 is 'x'`}},
		{`{"plant/line1/pump":[{"speed":NaN,"b":1}]}`, `plant/line1/pump b=1`, []string{`/plant~1line1~1pump/0/speed malformed: NaN`}},
		{`{"a":{"x":NaN,"y":1},"b":5,"c":[],"d":{},"e":{"x":1}}`, "a y=1\ne x=1", []string{
			`/a/x malformed: NaN`, `/b malformed: want an object of properties`, `/c invalid: the array is empty`, `/d invalid: the sample is empty`}},
		{`{"a//b":{"x":1},"":{"x":1},"~":[{"x":[1,2]}],"c":{"x":1}}`, "c x=1", []string{
			`/a~1~1b malformed: "a//b" is not a thing id`, `/ malformed: "" is not a thing id`, `/~0 malformed: "~" is`}},
		{`{"a":{"x":1},"b":{"x":`, "a x=1", []string{`/b/x malformed: not JSON: the payload ends`}},
		{`{"a":{"x":1},"b":[{"x":1},{"x":2]}`, "a x=1\nb x=1", []string{`/b/1/x malformed: not JSON: byte 32 is ']': want , or }`}},
		{`{"a":{"x":1}`, "a x=1", []string{` malformed: not JSON: the payload ends in the middle: want , or }`}},
		{`{"a":{"x":1},}`, "a x=1", []string{` malformed: not JSON: byte 13 is '}': want a name`}},
		{`{"a":{"x":1},"a":{"x":2}}`, "a x=1\na x=2", nil},
	} {
		in, m := start(t, Config{})
		a, err := in.Batch(t.Context(), []byte(tt.payload))
		check(t, tt.payload, a, err, m, tt.kept, tt.told)
	}
}

func TestWrongPropertiesAreTold(t *testing.T) {
	for _, tt := range []struct{ thing, name, payload, told string }{
		{"p", "a", ``, ` malformed: not JSON: the payload is empty`},
		{"p", "a", `null`, ` invalid: null is not a value here`},
		{"p", "a", `NaN`, ` malformed: NaN is not a number`},
		{"p", "a", `{"x":[1,{"y":inf}]}`, `/x/1/y malformed: inf is not a number`},
		{"p", "a", `1 2`, ` malformed: not JSON: byte 2 is '2'`},
		{"p", "a", `[1`, ` malformed: not JSON: the payload ends`},
		{"p", "a b", `1`, ` malformed: "a b" is not a name`},
		{"p", "ts", `1`, ` invalid: ts is the time of a sample`},
		{"p/", "a", `1`, ` malformed: "p/" is not a thing id`},
		{"p", "a", `"` + strings.Repeat("x", MaxValue) + `"`, ` too_large: a value of`},
	} {
		in, m := start(t, Config{})
		a, err := in.Property(t.Context(), tt.thing, tt.name, []byte(tt.payload))
		check(t, tt.name+"="+tt.payload, a, err, m, "", []string{tt.told})
	}
}

// check compares what was kept and told, and that the error says the same.
func check(t *testing.T, payload string, a Answer, err error, m *memory, kept string, told []string) {
	t.Helper()
	if len(payload) > 100 {
		payload = payload[:100] + "…"
	}
	if got := strings.ReplaceAll(show(m.records(t)), "telemetry ", ""); got != kept {
		t.Errorf("%s: kept\n%.200s\nwant\n%.200s", payload, got, kept)
	}
	if len(a.Rejected) != len(told) || a.RejectedTotal != len(told) {
		t.Errorf("%s: told %d of %d problems, want %d:\n%s", payload, len(a.Rejected), a.RejectedTotal, len(told), problems(a))
		return
	}
	for i, p := range a.Rejected {
		if got := fmt.Sprintf("%s %s: %s", p.At, p.Code, p.Message); !strings.HasPrefix(got, told[i]) || len(got) > 800 {
			t.Errorf("%s: told\n%s\nwant\n%s", payload, got, told[i])
		}
	}
	if kept != "" {
		if err != nil || a.Accepted != strings.Count(kept, "\n")+1 || a.Seq != 1 {
			t.Errorf("%s: %+v, %v", payload, a, err)
		}
		return
	}
	p := new(realtime.Problem)
	if !errors.As(err, &p) || p.Code != a.Rejected[0].Code || p.At != a.Rejected[0].At || !strings.HasPrefix(p.Message, a.Rejected[0].Message) {
		t.Errorf("%s: the error is %v", payload, err)
	}
	if more := fmt.Sprintf("(and %d more problem", len(told)-1); len(told) > 1 && !strings.Contains(p.Message, more) {
		t.Errorf("%s: the error is %v, without the number of the others", payload, err)
	}
	if len(told) == 2 && strings.Contains(p.Message, "problems") {
		t.Errorf("%s: the error is %v, of one other problem", payload, err)
	}
}

func TestLimitsOfARequest(t *testing.T) {
	in, m := start(t, Config{})
	var wide strings.Builder
	for i := range MaxProperties + 30 {
		fmt.Fprintf(&wide, `,"p%d":1`, i)
	}
	a, err := in.Telemetry(t.Context(), "p", []byte("{"+wide.String()[1:]+"}"))
	if err != nil || a.Accepted != 1 || a.RejectedTotal != 30 || len(a.Rejected) != 1 || a.Rejected[0].At != "/p256" {
		t.Errorf("too many properties: %+v, %v", a, err)
	}
	if n := len(m.records(t)[0].Values); n != MaxProperties {
		t.Errorf("%d properties are kept", n)
	}

	long := "[" + strings.Repeat(`{"a":1},`, MaxSamples+30)
	a, err = in.Telemetry(t.Context(), "p", []byte(long[:len(long)-1]+"]"))
	if err != nil || a.Accepted != MaxSamples || a.RejectedTotal != 30 || len(a.Rejected) != MaxRejected || a.Rejected[0].At != "/10000" {
		t.Errorf("too many samples: %d accepted, %d of %d, %v", a.Accepted, len(a.Rejected), a.RejectedTotal, err)
	}
	for i, b := range m.bundles {
		if len(b) > 256<<10 {
			t.Errorf("bundle %d has %d bytes", i, len(b))
		}
	}
	if last := uint64(len(m.bundles)); a.Seq != last || last < 3 {
		t.Errorf("Seq = %d of %d", a.Seq, last)
	}

	a, err = in.Telemetry(t.Context(), "p", make([]byte, MaxPayload+1))
	if p := new(realtime.Problem); !errors.As(err, &p) || p.Code != realtime.CodeTooLarge || *p.Maximum != MaxPayload {
		t.Errorf("a payload too large: %+v, %v", a, err)
	}

	huge := "{"
	for i := range 17 {
		huge += fmt.Sprintf(`"x%d":"%s",`, i, strings.Repeat("y", 60_000))
	}
	huge += `"z":"` + strings.Repeat("y", MaxPayload-len(huge)-7) + `"}`
	a, err = in.Telemetry(t.Context(), "p", []byte(huge))
	if p := new(realtime.Problem); !errors.As(err, &p) || p.Code != realtime.CodeTooLarge || !strings.Contains(p.Message, "a sample of") {
		t.Errorf("a sample too large: %+v, %v", a, err)
	}
}

// What there is no place for is told by its place, and what has one is stored.
func TestWhatHasNoPlaceIsTold(t *testing.T) {
	none := &realtime.Problem{Code: realtime.CodeTooMany, Message: "no place"}
	admit := func(thing string, values []realtime.Value) (over []int, why *realtime.Problem) {
		if thing == "beyond" {
			return nil, none
		}
		for i, v := range values {
			if v.Name == "x" || v.Name == "y" {
				over, why = append(over, i), none
			}
		}
		return over, why
	}
	for _, tt := range []struct {
		payload, kept string
		told          []string
	}{
		{`{"p":{"a":1},"beyond":[{"a":1},{"b":1}],"q":{"a":2}}`, "p a=1\nq a=2", []string{`/beyond/0 too_many: no place`, `/beyond/1 too_many: no place`}},
		{`{"p":[{"x":1,"a":1,"y":2,"b":2},{"a":3}]}`, "p a=1 b=2\np a=3", []string{`/p/0/x too_many: no place`, `/p/0/y too_many: no place`}},
		{`{"p":{"x":1,"y":2}}`, ``, []string{`/p/x too_many: no place`, `/p/y too_many: no place`}},
		{`{"beyond":{"a":NaN}}`, ``, []string{`/beyond/a malformed: NaN`}},
	} {
		in, m := start(t, Config{Admit: admit})
		a, err := in.Batch(t.Context(), []byte(tt.payload))
		check(t, tt.payload, a, err, m, tt.kept, tt.told)
	}
	in, m := start(t, Config{Admit: admit})
	for what, err := range map[string]error{
		"a property":         second(in.Property(t.Context(), "p", "x", []byte("1"))),
		"of a thing":         second(in.Property(t.Context(), "beyond", "a", []byte("1"))),
		"the thing's status": in.Status(t.Context(), "beyond", "online"),
	} {
		var p *realtime.Problem
		if !errors.As(err, &p) || p.Code != realtime.CodeTooMany {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if err := in.Event(t.Context(), "beyond", "hello", nil); err != nil {
		t.Errorf("an event needs no place: %v", err)
	}
	if got := show(m.records(t)); got != "event beyond" {
		t.Errorf("stored is %q", got)
	}
}

func second(_ Answer, err error) error { return err }
