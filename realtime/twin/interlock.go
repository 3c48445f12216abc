package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// interlockWait bounds what all interlocks of one command may take together.
const interlockWait = 3 * time.Second

// An interlock is a condition that must hold when a command is accepted, and
// still when it is sent.
type interlock struct {
	when    *Condition // nil: see promql
	promql  string
	message string
}

func readInterlocks(m map[string]any, place string) (out []interlock, problem *realtime.Problem) {
	list, _ := m["echotwin:interlocks"].([]any)
	for i, v := range list {
		place := interlockPlace(place, i)
		o, _ := v.(map[string]any) // the schema has checked it
		when, simple := o["when"].(string)
		query, asked := o["promql"].(string)
		if simple == asked {
			return nil, at(place, realtime.Wrong("interlock_either", "an interlock has either when or promql"))
		}
		l := interlock{promql: query}
		l.message, _ = o["message"].(string)
		if simple {
			var err error
			if l.when, err = ParseCondition(when); err != nil {
				return nil, at(place+"/when", err)
			}
		}
		out = append(out, l)
	}
	return out, nil
}

func interlockPlace(action string, i int) string {
	return fmt.Sprintf("%s/echotwin:interlocks/%d", action, i)
}

// An InterlockState is how a condition for an action stands now.
type InterlockState struct {
	When    string `json:"when,omitempty"`
	PromQL  string `json:"promql,omitempty"`
	Message string `json:"message,omitempty"`
	Holds   *bool  `json:"holds"` // null: nobody knows, and then it does not let a command pass
	// Values are what it looked at, by property, or by thing:property of others.
	// One that is missing, wrong or old is not among them.
	Values map[string]json.RawMessage `json:"values,omitempty"`
	Error  string                     `json:"error,omitempty"` // why nobody knows
}

// interlocks looks at all conditions of an action. A value counts while it is
// good by its own description: one that is old, of the wrong type or of a device
// that is offline is unknown.
func (t *Twins) interlocks(ctx context.Context, thing string, act *action) []InterlockState {
	if len(act.interlocks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, interlockWait)
	defer cancel()
	out := make([]InterlockState, len(act.interlocks))
	for i, l := range act.interlocks {
		if l.when != nil {
			out[i] = t.ask(thing, l.when)
		} else {
			out[i] = t.query(ctx, l.promql)
		}
		out[i].Message = l.message
	}
	return out
}

// ask looks whether a condition holds for a thing.
func (t *Twins) ask(thing string, c *Condition) InterlockState {
	s := InterlockState{When: c.String(), Values: map[string]json.RawMessage{}}
	now := t.cfg.Now().UnixMilli()
	t.mu.RLock()
	defer t.mu.RUnlock()
	holds, known := t.holds(c, thing, now)
	var missing []string
	for _, r := range c.References() {
		of, name := r.Thing, r.Thing+":"+r.Property
		if of == "" {
			of, name = thing, r.Property
		}
		if v, ok := t.trusted(of, r.Property, now); !ok {
			missing = append(missing, name)
		} else if len(v) <= maxQuoted {
			s.Values[name] = v
		}
	}
	if known {
		s.Holds = &holds
	} else if len(missing) > 0 {
		s.Error = "nobody knows " + strings.Join(missing, ", ")
	} else {
		s.Error = "a value is of another type than it is compared with"
	}
	return s
}

// holds says whether a condition is true of the values of a thing that can be
// trusted. The caller holds mu.
func (t *Twins) holds(c *Condition, thing string, now int64) (holds, known bool) {
	return c.Holds(func(of, property string) (json.RawMessage, bool) {
		if of == "" {
			of = thing
		}
		return t.trusted(of, property, now)
	})
}

// trusted is a value on which something may depend. The caller holds mu.
func (t *Twins) trusted(thing, property string, now int64) (json.RawMessage, bool) {
	th := t.things[thing]
	if th == nil || th.online == "offline" {
		return nil, false
	}
	p := th.props[property]
	if p == nil || p.value == nil || p.bad || p.stale || p.logged != nil {
		return nil, false
	}
	if due := p.deadline(); due > 0 && due <= now { // the sweep has not been there yet
		return nil, false
	}
	return p.value, true
}

// query asks history. As with an alert of Prometheus, the expression holds when
// it gives any sample, whatever its value: a comparison leaves out what it is
// not true of.
func (t *Twins) query(ctx context.Context, expr string) InterlockState {
	s := InterlockState{PromQL: expr}
	if t.cfg.Query == nil {
		s.Error = "there is no history to ask"
		return s
	}
	samples, err := t.cfg.Query(ctx, expr, t.cfg.Now())
	if err != nil {
		s.Error = "the query failed: " + clipTo(err.Error(), maxEvidence)
		return s
	}
	holds := len(samples) > 0
	s.Holds = &holds
	return s
}

// problem is why the interlock does not let a command pass, or nil. It quotes
// values of the thing itself only: others may be hidden from who asks.
func (s *InterlockState) problem(n int) *realtime.Problem {
	if s.Holds != nil && *s.Holds {
		return nil
	}
	text, place := s.When+s.PromQL, fmt.Sprintf("/interlocks/%d", n)
	if s.Message != "" {
		text = s.Message + " (" + text + ")"
	}
	if s.Holds == nil {
		return realtime.Wrong("interlock_unknown", "{condition}: it is not known whether this holds: {why}", "condition", text, "why", s.Error).Of(realtime.CodeInterlock).In(place)
	}
	p := realtime.Wrong("interlock", "{condition}: this does not hold", "condition", text).Of(realtime.CodeInterlock).In(place)
	var values []string
	for name, v := range s.Values {
		if !strings.Contains(name, ":") {
			values = append(values, name+" is "+clip(string(v)))
		}
	}
	if len(values) > 0 {
		return p.Beside("values", strings.Join(slices.Sorted(slices.Values(values)), ", "), ": {values}")
	}
	return p
}

// held says for the audit which interlocks held, and with what.
func held(locks []InterlockState) realtime.Ground {
	g := realtime.Ground{Evidence: "the input is valid by the description", EvidenceCode: realtime.BecauseValid}
	var texts []string
	for _, s := range locks {
		texts = append(texts, s.When+s.PromQL)
	}
	if len(texts) == 0 {
		return g
	}
	conditions := strings.Join(texts, ", ")
	g.Evidence += "; these hold: " + conditions
	g.EvidenceArgs = realtime.Said("conditions", clipTo(conditions, maxEvidence))
	return g
}

// A Readiness is what stands for and against an action now.
type Readiness struct {
	Thing      string           `json:"thing"`
	Action     string           `json:"action"`
	Risk       string           `json:"risk"`
	Online     string           `json:"online,omitempty"` // what the device said last
	Interlocks []InterlockState `json:"interlocks"`
	// Ready says whether a command with a valid input would be accepted. Whether
	// its device is connected is known only when it is sent.
	Ready bool `json:"ready"`
	// Controller is the newest command of the thing that was not rejected, whoever
	// gave it; Replaces are those that one of this action would supersede.
	Controller *realtime.Invoked  `json:"controller,omitempty"`
	Replaces   []realtime.Invoked `json:"replaces,omitempty"`
}

// Readiness looks at an action without doing anything.
func (t *Twins) Readiness(ctx context.Context, thing, name string) (Readiness, error) {
	act, problem := t.action(thing, name)
	if problem != nil {
		return Readiness{}, problem
	}
	r := Readiness{Thing: thing, Action: name, Risk: act.risk, Interlocks: t.interlocks(ctx, thing, act), Ready: true}
	if r.Interlocks == nil {
		r.Interlocks = []InterlockState{}
	}
	for i := range r.Interlocks {
		r.Ready = r.Ready && r.Interlocks[i].problem(i) == nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if th := t.things[thing]; th != nil {
		r.Online = th.online
	}
	for _, id := range t.commands.order {
		c := t.commands.byID[id]
		if c.Thing != thing || c.Status == realtime.Rejected {
			continue
		}
		i := c.Invoked
		r.Controller = &i
		if act.group != "" && c.Group == act.group && (!c.Ended() || c.Verifying()) {
			r.Replaces = append(r.Replaces, i)
		}
	}
	return r, nil
}
