package twin

import (
	"encoding/json"

	"echotwin/realtime"
)

// A kept is a value with its times and its place in the log.
type kept struct {
	value   json.RawMessage
	ts, at  int64
	seq     uint64
	out     bool
	missing bool // there was no value
}

// lasting is the newest value that is in the log.
func (p *property) lasting() kept {
	if p.logged != nil {
		return *p.logged
	}
	return kept{value: p.value, ts: p.ts, at: p.at, seq: p.seq, out: p.out}
}

// ShowUnlogged tells viewers what devices say while the log cannot store. It
// marks each value as unlogged; the next one that comes by the log takes its
// place, and a checkpoint does not have it. Events are not shown: they would be
// facts that nobody could ask for again.
func (t *Twins) ShowUnlogged(records []realtime.Record) {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.mu.Lock()
	a := applying{Twins: t, now: t.cfg.Now().UnixMilli(), u: realtime.Update{Seq: t.seq}}
	t.round++
	shown := map[string]int64{} // when each thing's newest was measured, which a checkpoint must not know
	for i := range records {
		if r := &records[i]; r.Kind == realtime.Telemetry {
			a.unlogged(r, shown)
		}
	}
	a.mark()
	for i := range a.u.Changes {
		if ts, ok := shown[a.u.Changes[i].Thing]; ok {
			a.u.Changes[i].TS = stamp(max(ts, a.u.Changes[i].TS.UnixMilli()))
		}
	}
	t.describedIn(&a.u)
	t.mu.Unlock()
	if len(a.u.Changes)+len(a.u.Described) > 0 {
		t.tell(a.u)
	}
}

func (a *applying) unlogged(r *realtime.Record, shown map[string]int64) {
	th := a.thing(r.Thing)
	if th == nil {
		return
	}
	ts, at := r.TS.UnixMilli(), r.At.UnixMilli()
	taken := false
	defer a.differs(th)
	for i := range r.Values {
		v := &r.Values[i]
		p := a.property(th, v.Name)
		if p == nil || p.spec != nil && p.spec.judge(v.JSON) == Bad || !p.newer(ts, at) {
			continue
		}
		if p.logged == nil {
			l := p.lasting()
			l.missing = p.value == nil
			p.logged = &l
			a.change(th)
			th.marked = true
		}
		if p.spec == nil {
			p.infer(th, kindOf(v.JSON))
		}
		p.value, p.ts, p.at = v.JSON, ts, at
		p.out = p.spec != nil && p.spec.judge(v.JSON) == OutOfRange
		a.aging(th, p, a.now)
		a.set(th, p, v, len(r.Values))
		taken = true
	}
	if taken {
		c := a.change(th)
		c.Samples++
		shown[th.id] = max(shown[th.id], ts)
	}
}

// revert forgets the unlogged value, since the log has something to say again.
func (a *applying) revert(th *thing, p *property, values int) {
	l := p.logged
	p.logged = nil
	a.change(th)
	th.marked = true
	p.value, p.ts, p.at, p.seq, p.out = l.value, l.ts, l.at, l.seq, l.out
	if l.missing {
		p.value = nil
		return
	}
	a.set(th, p, &realtime.Value{Name: p.name, JSON: p.value}, values)
}
