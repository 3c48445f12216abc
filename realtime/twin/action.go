package twin

import (
	"encoding/json"
	"fmt"
	"strings"

	"echotwin/realtime"
)

// An action is what a description allows to ask a thing for.
type action struct {
	name  string
	input *schema // nil: it takes none
}

func (d *description) readActions(doc map[string]any) *realtime.Problem {
	return members(doc, "actions", func(name, place string, m map[string]any) *realtime.Problem {
		a := &action{name: name}
		if in, ok := m["input"].(map[string]any); ok {
			sub, err := toSchema(in, place+"/input", false)
			if err == nil {
				a.input, err = compile(sub)
			}
			if err != nil {
				return at(place+"/input", err)
			}
		}
		if f, ok := m["echotwin:feedback"].(string); ok && d.props[f] == nil {
			return at(place+"/echotwin:feedback", fmt.Errorf("there is no property %q", clip(f)))
		}
		d.actions[name] = a
		return nil
	})
}

// action finds what may be asked of a thing.
func (t *Twins) action(id, name string) (*action, *realtime.Problem) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	th := t.things[id]
	switch {
	case th == nil:
		return nil, &realtime.Problem{Code: realtime.CodeNotFound, Message: "there is no thing " + id}
	case th.td == nil:
		return nil, &realtime.Problem{Code: realtime.CodeNotFound, Message: id + " is not described, so nothing is known that it could be asked to do"}
	case th.td.actions[name] != nil:
		return th.td.actions[name], nil
	case len(th.td.actions) == 0:
		return nil, &realtime.Problem{Code: realtime.CodeNotFound, Message: id + " has no actions"}
	}
	known, _ := th.td.doc["actions"].(map[string]any)
	return nil, &realtime.Problem{Code: realtime.CodeNotFound, Message: fmt.Sprintf("%s has no action %s, only %s", id, name, strings.Join(names(known), ", "))}
}

// check says what is wrong with a canonical input, or nil.
func (a *action) check(in json.RawMessage) *realtime.Problem {
	switch {
	case a.input == nil && (in == nil || string(in) == "{}"):
		return nil
	case a.input == nil:
		return &realtime.Problem{Code: realtime.CodeInvalid, At: "/input", Message: a.name + " takes no input"}
	case in == nil:
		return &realtime.Problem{Code: realtime.CodeInvalid, At: "/input", Message: "the input is missing"}
	}
	v, err := decode(in)
	if err != nil {
		return at("/input", err)
	}
	return a.input.check(v, "/input")
}
