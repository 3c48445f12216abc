package twin

import (
	"crypto/sha256"
	"math"
	"strings"

	"echotwin/realtime"
)

// The rules by which an alarm is raised.
const (
	ruleHighHigh = "highHigh"
	ruleHigh     = "high"
	ruleLow      = "low"
	ruleLowLow   = "lowLow"
	ruleRate     = "rate"
	ruleStale    = "stale"
	ruleOffline  = "offline"
	ruleEvent    = "event"
	rulePromQL   = "promql"

	rulePredicted = "predicted"
)

// An alarmRule is one thing of which a description, or a rule by the API, wants
// people to be told. It does not change. A property has ten at most.
type alarmRule struct {
	id         string
	rule       string
	name       string // of the property or the event; "" for the thing itself
	title      string
	unit       string
	priority   int
	limit      float64 // of a rate, a second
	hysteresis float64
	deadband   float64
	on, off    int64 // delays, ms
	over       int64 // the window of a rate, ms
	suppress   *Condition

	toward string // of a forecast: the rule whose limit it is
	within int64  // and how soon it has to be reached, ms

	source string // the rule by the API that says so; "" is the description
	from   int64  // since when it does, ms; 0 is since ever
	text   string // its message; "" is ours
}

// kind tells the alarms of one property, or of one thing, apart.
func (r *alarmRule) kind() string {
	if r.toward != "" {
		return r.rule + ":" + r.toward
	}
	return r.rule
}

// limitKinds are the limits of a property in their order, with the priority of
// one that names none.
var limitKinds = []struct {
	rule     string
	priority float64
}{{ruleLowLow, 1}, {ruleLow, 2}, {ruleHigh, 2}, {ruleHighHigh, 1}}

// settleDelay is how long a silence lasts before it is an alarm, so that a
// restart, or a device that connects anew, raises none.
const settleDelay = 5000 // ms

// alarmID is the same on every node and after every restart, and goes into a
// path of the API as it is.
func alarmID(thing, rule, name string) string {
	sum := sha256.Sum256([]byte(thing + "\x00" + rule + "\x00" + name))
	return strings.ToLower(crockford.EncodeToString(sum[:10]))
}

// limited says whether the rule is a limit of a value.
func (r *alarmRule) limited() bool {
	switch r.rule {
	case ruleHighHigh, ruleHigh, ruleLow, ruleLowLow:
		return true
	}
	return false
}

// beyond says whether a value is beyond the limit, given that it was or was not.
func (r *alarmRule) beyond(f float64, was bool) bool {
	back := 0.0
	if was {
		back = r.hysteresis
	}
	if r.rule == ruleHigh || r.rule == ruleHighHigh {
		return f > r.limit-back
	}
	return f < r.limit+back
}

// readAlarms reads echotwin:alarms of the thing and of its properties.
func (d *description) readAlarms(doc map[string]any) *realtime.Problem {
	problem := members(doc, "properties", func(name, place string, m map[string]any) *realtime.Problem {
		if all, ok := m["echotwin:alarms"].(map[string]any); ok {
			return d.readLimits(name, place+"/echotwin:alarms", all)
		}
		return nil
	})
	all, ok := doc["echotwin:alarms"].(map[string]any)
	if problem != nil || !ok {
		return problem
	}
	const place = "/echotwin:alarms"
	suppress, err := suppressedBy(all)
	if err != nil {
		return at(place+"/suppress", err)
	}
	add := func(rule, name, title string, priority float64) {
		d.alarms = append(d.alarms, &alarmRule{
			id: alarmID(d.id, rule, name), rule: rule, name: name, title: title, priority: int(priority), suppress: suppress,
		})
	}
	priority := float(all["priority"], 2)
	if all["offline"] == true {
		add(ruleOffline, "", d.title, priority)
		d.alarms[len(d.alarms)-1].on = settleDelay
	}
	events, _ := all["events"].(map[string]any)
	known, _ := doc["events"].(map[string]any)
	return members(map[string]any{"events": events}, "events", func(name, _ string, m map[string]any) *realtime.Problem {
		event, ok := known[name].(map[string]any)
		if !ok {
			return at(place+"/events/"+escape(name), realtime.Wrong("no_event", "the thing has no event {name}", "name", clip(name)))
		}
		title, _ := event["title"].(string)
		if title == "" {
			title = name
		}
		add(ruleEvent, name, title, float(m["priority"], priority))
		return nil
	})
}

// readLimits reads echotwin:alarms of one property.
func (d *description) readLimits(name, place string, m map[string]any) *realtime.Problem {
	list, problem := readLimits(name, place, m)
	if problem != nil {
		return problem
	}
	s := d.props[name]
	for _, r := range list {
		if (r.limited() || r.rule == ruleRate) && r.toward == "" && s.kind != kindNumber && s.kind != kindInteger {
			return at(place+"/"+r.rule, realtime.Wrong("limit_kind", "a limit is for a number or an integer, and {name} is {kind}", "name", clip(name), "kind", s.kind))
		}
		d.alarms = append(d.alarms, r.of(d.id, s))
	}
	return nil
}

// readLimits reads what is to be told of one property, for any thing.
func readLimits(name, place string, m map[string]any) (list []*alarmRule, problem *realtime.Problem) {
	suppress, err := suppressedBy(m)
	if err != nil {
		return nil, at(place+"/suppress", err)
	}
	base := alarmRule{
		name: name, title: name, hysteresis: float(m["hysteresis"], 0), deadband: float(m["deadband"], 0), suppress: suppress,
		on: int64(1000 * float(m["onDelay"], 0)), off: int64(1000 * float(m["offDelay"], 0)),
	}
	add := func(rule string, limit float64, otherwise float64) *alarmRule {
		r := base
		r.rule, r.limit, r.priority = rule, limit, int(float(m["priority"], otherwise))
		list = append(list, &r)
		return &r
	}
	below, under := math.Inf(-1), ""
	for _, l := range limitKinds {
		if m[l.rule] == nil {
			continue
		}
		limit := float(m[l.rule], 0)
		if limit <= below {
			return nil, at(place+"/"+l.rule, realtime.Wrong("limit_order", "{name} {limit} is not above {other} {below}; the order is lowLow, low, high, highHigh", "name", l.rule, "limit", limit, "other", under, "below", below))
		}
		below, under = limit, l.rule
		add(l.rule, limit, l.priority)
		if within := float(m["predict"], 0); within > 0 {
			r := add(rulePredicted, limit, 0)
			r.toward, r.within, r.priority, r.hysteresis = l.rule, int64(1000*within), predictedPriority, 0
			r.on, r.off = predictedOn, predictedOff
		}
	}
	if m["predict"] != nil && under == "" {
		return nil, at(place+"/predict", realtime.Wrong("predict_nothing", "there is no limit that could be predicted"))
	}
	if rate, ok := m["rate"].(map[string]any); ok {
		add(ruleRate, float(rate["max"], 0), 2).over = int64(1000 * float(rate["over"], 1))
	}
	if m["stale"] == true {
		r := add(ruleStale, 0, 3)
		r.on = max(r.on, settleDelay)
	}
	if below := float(m["low"], float(m["lowLow"], math.Inf(-1))); base.hysteresis > 0 {
		if above := float(m["high"], float(m["highHigh"], math.Inf(1))); above-below <= base.hysteresis {
			return nil, at(place+"/hysteresis", realtime.Wrong("hysteresis_wide", "the hysteresis reaches from one limit to the other, so an alarm could never clear"))
		}
	}
	return list, nil
}

func suppressedBy(m map[string]any) (*Condition, error) {
	text, ok := m["suppress"].(string)
	if !ok {
		return nil, nil
	}
	return ParseCondition(text)
}
