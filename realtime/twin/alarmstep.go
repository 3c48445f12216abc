package twin

import (
	"strconv"

	"echotwin/realtime"
)

// pendingSteps are the raises and clears whose delay is over.
func (t *Twins) pendingSteps(now int64) (steps []realtime.Record) {
	keep := t.alarms.pending[:0]
	for _, p := range t.alarms.pending {
		if p.want == p.active && p.passed == nil || t.alarms.points[p.id] != p {
			p.queued = false
			continue
		}
		keep = append(keep, p)
		due, raises := p.since+p.delay(now), p.want
		if p.passed != nil {
			due, raises = p.passed.due, true
		}
		if now < due && p.since <= now+clockSkew || p.tried > 0 && now-p.tried < alarmAgain && now >= p.tried || len(steps) == stepsAtOnce {
			continue
		}
		old := t.alarms.byID[p.id]
		if t.behind(old, now) || p.series != nil && old != nil && p.series.seq < old.Last {
			continue
		}
		p.tried = now
		ts := stamp(min(due, now))
		step, s := realtime.AlarmCleared, alarmStep{Rules: t.alarms.version()}
		if raises {
			if (old == nil || !old.Stands()) && t.alarms.standing >= maxAlarms {
				p.passed = nil // only what is there still waits for room
				continue
			}
			value := t.quoted(p)
			if p.passed != nil {
				value = p.passed.value
			}
			step, s = realtime.AlarmRaised, p.raise(value, t.suppressed(p))
			s.Rules = t.alarms.version()
		}
		if old != nil {
			s.After = old.Last
		}
		if old != nil && !raises {
			p.clearedBy(old, &s)
		}
		if r, ok := alarmRecord(p.th.id, p.id, step, &s, ts); ok {
			steps = append(steps, r)
		}
	}
	clear(t.alarms.pending[len(keep):])
	t.alarms.pending = keep
	return steps
}

// timedSteps adds the steps that time and conditions bring: the end of a shelf,
// what is suppressed, and alarms whose rule has changed or is gone.
func (t *Twins) timedSteps(steps []realtime.Record, now int64) []realtime.Record {
	add := func(al *alarm, step string, s alarmStep, ts int64) {
		s.Rules = t.alarms.version()
		if r, ok := alarmRecord(al.Thing, al.ID, step, &s, stamp(ts)); ok && len(steps) < 2*stepsAtOnce {
			steps = append(steps, r)
		}
	}
	for _, al := range t.alarms.byID {
		if al.Shelved != nil && al.Shelved.Until.UnixMilli() <= now {
			add(al, realtime.AlarmUnshelved, alarmStep{After: al.Seq}, al.Shelved.Until.UnixMilli())
			continue
		}
		if !al.Stands() || t.behind(al, now) {
			continue
		}
		p := t.alarms.points[al.ID]
		if p == nil {
			if why := t.goneFor(al); al.Active() && why != "" {
				add(al, realtime.AlarmCleared, alarmStep{After: al.Last, Text: cleared[why], Code: why}, now)
			}
			continue
		}
		if s, changed := p.changed(al, t.alarms.settled); changed && al.Active() {
			s.After = al.Seq
			add(al, realtime.AlarmChanged, s, now)
			continue
		}
		if is := t.suppressed(p); is != al.Suppressed {
			step := realtime.AlarmUnsuppressed
			if is {
				step = realtime.AlarmSuppressed
			}
			add(al, step, alarmStep{After: al.Seq}, now)
		}
	}
	return steps
}

// clearedBy says in s why an alarm is over when its value is not beyond its limit
// only because that is another one now, and nothing when its cause went.
func (p *point) clearedBy(al *alarm, s *alarmStep) {
	if al.Limit == nil || *al.Limit == p.limit || !p.limited() {
		return
	}
	s.Text, s.Code, s.Limit = "its limit is "+strconv.FormatFloat(p.limit, 'g', -1, 64)+" now", realtime.ClearedLimit, &p.limit
}

// behind says whether another node, which knew newer rules, moved the alarm: then
// this one waits until it has heard of them. Not for ever, in case that the rules
// were put back to an older state.
func (t *Twins) behind(al *alarm, now int64) bool {
	return al != nil && al.Rules > t.alarms.version() && now-al.TS.UnixMilli() < clockSkew
}

// version is that of the rules which are known, 0 while none are.
func (as *alarms) version() uint64 {
	if as.rules == nil {
		return 0
	}
	return as.rules.version
}

// goneFor is the code of why an alarm that nothing looks at any more is to be cleared; ""
// while this node cannot know that.
func (t *Twins) goneFor(al *alarm) string {
	th := t.things[al.Thing]
	if why := t.alarms.gone[al.ID]; why != "" {
		return why
	}
	switch {
	case al.RuleID != "" && t.alarms.rules == nil:
		return ""
	case al.RuleID != "":
		r := t.alarms.rules.byID[al.RuleID]
		switch {
		case r == nil:
			return realtime.ClearedRule
		case !r.enabled:
			return realtime.ClearedOff
		case th == nil && r.expr == nil:
			return realtime.ClearedThing
		case r.expr == nil || al.Rule != rulePromQL:
			return realtime.ClearedElsewhere
		}
		return "" // whoever asks history will see
	case th == nil:
		return realtime.ClearedThing
	case t.alarms.rules.takesAway(al):
		return realtime.ClearedTaken
	case th.td != nil:
		return realtime.ClearedUndescribed
	}
	return "" // only who knows the description can say that the rule is gone
}

// cleared says for people why an alarm is over though its cause did not go.
var cleared = map[string]string{
	realtime.ClearedRule:        "its rule was removed",
	realtime.ClearedOff:         "its rule is switched off",
	realtime.ClearedElsewhere:   "its rule does not look at it any more",
	realtime.ClearedTaken:       "a rule takes it away",
	realtime.ClearedUndescribed: "its rule went from the description",
	realtime.ClearedDescription: "the description was removed",
	realtime.ClearedThing:       "the thing was removed",
}

// changed is the step after which an alarm says what its rule says now. Rules by
// the API have an order that all nodes know. Descriptions have none, so of those
// a node follows what it heard after the alarm was last stated: each node states
// a change once at most, and the last to hear says what all of them know by then.
// What changed while nobody ran is followed once the log was read (settled).
func (p *point) changed(al *alarm, settled uint64) (alarmStep, bool) {
	if p.agrees == al {
		return alarmStep{}, false
	}
	same := al.Priority == p.priority && (p.text == "" || al.Message == clipTo(p.filled(string(al.Value)), maxAlarmMsg))
	if p.limited() || p.rule == ruleRate || p.toward != "" {
		same = same && al.Limit != nil && *al.Limit == p.limit
	}
	follows := p.source != "" || al.Stated <= max(p.heard, settled)
	if p.toward != "" && p.at == 0 {
		return alarmStep{}, false // not in sight just now: it clears, or is said when it is
	}
	if al.RuleID == p.source && (same || !follows) || p.rule == ruleEvent {
		p.agrees = al
		return alarmStep{}, false
	}
	s := p.raise(al.Value, false)
	return alarmStep{Source: s.Source, Priority: s.Priority, Message: s.Message, Ours: s.Ours, Limit: s.Limit, Unit: s.Unit, Predicted: s.Predicted}, true
}
