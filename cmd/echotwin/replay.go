package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/history"
	"echotwin/realtime/hub"
	"echotwin/realtime/twin"
)

// The past is read again from two sources: samples from history, and facts from
// the stream FACTS. Twins of their own, which are fed with them and whose clock
// shows the past, say how far each value could be trusted then.

const (
	// settle is how long a reading may take to be in history. The present, for a
	// replay, is that long ago.
	settle = 2 * time.Second

	// near is how close to the present a replay has to come to be at its end.
	near = time.Second

	// beat is how often time passes for the twins of a replay when nothing else
	// happens, and quiet how often a replay is told how far it has come.
	beat  = time.Second
	quiet = time.Minute

	// A replay reads the facts of a window of time at once: of little at first,
	// so that it begins soon.
	firstWindow = 10 * time.Second
	widest      = time.Hour
	maxFacts    = 5000
)

// past is what replays and questions about the past read.
type past struct {
	history *history.History
	facts   *bus.Facts
	twins   *twin.Twins
	looks   chan struct{} // one for each question that may be read at once
}

func (s *stages) past() past { return past{s.history, s.facts, s.twins, s.looks} }

// Each question about a moment has twins of its own while it is read, so few are
// at once; the others wait, and not for long.
const (
	maxLooks = 4
	lookWait = 5 * time.Second
)

// look waits for a turn to read a moment. The caller ends it by leave.
func (p past) look(ctx context.Context) (leave func(), err error) {
	wait := time.NewTimer(lookWait)
	defer wait.Stop()
	select {
	case p.looks <- struct{}{}:
		return func() { <-p.looks }, nil
	case <-wait.C:
	case <-ctx.Done():
	}
	most := float64(maxLooks)
	return nil, &realtime.Problem{Code: realtime.CodeUnavailable, Maximum: &most, Message: fmt.Sprintf("%d questions about the past are answered at once, and others were first; try again in a moment", maxLooks)}
}

// check says why a moment cannot be shown, or nil.
func (p past) check(at time.Time, place string) error {
	if err := p.history.Ready(); err != nil {
		return &realtime.Problem{Code: realtime.CodeUnavailable, Message: err.Error() + "; try again in a moment"}
	}
	since, err := p.history.Since()
	switch {
	case err != nil:
		return err
	case since.IsZero():
		return &realtime.Problem{Code: realtime.CodeUnavailable, At: place, Message: "nothing is in history yet"}
	case at.Before(since):
		least := float64(since.UnixMilli())
		return &realtime.Problem{Code: realtime.CodeOutOfRange, At: place, Minimum: &least,
			Message: fmt.Sprintf("%s is before what is kept; history begins at %s", realtime.Stamp(at), realtime.Stamp(since))}
	}
	return nil
}

// States is what the things that accept says yes to were at a moment, by id.
func (p past) States(ctx context.Context, patterns []string, accept func(thing string) bool, at time.Time) ([]twin.State, error) {
	if err := p.check(at, "?at"); err != nil {
		return nil, err
	}
	leave, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	tape, err := p.begin(ctx, hub.Past{Patterns: patterns, See: accept, From: at})
	if err != nil {
		return nil, err
	}
	states := tape.twins.States(nil)
	for i := range states {
		states[i].Seq = 0 // it is no place in the log
		for name, v := range states[i].Properties {
			v.Seq = 0
			states[i].Properties[name] = v
		}
	}
	return states, nil
}

// Replay implements hub.Replayer.
func (p past) Replay(ctx context.Context, w hub.Past) iter.Seq2[hub.Moment, error] {
	return func(yield func(hub.Moment, error) bool) {
		err := p.check(w.From, "/from")
		var t *tape
		if err == nil {
			t, err = p.begin(ctx, w)
		}
		if err != nil {
			yield(hub.Moment{}, err)
			return
		}
		if !yield(hub.Moment{At: w.From, Changes: t.first()}, nil) {
			return
		}
		facts, err := t.stood(ctx)
		if err != nil {
			yield(hub.Moment{}, err)
			return
		}
		if len(facts) > 0 && !yield(hub.Moment{At: w.From, Facts: facts}, nil) {
			return
		}
		err = t.wind(ctx, func(m hub.Moment) bool { return yield(m, nil) })
		if err != nil && !errors.Is(err, errLeft) {
			yield(hub.Moment{}, err)
		}
	}
}

// A tape is one reading of the past.
type tape struct {
	past
	hub.Past
	twins *twin.Twins
	now   time.Time // of the twins
	read  time.Time // up to where the sources are read
	told  time.Time // of the newest moment that was yielded

	changes []realtime.Change // since the last step
	records []realtime.Record // of the next step
	facts   []realtime.Fact
	at      time.Time // of both
}

// begin reads the state at w.From.
func (p past) begin(ctx context.Context, w hub.Past) (*tape, error) {
	t := &tape{past: p, Past: w, now: w.From, read: w.From, told: w.From}
	t.twins = p.twins.Again(twin.Config{Now: func() time.Time { return t.now }}, t.wanted)
	if len(w.Patterns) == 0 {
		return t, nil
	}
	samples, err := p.history.At(ctx, t.which(), w.From)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(samples, func(a, b history.Sample) int { return cmp.Compare(a.TS, b.TS) })
	for _, s := range samples {
		t.add(s)
	}
	t.twins.Apply(realtime.Bundle{Seq: uint64(w.From.UnixMilli()), Records: t.records})
	t.records = t.records[:0]
	return t, nil
}

func (t *tape) which() history.Which { return history.Which{Scope: history.Scope{t.Patterns}} }

func (t *tape) wanted(thing string) bool {
	return (t.See == nil || t.See(thing)) && slices.ContainsFunc(t.Patterns, func(p string) bool { return p == thing || realtime.Match(p, thing) })
}

// first is everything that is known at the beginning. From now on what changes
// is gathered.
func (t *tape) first() []realtime.Change {
	t.twins.OnChange(func(u realtime.Update) { t.changes = append(t.changes, u.Changes...) })
	all := t.changes
	t.changes = nil
	if t.See != nil {
		hidden := map[string]bool{}
		t.past.twins.States(func(id string) bool {
			if !t.See(id) && slices.ContainsFunc(t.Patterns, func(p string) bool { return p == id || realtime.Match(p, id) }) {
				hidden[id] = true
			}
			return false
		})
		for id := range hidden {
			all = append(all, realtime.Change{Thing: id})
		}
	}
	return all
}

// add makes a sample part of the next step.
func (t *tape) add(s history.Sample) {
	if !t.wanted(s.Thing) {
		return
	}
	v := realtime.Value{Name: s.Property, JSON: s.JSON}
	if n := len(t.records); n > 0 && t.records[n-1].Thing == s.Thing && t.records[n-1].TS.UnixMilli() == s.TS {
		t.records[n-1].Values = append(t.records[n-1].Values, v)
		return
	}
	at := time.UnixMilli(s.TS).UTC()
	t.records = append(t.records, realtime.Record{Kind: realtime.Telemetry, Thing: s.Thing, TS: at, At: at, Values: []realtime.Value{v}})
}

// wind goes through the past from From to its end.
func (t *tape) wind(ctx context.Context, yield func(hub.Moment) bool) error {
	window := firstWindow
	for {
		end, present := time.Now().Add(-settle).Truncate(time.Millisecond), true
		if !t.To.IsZero() && !t.To.After(end) {
			end, present = t.To, false
		}
		if present && end.Sub(t.read) < near || !t.read.Before(end) {
			return ctx.Err()
		}
		start, last := t.read.Add(time.Millisecond), t.read.Add(window)
		if last.After(end) {
			last = end
		}
		facts, last, err := t.factsOf(ctx, start, last)
		if err != nil {
			return err
		}
		if err := t.span(ctx, start, last, facts, yield); err != nil {
			return err
		}
		if t.read = last; last.Before(end) {
			window = min(2*window, widest)
			continue
		}
		// What comes now may be still to happen, so it is not read before this is
		// shown.
		if !t.tell(last, yield) || !yield(hub.Moment{At: last}) {
			return errLeft
		}
	}
}

// errLeft ends a reading that nobody wants any more.
var errLeft = errors.New("nobody reads on")

// A timedFact is one with the moment when it happened.
type timedFact struct {
	at int64
	realtime.Fact
}

// momentOf is when a fact happened, as it says itself. What it says may be far
// from when it was stored, because a device was offline or its clock is wrong:
// then it was news when it came.
func momentOf(f realtime.Fact, stored time.Time) time.Time {
	var body struct {
		TS time.Time `json:"ts"`
	}
	if json.Unmarshal(f.Body, &body) != nil || body.TS.After(stored) || body.TS.Before(stored.Add(-settle)) {
		return stored.Truncate(time.Millisecond)
	}
	return body.TS.Truncate(time.Millisecond)
}

// factsOf reads the facts of a window, and less of it when they are many.
func (t *tape) factsOf(ctx context.Context, start, last time.Time) ([]timedFact, time.Time, error) {
	if len(t.Patterns) == 0 {
		return nil, last, nil
	}
	var facts []timedFact
	err := t.past.facts.Between(ctx, t.Patterns, start, last.Add(settle), func(stored time.Time, f realtime.Fact) bool {
		if known := stored.Add(-settle).Truncate(time.Millisecond); len(facts) >= maxFacts && known.After(start) {
			last = known // later facts may have happened after it only
			return false
		}
		if t.wanted(f.Thing) {
			facts = append(facts, timedFact{momentOf(f, stored).UnixMilli(), f})
		}
		return true
	})
	facts = slices.DeleteFunc(facts, func(f timedFact) bool { return f.at < start.UnixMilli() || f.at > last.UnixMilli() })
	slices.SortStableFunc(facts, func(a, b timedFact) int { return cmp.Compare(a.at, b.at) })
	return facts, last, err
}

// span goes through one window.
func (t *tape) span(ctx context.Context, start, last time.Time, facts []timedFact, yield func(hub.Moment) bool) error {
	until := func(ms int64) error {
		for len(facts) > 0 && facts[0].at <= ms {
			if !t.until(time.UnixMilli(facts[0].at).UTC(), yield) {
				return errLeft
			}
			t.facts = append(t.facts, facts[0].Fact)
			facts = facts[1:]
		}
		if !t.until(time.UnixMilli(ms).UTC(), yield) {
			return errLeft
		}
		return nil
	}
	if len(t.Patterns) > 0 {
		for s, err := range t.history.Samples(ctx, t.which(), start, last) {
			if err == nil {
				err = until(s.TS)
			}
			if err != nil {
				return err
			}
			t.add(s)
		}
	}
	return until(last.UnixMilli() + 1)
}

// until ends the step under way when at is later, and lets the time up to there
// pass.
func (t *tape) until(at time.Time, yield func(hub.Moment) bool) bool {
	if at.Equal(t.at) {
		return true
	}
	if !t.step(yield) {
		return false
	}
	for next := t.now.Add(beat); next.Before(at); next = t.now.Add(beat) {
		t.now = next
		t.twins.Pass()
		if (len(t.changes) > 0 || next.Sub(t.told) >= quiet) && !t.tell(next, yield) {
			return false
		}
	}
	t.at = at
	return true
}

// step applies what was gathered for one millisecond, and yields it.
func (t *tape) step(yield func(hub.Moment) bool) bool {
	if len(t.records)+len(t.facts) == 0 {
		return true
	}
	t.now = t.at
	t.twins.Pass()
	if len(t.records) > 0 {
		t.twins.Apply(realtime.Bundle{Seq: uint64(t.at.UnixMilli()), Records: t.records})
		t.records = nil
	}
	return t.tell(t.at, yield)
}

func (t *tape) tell(at time.Time, yield func(hub.Moment) bool) bool {
	if !at.After(t.told) {
		return true // everything up to there was told
	}
	m := hub.Moment{At: at, Changes: t.changes, Facts: t.facts}
	t.changes, t.facts, t.told = nil, nil, at
	return yield(m)
}
