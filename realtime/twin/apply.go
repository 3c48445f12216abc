package twin

import (
	"encoding/json"
	"strings"

	"echotwin/realtime"
)

// badEvery is how often a property whose readings are of the wrong type says
// so. The readings are all in the log; a fact for each would push the events of
// everybody else out of reach.
const badEvery = 10_000 // ms

// badReading is the name of the event that tells of a value of the wrong type.
const badReading = "bad_reading"

// clockSkew is how far the clocks of two nodes may differ, in ms.
const clockSkew = 60_000

// maxQuoted bounds how much of a wrong value is repeated to viewers.
const maxQuoted = 1 << 10

// Apply takes the next bundle of the log into the state and tells what changed.
func (t *Twins) Apply(b realtime.Bundle) {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.mu.Lock()
	if b.Seq <= t.seq {
		t.mu.Unlock()
		return
	}
	t.seq = b.Seq
	a := applying{Twins: t, now: t.cfg.Now().UnixMilli(), u: realtime.Update{Seq: b.Seq}}
	t.round++
	for i := range b.Records {
		a.record(&b.Records[i])
	}
	a.mark()
	t.describedIn(&a.u)
	t.mu.Unlock()

	t.tell(a.u)
	if a.moved {
		// Only now, so that who waits for a command's step returns after
		// everybody was told of it.
		t.mu.Lock()
		t.commands.wake()
		t.mu.Unlock()
	}
}

// applying is one call of Apply.
type applying struct {
	*Twins
	now   int64
	u     realtime.Update
	moved bool // a command or an alarm may have moved
}

func (a *applying) record(r *realtime.Record) {
	switch r.Kind {
	case realtime.Telemetry:
		a.telemetry(r)
	case realtime.Status:
		a.status(r)
	case realtime.Event:
		a.eventAlarm(a.thing(r.Thing), r)
		a.event(r.Thing, r.Name, r.Data, r.TS.UnixMilli())
	case realtime.Command:
		a.moved = true
		a.command(r)
	case realtime.Result:
		a.moved = true
		a.result(r)
	case realtime.Alarm:
		a.moved = true
		a.alarm(r)
	case realtime.Removed:
		a.moved = true // somebody waits for it
		a.removed(r.Thing)
	default:
		a.stats.Unreadable++
	}
}

// thing finds the thing with this id, or makes an undescribed one. It is nil
// when there are too many.
func (t *Twins) thing(id string) *thing {
	th := t.things[id]
	if th == nil && id != "" && len(t.things) < t.cfg.MaxThings {
		th = &thing{id: id, props: map[string]*property{}, place: t.admission.came(id)}
		t.things[id] = th
		t.looks(th)
	}
	return th
}

// change is the thing's place in the update.
func (a *applying) change(th *thing) *realtime.Change {
	if th.round != a.round {
		th.round, th.marked = a.round, false
		th.change = len(a.u.Changes)
		a.u.Changes = append(a.u.Changes, realtime.Change{Thing: th.id})
	}
	return &a.u.Changes[th.change]
}

// mark adds the marks of the things whose marks changed.
func (a *applying) mark() {
	for i := range a.u.Changes {
		c := &a.u.Changes[i]
		if c.Removed {
			continue
		}
		th := a.things[c.Thing]
		if th == nil {
			continue // removed by the same bundle
		}
		c.TS = stamp(th.newest)
		if th.marked {
			c.Marks, th.wasMarked = th.marks(), true
		}
	}
}

func (a *applying) status(r *realtime.Record) {
	if r.Name == silent {
		a.silence(r)
		return
	}
	if r.Name != "online" && r.Name != "offline" {
		a.stats.Unreadable++
		return
	}
	th := a.thing(r.Thing)
	if th == nil || th.online == r.Name {
		if th != nil {
			th.guessed = false // now the device says so itself
		}
		return
	}
	a.change(th)
	first := th.online == "" && r.Name == onlineEvent
	th.online, th.guessed, th.marked = r.Name, false, true
	a.lookOffline(th, r.TS.UnixMilli())
	if !first { // that a device is there is no news
		a.presence(th, r.Name, "device", r.At.UnixMilli())
	}
}

func (a *applying) telemetry(r *realtime.Record) {
	th := a.thing(r.Thing)
	if th == nil {
		a.stats.Refused += uint64(len(r.Values))
		return
	}
	ts, at := r.TS.UnixMilli(), r.At.UnixMilli()
	taken := false
	defer a.differs(th)
	for i := range r.Values {
		v := &r.Values[i]
		p := a.property(th, v.Name)
		if p == nil {
			a.stats.Refused++
			continue
		}
		if p.logged != nil {
			a.revert(th, p, len(r.Values))
		}
		if !p.newer(ts, at) {
			a.stats.Late++
			continue
		}
		if a.value(th, p, v, ts, at) {
			a.set(th, p, v, len(r.Values))
			taken = true
			if len(a.commands.verifying) > 0 {
				a.verify(th.id, v, ts, at)
			}
		}
	}
	if taken {
		if th.silent {
			a.heard(th, at)
		}
		th.newest = max(th.newest, ts)
		a.change(th).Samples++
	}
}

// property finds a property by name, or makes an undescribed one. It is nil
// when the thing has too many.
func (t *Twins) property(th *thing, name string) *property {
	if th.next >= len(th.order) {
		th.next = 0
	}
	if len(th.order) > 0 && th.order[th.next].name == name {
		th.next++
		return th.order[th.next-1]
	}
	p := th.props[name]
	if p == nil {
		if len(th.props) >= maxProperties {
			return nil
		}
		name = strings.Clone(name) // it is a part of a line of the log
		p = &property{name: name}
		th.props[name] = p
		th.counted()
		th.differs = true
		t.watchProperty(th, p)
	}
	if p.rank >= len(th.order) || th.order[p.rank] != p {
		p.rank = len(th.order)
		th.order = append(th.order, p)
	}
	th.next = p.rank + 1
	return p
}

// newer says whether a reading replaces the value. The later one wins by when
// it was true at the earliest, so that one reading from a clock that jumped
// ahead does not lock out the right ones after it.
func (p *property) newer(ts, at int64) bool {
	if p.value == nil {
		return true
	}
	if at < p.at-clockSkew {
		return true // the clock of the server was set back: what comes later in the log arrived later
	}
	was, is := p.fresh(), min(ts, at)
	return is > was || is == was && ts >= p.ts
}

// value puts a reading into the state. It is false when the value is of the
// wrong type and the state stays as it was.
func (a *applying) value(th *thing, p *property, v *realtime.Value, ts, at int64) bool {
	verdict := Good
	if p.spec != nil {
		verdict = p.spec.judge(v.JSON)
	} else if k := kindOf(v.JSON); p.value == nil || k != p.kind {
		p.infer(th, k)
	}
	before := p.quality()
	if verdict == Bad {
		a.bad(th, p, v, ts, at)
		a.remark(th, p, before)
		return false
	}
	if gap := min(ts, at) - p.fresh(); p.value != nil && gap > 0 {
		p.pace.learn(gap)
	}
	p.value, p.ts, p.at, p.seq = v.JSON, ts, at, a.u.Seq
	p.out, p.bad = verdict == OutOfRange, false
	if p.desired != nil {
		a.met(th, p, ts, at)
	}
	a.aging(th, p, a.now)
	if p.points != nil {
		a.look(p)
	}
	a.remark(th, p, before)
	return true
}

// infer takes one more value's type into that of an undescribed property.
func (p *property) infer(th *thing, k kind) {
	if p.value != nil {
		k = p.kind.widen(k)
	}
	if k != p.kind {
		p.kind = k
		th.differs = true
	}
}

// remark notes that the thing's marks changed, when they did.
func (a *applying) remark(th *thing, p *property, before string) {
	if p.quality() != before {
		a.change(th)
		th.marked = true
	}
}

// set writes the value into the update, once for each property.
func (a *applying) set(th *thing, p *property, v *realtime.Value, values int) {
	c := a.change(th)
	if p.round == a.round {
		c.Values[p.place].JSON = v.JSON
		return
	}
	if c.Values == nil {
		c.Values = make([]realtime.Value, 0, values)
	}
	p.round, p.place = a.round, len(c.Values)
	c.Values = append(c.Values, realtime.Value{Name: p.name, JSON: v.JSON})
}

// bad keeps a reading of the wrong type as a fact.
func (a *applying) bad(th *thing, p *property, v *realtime.Value, ts, at int64) {
	a.stats.Bad++
	p.bad = true
	p.badQuiet++
	if p.badSaid > 0 && at-p.badSaid < badEvery {
		return
	}
	said := struct {
		Property string          `json:"property"`
		Message  string          `json:"message"`
		Value    json.RawMessage `json:"value,omitempty"`
		Count    int64           `json:"count"` // bad readings that this fact stands for
	}{Property: p.name, Message: p.spec.complaint(v.JSON), Count: p.badQuiet}
	if len(v.JSON) <= maxQuoted {
		said.Value = v.JSON
	}
	p.badSaid, p.badQuiet = at, 0
	data, err := realtime.Marshal(said)
	if err != nil { // the value is no JSON at all
		a.stats.Unreadable++
		return
	}
	a.event(th.id, badReading, data, ts)
}

// event tells a fact as the wire's event frame has it.
func (a *applying) event(thing, name string, data json.RawMessage, ts int64) {
	body, err := realtime.Marshal(struct {
		Thing string          `json:"thing"`
		Name  string          `json:"name"`
		Data  json.RawMessage `json:"data,omitempty"`
		TS    string          `json:"ts"`
	}{thing, name, data, realtime.Stamp(stamp(ts))})
	if err != nil {
		a.stats.Unreadable++
		return
	}
	a.fact("event", thing, body)
}

func (a *applying) fact(frame, thing string, body json.RawMessage) {
	a.u.Facts = append(a.u.Facts, realtime.Fact{Seq: a.u.Seq, Type: frame, Thing: thing, Body: body})
}
