package twin

import (
	"container/heap"
	"context"

	"echotwin/realtime"
)

// Removed is the newest bundle that removed a thing. A checkpoint does not say
// which: what somebody saw before it cannot be brought up to date, only replaced.
func (t *Twins) Removed() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.removed
}

// forget has every node forget what a thing said, at the same place of the log,
// and returns when this one has.
func (t *Twins) forget(ctx context.Context, id string) error {
	if t.cfg.Log == nil {
		return unavailable(nil)
	}
	now := stamp(t.cfg.Now().UnixMilli())
	if err := t.store(ctx, realtime.Record{Kind: realtime.Removed, Thing: id, TS: now, At: now}); err != nil {
		return unavailable(err)
	}
	return nil
}

// removed forgets what a thing said. Its description is not of the log: a thing
// that has one, because it was described anew or because another node has not
// heard yet, stays without values. The commands it got stay in the audit.
func (a *applying) removed(id string) {
	a.Twins.removed = a.u.Seq
	th := a.things[id]
	if th == nil {
		return
	}
	a.drop(th)
	if th.td != nil {
		a.describe(a.thing(id), th.td)
	}
	// What the same bundle said of it before is gone with it; what it says after
	// this is of the next one.
	a.u.Changes = append(a.u.Changes, realtime.Change{Thing: id, Removed: true})
}

// drop takes a thing out of everything.
func (t *Twins) drop(th *thing) {
	if th.due != 0 {
		heap.Remove(&t.due, th.slot)
	}
	t.unwatchAlarms(th)
	t.looks(th)
	delete(t.things, th.id)
	t.admission.went(th.id)
	if t.linking[th.id] {
		delete(t.linking, th.id)
		t.linked = append(t.linked, realtime.Linked{Thing: th.id})
	}
}

// Undescribe takes the description of a thing away. What it said stays, as that
// of an undescribed thing; one that never said anything is gone. It is false
// when there is no such description.
func (t *Twins) Undescribe(id string) bool {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.mu.Lock()
	th := t.things[id]
	if th == nil || th.td == nil {
		t.mu.Unlock()
		return false
	}
	old := t.unwatchAlarms(th)
	t.looks(th)
	before := th.td
	th.td = nil
	t.relink(th, before)
	c := realtime.Change{Thing: id}
	now := t.cfg.Now().UnixMilli()
	for name, p := range th.props {
		p.undescribe()
		p.desired = nil // nobody can bring that about any more
		if p.value == nil {
			delete(th.props, name)
			th.order = nil
			continue
		}
		p.out = false
		t.aging(th, p, now)
	}
	th.counted()
	for id, p := range old {
		if p.active && p.rule != ruleEvent {
			t.alarms.gone[id] = realtime.ClearedDescription
		}
	}
	if len(th.props) == 0 && th.online == "" {
		t.drop(th)
		c.Removed = true
	} else {
		t.watchAlarms(th, old)
		th.wasMarked = true
		c.TS, c.Marks = stamp(th.newest), th.marks()
	}
	u := realtime.Update{Seq: t.seq, Changes: []realtime.Change{c}}
	t.describedIn(&u)
	t.mu.Unlock()
	t.tell(u)
	return true
}
