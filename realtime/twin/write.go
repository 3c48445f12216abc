package twin

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// Writing a property is a command like any other: the same checks, the same way
// to the device, the same evidence in the log. What stands in the place of an
// action is a name that no action can have.
const writePrefix = "properties/"

// defaultWriteWithin is how long a written property may take to be reported, in
// seconds.
const defaultWriteWithin = 10

// A Desired is what somebody wrote to a property that has not reported it yet.
// It stays until the property reports it, somebody writes another one, or the
// device is known not to do it: the command was rejected, failed or cancelled.
// Without an answer it stays, since the device may still come to it.
type Desired struct {
	Value   json.RawMessage `json:"value"`
	Command string          `json:"cmd"`
	Status  string          `json:"status"` // of that command
	User    string          `json:"user,omitempty"`
	Via     string          `json:"via,omitempty"`
	TS      time.Time       `json:"ts"` // when it was accepted

	Tolerance float64 `json:"tolerance,omitempty"` // of a number, to both sides
}

// reportedBy says whether a reading is what is desired. One that was measured
// before proves nothing.
func (d *Desired) reportedBy(v json.RawMessage, ts, at int64) bool {
	return min(ts, at) >= d.TS.UnixMilli() && d.is(v)
}

func (d *Desired) is(v json.RawMessage) bool {
	return reached(&realtime.Feedback{Want: d.Value, Tolerance: d.Tolerance}, v)
}

// readWrites makes of every property that may be written the action of writing
// it. readOnly is false when it is not said, as in a Thing Description.
func (d *description) readWrites(doc map[string]any) *realtime.Problem {
	return members(doc, "properties", func(name, place string, m map[string]any) *realtime.Problem {
		if m["readOnly"] == true {
			return nil
		}
		sub, err := toSchema(m, place, false)
		if err != nil {
			return at(place, err)
		}
		s, err := compile(sub)
		if err != nil {
			return at(place, err)
		}
		d.writes[name] = &action{
			name: writePrefix + name, input: s, risk: realtime.RiskLow, group: writePrefix + name,
			feedback: &feedback{property: name, tolerance: max(float(m["echotwin:tolerance"], 0), 0), within: defaultWriteWithin},
		}
		return nil
	})
}

// checkAction checks the form of an action's name, or of a written property's.
func checkAction(name string) error {
	return realtime.CheckName(strings.TrimPrefix(name, writePrefix))
}

// writing finds what may be written to a thing. The caller holds mu.
func (th *thing) writing(name string) (*action, *realtime.Problem) {
	if a := th.td.writes[name]; a != nil {
		return a, nil
	}
	p := realtime.Wrong("no_property", "{thing} has no property {property}", "thing", th.id, "property", name).Of(realtime.CodeNotFound)
	switch {
	case th.td.props[name] != nil:
		p = realtime.Wrong("read_only", "{property} of {thing} can only be read", "thing", th.id, "property", name).Of(realtime.CodeForbidden)
	case th.props[name] != nil:
		p = realtime.Wrong("property_undescribed", "{property} of {thing} is not described, so nothing is known that could be written to it", "thing", th.id, "property", name).Of(realtime.CodeForbidden)
	}
	if known := slices.Sorted(maps.Keys(th.td.writes)); len(known) > 0 {
		p = p.Beside("written", strings.Join(known[:min(len(known), 12)], ", "), ", only {written} can be written")
	}
	return nil, p
}

// desire takes the step of a command that writes a property into what is
// desired of it.
func (a *applying) desire(c *command) {
	name, ok := strings.CutPrefix(c.Action, writePrefix)
	th := a.things[c.Thing]
	if !ok || th == nil {
		return
	}
	p := th.props[name]
	if p == nil {
		return
	}
	was := p.desired
	switch c.Status {
	case realtime.Accepted:
		d := &Desired{Value: c.Input, Command: c.ID, Status: c.Status, User: c.User, Via: c.Via, TS: stamp(c.began())}
		if c.Feedback != nil {
			d.Tolerance = c.Feedback.Tolerance
		}
		p.desired = d
		// A device that reports changes only has nothing to say when the value
		// is the wanted one already.
		if r := p.lasting(); r.value != nil && !p.stale && d.is(r.value) {
			p.desired = nil
		}
	case realtime.Rejected, realtime.Failed, realtime.Cancelled, realtime.Superseded, realtime.Verified:
		if was != nil && was.Command == c.ID {
			p.desired = nil
		}
	default:
		if was != nil && was.Command == c.ID {
			next := *was
			next.Status = c.Status
			p.desired = &next
		}
	}
	if !sameDesired(was, p.desired) {
		a.change(th)
		th.marked = true
	}
}

// met takes away what was desired when a reading is that.
func (a *applying) met(th *thing, p *property, ts, at int64) {
	if p.desired.reportedBy(p.value, ts, at) {
		p.desired = nil
		a.change(th)
		th.marked = true
	}
}

// sameDesired says whether viewers see no difference.
func sameDesired(a, b *Desired) bool {
	return a == b || a != nil && b != nil && a.Command == b.Command
}
