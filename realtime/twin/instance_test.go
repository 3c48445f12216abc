package twin

import (
	"errors"
	"strings"
	"testing"

	"echotwin/realtime"
)

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
