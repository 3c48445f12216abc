package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"echotwin/realtime"
)

const (
	alarmsEvery = 100 * time.Millisecond
	alarmsScan  = 1000 // ms between looks at what only time changes
	alarmAgain  = 2000 // ms until a step is written once more that did not come

	// stepsAtOnce bounds what one turn writes, so that a flood neither fills a
	// bundle nor keeps readings out of the log. What more there is waits in memory,
	// where each rule is once.
	stepsAtOnce = 200

	// An alarm that was raised chatterRaises times in chatterWithin clears only
	// after chatterOff, so that it counts on instead of filling the list.
	chatterRaises = 5
	chatterWithin = 60_000 // ms
	chatterOff    = 10_000 // ms
)

// A point looks at one rule of a thing.
type point struct {
	*alarmRule
	th     *thing
	want   bool  // its cause is there
	since  int64 // when want changed, ms
	active bool  // what the log has
	queued bool  // among pending
	tried  int64 // when a step was written, ms

	raises [chatterRaises]int64 // the newest, ms, as a ring
	raised int
	slope  *slope // of a rate
}

func (p *point) noteRaise(ts int64) {
	p.raises[p.raised%chatterRaises] = ts
	p.raised++
}

// delay is how long the cause must be there, or be gone.
func (p *point) delay(now int64) int64 {
	if p.want {
		return p.on
	}
	if p.raised >= chatterRaises && now-p.raises[p.raised%chatterRaises] < chatterWithin {
		return max(p.off, chatterOff)
	}
	return p.off
}

// A slope knows how fast a value changes, from at most slopeSamples of a window.
type slope struct {
	ts    [slopeSamples]int64
	v     [slopeSamples]float64
	first int
	n     int
}

const slopeSamples = 32

// add takes a sample and says how much the value changed a second since the
// window began; false while it has seen less than half of it.
func (s *slope) add(ts int64, v float64, over int64) (perSecond float64, ok bool) {
	if s.n > 0 && ts < s.ts[s.first] {
		s.n = 0 // the clock was set back
	}
	for s.n > 0 && ts-s.ts[s.first] > over {
		s.first, s.n = (s.first+1)%slopeSamples, s.n-1
	}
	if last := (s.first + s.n - 1 + slopeSamples) % slopeSamples; s.n == 0 || s.n < slopeSamples && ts-s.ts[last] >= over/(slopeSamples-1) {
		at := (s.first + s.n) % slopeSamples
		s.ts[at], s.v[at], s.n = ts, v, s.n+1
	}
	span := ts - s.ts[s.first]
	if span <= 0 || span < over/2 {
		return 0, false
	}
	return (v - s.v[s.first]) / float64(span) * 1000, true
}

// watchAlarms makes the points of a thing by its description. What the old ones,
// of an earlier description, had stays as it is, as far as the new one has it too.
func (t *Twins) watchAlarms(th *thing, old map[string]*point) {
	for _, r := range th.td.alarms {
		p := &point{alarmRule: r, th: th}
		if r.rule == ruleRate {
			p.slope = &slope{}
		}
		if al := t.alarms.byID[r.id]; al != nil && r.rule != ruleEvent {
			p.active = al.Active()
		}
		p.want = p.active
		if was := old[r.id]; was != nil && was.rule == r.rule {
			p.want, p.since, p.raises, p.raised = was.want, was.since, was.raises, was.raised
		}
		t.alarms.points[r.id] = p
		if prop := th.props[r.name]; prop != nil && r.rule != ruleEvent && r.rule != ruleOffline {
			prop.points = append(prop.points, p)
		} else {
			th.points = append(th.points, p)
		}
		t.alarms.queue(p)
	}
	t.lookAll(th)
}

// unwatchAlarms takes the points of a thing away and returns them by their id.
func (t *Twins) unwatchAlarms(th *thing) map[string]*point {
	old := map[string]*point{}
	drop := func(points []*point) {
		for _, p := range points {
			old[p.id] = p
			delete(t.alarms.points, p.id)
		}
	}
	drop(th.points)
	th.points = nil
	for _, p := range th.props {
		drop(p.points)
		p.points = nil
	}
	return old
}

// lookAll looks at everything that is known of a thing.
func (t *Twins) lookAll(th *thing) {
	for _, p := range th.props {
		if p.points != nil && p.value != nil && p.logged == nil && !p.bad {
			t.look(p)
		}
	}
	t.lookStale(th)
	t.lookOffline(th, t.cfg.Now().UnixMilli())
}

// look looks at a value that is in the log. It allocates only when a rule's cause
// came or went.
func (t *Twins) look(p *property) {
	f, ok := 0.0, false
	if numeric(p.value) {
		f, ok = number(p.value)
	}
	ms := p.fresh()
	for _, pt := range p.points {
		switch {
		case pt.rule == ruleStale:
			t.alarms.cause(pt, p.stale, ms)
		case !ok:
		case pt.rule == ruleRate:
			if perSecond, ok := pt.slope.add(ms, f, pt.over); ok {
				t.alarms.cause(pt, math.Abs(perSecond) > pt.limit, ms)
			}
		default:
			t.alarms.cause(pt, pt.beyond(f, pt.want), ms)
		}
	}
}

func (t *Twins) lookStale(th *thing) {
	for _, p := range th.props {
		for _, pt := range p.points {
			if pt.rule == ruleStale {
				t.alarms.cause(pt, p.stale, max(p.deadline(), t.cfg.Now().UnixMilli()))
			}
		}
	}
}

func (t *Twins) lookOffline(th *thing, ms int64) {
	for _, pt := range th.points {
		if pt.rule == ruleOffline {
			t.alarms.cause(pt, th.online == "offline", ms)
		}
	}
}

// cause notes whether what a rule looks for is there.
func (as *alarms) cause(p *point, there bool, ms int64) {
	if there != p.want {
		p.want, p.since = there, ms
		as.queue(p)
	}
}

func (as *alarms) queue(p *point) {
	if p.want != p.active && !p.queued && p.rule != ruleEvent {
		p.queued = true
		as.pending = append(as.pending, p)
	}
}

// stepAlarms writes the steps whose time has come.
func (t *Twins) stepAlarms(ctx context.Context) {
	if t.cfg.Log == nil {
		return
	}
	t.mu.RLock()
	now := t.cfg.Now().UnixMilli()
	idle := len(t.alarms.pending) == 0 && now-t.alarms.scanned < alarmsScan && now >= t.alarms.scanned
	t.mu.RUnlock()
	if idle {
		return
	}
	t.mu.Lock()
	steps := t.pendingSteps(now)
	if now-t.alarms.scanned >= alarmsScan || now < t.alarms.scanned {
		t.alarms.scanned = now
		steps = t.timedSteps(steps, now)
	}
	t.mu.Unlock()
	if len(steps) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	_, _ = t.cfg.Log.Put(ctx, steps...) // what could not be stored is tried again
}

// pendingSteps are the raises and clears whose delay is over.
func (t *Twins) pendingSteps(now int64) (steps []realtime.Record) {
	keep := t.alarms.pending[:0]
	for _, p := range t.alarms.pending {
		if p.want == p.active || t.alarms.points[p.id] != p {
			p.queued = false
			continue
		}
		keep = append(keep, p)
		due := p.since + p.delay(now)
		if now < due && p.since <= now+clockSkew || p.tried > 0 && now-p.tried < alarmAgain && now >= p.tried || len(steps) == stepsAtOnce {
			continue
		}
		p.tried = now
		ts := stamp(min(due, now))
		old := t.alarms.byID[p.id]
		step, s := realtime.AlarmCleared, alarmStep{}
		if p.want {
			if (old == nil || !old.Stands()) && t.alarms.standing >= maxAlarms {
				continue
			}
			step, s = realtime.AlarmRaised, p.raise(t.quoted(p), t.suppressed(p))
		}
		if old != nil {
			s.After = old.Last
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
// what is suppressed, and alarms whose rule is gone.
func (t *Twins) timedSteps(steps []realtime.Record, now int64) []realtime.Record {
	add := func(al *alarm, step string, after uint64, ts int64) {
		if r, ok := alarmRecord(al.Thing, al.ID, step, &alarmStep{After: after}, stamp(ts)); ok && len(steps) < 2*stepsAtOnce {
			steps = append(steps, r)
		}
	}
	for _, al := range t.alarms.byID {
		if al.Shelved != nil && al.Shelved.Until.UnixMilli() <= now {
			add(al, realtime.AlarmUnshelved, al.Seq, al.Shelved.Until.UnixMilli())
			continue
		}
		if !al.Stands() {
			continue
		}
		p := t.alarms.points[al.ID]
		if p == nil {
			// Only who knows the description can say that the rule is gone.
			if th := t.things[al.Thing]; al.Active() && (th == nil || th.td != nil) {
				add(al, realtime.AlarmCleared, al.Last, now)
			}
			continue
		}
		if is := t.suppressed(p); is != al.Suppressed {
			step := realtime.AlarmUnsuppressed
			if is {
				step = realtime.AlarmSuppressed
			}
			add(al, step, al.Seq, now)
		}
	}
	return steps
}

// suppressed says whether the condition of a rule holds. While nobody knows, it
// does not: an alarm too many is better than one too few.
func (t *Twins) suppressed(p *point) bool {
	if p.suppress == nil {
		return false
	}
	holds, known := t.holds(p.suppress, p.th.id, t.cfg.Now().UnixMilli())
	return holds && known
}

// quoted is the value that raises an alarm, or nil.
func (t *Twins) quoted(p *point) json.RawMessage {
	prop := p.th.props[p.name]
	if prop == nil || p.rule == ruleOffline || len(prop.value) > maxQuoted {
		return nil
	}
	return prop.lasting().value
}

// raise is the step that raises an alarm.
func (p *point) raise(value json.RawMessage, suppressed bool) alarmStep {
	s := alarmStep{Rule: p.rule, Priority: p.priority, Value: slices.Clone(value), Unit: p.unit, Suppressed: suppressed}
	if p.rule == ruleEvent {
		s.Event = p.name
	} else {
		s.Property = p.name
	}
	if p.limited() || p.rule == ruleRate {
		s.Limit = &p.limit
	}
	s.Message = p.message(string(value))
	return s
}

// message says for people what an alarm is about.
func (p *point) message(value string) string {
	unit := p.unit
	if unit != "" {
		unit = " " + unit
	}
	limit := strconv.FormatFloat(p.limit, 'g', -1, 64)
	switch p.rule {
	case ruleHighHigh, ruleHigh:
		return fmt.Sprintf("%s %s%s is above %s%s", p.title, value, unit, limit, unit)
	case ruleLow, ruleLowLow:
		return fmt.Sprintf("%s %s%s is below %s%s", p.title, value, unit, limit, unit)
	case ruleRate:
		return fmt.Sprintf("%s changes faster than %s%s a second", p.title, limit, unit)
	case ruleStale:
		return p.title + " is not reported any more"
	case ruleOffline:
		return p.title + " is offline"
	}
	return p.title
}

func alarmRecord(thing, id, step string, s *alarmStep, ts time.Time) (realtime.Record, bool) {
	data, err := json.Marshal(s)
	return realtime.Record{Kind: realtime.Alarm, Thing: thing, TS: ts, At: ts, Name: step, Cmd: id, Data: data}, err == nil
}
