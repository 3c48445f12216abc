package twin

import (
	"maps"
	"slices"

	"echotwin/realtime"
)

// How an interlock stands is told to whoever reads its action, and that an alarm
// is suppressed to whoever reads the alarm. So a condition answers questions
// about the other things that it looks at, also to somebody who may not see
// them: who could write any would find out every value, one comparison at a time.

// A glance is a condition of a description that looks beyond its thing.
type glance struct {
	place string
	text  string
	at    []string // the things that it looks at; everything is all that is kept
}

// everything is what an expression looks at, as no thing is called.
const everything = ""

// glances are all conditions of a description that look beyond its thing.
func (d *description) glances() (out []glance) {
	add := func(place string, c *Condition) {
		if things := c.others(); things != nil {
			out = append(out, glance{place, c.String(), things})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.actions)) {
		for i, l := range d.actions[name].interlocks {
			place := interlockPlace("/actions/"+escape(name), i)
			if l.when == nil {
				out = append(out, glance{place + "/promql", l.promql, []string{everything}})
			} else {
				add(place+"/when", l.when)
			}
		}
	}
	for _, r := range d.alarms {
		switch {
		case r.suppress == nil:
		case r.rule == ruleOffline || r.rule == ruleEvent:
			add("/echotwin:alarms/suppress", r.suppress)
		default:
			add("/properties/"+escape(r.name)+"/echotwin:alarms/suppress", r.suppress)
		}
	}
	return out
}

// others are the things that a condition looks at besides that which it is about.
func (c *Condition) others() (out []string) {
	for _, r := range c.refs {
		if r.Thing != "" && !slices.Contains(out, r.Thing) {
			out = append(out, r.Thing)
		}
	}
	return out
}

// allows says why who writes may not make a description into d, or nil. What
// looked further before may stay: that they did not ask.
func (m Match) allows(d, was *description) *realtime.Problem {
	if m.Sees == nil || d == nil {
		return nil
	}
	var before []glance
	if was != nil {
		before = was.glances()
	}
	for _, l := range d.glances() {
		if slices.ContainsFunc(before, func(b glance) bool { return b.text == l.text }) {
			continue
		}
		for _, thing := range l.at {
			switch {
			case m.Sees(thing):
			case thing == everything:
				return realtime.Wrong("rule_asks", "an expression can ask for everything that is kept, and you see some things only").Of(realtime.CodeForbidden).In(l.place)
			default:
				return realtime.Wrong("rule_outside", "{pattern} reaches outside of the things that you see", "pattern", thing).Of(realtime.CodeForbidden).In(l.place)
			}
		}
	}
	return nil
}
