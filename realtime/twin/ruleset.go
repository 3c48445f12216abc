package twin

import (
	"context"

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
		s.Watches++
		if p.active {
			s.Active++
		}
		out[p.source] = s
	}
	t.askedStatus(out)
	return out
}

// clearGone writes at once that the alarms of points that were taken away are
// over. What could not be stored is tried again.
func (t *Twins) clearGone(ctx context.Context) {
	if t.cfg.Log == nil {
		return
	}
	t.mu.Lock()
	var steps []realtime.Record
	now := t.cfg.Now().UnixMilli()
	for id, why := range t.alarms.gone {
		al := t.alarms.byID[id]
		if al == nil || !al.Active() || len(steps) == stepsAtOnce {
			continue
		}
		if r, ok := alarmRecord(al.Thing, id, realtime.AlarmCleared, &alarmStep{After: al.Last, Text: why, Rules: t.alarms.version()}, stamp(now)); ok {
			steps = append(steps, r)
		}
	}
	t.mu.Unlock()
	if len(steps) > 0 {
		_ = t.store(ctx, steps...)
	}
}
