package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/twin"
)

const (
	// alarmsBack is how far before a moment the last step of an alarm is looked
	// for. One that has not moved since is known without looking.
	alarmsBack = 7 * 24 * time.Hour

	// maxStood bounds the alarms that a replay begins with; the most urgent are
	// shown, and of them the newest.
	maxStood = 500
)

// stood are the alarms that stood at the beginning, as the facts of their last
// steps before it: what comes first is told last, so that it is the newest in
// the lane.
func (t *tape) stood(ctx context.Context) ([]realtime.Fact, error) {
	if len(t.Patterns) == 0 {
		return nil, nil
	}
	last := map[string]realtime.AlarmState{}
	for _, a := range t.past.twins.Alarms(twin.AlarmQuery{See: t.wanted}) {
		if !a.TS.After(t.From) {
			last[a.ID] = a
		}
	}
	err := t.past.facts.BetweenOf(ctx, "alarm", t.Patterns, t.From.Add(-alarmsBack), t.From.Add(settle), func(stored time.Time, f realtime.Fact) bool {
		var a realtime.AlarmState
		if t.wanted(f.Thing) && !momentOf(f, stored).After(t.From) && json.Unmarshal(f.Body, &a) == nil && a.ID != "" {
			last[a.ID] = a
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	var all []realtime.AlarmState
	for _, a := range last {
		if a.Stands() {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b realtime.AlarmState) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), b.TS.Compare(a.TS), cmp.Compare(a.ID, b.ID))
	})
	all = all[:min(len(all), maxStood)]
	facts := make([]realtime.Fact, 0, len(all))
	for _, a := range slices.Backward(all) {
		body, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		facts = append(facts, realtime.Fact{Type: "alarm", Thing: a.Thing, Body: body})
	}
	return facts, nil
}
