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

func code(err error) string {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
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
