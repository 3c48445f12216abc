package twin

import (
	"context"
	"slices"

	"echotwin/realtime"
)

// setRules makes these the rules by the API. Only things that a rule which
// changed is about are looked at anew.
func (t *Twins) setRules(next *ruleSet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.alarms.rules
	t.alarms.rules = next
	t.alarms.scanned = 0 // what the alarms of changed rules need is written in the next turn
	if was == nil {
		was = newRuleSet(0, nil)
	}
	var changed []*rule
	for id, r := range next.byID {
		if old := was.byID[id]; old != r {
			changed = append(changed, r)
			if old != nil {
				changed = append(changed, old)
			}
		}
	}
	for id, old := range was.byID {
		if next.byID[id] == nil {
			changed = append(changed, old)
		}
	}
	t.askAnew(changed)
	for _, th := range t.things {
		for _, r := range changed {
			if r.expr == nil && r.covers(th.id) && th.props[r.property] != nil {
				t.watchAlarms(th, t.unwatchAlarms(th))
				break
			}
		}
	}
}

// ruleStatus is how the rules by the API stand, by their ids.
func (t *Twins) ruleStatus() map[string]RuleStatus {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := map[string]RuleStatus{}
	for _, p := range t.alarms.points {
		if p.source == "" || p.series != nil {
			continue
		}
		s := out[p.source]
		if p.firstOfItsRule() {
			s.Watches++
		}
		if p.active {
			s.Active++
		}
		out[p.source] = s
	}
	t.askedStatus(out)
	return out
}

// firstOfItsRule says whether no other kind of the same rule looks at the property
// before this one, so that each property is counted once.
func (p *point) firstOfItsRule() bool {
	prop := p.th.props[p.name]
	if prop == nil {
		return false
	}
	i := slices.IndexFunc(prop.points, func(o *point) bool { return o.source == p.source })
	return i >= 0 && prop.points[i] == p
}

// clearGone writes at once that the alarms of points that were taken away are
// over, and says whether none is left. What could not be stored is tried again.
func (t *Twins) clearGone(ctx context.Context) bool {
	if t.cfg.Log == nil {
		return true // there is nowhere to write to
	}
	t.mu.Lock()
	var steps []realtime.Record
	now, all := t.cfg.Now().UnixMilli(), true
	for id, why := range t.alarms.gone {
		al := t.alarms.byID[id]
		if al == nil || !al.Active() {
			continue
		}
		if len(steps) == stepsAtOnce {
			all = false
			break
		}
		if r, ok := alarmRecord(al.Thing, id, realtime.AlarmCleared, &alarmStep{After: al.Last, Text: cleared[why], Code: why, Rules: t.alarms.version()}, stamp(now)); ok {
			steps = append(steps, r)
		}
	}
	t.mu.Unlock()
	if len(steps) > 0 && t.store(ctx, steps...) != nil {
		return false
	}
	return all
}
