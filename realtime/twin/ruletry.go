package twin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"echotwin/realtime"
)

// maxTried is how many of what a rule looks at are shown to who tries it.
const maxTried = 20

// A RuleTrial is what a rule would find now, if it were written.
type RuleTrial struct {
	Watches int         `json:"watches"` // properties it would look at, or samples that its expression gives
	Beyond  int         `json:"beyond"`  // of them with their cause there now, before any delay
	Error   string      `json:"error,omitempty"`
	Samples []RuleFound `json:"samples"` // the first ones, those with a cause before the others
}

// A RuleFound is one value that a rule would look at.
type RuleFound struct {
	Thing    string          `json:"thing"`
	Property string          `json:"property,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`
	Kinds    []string        `json:"kinds,omitempty"` // what it would be in alarm for, as far as one value tells: not of a rate

	// Elsewhere are the kinds that a closer rule says of it, so that this one would
	// not count.
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// Try says what a rule would find now and writes nothing. Of expressions it asks
// one at a time, for as long as an alarm would.
func (b *Rulebook) Try(ctx context.Context, doc []byte, c RuleChange) (RuleTrial, error) {
	var named struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(doc, &named) // whatever is wrong is said with its place when it is read
	r, problem := parseRule(cmp.Or(named.ID, "tried"), doc, b.cfg.Check)
	if problem != nil {
		return RuleTrial{}, problem
	}
	if err := c.may(r); err != nil {
		return RuleTrial{}, err
	}
	r.enabled = true // what it would do is asked before it is switched on, too
	if r.expr == nil {
		return b.cfg.Twins.tryLimits(r, b.now()), nil
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	select {
	case b.trying <- struct{}{}:
		defer func() { <-b.trying }()
	case <-ctx.Done():
		return RuleTrial{}, realtime.Wrong("trying", "others are trying expressions; try again").Of(realtime.CodeUnavailable)
	}
	return b.cfg.Twins.tryExpression(ctx, r), nil
}

// tryLimits looks at every property that a rule is about.
func (t *Twins) tryLimits(r *rule, set *ruleSet) RuleTrial {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := RuleTrial{Samples: []RuleFound{}}
	for _, th := range t.things {
		p := th.props[r.property]
		if p == nil || !r.covers(th.id) {
			continue
		}
		f := RuleFound{Thing: th.id, Property: p.name, Kinds: r.foundIn(p), Elsewhere: set.closer(r, th.id)}
		if len(p.value) <= maxQuoted {
			f.Value = p.lasting().value
		}
		f.Kinds = slices.DeleteFunc(f.Kinds, func(kind string) bool { return slices.Contains(f.Elsewhere, kind) })
		out.Watches++
		if len(f.Kinds) > 0 {
			out.Beyond++
		}
		out.Samples = append(out.Samples, f)
	}
	out.first()
	return out
}

// foundIn are the kinds whose cause a value is.
func (r *rule) foundIn(p *property) (kinds []string) {
	f, ok := 0.0, false
	if p.value != nil && !p.bad && numeric(p.value) {
		f, ok = number(p.value)
	}
	for kind, a := range r.kinds {
		switch {
		case a == nil:
		case a.limited() && ok && a.beyond(f, false), a.rule == ruleStale && p.stale:
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// closer are the kinds of a rule that another one names more closely for a thing.
func (s *ruleSet) closer(r *rule, thing string) (kinds []string) {
	for kind := range r.kinds {
		for _, o := range s.byProperty[r.property] {
			if _, names := o.kinds[kind]; names && o.id != r.id && o.covers(thing) && o.before(r) < 0 {
				kinds = append(kinds, kind)
				break
			}
		}
	}
	slices.Sort(kinds)
	return kinds
}

// tryExpression asks history once.
func (t *Twins) tryExpression(ctx context.Context, r *rule) RuleTrial {
	out := RuleTrial{Samples: []RuleFound{}}
	found, err := t.askSeries(ctx, r, t.cfg.Now())
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("history did not answer within %v", askWait)
		}
		out.Error = clipTo(err.Error(), maxAskText)
		return out
	}
	for _, s := range found {
		out.Samples = append(out.Samples, RuleFound{Thing: s.thing, Property: s.property, Value: quotedNumber(s.value), Kinds: []string{rulePromQL}})
	}
	out.Watches, out.Beyond = len(found), len(found)
	out.first()
	return out
}

// first puts those with a cause first and keeps as many as people read.
func (t *RuleTrial) first() {
	slices.SortFunc(t.Samples, func(a, b RuleFound) int {
		return cmp.Or(cmp.Compare(min(len(b.Kinds), 1), min(len(a.Kinds), 1)), strings.Compare(a.Thing, b.Thing), strings.Compare(a.Property, b.Property))
	})
	t.Samples = t.Samples[:min(len(t.Samples), maxTried)]
}
