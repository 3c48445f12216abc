package twin

import (
	"errors"
	"fmt"
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
			return nil, at(valuesAt, fmt.Errorf("values are of a model, and %s names none", modelMember))
		}
		return nil, nil
	}
	if isModel(doc) {
		return nil, at("/"+modelMember, errors.New("a model is not made of another; it extends it, by a link"))
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
		return nil, &realtime.Problem{Code: realtime.CodeInvalid, At: "/" + modelMember, Message: "there is no model " + in.model}
	}
	if m.problem != nil {
		return nil, at("/"+modelMember, fmt.Errorf("the model %s is wrong: %s", m.id, m.problem.Message))
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
				return at(place, fmt.Errorf("a %s has it; only what its tm:optional names may be left out", m.id))
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
		hint := "it has no placeholders"
		if len(known) > 0 {
			hint = "it has " + clip(strings.Join(known, ", "))
		}
		return at(valuesAt+"/"+escape(name), fmt.Errorf("%s has no placeholder %s; %s", m.id, clip(name), hint))
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
	out := *p
	if v, err := follow(merged, p.At); err == nil {
		if text, ok := v.(string); ok {
			if m := placeholder.FindStringSubmatch(text); m != nil {
				out.At = valuesAt + "/" + escape(m[1])
				out.Message = fmt.Sprintf("%s (at %s)", p.Message, clip(p.At))
				return &out
			}
		}
	}
	if _, err := follow(in.doc, p.At); err != nil {
		out.Message = fmt.Sprintf("%s (of the model %s)", p.Message, in.model)
	}
	return &out
}
