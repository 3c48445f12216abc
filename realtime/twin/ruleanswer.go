package twin

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"echotwin/realtime"
)

// A Rule is one rule as it is answered.
type Rule struct {
	ID      string
	Tag     string   // entity tag of the document
	Pattern string   // of its things; "" is all, which only an expression can be about
	Asks    bool     // it is an expression over everything that is kept
	Others  []string // things besides, which decide whether its alarms are suppressed
	doc     map[string]any
	by      string
	changed int64
	status  RuleStatus
}

// MarshalJSON writes the document with who wrote it, when, and how it stands.
func (r Rule) MarshalJSON() ([]byte, error) {
	doc := maps.Clone(r.doc)
	doc["changed"], doc["status"] = stamp(r.changed), r.status
	if r.by != "" {
		doc["by"] = r.by
	}
	return realtime.Marshal(doc)
}

// A RuleStatus is how a rule stands on this node.
type RuleStatus struct {
	Watches int `json:"watches"` // properties it looks at, or series that its expression gave
	Active  int `json:"active"`  // of them with an alarm whose cause is there

	// Of an expression.
	Pending   int       `json:"pending,omitempty"`  // series that are there, but not for long enough
	Evaluated time.Time `json:"evaluated,omitzero"` // the last time, with success or not
	Took      float64   `json:"took,omitempty"`     // seconds, of that
	Error     string    `json:"error,omitempty"`    // why nobody knows; alarms stay as they were
	Failing   time.Time `json:"failing,omitzero"`   // since when
}

// roomForRules says whether there can be so many.
func roomForRules(all map[string]storedRule, size int, added *rule) error {
	if added == nil {
		return nil
	}
	asks := 0
	for _, s := range all {
		var doc struct {
			PromQL *string `json:"promql"`
		}
		if json.Unmarshal(s.Rule, &doc) == nil && doc.PromQL != nil {
			asks++
		}
	}
	switch {
	case len(all) > maxRules:
		return realtime.Wrong("rules_many", "there are {max} alarm rules already", "max", maxRules).Of(realtime.CodeTooMany)
	case size > maxAllRules:
		return realtime.Wrong("rules_size", "all alarm rules together have at most {max} bytes", "max", maxAllRules).Of(realtime.CodeTooMany)
	case asks > maxExprRules && added.expr != nil:
		return realtime.Wrong("rules_promql", "there are {max} rules with promql already", "max", maxExprRules).Of(realtime.CodeTooMany)
	}
	return nil
}

// check says whether the rule that is there may be changed, and is the one that
// was read. Nil is no rule.
func (c *RuleChange) check(old *rule) error {
	if old != nil {
		if err := c.may(old); err != nil {
			return err
		}
	}
	switch m := c.Match; {
	case m.None && old != nil:
		return realtime.Wrong("rule_there", "there is a rule with that id already").Of(realtime.CodeChanged)
	case m.Tags == nil:
		return nil
	case old == nil:
		return realtime.Wrong("rule_gone", "there is no rule to be replaced").Of(realtime.CodeChanged)
	case slices.Contains(m.Tags, "*"), slices.Contains(m.Tags, old.tag):
		return nil
	}
	return realtime.Wrong("rule_changed", "the rule was changed since it was read; read it again").Of(realtime.CodeChanged)
}

func (c *RuleChange) may(r *rule) error {
	if c.May == nil {
		return nil
	}
	return c.May(r.answer(nil))
}
