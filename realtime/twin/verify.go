package twin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"echotwin/realtime"
)

// defaultWithin is how long a property may take to show an effect, in seconds,
// when the description does not say.
const defaultWithin = 10

// verifyGrace is what a reading may take on its way through the log, so that one
// that arrived in time is not overtaken by the word that none did.
const verifyGrace = time.Second

// A feedback says how the effect of an action is seen.
type feedback struct {
	property  string
	from      string          // the member of the input that says what is wanted; "" is the whole input
	value     json.RawMessage // wanted whatever the input is; nil: see from
	tolerance float64
	within    float64 // s
}

// readFeedback reads "echotwin:feedback": the bare name of a property is shown
// beside the action and not verified, since nobody said how close is close.
func (d *description) readFeedback(m map[string]any, place string) (*feedback, *realtime.Problem) {
	place += "/echotwin:feedback"
	var f *feedback
	name, _ := m["echotwin:feedback"].(string)
	if o, ok := m["echotwin:feedback"].(map[string]any); ok {
		name, _ = o["property"].(string)
		f = &feedback{property: name, tolerance: float(o["tolerance"], 0), within: float(o["within"], defaultWithin)}
		f.from, _ = o["from"].(string)
		if v, ok := o["value"]; ok {
			b, err := json.Marshal(v)
			if err != nil {
				return nil, at(place+"/value", err)
			}
			f.value = b
		} else if problem := f.findSource(m, place); problem != nil {
			return nil, problem
		}
	}
	if name != "" && d.props[name] == nil {
		return nil, at(place, realtime.Wrong("no_property_named", `there is no property "{name}"`, "name", clip(name)))
	}
	return f, nil
}

// findSource finds where in the input it stands what is wanted.
func (f *feedback) findSource(action map[string]any, place string) *realtime.Problem {
	in, _ := action["input"].(map[string]any)
	props, _ := in["properties"].(map[string]any)
	switch {
	case in == nil:
		return at(place, realtime.Wrong("feedback_value", "the action takes no input, so say with value what the property has to be"))
	case f.from != "" && props[f.from] == nil:
		return at(place+"/from", realtime.Wrong("feedback_from", `the input has no member "{name}"`, "name", clip(f.from)))
	case f.from == "" && len(props) == 1:
		for name := range props {
			f.from = name
		}
	case f.from == "" && len(props) > 1:
		return at(place, realtime.Wrong("feedback_which", "the input has several members, so say with from which one the property follows"))
	}
	return nil
}

// of is what a command with this input has to reach, or nil when that is not to
// be seen.
func (f *feedback) of(input json.RawMessage) *realtime.Feedback {
	if f == nil {
		return nil
	}
	want := f.value
	if want == nil && f.from == "" {
		want = input
	} else if want == nil {
		var members map[string]json.RawMessage
		if json.Unmarshal(input, &members) != nil {
			return nil
		}
		want = members[f.from]
	}
	if want == nil {
		return nil
	}
	return &realtime.Feedback{Property: f.property, Want: want, Tolerance: f.tolerance, Within: f.within}
}

// reached says whether a reported value is what was wanted.
func reached(f *realtime.Feedback, v json.RawMessage) bool {
	if numeric(f.Want) && numeric(v) {
		want, ok1 := number(f.Want)
		is, ok2 := number(v)
		const rounding = 1e-9 // of the decimals that people write
		return ok1 && ok2 && math.Abs(is-want) <= f.Tolerance+rounding*math.Max(1, math.Abs(want))
	}
	if bytes.Equal(f.Want, v) {
		return true
	}
	want, err := decode(f.Want)
	is, err2 := decode(v)
	return err == nil && err2 == nil && alike(want, is)
}

// alike says whether two decoded values mean the same: every device writes JSON in
// its own way, with other escapes (Python writes "\u0111" for "đ"), another order
// of members and 1.0 for 1.
func alike(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, ok1 := number([]byte(a))
		y, ok2 := number([]byte(b))
		return ok1 && ok2 && x == y
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, alike)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, alike)
	}
	return a == b // texts, truth values and null
}

// verify looks whether a value that came into the state is what commands of the
// thing wait for. It has to be measured after the command was accepted, by its
// device's clock and by ours, and to have arrived in time: that the value was
// there before proves nothing, and a device may send again what it once kept.
func (a *applying) verify(thing string, v *realtime.Value, ts, at int64) {
	for _, id := range a.commands.verifying[thing] {
		c := a.commands.byID[id]
		if c.Feedback.Property == v.Name && min(ts, at) >= c.began() && at <= c.VerifyBy && reached(c.Feedback, v.JSON) {
			a.verified(c, v.JSON, at)
		}
	}
}

// alreadyThere verifies a command whose effect was reported before its result.
func (a *applying) alreadyThere(c *command) {
	if !c.Verifying() {
		return
	}
	th := a.things[c.Thing]
	if th == nil || th.props[c.Feedback.Property] == nil {
		return
	}
	p := th.props[c.Feedback.Property].lasting()
	if p.value != nil && min(p.ts, p.at) >= c.began() && reached(c.Feedback, p.value) {
		a.verified(c, p.value, c.TS.UnixMilli())
	}
}

func (a *applying) verified(c *command, value json.RawMessage, at int64) {
	n := c.next(realtime.Verified, stamp(at), realtime.Ground{
		Evidence: fmt.Sprintf("%s %s was reported", c.Feedback.Property, value), EvidenceCode: realtime.BecauseReported, EvidenceArgs: reportArgs(c.Feedback, value),
	})
	yes := true
	n.Reached, n.Reported = &yes, value
	a.commands.set(n)
	a.tellCommand(n)
	a.moved = true
}

// decided is how it stands when the time to show an effect is over. A device
// that only reports changes has nothing to say when the value was right before
// and still is; so a value that is there, and can be trusted, counts. The caller
// holds mu.
func (t *Twins) decided(c *command, now time.Time) command {
	n := *c
	n.TS = stamp(now.UnixMilli())
	yes := false
	n.Reached = &yes
	f := c.Feedback
	var p *property
	if th := t.things[c.Thing]; th != nil {
		p = th.props[f.Property]
	}
	if p == nil || p.value == nil {
		n.Ground = realtime.Ground{Evidence: fmt.Sprintf("%s was never reported", f.Property), EvidenceCode: realtime.BecauseNever, EvidenceArgs: realtime.Said("property", f.Property)}
		return n
	}
	if len(p.value) <= maxQuoted {
		n.Reported = p.value
	}
	yes = p.quality() == Good && reached(f, p.value)
	n.Ground = realtime.Ground{
		Evidence: fmt.Sprintf("%s %s was the last report within %v s", f.Property, p.value, f.Within), EvidenceCode: realtime.BecauseLast, EvidenceArgs: reportArgs(f, p.value),
	}
	n.EvidenceArgs["within"] = realtime.Said("within", f.Within)["within"]
	return n
}

// reportArgs are what is said of a reported value; a long one is left out.
func reportArgs(f *realtime.Feedback, value json.RawMessage) realtime.Args {
	if len(value) > maxEvidence {
		return realtime.Said("property", f.Property)
	}
	return realtime.Said("property", f.Property, "value", value)
}
