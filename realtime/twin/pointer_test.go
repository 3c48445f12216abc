package twin

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"echotwin/realtime"
)

// resolve finds a place in a document, as RFC 6901 says.
func resolve(doc any, pointer string) (any, bool) {
	if pointer == "" {
		return doc, true
	}
	if pointer[0] != '/' {
		return nil, false
	}
	for _, part := range strings.Split(pointer[1:], "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[part]
			if !ok {
				return nil, false
			}
			doc = next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			doc = v[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// Whatever a member is called, what is wrong below it is told by a pointer that
// leads there, or to what it is missing in.
func FuzzPointers(f *testing.F) {
	for _, name := range []string{"speed", "a/b", "a~b", "~1", "~0/~", "", "é", "\xff", "%2F", "0", "a\x00b", "/", strings.Repeat("/~", 3000), "\u2028", `"`} {
		f.Add(name, uint8(0))
		f.Add(name, uint8(1))
		f.Add(name, uint8(2))
		f.Add(name, uint8(3))
	}
	f.Fuzz(func(t *testing.T, name string, where uint8) {
		td := map[string]any{"@context": "https://www.w3.org/2022/wot/td/v1.1", "id": "urn:echotwin:a/b", "title": "B", "security": "n", "securityDefinitions": map[string]any{"n": map[string]any{"scheme": "nosec"}}}
		forms := []any{map[string]any{"href": "x"}}
		switch where % 4 {
		case 0:
			td["properties"] = map[string]any{name: map[string]any{"type": 5, "forms": forms}}
		case 1:
			td["actions"] = map[string]any{"go": map[string]any{"forms": forms, "input": map[string]any{"type": "object", "properties": map[string]any{name: map[string]any{"minimum": 3, "maximum": 1}}}}}
		case 2:
			td["events"] = map[string]any{"e": map[string]any{"forms": forms, "data": map[string]any{"oneOf": []any{map[string]any{}, map[string]any{"properties": map[string]any{name: map[string]any{"type": "none"}}}}}}}
		case 3:
			td["properties"] = map[string]any{"p": map[string]any{"type": "number", "forms": forms, "echotwin:alarms": map[string]any{name: "x"}}}
		}
		b, err := json.Marshal(td)
		if err != nil {
			t.Skip()
		}
		var doc any
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(err)
		}
		err = New(Config{}).Describe(b)
		var p *realtime.Problem
		if err == nil || !errors.As(err, &p) {
			t.Fatalf("%s is described: %v", b, err)
		}
		if _, ok := resolve(doc, p.At); !ok {
			t.Errorf("%s: %q leads nowhere: %s", b, p.At, p.Message)
		}
	})
}
