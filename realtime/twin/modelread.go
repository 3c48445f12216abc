package twin

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"echotwin/realtime"
)

// A Model is a Thing Model as the API shows it.
type Model struct {
	Name   string
	Doc    json.RawMessage // as it was given
	Tag    string
	Source string // what has it, such as "the file pump.json"; "" when the API can change it
}

// Models are the names of all models, sorted.
func (d *Directory) Models() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.models))
}

// Model is one model; false when there is none of that name.
func (d *Directory) Model(name string) (Model, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.models[name]
	if m == nil {
		return Model{}, false
	}
	doc, err := realtime.Marshal(m.doc)
	return Model{Name: name, Doc: doc, Tag: m.tag, Source: m.source}, err == nil
}

// A ModelUse is what a model asks for, and who is made of it.
type ModelUse struct {
	Model        string             `json:"model"`
	Title        string             `json:"title,omitempty"`
	Problem      string             `json:"problem,omitempty"` // why nothing can be made of it now
	Placeholders []ModelPlaceholder `json:"placeholders"`
	Optional     []string           `json:"optional"` // JSON pointers of what a thing may leave out
	Things       []string           `json:"things"`   // that are made of it
	Hidden       int                `json:"hidden"`   // and that who asks may not see
	Models       []string           `json:"models"`   // that extend it or refer to it
	Source       string             `json:"source,omitempty"`
}

// A ModelPlaceholder is one {{NAME}} in a model.
type ModelPlaceholder struct {
	Name    string          `json:"name"`
	At      []string        `json:"at"`                // JSON pointers into the whole model
	Type    string          `json:"type"`              // string, number or boolean: what its places want
	Default json.RawMessage `json:"default,omitempty"` // of echotwin:defaults
}

// ModelUse says what a model asks for, and which of the things that see accepts
// are made of it.
func (d *Directory) ModelUse(name string, see func(thing string) bool) (ModelUse, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.models[name]
	if m == nil {
		return ModelUse{}, false
	}
	u := ModelUse{Model: name, Source: m.source, Placeholders: []ModelPlaceholder{}, Optional: []string{}, Things: []string{}, Models: []string{}}
	u.Title, _ = m.doc["title"].(string)
	if m.problem != nil {
		u.Problem = m.problem.Message
	} else {
		u.Optional = append(u.Optional, words(m.whole["tm:optional"])...)
		u.Placeholders = m.placeholders()
	}
	for id, in := range d.made {
		switch {
		case in.model != name:
		case see(id):
			u.Things = append(u.Things, id)
		default:
			u.Hidden++
		}
	}
	slices.Sort(u.Things)
	u.Models = append(u.Models, d.dependents(name)[1:]...)
	return u, true
}

// MadeOf is the model that a thing is made of; "" when it is made of none.
func (d *Directory) MadeOf(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if in := d.made[id]; in != nil {
		return in.model
	}
	return ""
}

func (m *model) placeholders() []ModelPlaceholder {
	out := []ModelPlaceholder{}
	whole := strip(m.whole)
	for _, name := range slices.Sorted(maps.Keys(m.names)) {
		p := ModelPlaceholder{Name: name, At: m.names[name], Type: wanted(whole, name, m.names[name])}
		if v, ok := m.defaults()[name]; ok {
			p.Default, _ = json.Marshal(v) // a decoded value
		}
		out = append(out, p)
	}
	return out
}

// wanted is the type of value that the places of a placeholder want. Inside of a
// text everything will do, so it is a string there.
func wanted(whole map[string]any, name string, places []string) string {
	kinds := map[string]bool{}
	for _, place := range places {
		v, err := follow(whole, place)
		if text, ok := v.(string); err != nil || !ok || text != "{{"+name+"}}" {
			kinds["string"] = true
			continue
		}
		kinds[typeAt(place)] = true
	}
	if len(kinds) != 1 {
		return "string"
	}
	for kind := range kinds {
		return kind
	}
	return "string"
}

// typeAt is what the schema of descriptions wants at a member of that name.
func typeAt(place string) string {
	last := place[strings.LastIndexByte(place, '/')+1:]
	switch last {
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems",
		"echotwin:period", "echotwin:decimals", "echotwin:low", "echotwin:high", "echotwin:target", "echotwin:priority",
		"low", "high", "lowLow", "highHigh", "hysteresis", "onDelay", "offDelay", "tolerance", "within", "max", "over", "priority":
		return "number"
	case "readOnly", "writeOnly", "observable", "safe", "idempotent", "synchronous", "offline", "stale":
		return "boolean"
	}
	if strings.Contains(place, "/echotwin:band/") {
		return "number"
	}
	return "string"
}
