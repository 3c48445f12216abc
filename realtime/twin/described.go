package twin

import "encoding/json"

// A PropertyDescription is what a Thing Description says about the values of one
// property.
type PropertyDescription struct {
	Type       string   // "" when it does not say
	Unit       string   //
	MultipleOf float64  // 0 when it does not say
	Enum       []string // of a string, in the order of the description
}

// Described tells what is said about a property. ok is false when the thing has
// no such property; one that came undescribed has the type that its values had.
func (t *Twins) Described(thing, name string) (d PropertyDescription, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	th := t.things[thing]
	if th == nil || th.props[name] == nil {
		return d, false
	}
	p := th.props[name]
	if p.spec == nil {
		d.Type = p.kind.String()
		return d, true
	}
	d.Type, d.Unit = p.spec.kind.String(), p.spec.unit
	props, _ := th.td.doc["properties"].(map[string]any)
	m, _ := props[name].(map[string]any)
	d.MultipleOf = float(m["multipleOf"], 0)
	values, _ := m["enum"].([]any)
	for _, v := range values {
		if s, isText := v.(string); isText {
			d.Enum = append(d.Enum, s)
		} else if _, isNumber := v.(json.Number); isNumber {
			return d, true // an enumeration of numbers needs no names
		}
	}
	return d, true
}
