package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
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
	want   bool            // its cause is there
	since  int64           // when want changed, ms
	active bool            // what the log has
	queued bool            // among pending
	tried  int64           // when a step was written, ms
	came   json.RawMessage // the value with which its cause came
	passed *passed         // a cause that came and went before it was raised

	raises [chatterRaises]int64 // the newest, ms, as a ring
	raised int
	slope  *slope  // of a rate
	last   float64 // what counted last, with a deadband
	seen   bool    // and whether anything did
	series *series // of an expression
	at     int64   // of a forecast: when the limit is reached, ms; 0 for not in sight
	heard  uint64  // the bundle at which this node heard of the rule
	agrees *alarm  // says what the rule says
}

// A passed cause was there for long enough and is gone again, within one turn or
// one message of a device that sends what it kept. It is raised all the same.
type passed struct {
	due   int64 // when it was to be raised, ms
	value json.RawMessage
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

// A slope knows how fast a value changes.
type slope struct{ samples }

// add takes a sample and says how much the value changed a second since the
// window began; false while it has seen less than half of it. It begins with the
// last sample before it, so that a value which comes less often is known, too.
func (s *slope) add(ts int64, v float64, over int64) (perSecond float64, ok bool) {
	if s.n > 0 && ts < s.ts[s.first] {
		s.n = 0 // the clock was set back
	}
	window := over
	for i := range s.n { // the oldest first
		age := ts - s.ts[s.at(i)]
		if age < over {
			break
		}
		window = age
	}
	s.keep(ts, v, window)
	span := ts - s.ts[s.first]
	if span <= 0 || span < over/2 {
		return 0, false
	}
	return (v - s.v[s.first]) / float64(span) * 1000, true
}

// watchAlarms makes the points of a thing by its description and the rules by
// the API. What the old ones, of earlier ones, had stays as it is, as far as the
// new ones have it too.
func (t *Twins) watchAlarms(th *thing, old map[string]*point) {
	described := map[string][]*alarmRule{} // by property; "" is the thing itself
	if th.td != nil {
		for _, r := range th.td.alarms {
			name := r.name
			if r.rule == ruleEvent || r.rule == ruleOffline {
				name = ""
			}
			described[name] = append(described[name], r)
		}
	}
	for _, r := range described[""] {
		th.points = append(th.points, t.watch(th, r, old[r.id]))
	}
	for name, p := range th.props {
		for _, r := range t.alarms.rules.about(th.id, name, described[name], p.spec) {
			p.points = append(p.points, t.watch(th, r, old[r.id]))
		}
		t.expects(p)
	}
	t.lookAll(th)
}

// watch makes the point of one rule. Was is that of an earlier one, or nil.
func (t *Twins) watch(th *thing, r *alarmRule, was *point) *point {
	p := &point{alarmRule: r, th: th, heard: t.seq}
	if was != nil && was.alarmRule == r {
		p.heard = was.heard
	}
	if r.rule == ruleRate {
		p.slope = &slope{}
	}
	if al := t.alarms.byID[r.id]; al != nil && r.rule != ruleEvent {
		p.active, p.since = al.Active(), al.TS.UnixMilli()
	}
	p.want = p.active
	if was != nil && was.rule == r.rule {
		p.want, p.since, p.raises, p.raised = was.want, was.since, was.raises, was.raised
		if was.over == r.over {
			p.slope = was.slope
		}
		if was.deadband == r.deadband {
			p.last, p.seen = was.last, was.seen
		}
	}
	t.alarms.points[r.id] = p
	if r.toward != "" && len(t.alarms.forecasts) < maxAlarms {
		t.alarms.forecasts[r.id] = p
	}
	delete(t.alarms.gone, r.id)
	t.alarms.queue(p)
	return p
}

// watchProperty makes the points of a property that came just now, undescribed.
func (t *Twins) watchProperty(th *thing, p *property) {
	for _, r := range t.alarms.rules.about(th.id, p.name, nil, nil) {
		p.points = append(p.points, t.watch(th, r, nil))
	}
	t.expects(p)
}

// unwatchAlarms takes the points of a thing away and returns them by their id.
func (t *Twins) unwatchAlarms(th *thing) map[string]*point {
	old := map[string]*point{}
	drop := func(points []*point) {
		for _, p := range points {
			old[p.id] = p
			delete(t.alarms.points, p.id)
			delete(t.alarms.forecasts, p.id)
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
	if p.trend != nil && ok {
		p.trend.add(ms, f)
	}
	for _, pt := range p.points {
		f := f
		if pt.deadband > 0 && ok {
			f = pt.counted(f)
		}
		switch {
		case pt.rule == ruleStale:
			t.alarms.cause(pt, p.stale, ms)
		case !ok, pt.toward != "":
		case pt.rule == ruleRate:
			if perSecond, ok := pt.slope.add(ms, f, pt.over); ok {
				t.read(pt, p, math.Abs(perSecond) > pt.limit, ms)
			}
		default:
			t.read(pt, p, pt.beyond(f, pt.want), ms)
		}
	}
}

// read notes whether the cause of a rule is there by a reading. One that went
// before anybody raised it, though it was there for long enough, has passed; not
// when the reading is old, as after a start, where the log has what came of it.
func (t *Twins) read(pt *point, p *property, there bool, ms int64) {
	switch {
	case there == pt.want:
		return
	case there:
		pt.came = nil
		if len(p.value) <= maxQuoted {
			pt.came = slices.Clone(p.value)
		}
	case !pt.active && pt.passed == nil && pt.came != nil && ms >= pt.since+pt.on && p.at > t.cfg.Now().UnixMilli()-clockSkew:
		pt.passed = &passed{due: pt.since + pt.on, value: pt.came}
	}
	t.alarms.cause(pt, there, ms)
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

// counted is the value that a rule looks at: with a deadband a value that is
// nearer than that to the one that counted last is taken for that one. The first
// one counts.
func (p *point) counted(f float64) float64 {
	if !p.seen || math.Abs(f-p.last) >= p.deadband {
		p.last, p.seen = f, true
	}
	return p.last
}

// cause notes whether what a rule looks for is there. A rule that was written
// just now begins to count then, however old the value is.
func (as *alarms) cause(p *point, there bool, ms int64) {
	if there != p.want {
		p.want, p.since = there, max(ms, p.from)
		as.queue(p)
	}
}

func (as *alarms) queue(p *point) {
	if (p.want != p.active || p.passed != nil) && !p.queued && p.rule != ruleEvent {
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
		t.foresee(now)
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
	if p.series != nil {
		return p.series.quote
	}
	prop := p.th.props[p.name]
	if prop == nil || p.rule == ruleOffline || len(prop.value) > maxQuoted {
		return nil
	}
	return prop.lasting().value
}

// raise is the step that raises an alarm.
func (p *point) raise(value json.RawMessage, suppressed bool) alarmStep {
	s := alarmStep{Rule: p.rule, Source: p.source, Priority: p.priority, Value: slices.Clone(value), Unit: p.unit, Suppressed: suppressed}
	if p.rule == ruleEvent {
		s.Event = p.name
	} else {
		s.Property = p.name
	}
	if p.limited() || p.rule == ruleRate || p.toward != "" {
		s.Limit = &p.limit
	}
	if p.toward != "" {
		s.Predicted = p.at
	}
	s.Message, s.Ours = p.message(string(value)), p.text == ""
	return s
}

// filled is the message of a rule by the API with what stands for the words in
// brackets.
func (p *point) filled(value string) string {
	return strings.NewReplacer("{value}", unquoted(value), "{limit}", numbered(p.limit), "{unit}", realtime.UnitAsWritten(p.unit), "{property}", p.name, "{thing}", p.th.id, "{title}", p.title).Replace(p.text)
}

// message says for people what an alarm is about.
func (p *point) message(value string) string {
	if p.text != "" {
		return p.filled(value)
	}
	unit := realtime.UnitAsWritten(p.unit)
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
	case rulePredicted:
		return fmt.Sprintf("%s reaches %s%s in about %d min", p.title, limit, unit, max((p.at-p.since+30_000)/60_000, 1))
	case rulePromQL:
		return fmt.Sprintf("%s (%s)", p.title, unquoted(value))
	}
	return p.title
}

// unquoted is a value as people read it: a text without its quotes.
func unquoted(value string) string { return strings.Trim(value, `"`) }

func alarmRecord(thing, id, step string, s *alarmStep, ts time.Time) (realtime.Record, bool) {
	data, err := realtime.Marshal(s)
	return realtime.Record{Kind: realtime.Alarm, Thing: thing, TS: ts, At: ts, Name: step, Cmd: id, Data: data}, err == nil
}
