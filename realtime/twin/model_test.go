package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"echotwin/realtime"
)

func directory(s Store) *Directory {
	return NewDirectory(DirectoryConfig{Twins: New(Config{}), Store: s, Changed: errChanged, Exists: errExists, Missing: errMissing, Logger: slog.New(slog.DiscardHandler)})
}

const pumpTM = `{
	"@context": "https://www.w3.org/2022/wot/td/v1.1", "@type": ["tm:ThingModel", "Pump"], "id": "urn:echotwin:model:pump",
	"title": "Pump {{N}}", "version": {"model": "1.2.0"},
	"tm:optional": ["/events/overheat"],
	"echotwin:defaults": {"UNIT": "1/min"},
	"properties": {
		"speed": {"type": "number", "unit": "{{UNIT}}", "minimum": 0, "maximum": "{{MAX}}", "readOnly": true},
		"{{EXTRA}}": {"type": "string", "enum": "{{MODES}}"}
	},
	"actions": {"setSpeed": {"input": {"type": "number", "minimum": 0, "maximum": "{{MAX}}"}}},
	"events": {"overheat": {"data": {"type": "number"}}}
}`

const values = `"echotwin:model":"pump","echotwin:values":{"N":7,"MAX":1450.5,"EXTRA":"mode","MODES":["auto","hand"]}`

func anyone(string) bool { return true }

func putModel(t *testing.T, d *Directory, name, tm string) {
	t.Helper()
	if _, err := d.PutModel(t.Context(), name, []byte(tm), Match{}, anyone); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, d *Directory, id, td string) {
	t.Helper()
	if _, err := d.Put(t.Context(), id, []byte(td), Match{}); err != nil {
		t.Fatal(err)
	}
}

func served(t *testing.T, d *Directory, id string) map[string]any {
	t.Helper()
	td, ok := d.cfg.Twins.TD(id, "http://x/")
	if !ok {
		t.Fatalf("there is no %s", id)
	}
	v, err := decode(td)
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func at2(t *testing.T, doc any, pointer string) string {
	t.Helper()
	v, err := follow(doc, pointer)
	if err != nil {
		return "nothing"
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestAThingIsMadeOfAModel(t *testing.T) {
	d := directory(newShelf())
	putModel(t, d, "pump", pumpTM)
	put(t, d, "plant/p7", `{`+values+`,"description":"by the door","events":{"overheat":null},"properties":{"speed":{"title":"Speed"}},"links":[{"rel":"contains","href":"plant/motor"}]}`)
	doc := served(t, d, "plant/p7")
	for pointer, want := range map[string]string{
		"/title": `"Pump 7"`, "/description": `"by the door"`, "/@type": `["Pump"]`, "/id": `"urn:echotwin:plant/p7"`,
		"/properties/speed/maximum": "1450.5", "/properties/speed/unit": `"1/min"`, "/properties/speed/title": `"Speed"`,
		"/properties/mode/enum": `["auto","hand"]`, "/events": "{}", "/tm:optional": "nothing", "/echotwin:values": "nothing", "/echotwin:defaults": "nothing",
		"/links":   `[{"href":"plant/motor","rel":"contains"},{"href":"api/models/pump","rel":"type","type":"application/tm+json"}]`,
		"/version": `{"instance":"1.2.0","model":"1.2.0"}`,
	} {
		if got := at2(t, doc, pointer); got != want {
			t.Errorf("%s: got %s, want %s", pointer, got, want)
		}
	}
	// The limit of the command is that of the value.
	if a := d.cfg.Twins.description("plant/p7").actions["setSpeed"]; a == nil {
		t.Error("no action")
	}
	given, _ := d.Given("plant/p7")
	if !strings.Contains(string(given), `"echotwin:model":"pump"`) || strings.Contains(string(given), "1/min") {
		t.Errorf("given: %s", given)
	}
}

func TestWhatIsWrongWithAnInstanceIsNamed(t *testing.T) {
	d := directory(newShelf())
	putModel(t, d, "pump", pumpTM)
	for _, tt := range []struct{ td, at, says string }{
		{`{"echotwin:model":"none"}`, "/echotwin:model", "no model none"},
		{`{"echotwin:model":7}`, "/echotwin:model", "no model"},
		{`{"echotwin:model":"http://evil.example/tm.json"}`, "/echotwin:model", "this directory"},
		{`{"echotwin:values":{"N":1}}`, "/echotwin:values", "names none"},
		{`{"echotwin:model":"pump"}`, "/echotwin:values/MAX", "missing"},
		{strings.Replace(`{`+values+`}`, `"N":7,`, ``, 1), "/echotwin:values/N", "missing, which stands at /title"},
		{strings.Replace(`{`+values+`}`, `"N":7`, `"N":7,"NN":8`, 1), "/echotwin:values/NN", "EXTRA, MAX, MODES, N, UNIT"},
		{strings.Replace(`{`+values+`}`, `1450.5`, `"fast"`, 1), "/echotwin:values/MAX", "want a number"},
		{strings.Replace(`{`+values+`}`, `"mode"`, `"a/b"`, 1), "/properties/a~1b", "not a name"},
		{strings.Replace(`{`+values+`}`, `"mode"`, `"speed"`, 1), "/properties/{{EXTRA}}", "already"},
		{strings.Replace(`{`+values+`}`, `"N":7`, `"N":[1]`, 1), "/echotwin:values/N", "list cannot"},
		{strings.Replace(`{`+values+`}`, `"N":7`, `"N":{"a":1}`, 1), "/echotwin:values/N", "want a text"},
		{strings.Replace(`{`+values+`}`, `"N":7`, `"N":"`+strings.Repeat("x", 2000)+`"`, 1), "/echotwin:values/N", "1024"},
		{`{` + values + `,"properties":{"speed":null}}`, "/properties/speed", "tm:optional"},
		{`{` + values + `,"actions":null}`, "/actions/setSpeed", "tm:optional"},
		{`{` + values + `,"properties":{"speed":{"minimum":9000}}}`, "/properties/speed/minimum", "above maximum"},
		{`{` + values + `,"links":7}`, "/links", "want an array"},
		{`{"@type":"tm:ThingModel","title":"x"}`, "/@type", "Thing Model"},
	} {
		_, err := d.Put(t.Context(), "plant/p7", []byte(tt.td), Match{})
		var p *realtime.Problem
		if !errors.As(err, &p) || p.At != tt.at || !strings.Contains(p.Message, tt.says) {
			t.Errorf("%s: got %+v, want %q at %s", tt.td, p, tt.says, tt.at)
		}
	}
	if d.cfg.Twins.description("plant/p7") != nil {
		t.Error("it was described all the same")
	}
}

func TestModelsExtendAndRefer(t *testing.T) {
	d := directory(newShelf())
	putModel(t, d, "machine", `{"@context":"https://www.w3.org/2022/wot/td/v1.1","@type":"tm:ThingModel","title":"Machine","tm:optional":["/properties/hours"],
		"properties":{"hours":{"type":"number"},"on":{"type":"boolean","title":"On"}},"links":[{"rel":"manual","href":"http://x/manual"}]}`)
	putModel(t, d, "fan", `{"@context":"https://www.w3.org/2022/wot/td/v1.1","@type":"tm:ThingModel","title":"Fan",
		"links":[{"rel":"tm:extends","href":"/api/models/machine","type":"application/tm+json"}],
		"properties":{"on":{"title":"Turns"},"air":{"tm:ref":"urn:echotwin:model:machine#/properties/hours","unit":"m3/h"},"back":{"tm:ref":"#/properties/air","title":"Back"}}}`)
	put(t, d, "plant/fan", `{"echotwin:model":"fan","properties":{"hours":null}}`)
	doc := served(t, d, "plant/fan")
	for pointer, want := range map[string]string{
		"/title": `"Fan"`, "/properties/on/type": `"boolean"`, "/properties/on/title": `"Turns"`, "/properties/hours": "nothing",
		"/properties/air/type": `"number"`, "/properties/air/unit": `"m3/h"`, "/properties/back/unit": `"m3/h"`, "/properties/back/tm:ref": "nothing",
		"/links/0/rel": `"manual"`, "/links/1/rel": `"type"`, "/links/2": "nothing",
	} {
		if got := at2(t, doc, pointer); got != want {
			t.Errorf("%s: got %s, want %s", pointer, got, want)
		}
	}
	// The base changes what is made of those that extend it.
	if err := d.PatchModel(t.Context(), "machine", []byte(`{"properties":{"on":{"description":"Runs now"}}}`), Match{}, anyone); err != nil {
		t.Fatal(err)
	}
	if got := at2(t, served(t, d, "plant/fan"), "/properties/on/description"); got != `"Runs now"` {
		t.Errorf("got %s", got)
	}
	err := d.RemoveModel(t.Context(), "machine", Match{}, anyone)
	if err == nil || !strings.Contains(err.Error(), "the model fan") {
		t.Errorf("got %v", err)
	}
	if err := d.PatchModel(t.Context(), "machine", []byte(`{"properties":{"hours":null},"tm:optional":null}`), Match{}, anyone); err == nil || !strings.Contains(err.Error(), "fan would not fit") {
		t.Errorf("got %v", err)
	}
}

func TestAModelChangesWhatIsMadeOfIt(t *testing.T) {
	store := newShelf()
	d := directory(store)
	putModel(t, d, "pump", pumpTM)
	for i := range 20 {
		put(t, d, fmt.Sprintf("plant/p%d", i), strings.Replace(`{`+values+`}`, `"N":7`, fmt.Sprintf(`"N":%d`, i), 1))
	}
	tag, _ := d.cfg.Twins.Tag("plant/p3")
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"description":"Pumps {{UNIT}}"}`), Match{}, anyone); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if got := at2(t, served(t, d, fmt.Sprintf("plant/p%d", i)), "/description"); got != `"Pumps 1/min"` {
			t.Fatalf("p%d: got %s", i, got)
		}
	}
	if now, _ := d.cfg.Twins.Tag("plant/p3"); now == tag {
		t.Error("the tag is that of before")
	}
	// Who read it before must not write over what it is now.
	if _, err := d.Put(t.Context(), "plant/p3", []byte(`{`+values+`}`), Match{Tags: []string{tag}}); code(err) != realtime.CodeChanged {
		t.Errorf("got %v", err)
	}
	// What would not fit changes nothing.
	err := d.PatchModel(t.Context(), "pump", []byte(`{"description":"{{NEW}}"}`), Match{}, anyone)
	if err == nil || !strings.Contains(err.Error(), "plant/p0 would not fit") || code(err) != realtime.CodeInvalid {
		t.Errorf("got %v", err)
	}
	if m, _ := d.Model("pump"); strings.Contains(string(m.Doc), "NEW") {
		t.Error("it was changed all the same")
	}
	// With a default it does.
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"description":"{{NEW}}","echotwin:defaults":{"NEW":"x"}}`), Match{}, anyone); err != nil {
		t.Error(err)
	}
	// And what asks for less than it did leaves values that nobody needs.
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"title":"Pump"}`), Match{}, anyone); err != nil {
		t.Error(err)
	}
	err = d.RemoveModel(t.Context(), "pump", Match{}, func(id string) bool { return id == "plant/p1" })
	if code(err) != realtime.CodeConflict || !strings.Contains(err.Error(), "plant/p1 and 19 more") {
		t.Errorf("got %v", err)
	}
	if _, err := d.PutModel(t.Context(), "pump", []byte(pumpTM), Match{}, func(id string) bool { return id != "plant/p1" }); code(err) != realtime.CodeForbidden {
		t.Errorf("got %v", err)
	}
	for i := range 20 {
		if err := d.Remove(t.Context(), fmt.Sprintf("plant/p%d", i), Match{}, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.RemoveModel(t.Context(), "pump", Match{}, anyone); err != nil {
		t.Error(err)
	}
	if len(d.Models()) != 0 || len(d.made)+len(d.count) != 0 || len(store.m) != 0 {
		t.Errorf("left: %v %v %v", d.models, d.made, store.m)
	}
}

func code(err error) string {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// What one node writes the other shows, and after a restart it is there again,
// whatever comes first.
func TestModelsOnTwoNodesAndAfterARestart(t *testing.T) {
	store := newShelf()
	one, two := directory(store), directory(store)
	putModel(t, one, "pump", pumpTM)
	put(t, one, "plant/p7", `{`+values+`}`)
	store.heard(two)
	if got := at2(t, served(t, two, "plant/p7"), "/title"); got != `"Pump 7"` {
		t.Errorf("got %s", got)
	}
	if err := two.PatchModel(t.Context(), "pump", []byte(`{"title":"P {{N}}"}`), Match{}, anyone); err != nil {
		t.Fatal(err)
	}
	store.heard(one)
	if got := at2(t, served(t, one, "plant/p7"), "/title"); got != `"P 7"` {
		t.Errorf("got %s", got)
	}
	three := directory(store)
	if err := three.Load(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	a, _ := one.cfg.Twins.Tag("plant/p7")
	if b, _ := three.cfg.Twins.Tag("plant/p7"); a != b || b == "" {
		t.Errorf("after a restart %q, before %q", b, a)
	}
}

// Of a thing and a change of its model at the same moment on two nodes, one is
// refused when they do not fit each other.
func TestAModelAndAThingAtOnce(t *testing.T) {
	store := newShelf()
	one, two := directory(store), directory(store)
	putModel(t, one, "pump", pumpTM)
	store.heard(two)
	// The other node changes the model between the thing being written and looked at again.
	store.after = func(key string) {
		store.after = nil
		if err := two.PatchModel(t.Context(), "pump", []byte(`{"title":"{{OTHER}}"}`), Match{}, anyone); err == nil {
			t.Error("the model was changed although a thing does not fit")
		}
	}
	put(t, one, "plant/p7", `{`+values+`}`)

	if err := one.Remove(t.Context(), "plant/p7", Match{}, true); err != nil {
		t.Fatal(err)
	}
	store.after = func(key string) {
		store.after = nil
		if _, err := two.Put(t.Context(), "plant/p8", []byte(`{`+values+`}`), Match{}); err == nil {
			t.Error("a thing was made that does not fit the model")
		}
	}
	if err := one.PatchModel(t.Context(), "pump", []byte(`{"title":"{{OTHER}}"}`), Match{}, anyone); err != nil {
		t.Error(err)
	}
	if _, ok := store.m["plant/p8"]; ok {
		t.Error("what was refused is in the store")
	}
}

// A model that one node removes and another makes anew at the same moment stays.
func TestAModelRemovedAndMadeAtOnce(t *testing.T) {
	store := newShelf()
	one, two := directory(store), directory(store)
	putModel(t, one, "pump", pumpTM)
	store.heard(two)
	store.after = func(string) {
		store.after = nil
		putModel(t, two, "pump", strings.Replace(pumpTM, "1.2.0", "1.3.0", 1))
	}
	if err := one.RemoveModel(t.Context(), "pump", Match{}, anyone); err != nil {
		t.Error(err)
	}
	store.heard(one)
	for i, d := range []*Directory{one, two} {
		if m, ok := d.Model("pump"); !ok || !strings.Contains(string(m.Doc), "1.3.0") {
			t.Errorf("node %d has %s", i+1, m.Doc)
		}
	}
}

func TestHostileModels(t *testing.T) {
	d := directory(newShelf())
	tm := func(rest string) string {
		return `{"@context":"https://www.w3.org/2022/wot/td/v1.1","@type":"tm:ThingModel","title":"x",` + rest + `}`
	}
	bomb := `"a0":{"type":"number"}`
	for i := range 40 {
		bomb += fmt.Sprintf(`,"a%d":{"type":"object","properties":{"l":{"tm:ref":"#/properties/a%d"},"r":{"tm:ref":"#/properties/a%d"}}}`, i+1, i, i)
	}
	for name, tt := range map[string]struct{ tm, says string }{
		"no type":    {`{"title":"x"}`, "tm:ThingModel"},
		"no object":  {`[]`, "object"},
		"deep":       {tm(`"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500)), "deep"},
		"wide":       {tm(`"x":[` + strings.Repeat("1,", 30_000) + `1]`), "values"},
		"large":      {tm(`"x":"` + strings.Repeat("x", 300<<10) + `"`), "bytes"},
		"itself":     {tm(`"links":[{"rel":"tm:extends","href":"evil"}]`), "circle"},
		"itself ref": {tm(`"properties":{"a":{"tm:ref":"#/properties/a"}}`), "deep"},
		"bomb":       {tm(`"properties":{` + bomb + `}`), "deep"},
		"two bases":  {tm(`"links":[{"rel":"tm:extends","href":"a"},{"rel":"tm:extends","href":"b"}]`), "one other"},
		"outside":    {tm(`"links":[{"rel":"tm:extends","href":"http://evil.example/x"}]`), "this directory"},
		"a file":     {tm(`"properties":{"a":{"tm:ref":"file:///etc/passwd#/x"}}`), "this directory"},
		"parts":      {tm(`"links":[{"rel":"tm:submodel","href":"a"}]`), "contains"},
		"no base":    {tm(`"links":[{"rel":"tm:extends","href":"none"}]`), "no model none"},
		"no place":   {tm(`"properties":{"a":{"tm:ref":"#/properties/b"}}`), "nothing at"},
		"wrong":      {tm(`"properties":{"a":{"type":"nummer"}}`), "type"},
		"optional":   {tm(`"tm:optional":["/properties/none"]`), "nothing at"},
		"optional 2": {tm(`"tm:optional":7`), "list"},
		"defaults":   {tm(`"echotwin:defaults":{"X":{}}`), "want a text"},
	} {
		_, err := d.PutModel(t.Context(), "evil", []byte(tt.tm), Match{}, anyone)
		if code(err) == "" || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", name, err, tt.says)
		}
	}
	for i := range maxExtends + 2 {
		base := ""
		if i > 0 {
			base = fmt.Sprintf(`"links":[{"rel":"tm:extends","href":"m%d"}],`, i-1)
		}
		_, err := d.PutModel(t.Context(), fmt.Sprintf("m%d", i), []byte(tm(base+`"description":"x"`)), Match{}, anyone)
		if i == maxExtends+1 && err == nil || i < maxExtends && err != nil {
			t.Errorf("model %d behind another: %v", i, err)
		}
	}
	// A small value in many places is a large description.
	many := strings.Repeat(`"{{X}}",`, 5000)
	putModel(t, d, "amplifier", tm(`"x:all":[`+many+`"{{X}}"]`))
	if _, err := d.Put(t.Context(), "a", []byte(`{"echotwin:model":"amplifier","echotwin:values":{"X":"`+strings.Repeat("x", 1000)+`"}}`), Match{}); code(err) != realtime.CodeTooLarge {
		t.Errorf("got %v", err)
	}
}

// A source brings models and things in one list or apart, in any order.
func TestFixedModels(t *testing.T) {
	d := directory(newShelf())
	list := `[`
	for i := range 20 {
		list += strings.Replace(fmt.Sprintf(`{"id":"plant/p%d",`, i)+values+`},`, `"N":7`, fmt.Sprintf(`"N":%d`, i), 1)
	}
	list = strings.TrimSuffix(list, ",") + `]`
	keys, err := d.Fix("the file pumps.json", []byte(list))
	if err != nil || len(keys) != 20 {
		t.Fatalf("%v %v", keys, err)
	}
	if d.cfg.Twins.description("plant/p3") != nil {
		t.Error("made of nothing")
	}
	if _, err := d.Fix("the file pump.json", []byte(pumpTM)); err != nil {
		t.Fatal(err)
	}
	if got := at2(t, served(t, d, "plant/p19"), "/title"); got != `"Pump 19"` {
		t.Errorf("got %s", got)
	}
	if err := d.PatchModel(t.Context(), "pump", []byte(`{"title":"x"}`), Match{}, anyone); code(err) != realtime.CodeConflict || !strings.Contains(err.Error(), "the file pump.json") {
		t.Errorf("got %v", err)
	}
	// A file that breaks leaves what there is; one that is gone, too, while things are made of it.
	if _, err := d.Fix("the file pump.json", []byte(`{"@type":"tm:ThingModel","id":"pump","properties":7}`)); err == nil {
		t.Error("nonsense was taken")
	}
	if err := d.Unfix(t.Context(), "the file pump.json", Key{Model: true, Name: "pump"}); err != nil {
		t.Fatal(err)
	}
	if got := at2(t, served(t, d, "plant/p19"), "/title"); got != `"Pump 19"` {
		t.Errorf("got %s", got)
	}
	for _, tt := range []struct{ list, at string }{
		{`[{"id":"a","title":"A"},{"id":"a","title":"A"}]`, "/1/id"},
		{`[{"id":"a","title":"A"},7]`, "/1"},
		{`[{"id":"plant/p1","title":"A"}]`, "/0/id"},
	} {
		_, err := d.Fix("the file other.json", []byte(tt.list))
		var p *realtime.Problem
		if !errors.As(err, &p) || p.At != tt.at {
			t.Errorf("%s: got %+v", tt.list, p)
		}
	}
	if d.cfg.Twins.description("a") != nil {
		t.Error("half of a wrong list was taken")
	}
}

// Whatever is sent, nothing panics, and what is made is a description.
func FuzzModel(f *testing.F) {
	f.Add(pumpTM, `{`+values+`}`)
	f.Add(`{"@type":"tm:ThingModel","title":"{{A}}","{{A}}":"{{A}}{{B}}","properties":{"x":{"tm:ref":"#/properties/y","type":null},"y":{}}}`, `{"echotwin:model":"m","echotwin:values":{"A":"{{B}}","B":[1,"x",true]}}`)
	f.Add(`{"@type":"tm:ThingModel","links":[{"rel":"tm:extends","href":"m"}]}`, `{"echotwin:model":"m","links":[{"rel":"contains","href":"x"}],"properties":null}`)
	f.Fuzz(func(t *testing.T, tm, td string) {
		d := directory(newShelf())
		if _, err := d.PutModel(t.Context(), "m", []byte(strings.Replace(tm, "urn:echotwin:model:pump", "m", 1)), Match{}, anyone); err != nil {
			if code(err) == "" {
				t.Fatal(err)
			}
			return
		}
		if _, err := d.Put(t.Context(), "a/b", []byte(strings.Replace(td, `"pump"`, `"m"`, 1)), Match{}); err != nil {
			if code(err) == "" {
				t.Fatal(err)
			}
			return
		}
		if td, ok := d.cfg.Twins.TD("a/b", "http://x/"); !ok || !json.Valid(td) {
			t.Fatalf("not served: %s", td)
		}
	})
}
