package twin

import (
	"context"
	"encoding/json"
	"time"

	"echotwin/realtime"
)

// The events by which a thing itself is told to come and go. "online" and
// "offline" are what its device said, or, of a device that never says anything
// about itself, what its silence says; "stale" is that a device which is said to
// be online has let all its values grow old, and "fresh" that one came again.
const (
	onlineEvent  = "online"
	offlineEvent = "offline"
	staleEvent   = "stale"
	freshEvent   = "fresh"
)

// silent is the name of the Status record by which nodes agree that a thing is
// silent. Each node sees time pass by itself; the first such record in the log
// counts, and only when no reading of the thing stands before it.
const silent = "silent"

const (
	// presenceEvery is how often one thing is told to come or go, in ms. A
	// device whose line flaps is told once with how often, and its marks are
	// right all the time.
	presenceEvery = 10_000

	// silenceAtOnce bounds how many things are told to be silent in one turn of
	// a second: after an outage ten thousand may be, and the log and the lane of
	// facts are there for others, too.
	silenceAtOnce = 256

	// silenceGrace is how long after a start nothing is called silent: devices
	// come back one after the other, and their values are old because we were away.
	silenceGrace = 30 * time.Second
)

// hush puts into the log which things have become silent.
func (t *Twins) hush(ctx context.Context) {
	if t.cfg.Log == nil {
		return
	}
	now := t.cfg.Now()
	var found []realtime.Record
	t.mu.RLock()
	for _, th := range t.things {
		if len(found) == silenceAtOnce {
			break // the others at the next turn
		}
		if !th.silent && th.online != offlineEvent && th.allStale() {
			last, err := json.Marshal(th.newest)
			if err != nil {
				continue // a number never fails
			}
			found = append(found, realtime.Record{Kind: realtime.Status, Thing: th.id, Name: silent, TS: now, At: now, Data: last})
		}
	}
	t.mu.RUnlock()
	if len(found) == 0 {
		return
	}
	putting, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	// The log cannot store now: the next turn tries again.
	_, _ = t.cfg.Log.Put(putting, found...)
}

// allStale says whether the thing has values that are expected to come, and all
// of them are overdue.
func (th *thing) allStale() bool {
	expected := false
	for _, p := range th.props {
		if p.deadline() == 0 {
			continue
		}
		if !p.stale {
			return false
		}
		expected = true
	}
	return expected
}

// silence applies the first word in the log that a thing is silent.
func (a *applying) silence(r *realtime.Record) {
	th := a.things[r.Thing]
	var last int64
	if th == nil || th.silent || json.Unmarshal(r.Data, &last) != nil || th.newest != last {
		return // said before, gone, or a reading was first
	}
	th.silent = true
	name := staleEvent
	if th.online == "" {
		name = offlineEvent
		a.change(th)
		th.online, th.guessed, th.marked = offlineEvent, true, true
		a.lookOffline(th, r.At.UnixMilli())
	}
	a.presence(th, name, "silence", r.At.UnixMilli())
}

// heard applies that a reading of a silent thing came.
func (a *applying) heard(th *thing, at int64) {
	th.silent = false
	name := freshEvent
	if th.guessed {
		name = onlineEvent
		a.change(th)
		th.online, th.guessed, th.marked = "", false, true
		a.lookOffline(th, at)
	}
	a.presence(th, name, "reading", at)
}

// presence tells that a thing came or went, not too often.
func (a *applying) presence(th *thing, name, why string, at int64) {
	th.presenceQuiet++
	if th.presenceSaid > 0 && at-th.presenceSaid < presenceEvery && at >= th.presenceSaid {
		return
	}
	said := struct {
		Reason string `json:"reason"`
		Last   string `json:"last,omitempty"` // when its newest value was measured
		Count  int64  `json:"count"`          // changes that this fact stands for
	}{Reason: why, Count: th.presenceQuiet}
	if th.newest > 0 {
		said.Last = stamp(th.newest).Format(time.RFC3339Nano)
	}
	th.presenceSaid, th.presenceQuiet = at, 0
	data, err := realtime.Marshal(said)
	if err != nil { // two texts and a number never fail
		return
	}
	a.event(th.id, name, data, at)
}
