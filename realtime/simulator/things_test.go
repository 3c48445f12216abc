package simulator

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"echotwin/realtime"
)

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

// descriptions are the parsed descriptions by the things' short names.
func descriptions(t *testing.T) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, b := range Things() {
		var td map[string]any
		if err := json.Unmarshal(b, &td); err != nil {
			t.Fatal(err)
		}
		id, _ := td["id"].(string)
		out[strings.TrimPrefix(id, "urn:echotwin:"+site)] = td
	}
	return out
}

func propertyTypes(t *testing.T) map[string]map[string]string {
	out := map[string]map[string]string{}
	for n, td := range descriptions(t) {
		out[n] = map[string]string{}
		for p, v := range object(td["properties"]) {
			out[n][p], _ = object(v)["type"].(string)
		}
	}
	return out
}

func TestDescriptions(t *testing.T) {
	all := descriptions(t)
	if len(all) != len(names) {
		t.Fatalf("%d descriptions, want %d", len(all), len(names))
	}
	tags := map[string]string{}
	for _, n := range names {
		td := all[n]
		if td == nil {
			t.Errorf("%s is not described", n)
			continue
		}
		if err := realtime.CheckThing(site + n); err != nil {
			t.Error(err)
		}
		context, _ := td["@context"].([]any)
		if len(context) != 3 || context[0] != "https://www.w3.org/2019/wot/td/v1" || context[1] != "https://www.w3.org/2022/wot/td/v1.1" || object(context[2])["echotwin"] != "urn:echotwin:td#" {
			t.Errorf("%s: @context is %v", n, context)
		}
		security, _ := td["security"].(string)
		if object(object(td["securityDefinitions"])[security])["scheme"] != "nosec" {
			t.Errorf("%s: security is %v", n, td["security"])
		}
		tagged(t, tags, n, td)
		named(t, n, td)
		for p, v := range object(td["properties"]) {
			checkProperty(t, n+"#"+p, object(v))
			tagged(t, tags, n+"#"+p, object(v))
		}
		for e, v := range object(td["events"]) {
			named(t, n+"!"+e, object(v))
		}
	}
	for _, n := range belts {
		a := object(object(all[n]["actions"])["setSpeed"])
		in := object(object(object(a["input"])["properties"])["speed"])
		if in["minimum"] != minSpeed || in["maximum"] != maxSpeed || in["type"] != "number" || in["unit"] != "%" || a["echotwin:feedback"].(map[string]any)["property"] != "speed" {
			t.Errorf("%s: setSpeed is %v", n, a)
		}
	}
}

func checkProperty(t *testing.T, where string, p map[string]any) {
	t.Helper()
	named(t, where, p)
	if err := realtime.CheckName(where[strings.IndexByte(where, '#')+1:]); err != nil {
		t.Error(err)
	}
	if p["readOnly"] != true || p["echotwin:period"] == nil {
		t.Errorf("%s: %v", where, p)
	}
	if p["type"] == "boolean" {
		return
	}
	lo, okLo := p["minimum"].(float64)
	hi, okHi := p["maximum"].(float64)
	if !okLo || !okHi || lo >= hi || p["unit"] == nil || p["echotwin:decimals"] == nil || !slices.Contains([]any{"number", "integer"}, p["type"]) {
		t.Errorf("%s: %v", where, p)
	}
	inside := func(name string, v any) {
		if f, ok := v.(float64); v != nil && (!ok || f < lo || f > hi) {
			t.Errorf("%s: %s %v is outside the measuring range", where, name, v)
		}
	}
	for _, m := range []string{"echotwin:low", "echotwin:high", "echotwin:target"} {
		inside(m, p[m])
	}
	if band, ok := p["echotwin:band"].([]any); ok {
		inside("band", band[0])
		inside("band", band[1])
	}
	limited := p["echotwin:low"] != nil || p["echotwin:high"] != nil
	if prio, ok := p["echotwin:priority"].(float64); ok != limited || ok && (prio < 1 || prio > 4) {
		t.Errorf("%s: a limit needs a priority from 1 to 4, and nothing else does: %v", where, p)
	}
}

// named checks that something has its name in both languages, and a
// description in both or in none.
func named(t *testing.T, where string, m map[string]any) {
	t.Helper()
	titles := object(m["titles"])
	if m["title"] == nil || titles["en"] != m["title"] || titles["vi"] == nil {
		t.Errorf("%s has the titles %v and %v", where, m["title"], titles)
	}
}

// tagged checks that no two instruments have one tag.
func tagged(t *testing.T, tags map[string]string, where string, m map[string]any) {
	t.Helper()
	tag, ok := m["echotwin:tag"].(string)
	if !ok {
		return
	}
	if tags[tag] != "" {
		t.Errorf("%s and %s are both %s", where, tags[tag], tag)
	}
	tags[tag] = where
}

// What has a title or a description has it in Vietnamese, too, wherever it stands.
func TestEverythingIsNamedInBothLanguages(t *testing.T) {
	seen := 0
	var walk func(place string, v any)
	walk = func(place string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(place, e)
			}
		case map[string]any:
			for _, one := range []string{"title", "description"} {
				text, ok := v[one].(string)
				if !ok {
					continue
				}
				seen++
				if said := object(v[one+"s"]); said["en"] != text || said["vi"] == nil || said["vi"] == "" {
					t.Errorf("%s: the %s is %q, and in languages %v", place, one, text, said)
				}
			}
			for name, e := range v {
				walk(place+"/"+name, e)
			}
		}
	}
	for name, td := range descriptions(t) {
		walk(name, td)
		for event, e := range object(td["events"]) {
			for member, p := range object(object(object(e)["data"])["properties"]) {
				if object(p)["title"] == nil {
					t.Errorf("%s: %s in the data of %s has no title", name, member, event)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d titles and descriptions were seen", seen)
	}
}
