package twin

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// td is a description with these members besides id and title.
func td(members string) string {
	return `{"id":"a/b","title":"B",` + members + `}`
}

func TestDescribeSaysWhatIsWrongAndWhere(t *testing.T) {
	for _, tt := range []struct{ td, code, at, message string }{
		{`{`, "malformed", "", "not a JSON document: unexpected EOF"},
		{`{} {}`, "malformed", "", "not a JSON document: something follows the JSON value"},
		{`[]`, "invalid", "", "the description is an array, want an object"},
		{`{"title":"B"}`, "invalid", "/id", "id is missing"},
		{`{"id":"a/b"}`, "invalid", "/title", "title is missing"},
		{`{}`, "invalid", "/id", "id is missing"},
		{`{"id":7,"title":"B"}`, "invalid", "/id", "id is a number, want a string"},
		{`{"id":"urn:dev:ops:32473","title":"B"}`, "invalid", "/id", `"urn:dev:ops:32473" is not a thing id: 1 to 8 segments of letters, digits, _ and -, such as plant/line1/conveyor-1`},
		{`{"id":"a/properties/b","title":"B"}`, "invalid", "/id", `"a/properties/b" is not a thing id: properties cannot be a segment`},
		{td(`"properties":{"speed":{"type":"float"}}`), "invalid", "/properties/speed/type", `type is not one of "null", "boolean", "integer", "number", "string", "array", "object"`},
		{td(`"properties":{"speed":{"minimum":"0"}}`), "invalid", "/properties/speed/minimum", "minimum is a string, want a number"},
		{td(`"properties":{"speed":{"minimum":10,"maximum":1}}`), "invalid", "/properties/speed/minimum", "minimum 10 is above maximum 1"},
		{td(`"properties":{"a b":{}}`), "invalid", "/properties/a b", `"a b" is not a name: letters, digits, _ and -, at most 64`},
		{td(`"properties":{"a/b~c":{}}`), "invalid", "/properties/a~1b~0c", `"a/b~c" is not a name: letters, digits, _ and -, at most 64`},
		{td(`"properties":{"secret":{"writeOnly":true}}`), "invalid", "/properties/secret/writeOnly", "a property that can only be written has nothing to show; describe it as an action"},
		{td(`"properties":{"x":{"echotwin:period":0}}`), "out_of_range", "/properties/x/echotwin:period", "echotwin:period 0 is not above 0"},
		{td(`"properties":{"x":{"echotwin:band":[1]}}`), "invalid", "/properties/x/echotwin:band", "echotwin:band does not satisfy minItems 2"},
		{td(`"properties":{"x":{"echotwin:band":[2,1]}}`), "invalid", "/properties/x/echotwin:band", "the lower end of the band is above the upper one"},
		{td(`"properties":{"x":{"echotwin:priority":5}}`), "out_of_range", "/properties/x/echotwin:priority", "echotwin:priority 5 is above the maximum 4"},
		{td(`"properties":{"x":{"items":{"type":1}}}`), "invalid", "/properties/x/items/type", `type is not one of "null", "boolean", "integer", "number", "string", "array", "object"`},
		{td(`"actions":{"go":{"input":{"minimum":1e999}}}`), "malformed", "", "not a JSON document: the number 1e999 is beyond what can be calculated with"},
		{td(`"actions":{"go":{"input":{"properties":{"x":{"minimum":2,"maximum":1}}}}}`), "invalid", "/actions/go/input/properties/x/minimum", "minimum 2 is above maximum 1"},
		{td(`"actions":{"go":{"echotwin:feedback":"speed"}}`), "invalid", "/actions/go/echotwin:feedback", `there is no property "speed"`},
		{td(`"events":{"x.y":{}}`), "invalid", "/events/x.y", `"x.y" is not a name: letters, digits, _ and -, at most 64`},
		{td(`"securityDefinitions":{"a":{"scheme":"nosec"}},"security":["b"]`), "invalid", "/security", `"b" is not among the securityDefinitions`},
		{td(`"securityDefinitions":{"a":{}}`), "invalid", "/securityDefinitions/a/scheme", "scheme is missing"},
		{td(`"title":3,"created":"yesterday"`), "invalid", "/created", `created does not satisfy format "date-time" (and 1 more)`},
		{`"` + strings.Repeat("x", maxDescription) + `"`, "too_large", "", "a Thing Description has at most 262144 bytes"},
	} {
		err := New(Config{}).Describe([]byte(tt.td))
		if err == nil {
			t.Errorf("%.200s was taken", tt.td)
			continue
		}
		if p := problem(t, err); p.Code != tt.code || p.At != tt.at || p.Message != tt.message {
			t.Errorf("%.200s:\ngot  %s %q %s\nwant %s %q %s", tt.td, p.Code, p.At, p.Message, tt.code, tt.at, tt.message)
		}
	}
	if p := problem(t, New(Config{}).Describe([]byte(td(`"actions":{"go":{"input":{"pattern":"["}}}`)))); p.At != "/actions/go/input" {
		t.Errorf("got %+v", p)
	}
}

// Who mends a description wants all that is wrong with it at once, and not one
// after the other.
func TestAllThatIsWrongIsNamed(t *testing.T) {
	many := strings.Builder{}
	for i := range 30 {
		fmt.Fprintf(&many, `,"p%02d":{"type":"nummer"}`, i)
	}
	p := problem(t, New(Config{}).Describe([]byte(td(`"title":3,"properties":{"a/b":{"type":5}`+many.String()+`}`))))
	if p.At != "/properties/a~1b/type" || len(p.Others) != maxOthers || p.Others[0].At != "/properties/p00/type" || p.Others[0].Reason != p.Reason || !strings.HasSuffix(p.Message, "(and 31 more)") {
		t.Errorf("got %+v", p)
	}
	// What the schema cannot see is named as well.
	p = problem(t, New(Config{}).Describe([]byte(td(`"properties":{"":{},"a/b":{},"good":{},"up":{"minimum":2,"maximum":1}}`))))
	if p.At != "/properties/" || len(p.Others) != 2 || p.Others[0].At != "/properties/a~1b" || p.Others[1].Reason != "limits_crossed" || !strings.HasSuffix(p.Message, "(and 2 more)") {
		t.Errorf("got %+v", p)
	}
}

// A description 3,000 objects deep was taken, and kept every program whose JSON
// parser has a limit from reading the directory.
func TestADescriptionIsOnlySoDeep(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	if err := New(Config{}).Describe([]byte(td(`"x":` + nested(60)))); err != nil {
		t.Error(err)
	}
	if p := problem(t, New(Config{}).Describe([]byte(td(`"x":`+nested(3000))))); p.Code != realtime.CodeTooLarge || p.Reason != "td_deep" {
		t.Errorf("got %+v", p)
	}
	wide := `"x":[1` + strings.Repeat(",1", maxNodes) + `]`
	if p := problem(t, New(Config{}).Describe([]byte(td(wide)))); p.Reason != "td_deep" {
		t.Errorf("got %+v", p)
	}
}

// A description comes from a device or a user; it must not make us open files
// or addresses.
func TestASchemaCannotReferToAnything(t *testing.T) {
	secret := t.TempDir() + "/schema.json"
	if err := os.WriteFile(secret, []byte(`{"type":"string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &plant{t: t}
	tw, _ := p.node(td(fmt.Sprintf(`"actions":{"go":{"input":{"$ref":"file://%s"}}}`, secret)))
	if _, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: "a/b", Action: "go", Input: json.RawMessage(`7`)}); problem(t, err).Code != realtime.CodeOffline {
		t.Errorf("the reference was followed: %v", err)
	}
	if _, err := compile(map[string]any{"$ref": "file://" + secret}); err == nil || !strings.Contains(err.Error(), "cannot refer") {
		t.Errorf("the compiler reads files: %v", err)
	}
}

func TestActionInputsOfEveryShape(t *testing.T) {
	p := &plant{t: t}
	tw, _ := p.node(td(`"actions":{
		"bare":   {"input":{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10}},
		"mode":   {"input":{"enum":["auto","manual"]}},
		"step":   {"input":{"type":"number","multipleOf":0.5}},
		"list":   {"input":{"type":"array","items":{"type":"number","maximum":5},"maxItems":3}},
		"tuple":  {"input":{"type":"array","items":[{"type":"number"},{"type":"string"}]}},
		"deep":   {"input":{"properties":{"a":{"properties":{"b/c":{"type":"number","minimum":1,"maximum":2}}}}}},
		"choice": {"input":{"oneOf":[{"type":"string"},{"type":"object","properties":{"x":{"type":"number"}}}]}},
		"both":   {"input":{"type":"object","properties":{"x":{"type":"number"}},"oneOf":[{"properties":{"y":{"type":"number"}},"required":["y"]},{"required":["z"],"properties":{"z":{"type":"number"}}}]}}
	}`))
	for _, tt := range []struct{ action, input, want string }{
		{"bare", `5`, ""},
		{"bare", `5.0`, ""},
		{"bare", `10`, "out_of_range /input the input 10 is not below 10 [0 10]"},
		{"bare", `0`, "out_of_range /input the input 0 is not above 0 [0 10]"},
		{"bare", `5.5`, "invalid /input the input is a number, want an integer"},
		{"mode", `"auto"`, ""},
		{"mode", `"off"`, `invalid /input the input is not one of "auto", "manual"`},
		{"step", `2.5`, ""},
		{"step", `2.6`, "invalid /input the input 2.6 is not a multiple of 0.5"},
		{"list", `[1,2]`, ""},
		{"list", `[1,9]`, "out_of_range /input/1 1 9 is above the maximum 5 [ 5]"},
		{"list", `[1,1,1,1]`, "invalid /input the input does not satisfy maxItems 3"},
		{"tuple", `[1,"x"]`, ""},
		{"tuple", `["x",1]`, "invalid /input/0 0 is a string, want a number (and 1 more)"},
		{"deep", `{"a":{"b/c":1}}`, ""},
		{"deep", `{"a":{"b/c":3}}`, "out_of_range /input/a/b~1c b/c 3 is above the maximum 2 [1 2]"},
		{"deep", `{"a":{"x":3}}`, "invalid /input/a/x x is not known here, only b/c"},
		{"choice", `"x"`, ""},
		{"choice", `{"x":1}`, ""},
		{"choice", `{"y":1}`, "invalid /input the input does not fit exactly one of the allowed shapes"},
		{"both", `{"x":1,"y":2}`, ""},
		{"both", `{"x":1,"z":2}`, ""},
		{"both", `{"x":1}`, "invalid /input the input does not fit exactly one of the allowed shapes"},
	} {
		_, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: "a/b", Action: tt.action, Input: json.RawMessage(tt.input)})
		p := problem(t, err) // offline, when the input is right
		got := ""
		if p.Code != realtime.CodeOffline {
			got = p.Code + " " + p.At + " " + p.Message
		}
		if p.Code == realtime.CodeOutOfRange {
			got += " [" + limit(p.Minimum) + " " + limit(p.Maximum) + "]"
		}
		if got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.action, tt.input, got, tt.want)
		}
	}
}

func limit(f *float64) string {
	if f == nil {
		return ""
	}
	return fmt.Sprint(*f)
}

func TestServedDescriptions(t *testing.T) {
	tw := New(Config{})
	device := strings.Replace(conveyor, `"title": "Conveyor 2",`, `"title": "Conveyor 2", "base": "http://10.0.0.7/", "security": "nosec_sc",
		"securityDefinitions": {"nosec_sc": {"scheme": "nosec"}}, "forms": [{"href": "all"}], "ns:own": 12345678901234567890,`, 1)
	if err := tw.Describe([]byte(device)); err != nil {
		t.Fatal(err)
	}
	raw, ok := tw.TD(conveyorID, "https://plant.example/")
	var got map[string]any
	if err := json.Unmarshal(raw, &got); !ok || err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	if !strings.HasPrefix(string(raw), `{"@context":["https://www.w3.org/2019/wot/td/v1","https://www.w3.org/2022/wot/td/v1.1",{"echotwin":"urn:echotwin:td#"}],"base":"https://plant.example/",`) {
		t.Errorf("got %s", raw)
	}
	for place, want := range map[string]string{
		"id":       `"urn:echotwin:plant/line1/conveyor-2"`,
		"title":    `"Conveyor 2"`,
		"titles":   `{"en":"Conveyor 2","vi":"Băng tải 2"}`,
		"forms":    `null`,
		"base":     `"https://plant.example/"`,
		"security": `["token"]`,
		"properties/speed": `{"echotwin:period":1,"echotwin:tag":"ST-202","forms":[` +
			`{"contentType":"application/json","href":"api/things/plant/line1/conveyor-2/properties/speed","op":"readproperty"},` +
			`{"contentType":"application/json","href":"api/things/plant/line1/conveyor-2/properties/speed/sse","op":["observeproperty","unobserveproperty"],"subprotocol":"sse"}],` +
			`"maximum":100,"minimum":0,"observable":true,"readOnly":true,"title":"Speed","type":"number","unit":"%"}`,
		"actions/stop":    `{"forms":[{"contentType":"application/json","href":"api/things/plant/line1/conveyor-2/actions/stop","op":"invokeaction"}]}`,
		"events/overheat": `{"data":{"type":"object"},"forms":[{"contentType":"application/json","href":"api/things/plant/line1/conveyor-2/events/overheat","op":["subscribeevent","unsubscribeevent"],"subprotocol":"sse"}]}`,
	} {
		var v any = got
		for _, part := range strings.Split(place, "/") {
			m, _ := v.(map[string]any)
			v = m[part]
		}
		if b, _ := json.Marshal(v); string(b) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", place, b, want)
		}
	}
	if !strings.Contains(string(raw), `"ns:own":12345678901234567890`) {
		t.Error("a number that is not ours was changed")
	}
	if _, ok := tw.TD("nowhere", "/"); ok {
		t.Error("a thing that is not has a description")
	}
	// What is served can be described again, and is served the same.
	again := New(Config{})
	if err := again.Describe(raw); err != nil {
		t.Fatal(err)
	}
	if b, _ := again.TD(conveyorID, "https://plant.example/"); string(b) != string(raw) {
		t.Errorf("served again:\n%s\nwant\n%s", b, raw)
	}
}

func TestContextsInTheOrderThatClientsWant(t *testing.T) {
	const first = `["https://www.w3.org/2019/wot/td/v1","https://www.w3.org/2022/wot/td/v1.1",`
	for _, tt := range []struct{ given, want string }{
		{``, first + `{"echotwin":"urn:echotwin:td#"}]`},
		{`"@context":"https://www.w3.org/2022/wot/td/v1.1",`, first + `{"echotwin":"urn:echotwin:td#"}]`},
		{`"@context":["https://www.w3.org/2022/wot/td/v1.1",{"saref":"https://w3id.org/saref#"}],`, first + `{"saref":"https://w3id.org/saref#"},{"echotwin":"urn:echotwin:td#"}]`},
		{`"@context":[{"echotwin":"urn:echotwin:td#","x":"y"},"https://www.w3.org/2019/wot/td/v1"],`, first + `{"echotwin":"urn:echotwin:td#","x":"y"}]`},
	} {
		tw := New(Config{})
		if err := tw.Describe([]byte(`{` + tt.given + `"id":"a","title":"A"}`)); err != nil {
			t.Fatal(err)
		}
		raw, _ := tw.TD("a", "/")
		var got struct {
			Context json.RawMessage `json:"@context"`
		}
		if err := json.Unmarshal(raw, &got); err != nil || string(got.Context) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.given, got.Context, err, tt.want)
		}
	}
}

func TestUndescribedThingsAreShown(t *testing.T) {
	p := &plant{t: t}
	tw, _ := p.node(conveyor)
	p.say(reading("plant/new", noon, `{"n":1,"f":1.5,"s":"x","b":true,"o":{},"a":[],"z":null,"mixed":1}`))
	if raw, _ := tw.TD("plant/new", "/"); !strings.Contains(string(raw), `"mixed":{"echotwin:undescribed":true,"forms"`) || !strings.Contains(string(raw), `"type":"integer"`) {
		t.Errorf("got %s", raw)
	}
	p.say(reading("plant/new", noon.Add(time.Second), `{"n":2.5,"mixed":"two","z":7,"f":null}`), reading(conveyorID, noon, `{"extra":1}`))
	raw, ok := tw.TD("plant/new", "/")
	var got struct {
		Title       string
		Undescribed bool `json:"echotwin:undescribed"`
		Properties  map[string]struct {
			Type  string
			Forms []any
		}
	}
	if err := json.Unmarshal(raw, &got); err != nil || !ok || !got.Undescribed || got.Title != "new" {
		t.Fatalf("got %s, %v", raw, err)
	}
	want := map[string]string{"n": "number", "f": "number", "s": "string", "b": "boolean", "o": "object", "a": "array", "z": "integer", "mixed": ""}
	for name, kind := range want {
		if p := got.Properties[name]; p.Type != kind || len(p.Forms) != 2 {
			t.Errorf("%s: got %+v, want type %q", name, p, kind)
		}
	}
	if s, _ := tw.State("plant/new"); !s.Undescribed || !s.Properties["n"].Undescribed || len(s.Properties) != len(want) {
		t.Errorf("got %+v", s)
	}
	if raw, _ := tw.TD(conveyorID, "/"); strings.Count(string(raw), "echotwin:undescribed") != 1 {
		t.Errorf("got %s, want extra and only extra to be marked", raw)
	}
	var ids []string
	for _, raw := range tw.Things("/", func(id string) bool { return strings.HasPrefix(id, "plant/") }) {
		var d struct{ ID string }
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	if want := []string{"urn:echotwin:" + conveyorID, "urn:echotwin:plant/new"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
	if s := tw.Stats(); s.Things != 2 || s.Undescribed != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestDescribingWhatWasUndescribed(t *testing.T) {
	tw := New(Config{Now: func() time.Time { return noon }})
	l := &listener{}
	tw.OnChange(l.hear)
	tw.Apply(realtime.Bundle{Seq: 1, Records: []realtime.Record{reading("a/b", noon, `{"speed":120,"mode":7,"extra":1}`)}})
	if err := tw.Describe([]byte(td(`"properties":{"speed":{"type":"number","maximum":100},"mode":{"type":"string"},"new":{}}`))); err != nil {
		t.Fatal(err)
	}
	want := &realtime.Marks{Quality: map[string]string{"speed": OutOfRange, "mode": Bad}}
	if u := l.last(); u.Seq != 1 || len(u.Changes) != 1 || !reflect.DeepEqual(u.Changes[0].Marks, want) {
		t.Errorf("got %s", asText(u))
	}
	if s, _ := tw.State("a/b"); s.Undescribed || s.Properties["speed"].Undescribed || !s.Properties["extra"].Undescribed {
		t.Errorf("got %+v", s)
	}
	// A description without them: what came is kept, what never came is gone.
	if err := tw.Describe([]byte(`{"id":"urn:echotwin:a/b","title":"B"}`)); err != nil {
		t.Fatal(err)
	}
	if m := l.last().Changes[0].Marks; len(m.Quality) != 0 {
		t.Errorf("got %+v", m)
	}
	if got := value(tw, "a/b", "speed"); got != "120 good" {
		t.Errorf("got %s", got)
	}
	if got := value(tw, "a/b", "new"); got != "none" {
		t.Errorf("got %s", got)
	}
	n := l.count()
	if err := tw.Describe([]byte(`{"id":"a/b","title":"Better"}`)); err != nil || l.count() != n {
		t.Errorf("a title was told as a change of state: %v", err)
	}
}

func TestPaths(t *testing.T) {
	for _, id := range []string{"a/b", "urn:echotwin:a/b"} {
		if got, err := Path(id); got != "a/b" || err != nil || URN(got) != "urn:echotwin:a/b" {
			t.Errorf("Path(%q) = %q, %v", id, got, err)
		}
	}
	if _, err := Path("urn:echotwin:"); err == nil {
		t.Error("an empty path was taken")
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add([]byte(conveyor))
	f.Add([]byte(td(`"properties":{"a":{"items":[{"type":"string"},{"oneOf":[{},{"pattern":"^a+$"}]}]}}`)))
	f.Add([]byte(td(`"actions":{"go":{"input":{"enum":[1e400,-0,null,{"a":[]}],"multipleOf":1e-300,"minLength":1e18}}}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &plant{t: t}
		tw := New(Config{Log: p, Devices: p})
		p.join(tw)
		if err := tw.Describe(b); err != nil {
			problem(t, err)
			return
		}
		for _, id := range tw.ids(nil) {
			raw, ok := tw.TD(id, "http://localhost/")
			if !ok || !json.Valid(raw) {
				t.Fatalf("described %q and serves %q", b, raw)
			}
			if err := New(Config{}).Describe(raw); err != nil && len(raw) <= maxDescription {
				t.Fatalf("described %q, serves %q, and does not take that: %v", b, raw, err)
			}
			for name := range tw.things[id].td.actions {
				for _, in := range []string{``, `1e300`, `"x"`, `[1,"2",null]`, `{"speed":1,"a":{"b":[]}}`} {
					_, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: id, Action: name, Input: json.RawMessage(in)})
					problem(t, err)
				}
			}
		}
	})
}
