package twin

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"echotwin/realtime"
)

const (
	maxDepth = 64     // of a description and of a model
	maxNodes = 20_000 // values in one, and in what is made of a model

	maxValues    = 256 // of one thing
	maxValueText = 1024
)

// placeholder is {{NAME}}. The name is of printable characters other than braces.
var placeholder = regexp.MustCompile(`\{\{([!-z|~](?:[ -z|~]{0,62}[!-z|~])?)\}\}`)

// holds says whether there is a placeholder anywhere in v.
func holds(v any) bool {
	switch v := v.(type) {
	case string:
		return placeholder.MatchString(v)
	case []any:
		return slices.ContainsFunc(v, holds)
	case map[string]any:
		for name, e := range v {
			if placeholder.MatchString(name) || holds(e) {
				return true
			}
		}
	}
	return false
}

// placeholders are the names of the placeholders in v, each with its places.
func placeholders(v any) map[string][]string {
	found := map[string][]string{}
	note := func(text, place string) {
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(found[m[1]], place) {
				found[m[1]] = append(found[m[1]], place)
			}
		}
	}
	var walk func(v any, place string)
	walk = func(v any, place string) {
		switch v := v.(type) {
		case string:
			note(v, place)
		case []any:
			for i, e := range v {
				walk(e, place+"/"+strconv.Itoa(i))
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				below := place + "/" + escape(name)
				note(name, below)
				walk(v[name], below)
			}
		}
	}
	walk(v, "")
	return found
}

// checkValues are the values that stand at a place, or what is wrong with them.
func checkValues(v any, place string) (map[string]any, *realtime.Problem) {
	values, ok := v.(map[string]any)
	if v == nil {
		return nil, nil
	}
	if !ok || len(values) > maxValues {
		return nil, at(place, realtime.Wrong("values", "want an object with the values of at most {max} placeholders", "max", maxValues))
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !plainValue(values[name]) {
			list, ok := values[name].([]any)
			if !ok || len(list) > maxValues || slices.ContainsFunc(list, func(e any) bool { return !plainValue(e) }) {
				return nil, at(place+"/"+escape(name), realtime.Wrong("value", "want a text of at most {bytes} bytes, a number, true or false, or a list of at most {max} of them", "bytes", maxValueText, "max", maxValues))
			}
		}
	}
	return values, nil
}

func plainValue(v any) bool {
	switch v := v.(type) {
	case string:
		return len(v) <= maxValueText
	case json.Number, bool:
		return true
	}
	return false
}

// A filling puts values into the places of placeholders.
type filling struct {
	values map[string]any
	size   int // what the values may still add
}

// fill is v with the values in place. A text that is nothing but a placeholder
// becomes the value itself, of whatever type; inside of a text the value is
// written out. Nothing is written to, and what holds no placeholder is shared.
func (f *filling) fill(v any, place string) (any, *realtime.Problem) {
	switch v := v.(type) {
	case string:
		return f.text(v, place)
	case []any:
		return f.list(v, place)
	case map[string]any:
		return f.object(v, place)
	}
	return v, nil
}

func (f *filling) list(v []any, place string) (any, *realtime.Problem) {
	var out []any
	for i, e := range v {
		filled, problem := f.fill(e, place+"/"+strconv.Itoa(i))
		if problem != nil {
			return nil, problem
		}
		if out == nil && !untouched(filled, e) {
			out = slices.Clone(v)
		}
		if out != nil {
			out[i] = filled
		}
	}
	if out == nil {
		return v, nil
	}
	return out, nil
}

func (f *filling) object(v map[string]any, place string) (any, *realtime.Problem) {
	var out map[string]any
	for _, name := range slices.Sorted(maps.Keys(v)) {
		below := place + "/" + escape(name)
		filled, problem := f.fill(v[name], below)
		if problem != nil {
			return nil, problem
		}
		key, problem := f.inside(name, below)
		if problem != nil {
			return nil, problem
		}
		if out == nil && (key != name || !untouched(filled, v[name])) {
			out = maps.Clone(v)
		}
		if key != name {
			if _, taken := out[key]; taken {
				return nil, at(below, realtime.Wrong("name_twice", `its name becomes "{name}", and there is one of that name already`, "name", clip(key)))
			}
			delete(out, name)
		}
		if out != nil {
			out[key] = filled
		}
	}
	if out == nil {
		return v, nil
	}
	return out, nil
}

// untouched says whether filling left something as it was. Objects and lists that
// hold placeholders are new ones then.
func untouched(filled, was any) bool {
	switch was := was.(type) {
	case string:
		text, ok := filled.(string)
		return ok && text == was
	case []any:
		list, ok := filled.([]any)
		return ok && len(list) == len(was) && (len(list) == 0 || &list[0] == &was[0])
	case map[string]any:
		return !holds(was)
	}
	return true
}

func (f *filling) text(v, place string) (any, *realtime.Problem) {
	if m := placeholder.FindStringSubmatch(v); m != nil && m[0] == v {
		value, problem := f.value(m[1], place)
		if problem != nil {
			return nil, problem
		}
		return value, f.grow(value)
	}
	return f.inside(v, place)
}

// inside writes values out between the rest of a text.
func (f *filling) inside(v, place string) (string, *realtime.Problem) {
	if !strings.Contains(v, "{{") {
		return v, nil
	}
	var problem *realtime.Problem
	out := placeholder.ReplaceAllStringFunc(v, func(found string) string {
		if problem != nil {
			return ""
		}
		name := found[2 : len(found)-2]
		value, wrong := f.value(name, place)
		if wrong == nil {
			wrong = f.grow(value)
		}
		if problem = wrong; problem != nil {
			return ""
		}
		switch value := value.(type) {
		case string:
			return value
		case json.Number:
			return value.String()
		case bool:
			return strconv.FormatBool(value)
		}
		problem = at(valuesAt+"/"+escape(name), realtime.Wrong("list_in_text", "a list cannot stand inside of the text at {place}", "place", clip(place)))
		return ""
	})
	return out, problem
}

func (f *filling) value(name, place string) (any, *realtime.Problem) {
	value, ok := f.values[name]
	if !ok {
		return nil, at(valuesAt+"/"+escape(name), realtime.Wrong("value_missing", "the value of {name} is missing, which stands at {place}", "name", clip(name), "place", clip(place)))
	}
	return value, nil
}

// grow counts what a value adds: a small value in many places must not make a
// description that nobody can hold.
func (f *filling) grow(value any) *realtime.Problem {
	n := 8
	switch value := value.(type) {
	case string:
		n += len(value)
	case []any:
		for _, e := range value {
			if s, ok := e.(string); ok {
				n += len(s)
			}
			n += 8
		}
	}
	if f.size -= n; f.size < 0 {
		return tooLong()
	}
	return nil
}

func tooLong() *realtime.Problem {
	return realtime.Wrong("td_made_size", "with its model the description has more than {max} bytes", "max", maxDescription).Of(realtime.CodeTooLarge)
}

// small says whether a document is one that can be walked through.
func small(v any) bool {
	left := maxNodes
	var walk func(v any, depth int) bool
	walk = func(v any, depth int) bool {
		if left--; left < 0 || depth > maxDepth {
			return false
		}
		switch v := v.(type) {
		case []any:
			return !slices.ContainsFunc(v, func(e any) bool { return !walk(e, depth+1) })
		case map[string]any:
			for _, e := range v {
				if !walk(e, depth+1) {
					return false
				}
			}
		}
		return true
	}
	return walk(v, 0)
}

// step is the part of a decoded document by its name or index.
func step(v any, part string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		e, ok := v[part]
		return e, ok
	case []any:
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

// follow is what a JSON pointer leads to.
func follow(v any, pointer string) (any, error) {
	if pointer == "" {
		return v, nil
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		var ok bool
		if v, ok = step(v, unescape(part)); !ok {
			return nil, realtime.Wrong("nothing_at", "there is nothing at {pointer}", "pointer", clip(pointer))
		}
	}
	return v, nil
}

// unescape is the name that a part of a JSON pointer means.
func unescape(part string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
}
