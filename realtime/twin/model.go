package twin

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	fault "github.com/santhosh-tekuri/jsonschema/v6/kind"

	"echotwin/realtime"
)

const (
	maxModels    = 1000
	maxInstances = 5000 // things made of one model, which change together

	// ModelPrefix makes the name of a model the URN that stands as its id.
	ModelPrefix = "urn:echotwin:model:"

	// modelType is what makes a document a Thing Model (W3C TD 1.1, §9).
	modelType = "tm:ThingModel"
)

// affordances are the sorts of what a thing offers.
var affordances = []string{"properties", "actions", "events"}

// A model is a Thing Model: what is alike in the descriptions of many things. It
// does not change.
type model struct {
	id     string
	doc    map[string]any // as it was given, but for the id
	source string         // what has it, such as "the file pump.json"; "" is the store
	uses   []string       // models that it extends or refers to, sorted
	tag    string

	// whole is doc with everything that it extends and refers to, and names the
	// placeholders in it. They are nil while problem says why that cannot be told.
	whole   map[string]any
	names   map[string][]string // and at which places, as JSON pointers into whole
	problem *realtime.Problem
}

// isModel says whether a document is a Thing Model.
func isModel(doc map[string]any) bool { return slices.Contains(words(doc["@type"]), modelType) }

// ModelName is the name of the model with this id, which may be a name itself.
func ModelName(id string) (string, error) {
	name := strings.TrimPrefix(id, ModelPrefix)
	return name, realtime.CheckName(name)
}

// readModel reads and checks a Thing Model, as far as one can without the models
// that it uses.
func readModel(tm []byte) (*model, *realtime.Problem) {
	if len(tm) > maxDescription {
		return nil, realtime.Wrong("tm_size", "a Thing Model has at most {max} bytes", "max", maxDescription).Of(realtime.CodeTooLarge)
	}
	v, problem := unmarshal(tm)
	if problem != nil {
		return nil, problem
	}
	return understandModel(v)
}

func understandModel(v any) (*model, *realtime.Problem) {
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, realtime.Wrong("tm_object", "a Thing Model is a JSON object")
	}
	if !isModel(doc) {
		return nil, at("/@type", realtime.Wrong("tm_type", `a Thing Model has "{type}" among its types`, "type", modelType))
	}
	if !small(doc) {
		return nil, tooDeep()
	}
	id, _ := doc["id"].(string)
	name, err := ModelName(id)
	if err != nil {
		return nil, at("/id", err)
	}
	doc["id"] = ModelPrefix + name
	m := &model{id: name, doc: doc}
	for _, check := range []func() *realtime.Problem{m.readLinks, m.checkOptional, m.checkDefaults, func() *realtime.Problem { return m.readRefs(doc, "") }, m.checkShape} {
		if problem := check(); problem != nil {
			return nil, problem
		}
	}
	slices.Sort(m.uses)
	m.uses = slices.Compact(m.uses)
	b, err := realtime.Marshal(doc)
	m.tag = hashed(b)
	if err != nil {
		return nil, at("", err)
	}
	return m, nil
}

func tooDeep() *realtime.Problem {
	return realtime.Wrong("tm_deep", "a model goes at most {deep} objects deep and has at most {max} values, with all that it extends and refers to", "deep", maxDepth, "max", maxNodes).Of(realtime.CodeTooLarge)
}

// extends is the model that a link says this one extends, and where it says so.
func (m *model) extends() (base, place string) {
	all, _ := m.doc["links"].([]any)
	for i, l := range all {
		if link, ok := l.(map[string]any); ok && link["rel"] == "tm:extends" {
			href, _ := link["href"].(string)
			base, _ = modelAt(href)
			return base, fmt.Sprintf("/links/%d/href", i)
		}
	}
	return "", ""
}

func (m *model) readLinks() *realtime.Problem {
	all, _ := m.doc["links"].([]any)
	bases := 0
	for i, l := range all {
		link, _ := l.(map[string]any)
		place := fmt.Sprintf("/links/%d", i)
		switch link["rel"] {
		case "tm:submodel":
			return at(place+"/rel", realtime.Wrong("tm_parts", "models of parts are not made here: describe each part as a thing, and link them with contains"))
		case "tm:extends":
			href, _ := link["href"].(string)
			base, err := modelAt(href)
			if err != nil {
				return at(place+"/href", err)
			}
			if bases++; bases > 1 {
				return at(place, realtime.Wrong("tm_bases", "a model extends one other at most"))
			}
			m.uses = append(m.uses, base)
		}
	}
	return nil
}

// modelAt is the model that a reference leads to: its name, its URN, or its
// address on this or any server.
func modelAt(href string) (string, error) {
	given := href
	if u, err := url.Parse(href); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		if href = u.Path; !strings.HasPrefix(href, "/api/models/") {
			return "", realtime.Wrong("tm_address", "{given} is no model of this directory, such as /api/models/pump", "given", clip(given))
		}
	}
	href = strings.TrimPrefix(strings.TrimPrefix(href, "./"), "/")
	name, err := ModelName(strings.TrimPrefix(href, "api/models/"))
	if err != nil {
		return "", realtime.Wrong("tm_leads", `"{given}" leads to no model of this directory, such as /api/models/pump`, "given", clip(given))
	}
	return name, nil
}

// readRefs looks at everything that names another model by tm:ref.
func (m *model) readRefs(v any, place string) *realtime.Problem {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["tm:ref"]; ok {
			target, _, err := refersTo(ref)
			if err != nil {
				return at(place+"/tm:ref", err)
			}
			if target != "" {
				m.uses = append(m.uses, target)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if problem := m.readRefs(v[name], place+"/"+escape(name)); problem != nil {
				return problem
			}
		}
	case []any:
		for i, e := range v {
			if problem := m.readRefs(e, fmt.Sprintf("%s/%d", place, i)); problem != nil {
				return problem
			}
		}
	}
	return nil
}

// refersTo takes a tm:ref apart; without a model it leads into the same one.
func refersTo(ref any) (model, pointer string, err error) {
	text, _ := ref.(string)
	href, pointer, ok := strings.Cut(text, "#")
	if !ok || !strings.HasPrefix(pointer, "/") {
		return "", "", realtime.Wrong("tm_ref", "want a model and a JSON pointer, such as /api/models/pump#/properties/speed")
	}
	if href != "" {
		model, err = modelAt(href)
	}
	return model, pointer, err
}

// checkOptional looks at tm:optional: the affordances that a thing may leave out.
func (m *model) checkOptional() *realtime.Problem {
	v, given := m.doc["tm:optional"]
	if !given {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return at("/tm:optional", realtime.Wrong("pointers", "want a list of JSON pointers, such as /events/overheat"))
	}
	for i, e := range list {
		pointer, _ := e.(string)
		parts := strings.Split(pointer, "/")
		if len(parts) != 3 || parts[0] != "" || !slices.Contains(affordances, parts[1]) {
			return at(fmt.Sprintf("/tm:optional/%d", i), realtime.Wrong("pointer", "want a JSON pointer to a property, an action or an event, such as /events/overheat"))
		}
		sort, _ := m.doc[parts[1]].(map[string]any)
		if _, ok := sort[unescape(parts[2])]; !ok && len(m.uses) == 0 {
			return at(fmt.Sprintf("/tm:optional/%d", i), realtime.Wrong("nothing_at", "there is nothing at {pointer}", "pointer", clip(pointer)))
		}
	}
	return nil
}

// defaults are the values that an instance need not give.
func (m *model) defaults() map[string]any {
	doc := m.whole
	if doc == nil {
		doc = m.doc
	}
	values, _ := doc[defaultsMember].(map[string]any)
	if values == nil {
		values = map[string]any{}
	}
	return values
}

func (m *model) checkDefaults() *realtime.Problem {
	_, problem := checkValues(m.doc[defaultsMember], "/"+defaultsMember)
	return problem
}

// checkShape checks a model as a description of which not everything is said
// yet: where a placeholder or a reference stands, anything may come.
func (m *model) checkShape() *realtime.Problem { return checkShape(m.doc) }

func checkShape(doc map[string]any) *realtime.Problem {
	all, err := descriptions()
	if err != nil {
		return &realtime.Problem{Code: realtime.CodeUnavailable, Message: err.Error()}
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(all.compiled.Validate(doc), &invalid) {
		return nil
	}
	left := slices.DeleteFunc(leaves(invalid, nil), func(e *jsonschema.ValidationError) bool { return excused(doc, e) })
	if len(left) == 0 {
		return nil
	}
	return all.problems(left, "")
}

// excused says whether an error of a description is none in a model.
func excused(doc any, e *jsonschema.ValidationError) bool {
	v := doc
	for i, part := range e.InstanceLocation {
		// A reference brings what is missing, and takes away what is null.
		if m, ok := v.(map[string]any); ok && m["tm:ref"] != nil && i > 0 {
			return true
		}
		v, _ = step(v, part)
	}
	if v == nil {
		return true // the model that it extends has what is taken away
	}
	if m, ok := v.(map[string]any); ok && m["tm:ref"] != nil {
		return true
	}
	switch e.ErrorKind.(type) {
	case *fault.Required:
		// The thing, or the model that it extends, has the rest.
		return true
	case *fault.OneOf, *fault.AnyOf, *fault.Not, *fault.Dependency, *fault.DependentRequired:
		return holds(v)
	}
	text, ok := v.(string)
	return ok && holds(text)
}
