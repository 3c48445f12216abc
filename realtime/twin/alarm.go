package twin

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// Bounds of what is kept of alarms.
const (
	maxAlarms   = 10_000 // that stand; more are not raised, only counted
	maxOver     = 10_000 // that stand no more, the newest
	maxAlarmMsg = 300    // bytes of a message
	maxComment  = 500    // bytes of a comment or reason
)

// An alarm is how one stands by the log: what everybody sees, and what decides
// whether a next step counts. It is never changed, only replaced.
type alarm struct {
	realtime.AlarmState
	// Last is the bundle of its last raise or clear, Seq that of its last step of
	// any sort. A step that the server takes by itself says which it has seen; when
	// another came in between, it does not count.
	Last uint64 `json:"last"`
	Seq  uint64 `json:"seq"`
	// Stated is the bundle that said its limit, priority and message.
	Stated uint64 `json:"stated,omitempty"`
	// Rules is the version of the rules by the API that the newest step of the
	// server knew. Who knows an older one keeps still.
	Rules uint64 `json:"rules,omitempty"`
}

// An alarmStep is the data of an alarm's record.
type alarmStep struct {
	After uint64 `json:"after,omitempty"` // Last for a raise and a clear, Seq for the other steps of the server

	// Of a raise, so that who applies it needs no description.
	Property   string          `json:"property,omitempty"`
	Event      string          `json:"event,omitempty"`
	Rule       string          `json:"rule,omitempty"`
	Priority   int             `json:"priority,omitempty"`
	Message    string          `json:"message,omitempty"`
	Ours       bool            `json:"ours,omitempty"` // nobody else wrote the message
	Value      json.RawMessage `json:"value,omitempty"`
	Limit      *float64        `json:"limit,omitempty"`
	Unit       string          `json:"unit,omitempty"`
	Predicted  int64           `json:"predicted,omitempty"` // when the limit is expected, ms
	Suppressed bool            `json:"suppressed,omitempty"`

	Source string `json:"source,omitempty"` // the rule by the API
	Rules  uint64 `json:"rules,omitempty"`  // the version of the rules that was known

	User  string `json:"user,omitempty"` // who acknowledged, shelved or unshelved
	Text  string `json:"text,omitempty"` // the comment or reason, also of a clear
	Code  string `json:"code,omitempty"` // of the reason of a clear, with Limit
	Until int64  `json:"until,omitempty"`
}

// alarms are all that stand, and the newest that do not any more.
type alarms struct {
	byID     map[string]*alarm
	standing int

	rules     *ruleSet           // by the API; nil while they are not known
	asked     map[string]*asking // rules that ask history, by id
	gone      map[string]string  // why the points of these ids were taken away here, as a code
	forecasts map[string]*point  // of the rule predicted, by id
	points    map[string]*point  // what raises them, by the alarm's id
	pending   []*point           // whose state is not yet what the log has; each once
	scanned   int64              // when all were looked at, ms
	settled   uint64             // the bundle at which the log was read to its end; 0 before

	raises [floodRaises + 1]int64 // when the newest were raised, ms, as a ring
	raised int
}

// told is the alarm as everybody sees it.
func (al *alarm) told() realtime.AlarmState {
	a := al.AlarmState
	a.Seq = al.Seq
	return a
}

func newAlarms() alarms {
	return alarms{byID: map[string]*alarm{}, asked: map[string]*asking{}, forecasts: map[string]*point{}, gone: map[string]string{}, points: map[string]*point{}}
}

func (as *alarms) sorted() []*alarm {
	out := make([]*alarm, 0, len(as.byID))
	for _, al := range as.byID {
		out = append(out, al)
	}
	slices.SortFunc(out, func(a, b *alarm) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// set replaces an alarm by its next step.
func (as *alarms) set(al *alarm) {
	if old := as.byID[al.ID]; old != nil && old.Stands() {
		as.standing--
	}
	if al.Stands() {
		as.standing++
	}
	as.byID[al.ID] = al
	if !al.Active() {
		delete(as.gone, al.ID)
	}
	if p := as.points[al.ID]; p != nil && p.rule != ruleEvent {
		p.active, p.tried = al.Active(), 0
		if al.Step == realtime.AlarmRaised {
			p.passed = nil
		}
		if p.series != nil && p.want && al.Step == realtime.AlarmCleared {
			p.series.here = 0 // somebody saw that it was not there
			p.want = false
		}
		as.queue(p)
	}
	as.forget()
}

// forget drops the oldest of those that are over, when they are too many: a
// tenth at once, since it looks at all.
func (as *alarms) forget() {
	if len(as.byID)-as.standing <= maxOver {
		return
	}
	var over []*alarm
	for _, al := range as.byID {
		if !al.Stands() {
			over = append(over, al)
		}
	}
	slices.SortFunc(over, func(a, b *alarm) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), strings.Compare(a.ID, b.ID)) })
	for _, al := range over[:maxOver/10] {
		delete(as.byID, al.ID)
	}
}

func (as *alarms) restore(al *alarm) {
	if as.byID[al.ID] != nil {
		return
	}
	as.set(al)
	// What the newest value alone does not tell stays as it was until more is known.
	if p := as.points[al.ID]; p != nil && (p.rule == ruleRate || p.toward != "") {
		p.want, p.since = p.active, al.TS.UnixMilli()
	}
}

// alarm applies an alarm's step from the log.
func (a *applying) alarm(r *realtime.Record) {
	var s alarmStep
	if err := json.Unmarshal(r.Data, &s); err != nil || r.Cmd == "" || r.Thing == "" {
		a.stats.Unreadable++
		return
	}
	ts := stamp(r.TS.UnixMilli())
	old := a.alarms.byID[r.Cmd]
	if r.Name == realtime.AlarmRaised {
		a.raise(r.Thing, r.Cmd, &s, ts, old != nil && old.Active())
		return
	}
	if old == nil || old.Thing != r.Thing {
		return // forgotten, or never known
	}
	if next := old.moved(r.Name, &s, ts); next != nil {
		a.step(next, r.Name, ts)
	}
}

// raise raises an alarm. It does nothing when that was decided before.
func (a *applying) raise(thing, id string, s *alarmStep, ts time.Time, active bool) {
	old, last := a.alarms.byID[id], uint64(0)
	if old != nil {
		last = old.Last
	}
	switch {
	case active || s.After != last:
		return
	case (old == nil || !old.Stands()) && a.alarms.standing >= maxAlarms:
		a.stats.LostAlarms++
		return
	}
	n := &alarm{AlarmState: realtime.AlarmState{
		ID: id, Thing: thing, Property: s.Property, Event: s.Event, Rule: s.Rule, RuleID: s.Source, Priority: s.Priority, Severity: realtime.AlarmSeverity(s.Priority),
		State: realtime.ActiveUnacked, Message: clipTo(s.Message, maxAlarmMsg), Value: s.Value, Limit: s.Limit, Unit: s.Unit,
		Raised: ts, Count: 1, Suppressed: s.Suppressed,
	}, Rules: s.Rules}
	if s.Ours {
		n.MessageCode = s.Rule
	}
	if s.Predicted > 0 && s.Limit != nil {
		n.Predicted = &realtime.AlarmForecast{At: stamp(s.Predicted), Limit: *s.Limit}
	}
	if old != nil {
		n.Rules = max(n.Rules, old.Rules)
		n.Shelved = old.Shelved
		if old.Unacked() {
			n.Count = old.Count + 1
		}
	}
	if s.Rule == ruleEvent { // it happened, and is over
		n.State, n.Cleared = realtime.ClearedUnacked, ts
	}
	n.Last = a.u.Seq
	a.alarms.noteRaise(ts.UnixMilli())
	if p := a.alarms.points[id]; p != nil {
		p.noteRaise(ts.UnixMilli())
	}
	a.step(n, realtime.AlarmRaised, ts)
}

// moved is the alarm after a step other than a raise, or nil when that does not
// count.
func (al *alarm) moved(step string, s *alarmStep, ts time.Time) *alarm {
	n := *al
	switch step {
	case realtime.AlarmCleared:
		if !al.Active() || s.After != al.Last {
			return nil
		}
		n.Cleared, n.Last = ts, 0 // step sets it
		n.Reason, n.ReasonCode = clipTo(s.Text, maxComment), s.Code
		if s.Limit != nil {
			n.ReasonArgs = realtime.Said("limit", *s.Limit)
		}
		n.State = realtime.ClearedUnacked
		if al.State == realtime.ActiveAcked {
			n.State = realtime.ClearedAcked
		}
	case realtime.AlarmAcked:
		if !al.Unacked() {
			return nil
		}
		n.Acked = &realtime.AlarmAck{By: s.User, At: ts, Comment: clipTo(s.Text, maxComment)}
		n.State = realtime.ActiveAcked
		if !al.Active() {
			n.State = realtime.ClearedAcked
		}
	case realtime.AlarmShelved:
		if !al.Stands() {
			return nil
		}
		n.Shelved = &realtime.AlarmShelf{By: s.User, At: ts, Until: stamp(s.Until), Reason: clipTo(s.Text, maxComment)}
	case realtime.AlarmUnshelved:
		if al.Shelved == nil || s.User == "" && s.After != al.Seq {
			return nil
		}
		n.Shelved = nil
	case realtime.AlarmSuppressed, realtime.AlarmUnsuppressed:
		if n.Suppressed = step == realtime.AlarmSuppressed; n.Suppressed == al.Suppressed || s.After != al.Seq {
			return nil
		}
	case realtime.AlarmChanged:
		if s.After != al.Seq || !al.Stands() {
			return nil
		}
		n.RuleID, n.Priority, n.Severity = s.Source, s.Priority, realtime.AlarmSeverity(s.Priority)
		n.Limit, n.Unit, n.Message, n.MessageCode = s.Limit, s.Unit, clipTo(s.Message, maxAlarmMsg), ""
		if s.Ours {
			n.MessageCode = al.Rule
		}
		if s.Predicted > 0 && s.Limit != nil {
			n.Predicted = &realtime.AlarmForecast{At: stamp(s.Predicted), Limit: *s.Limit}
		}
	default:
		return nil
	}
	n.Rules = max(n.Rules, s.Rules)
	return &n
}

// step takes an alarm's next step and tells it as the wire's alarm frame has it.
func (a *applying) step(n *alarm, step string, ts time.Time) {
	n.Step, n.TS, n.Seq = step, ts, a.u.Seq
	switch step {
	case realtime.AlarmCleared:
		n.Last = a.u.Seq
	case realtime.AlarmRaised, realtime.AlarmChanged:
		n.Stated = a.u.Seq
	}
	a.alarms.set(n)
	body, err := realtime.Marshal(n.AlarmState)
	if err != nil {
		a.stats.Unreadable++
		return
	}
	a.fact("alarm", n.Thing, body)
}

// eventAlarm raises the alarm of an event. The event is in the log and says all,
// so it needs no record of its own.
func (a *applying) eventAlarm(th *thing, r *realtime.Record) {
	if th == nil || len(th.points) == 0 {
		return
	}
	for _, p := range th.points {
		if p.rule != ruleEvent || p.name != r.Name {
			continue
		}
		s := p.raise(nil, a.suppressed(p))
		if old := a.alarms.byID[p.id]; old != nil {
			s.After = old.Last
		}
		if len(r.Data) > 0 && len(r.Data) <= maxQuoted {
			s.Value = r.Data
		}
		a.moved = true
		a.raise(th.id, p.id, &s, stamp(r.TS.UnixMilli()), false)
	}
}

// A flood is more raises in a time than a person can follow (ISA-18.2, EEMUA
// 191 say ten in ten minutes; what is told as a flood is far beyond).
const (
	floodRaises = 20
	floodWithin = 10_000 // ms
)

func (as *alarms) noteRaise(ts int64) {
	as.raises[as.raised%len(as.raises)] = ts
	as.raised++
}

func (as *alarms) flood(now int64) bool {
	return as.raised > floodRaises && now-as.raises[as.raised%len(as.raises)] < floodWithin
}
