package twin

import (
	"encoding/json"
	"strings"

	"echotwin/realtime"
)

// An action is what a description allows to ask a thing for, and on which
// conditions.
type action struct {
	name     string
	input    *schema   // nil: it takes none
	risk     string    // never empty
	group    string    // of its commands only the newest counts; "" is for none
	feedback *feedback // nil: its effect is not verified
	cancel   string    // the action that stops it; "" for none

	interlocks []interlock // all of them must hold
}

func (d *description) readActions(doc map[string]any) *realtime.Problem {
	problem := members(doc, "actions", func(name, place string, m map[string]any) *realtime.Problem {
		a := &action{name: name, risk: realtime.RiskLow, group: name}
		if in, ok := m["input"].(map[string]any); ok {
			sub, err := toSchema(in, place+"/input", false)
			if err == nil {
				a.input, err = compile(sub)
			}
			if err != nil {
				return at(place+"/input", err)
			}
		}
		if risk, ok := m["echotwin:risk"].(string); ok {
			a.risk = risk // the schema has checked it
		}
		if group, ok := m["echotwin:group"].(string); ok {
			a.group = group
		}
		a.cancel, _ = m["echotwin:cancel"].(string)
		d.actions[name] = a
		var problem *realtime.Problem
		if a.interlocks, problem = readInterlocks(m, place); problem != nil {
			return problem
		}
		a.feedback, problem = d.readFeedback(m, place)
		return problem
	})
	if problem != nil {
		return problem
	}
	return members(doc, "actions", func(name, place string, _ map[string]any) *realtime.Problem {
		stop := d.actions[name].cancel
		switch {
		case stop == "":
			return nil
		case d.actions[stop] == nil:
			return at(place+"/echotwin:cancel", realtime.Wrong("no_action_named", `there is no action "{name}"`, "name", clip(stop)))
		case stop == name:
			return at(place+"/echotwin:cancel", realtime.Wrong("stop_self", "an action cannot stop itself"))
		case d.actions[stop].check(nil) != nil:
			return at(place+"/echotwin:cancel", realtime.Wrong("stop_input", "{name} cannot stop anything, since it needs an input", "name", clip(stop)))
		}
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
		return nil, realtime.Wrong("no_thing", "there is no thing {thing}", "thing", id).Of(realtime.CodeNotFound)
	case th.td == nil:
		return nil, realtime.Wrong("undescribed", "{thing} is not described, so nothing is known that it could be asked to do", "thing", id).Of(realtime.CodeNotFound)
	case strings.HasPrefix(name, writePrefix):
		return th.writing(strings.TrimPrefix(name, writePrefix))
	case th.td.actions[name] != nil:
		return th.td.actions[name], nil
	case len(th.td.actions) == 0:
		return nil, realtime.Wrong("no_actions", "{thing} has no actions", "thing", id).Of(realtime.CodeNotFound)
	}
	known, _ := th.td.doc["actions"].(map[string]any)
	return nil, realtime.Wrong("no_action", "{thing} has no action {action}, only {known}", "thing", id, "action", name, "known", strings.Join(names(known), ", ")).Of(realtime.CodeNotFound)
}

// check says what is wrong with a canonical input, or nil.
func (a *action) check(in json.RawMessage) *realtime.Problem {
	switch {
	case a.input == nil && (in == nil || string(in) == "{}"):
		return nil
	case a.input == nil:
		return realtime.Wrong("no_input", "{action} takes no input", "action", a.name).In("/input")
	case in == nil:
		return realtime.Wrong("input_missing", "the input is missing").In("/input")
	}
	v, err := decode(in)
	if err != nil {
		return at("/input", err)
	}
	return a.input.check(v, "/input")
}

// weigh says what the risk of the action still wants, or nil.
func (a *action) weigh(i realtime.Invocation) *realtime.Problem {
	switch {
	case a.risk == realtime.RiskConfirm && !i.Confirm:
		return realtime.Wrong("confirm", "{action} is only done when it is confirmed: review it and say confirm true", "action", a.name).Of(realtime.CodeConfirm).In("/confirm")
	case a.risk == realtime.RiskHigh && strings.TrimSpace(i.Reason) == "":
		return realtime.Wrong("reason", "{action} is of high risk and is only done for a reason: say it as reason", "action", a.name).Of(realtime.CodeReason).In("/reason")
	}
	return nil
}
