package twin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"echotwin/realtime"
)

// maxExtends bounds how many models stand behind one another.
const maxExtends = 8

// A resolver makes models whole: with what they extend and refer to.
type resolver struct {
	find func(name string) *model
	done map[string]*model // made whole, or known not to be
	open []string          // being made whole, the outermost first
	left int               // values that may still be looked at
}

func newResolver(find func(string) *model) *resolver {
	return &resolver{find: find, done: map[string]*model{}}
}

// model is a model made whole; its problem says when that cannot be.
func (r *resolver) model(name string) *model {
	if m := r.done[name]; m != nil {
		return m
	}
	given := r.find(name)
	if given == nil {
		return nil
	}
	m := *given
	m.whole, m.names, m.problem = nil, nil, nil
	whole, problem := r.whole(&m)
	if problem == nil && !small(whole) {
		problem = tooDeep()
	}
	if problem == nil {
		problem = checkShape(whole)
	}
	if m.problem = problem; problem == nil {
		m.whole, m.names = whole, placeholders(strip(whole))
	}
	r.done[name] = &m
	return &m
}

// other is a model that the one being made whole uses at this place.
func (r *resolver) other(name, place string) (map[string]any, *realtime.Problem) {
	if slices.Contains(r.open, name) {
		return nil, at(place, realtime.Wrong("tm_circle", "the models go in a circle: {models}", "models", strings.Join(append(r.open, name), " → ")))
	}
	if len(r.open) >= maxExtends {
		return nil, at(place, realtime.Wrong("tm_behind", "at most {max} models stand behind one another", "max", maxExtends))
	}
	m := r.model(name)
	switch {
	case m == nil:
		return nil, at(place, realtime.Wrong("no_model", "there is no model {model}", "model", name))
	case m.problem != nil:
		return nil, at(place, realtime.Wrong("model_wrong", "the model {model} is wrong: {why}", "model", name, "why", m.problem))
	}
	return m.whole, nil
}

func (r *resolver) whole(m *model) (map[string]any, *realtime.Problem) {
	r.open = append(r.open, m.id)
	outer := r.left
	r.left = maxNodes
	defer func() { r.open, r.left = r.open[:len(r.open)-1], outer }()
	v, problem := r.refs(m.doc, m.doc, "", 0)
	if problem != nil {
		return nil, problem
	}
	whole, _ := v.(map[string]any)
	base, place := m.extends()
	if base == "" {
		return whole, nil
	}
	below, problem := r.other(base, place)
	if problem != nil {
		return nil, problem
	}
	return extend(below, whole)
}

// refs is v with what its tm:refs lead to; members beside a tm:ref are merged
// over that.
func (r *resolver) refs(v any, doc map[string]any, place string, depth int) (any, *realtime.Problem) {
	if r.left--; r.left < 0 || depth > maxDepth {
		return nil, tooDeep()
	}
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var problem *realtime.Problem
			if out[i], problem = r.refs(e, doc, fmt.Sprintf("%s/%d", place, i), depth+1); problem != nil {
				return nil, problem
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name == "tm:ref" {
				continue
			}
			var problem *realtime.Problem
			if out[name], problem = r.refs(v[name], doc, place+"/"+escape(name), depth+1); problem != nil {
				return nil, problem
			}
		}
		if ref, ok := v["tm:ref"]; ok {
			return r.ref(ref, out, doc, place+"/tm:ref", depth)
		}
		return out, nil
	}
	return v, nil
}

// ref is what a tm:ref leads to, with over merged over it.
func (r *resolver) ref(ref any, over, doc map[string]any, place string, depth int) (any, *realtime.Problem) {
	name, pointer, err := refersTo(ref)
	if err != nil {
		return nil, at(place, err)
	}
	within := doc
	if name != "" {
		var problem *realtime.Problem
		if within, problem = r.other(name, place); problem != nil {
			return nil, problem
		}
	}
	v, err := follow(within, pointer)
	if err != nil {
		return nil, at(place, err)
	}
	if name == "" {
		var problem *realtime.Problem
		if v, problem = r.refs(v, doc, place, depth+1); problem != nil {
			return nil, problem
		}
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, at(place, realtime.Wrong("no_object", "{pointer} is no object", "pointer", clip(pointer)))
	}
	merged, ok := mergePatch(v, over, 0)
	if !ok {
		return nil, tooDeep()
	}
	return merged, nil
}

// extend is a model with what it extends: its own members are merged over those
// of the base, links and optional affordances add to them.
func extend(base, own map[string]any) (map[string]any, *realtime.Problem) {
	merged, ok := mergePatch(base, own, 0)
	if !ok {
		return nil, tooDeep()
	}
	out := merged.(map[string]any) // own is an object
	for _, name := range []string{"links", "tm:optional"} {
		below, _ := base[name].([]any)
		above, _ := own[name].([]any)
		if all := slices.Concat(below, above); len(all) > 0 {
			out[name] = all
		}
	}
	return out, nil
}

// strip is a whole model without what is only a model's: its id and type, and
// the words named tm:….
func strip(whole map[string]any) map[string]any {
	out := maps.Clone(whole)
	delete(out, "id")
	delete(out, defaultsMember)
	maps.DeleteFunc(out, func(name string, _ any) bool { return strings.HasPrefix(name, "tm:") })
	types := slices.DeleteFunc(words(whole["@type"]), func(t string) bool { return t == modelType })
	if delete(out, "@type"); len(types) > 0 {
		list := make([]any, len(types))
		for i, t := range types {
			list[i] = t
		}
		out["@type"] = list
	}
	links, _ := whole["links"].([]any)
	links = slices.DeleteFunc(slices.Clone(links), func(l any) bool {
		link, _ := l.(map[string]any)
		rel, _ := link["rel"].(string)
		return strings.HasPrefix(rel, "tm:")
	})
	if delete(out, "links"); len(links) > 0 {
		out["links"] = links
	}
	return out
}
