package twin

import (
	"maps"
	"slices"
	"strings"

	"echotwin/realtime"
)

// The members by which a description says that it is made of a model.
const (
	modelMember  = "echotwin:model"
	valuesMember = "echotwin:values"
	valuesAt     = "/" + valuesMember

	// defaultsMember is of a model: values that an instance need not give.
	defaultsMember = "echotwin:defaults"
)

// An instance is a description that is made of a model: it names it, gives the
// values of its placeholders, and says what is its own. It does not change.
type instance struct {
	id    string
	model string
	doc   map[string]any // as it was given, but for the id
}

// readInstance is the instance that a decoded document is; nil when it names no
// model.
func readInstance(v any) (*instance, *realtime.Problem) {
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, nil
	}
	name, ok := doc[modelMember]
	if !ok {
		if doc[valuesMember] != nil {
			return nil, at(valuesAt, realtime.Wrong("values_of_none", "values are of a model, and {member} names none", "member", modelMember))
		}
		return nil, nil
	}
	if isModel(doc) {
		return nil, at("/"+modelMember, realtime.Wrong("model_of_model", "a model is not made of another; it extends it, by a link"))
	}
	text, _ := name.(string)
	in := &instance{doc: doc}
	var err error
	if in.model, err = modelAt(text); err != nil {
		return nil, at("/"+modelMember, err)
	}
	id, _ := doc["id"].(string)
	if in.id, err = Path(id); err != nil {
		return nil, at("/id", err)
	}
	doc["id"] = URN(in.id)
	if !small(doc) {
		return nil, tooLong()
	}
	_, problem := checkValues(doc[valuesMember], valuesAt)
	return in, problem
}

// make is the description that the model makes of an instance.
func (in *instance) make(m *model) (*description, *realtime.Problem) {
	if m == nil {
		return nil, realtime.Wrong("no_model", "there is no model {model}", "model", in.model).In("/" + modelMember)
	}
	if m.problem != nil {
		return nil, at("/"+modelMember, realtime.Wrong("model_wrong", "the model {model} is wrong: {why}", "model", m.id, "why", m.problem))
	}
	if problem := in.mayLeaveOut(m); problem != nil {
		return nil, problem
	}
	merged, problem := in.merged(m)
	if problem != nil {
		return nil, problem
	}
	values := maps.Clone(m.defaults())
	maps.Copy(values, in.values())
	f := &filling{values: values, size: maxDescription}
	filled, problem := f.fill(merged, "")
	if problem != nil {
		return nil, problem
	}
	doc := maps.Clone(filled.(map[string]any)) // an object stays one
	in.finish(doc, m)
	if b, err := realtime.Marshal(doc); err != nil || len(b) > maxDescription {
		return nil, tooLong()
	}
	d, problem := understand(doc)
	if problem != nil {
		return nil, in.blame(problem, merged)
	}
	d.model = m.id
	return d, nil
}

// mayLeaveOut says when something is left out that a thing of this model has.
func (in *instance) mayLeaveOut(m *model) *realtime.Problem {
	optional := words(m.whole["tm:optional"])
	for _, sort := range affordances {
		own, said := in.doc[sort]
		has, _ := m.whole[sort].(map[string]any)
		without, _ := own.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(has)) {
			place := "/" + sort + "/" + escape(name)
			v, named := without[name]
			if (named && v == nil || said && own == nil) && !slices.Contains(optional, place) {
				return at(place, realtime.Wrong("not_optional", "a {model} has it; only what its tm:optional names may be left out", "model", m.id))
			}
		}
	}
	return nil
}

// merged is the model with what the instance says merged over it. Links add to
// those of the model.
func (in *instance) merged(m *model) (map[string]any, *realtime.Problem) {
	own := maps.Clone(in.doc)
	for _, name := range []string{modelMember, valuesMember, "id"} {
		delete(own, name)
	}
	whole := strip(m.whole)
	v, ok := mergePatch(whole, own, 0)
	if !ok {
		return nil, tooDeep()
	}
	out := v.(map[string]any)
	if more, ok := own["links"].([]any); ok {
		links, _ := whole["links"].([]any)
		out["links"] = slices.Concat(links, more)
	}
	if !small(out) {
		return nil, tooDeep()
	}
	return out, nil
}

// values are those that the instance gives; they were checked.
func (in *instance) values() map[string]any {
	values, _ := in.doc[valuesMember].(map[string]any)
	return values
}

// knows says when there is a value for what the model does not ask for. It is
// asked where somebody writes an instance: one that is there stays when its
// model loses a placeholder.
func (in *instance) knows(m *model) *realtime.Problem {
	for _, name := range slices.Sorted(maps.Keys(in.values())) {
		if m.names[name] != nil {
			continue
		}
		known := slices.Sorted(maps.Keys(m.names))
		place := valuesAt + "/" + escape(name)
		if len(known) == 0 {
			return realtime.Wrong("no_placeholders", "{model} has no placeholder {name}; it has no placeholders", "model", m.id, "name", clip(name)).In(place)
		}
		return realtime.Wrong("no_placeholder", "{model} has no placeholder {name}; it has {known}", "model", m.id, "name", clip(name), "known", clip(strings.Join(known, ", "))).In(place)
	}
	return nil
}

// finish adds to a description made of a model what neither needs to say.
func (in *instance) finish(doc map[string]any, m *model) {
	doc["id"] = URN(in.id)
	if links, ok := doc["links"].([]any); ok || doc["links"] == nil { // what is no list is told of as such
		doc["links"] = append(slices.Clone(links), map[string]any{"rel": "type", "href": "api/models/" + m.id, "type": "application/tm+json"})
	}
	if doc["securityDefinitions"] == nil && doc["security"] == nil {
		doc["securityDefinitions"] = map[string]any{"nosec": map[string]any{"scheme": "nosec"}}
		doc["security"] = "nosec"
	}
	if v, ok := doc["version"].(map[string]any); ok && v["instance"] == nil && v["model"] != nil {
		v = maps.Clone(v)
		v["instance"] = v["model"]
		doc["version"] = v
	}
}

// blame says which value made a description wrong, where one can be told from
// its place.
func (in *instance) blame(p *realtime.Problem, merged map[string]any) *realtime.Problem {
	if v, err := follow(merged, p.At); err == nil {
		if text, ok := v.(string); ok {
			if m := placeholder.FindStringSubmatch(text); m != nil {
				return p.Beside("stands", clip(p.At), " (at {stands})").In(valuesAt + "/" + escape(m[1]))
			}
		}
	}
	if _, err := follow(in.doc, p.At); err != nil {
		return p.Beside("ofModel", in.model, " (of the model {ofModel})")
	}
	return p
}
