package twin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// Bounds of asking history. One expression is asked at a time.
const (
	askEvery   = time.Second     // between looks at which is due
	askWait    = 5 * time.Second // for one answer
	askFirst   = 5000            // ms until the next try while none has succeeded
	maxSeries  = 100             // of one rule
	askedBack  = 20              // moments that are asked after a start, at most
	maxAskText = 300             // bytes of an error
)

// An asking is what is known of a rule that asks history.
type asking struct {
	*rule
	due    int64 // ms
	asked  bool  // once, so that series knows what was there
	series map[string]*series

	at      time.Time
	took    time.Duration
	fault   string
	failing time.Time
}

// A series is one alarm of an expression. It has a point as any alarm has; that
// it wants one is decided here, when history was asked.
type series struct {
	*point
	quote json.RawMessage // the value that the expression gave
	here  int64           // since when it is there, ms; 0 while it is not
	away  int64           // since when it is not there, ms; 0 while it is

	// seq is the place of the log up to which history was asked. What came to the
	// alarm behind it, this node has not seen yet.
	seq uint64
}

// askAnew forgets what is known of expressions that changed.
func (t *Twins) askAnew(changed []*rule) {
	for _, r := range changed {
		if a := t.alarms.asked[r.id]; a != nil && a.rule == r {
			for id := range a.series {
				delete(t.alarms.points, id)
			}
			delete(t.alarms.asked, r.id)
		}
	}
	for id, r := range t.alarms.rules.byID {
		if r.expr != nil && r.enabled && t.alarms.asked[id] == nil {
			t.alarms.asked[id] = &asking{rule: r, series: map[string]*series{}}
		}
	}
}

// askRules asks history for the rules that are due, one after the other.
func (t *Twins) askRules(ctx context.Context) {
	for _, a := range t.dueRules() {
		if ctx.Err() != nil {
			return
		}
		t.askRule(ctx, a)
	}
}

// dueRules are the rules whose time has come, the longest due first.
func (t *Twins) dueRules() []*asking {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now().UnixMilli()
	var due []*asking
	for _, a := range t.alarms.asked {
		if a.due > now+a.expr.every {
			a.due = now // the clock was set back
		}
		if a.due <= now {
			due = append(due, a)
		}
	}
	slices.SortFunc(due, func(a, b *asking) int {
		if a.due != b.due {
			return int(a.due - b.due)
		}
		return strings.Compare(a.id, b.id)
	})
	return due
}

// askRule asks history for one rule and takes over what it says.
func (t *Twins) askRule(ctx context.Context, a *asking) {
	began := time.Now()
	now := t.cfg.Now()
	t.mu.RLock()
	seq, first := t.seq, !a.asked
	t.mu.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	found, err := t.askSeries(ctx, a.rule, now)
	since := map[string]int64{}
	if err == nil && first && a.expr.on > 0 {
		since, err = t.askBack(ctx, a.rule, found, now)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alarms.asked[a.id] != a || errors.Is(ctx.Err(), context.Canceled) {
		return // changed meanwhile, or we are stopping
	}
	a.due = now.UnixMilli() + a.expr.every
	a.at, a.took = now, time.Since(began)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("history did not answer within %v", askWait)
		}
		if a.fault == "" {
			a.failing = now
		}
		a.fault = clipTo(err.Error(), maxAskText)
		if first { // history opens after the rest
			a.due = now.UnixMilli() + min(a.expr.every, askFirst)
		}
		return
	}
	a.asked, a.fault, a.failing = true, "", time.Time{}
	t.takeSeries(a, found, since, seq, now.UnixMilli())
}

// A sampleOf is what an expression says of one alarm.
type sampleOf struct {
	thing, property string
	value           float64
}

// askSeries asks at one moment and says by the alarms' ids what there is.
func (t *Twins) askSeries(ctx context.Context, r *rule, at time.Time) (map[string]sampleOf, error) {
	if t.cfg.Evaluate == nil {
		return nil, errors.New("there is no history to ask")
	}
	samples, err := t.cfg.Evaluate(ctx, r.expr.promql, at)
	if err != nil {
		return nil, err
	}
	out := map[string]sampleOf{}
	for _, s := range samples {
		thing, labelled := s.Labels["thing"]
		switch {
		case labelled && r.pattern != "" && !realtime.Match(r.pattern, thing):
			continue
		case labelled:
			if err := realtime.CheckThing(thing); err != nil {
				return nil, fmt.Errorf("the expression gives a label thing that is none: %w", err)
			}
		case r.expr.thingless:
			thing = r.pattern
		default:
			return nil, errors.New("the expression gives samples without the label thing: name one thing in the rule, or keep the label, such as by (thing)")
		}
		property := r.property
		if p := s.Labels["property"]; property == "" && realtime.CheckName(p) == nil {
			property = p
		}
		out[seriesID(r.id, thing, s.Labels)] = sampleOf{thing, property, s.Value}
		if len(out) > maxSeries {
			return nil, fmt.Errorf("the expression gives more than %d alarms; make it say less, such as by a comparison or topk", maxSeries)
		}
	}
	return out, nil
}

// seriesID is that of an alarm: the same for the same labels on every node.
func seriesID(rule, thing string, labels map[string]string) string {
	var name strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if k != "__name__" {
			fmt.Fprintf(&name, "%s\x00%s\x00", k, labels[k])
		}
	}
	return alarmID(thing, rulePromQL+":"+rule, name.String())
}

// askBack finds out after a start since when each of found is there, as far back
// as matters, so that a restart does not begin to count anew. It asks at a few
// moments, as if somebody had asked all the time.
func (t *Twins) askBack(ctx context.Context, r *rule, found map[string]sampleOf, now time.Time) (map[string]int64, error) {
	since := map[string]int64{}
	for id := range found {
		since[id] = now.UnixMilli()
	}
	step := max(r.expr.on/askedBack, 1000)
	left := maps.Clone(found)
	for back := step; len(left) > 0 && back < r.expr.on+step; back += step {
		at := now.UnixMilli() - back
		if at < r.changed {
			break
		}
		then, err := t.askSeries(ctx, r, stamp(at))
		if err != nil {
			return nil, err
		}
		for id := range left {
			if _, ok := then[id]; ok {
				since[id] = at
			} else {
				delete(left, id)
			}
		}
	}
	return since, nil
}

// takeSeries decides which alarms of a rule are wanted. The caller holds mu.
func (t *Twins) takeSeries(a *asking, found map[string]sampleOf, since map[string]int64, seq uint64, now int64) {
	for id, f := range found {
		s := a.series[id]
		if s == nil {
			s = t.newSeries(a, id, f.thing, f.property)
		}
		if s.here == 0 {
			s.here, s.away = now, 0
			if at, ok := since[id]; ok {
				s.here = at
			}
		}
		s.quote, s.seq = quotedNumber(f.value), seq
		if now-s.here >= a.expr.on {
			t.alarms.cause(s.point, true, now)
		}
	}
	// Alarms of before a restart, too, whose samples are not there any more.
	for _, al := range t.alarms.byID {
		if al.RuleID == a.id && al.Rule == rulePromQL && al.Active() && a.series[al.ID] == nil {
			t.newSeries(a, al.ID, al.Thing, al.Property)
		}
	}
	for id, s := range a.series {
		if _, ok := found[id]; ok {
			continue
		}
		if s.away == 0 {
			s.away, s.here = now, 0
		}
		s.seq = seq
		if now-s.away >= a.expr.off {
			t.alarms.cause(s.point, false, now)
		}
		if !s.want && !s.active && !s.queued {
			delete(a.series, id)
			delete(t.alarms.points, id)
		}
	}
}

// newSeries makes the point of one alarm of a rule.
func (t *Twins) newSeries(a *asking, id, of, property string) *series {
	r := &alarmRule{
		id: id, rule: rulePromQL, name: property, title: a.title, priority: a.expr.priority, suppress: a.expr.suppress,
		source: a.id, from: a.changed, text: a.expr.text,
	}
	if r.title == "" {
		r.title = a.id
	}
	s := &series{}
	s.point = t.watch(&thing{id: of}, r, nil)
	s.point.series = s
	a.series[id] = s
	return s
}

// askedStatus adds how rules with an expression stand.
func (t *Twins) askedStatus(out map[string]RuleStatus) {
	for id, a := range t.alarms.asked {
		s := RuleStatus{Watches: len(a.series), Evaluated: a.at, Took: a.took.Seconds(), Error: a.fault, Failing: a.failing}
		for _, one := range a.series {
			switch {
			case one.active:
				s.Active++
			case one.here != 0:
				s.Pending++
			}
		}
		out[id] = s
	}
}
