package twin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// An oracle is a history: it answers what holds, by the thing, and since when it
// did.
type oracle struct {
	mu    sync.Mutex
	held  map[string]time.Time // thing → since when it holds
	err   error
	slow  time.Duration
	asked int
}

func (o *oracle) set(thing string, holds bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := maps.Clone(o.held)
	if next == nil {
		next = map[string]time.Time{}
	}
	if delete(next, thing); holds {
		next[thing] = time.Now()
	}
	o.held = next
}

func (o *oracle) fail(err error, slow time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err, o.slow = err, slow
}

func (o *oracle) answer(ctx context.Context, _ string, at time.Time) (out []QuerySample, err error) {
	o.mu.Lock()
	held, err, slow := o.held, o.err, o.slow
	o.asked++
	o.mu.Unlock()
	if slow > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(slow):
		}
	}
	for thing, since := range held {
		if at.Before(since) {
			continue
		}
		s := QuerySample{Labels: map[string]string{"thing": thing, "property": "speed"}, Value: 7.5}
		if thing == "" {
			delete(s.Labels, "thing")
		}
		out = append(out, s)
	}
	return out, err
}

// asker is a node that asks o.
func (p *plant) asker(o *oracle, s *shelf) (*Twins, *listener, *Rulebook) {
	tw := New(Config{Log: p, Evaluate: o.answer})
	l := &listener{}
	tw.OnChange(l.hear)
	b := book(p.t, tw, s)
	p.join(tw)
	return tw, l, b
}

func TestAnExpressionRaisesAndClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, o, s := &plant{t: t, lag: 5 * time.Millisecond}, &oracle{}, newShelf()
		one, l, rules := p.asker(o, s)
		two, other, follower := p.asker(o, s)
		run(t, one, two)
		attend(t, rules, follower)
		rules.put(t, "slow", `{"promql":"x > 1","thing":"plant/**","for":30,"every":5,"offDelay":10,"priority":1,"title":"Slow line"}`)
		o.set("office/lamp", true) // not of the rule's things
		o.set("plant/a", true)
		time.Sleep(10 * time.Second)
		if r, _ := rules.Rule("slow"); r.status.Pending != 1 || r.status.Watches != 1 || r.status.Evaluated.IsZero() || r.status.Error != "" {
			t.Errorf("got %+v", r.status)
		}
		o.set("plant/a", false)
		time.Sleep(10 * time.Second)
		o.set("plant/a", true) // it begins anew
		time.Sleep(25 * time.Second)
		wantTold(t, l)
		time.Sleep(15 * time.Second)
		wantTold(t, l, "raised:promql:active_unacked")
		a := one.Alarms(AlarmQuery{})[0]
		if a.Thing != "plant/a" || a.Property != "speed" || a.Priority != 1 || a.RuleID != "slow" || a.Message != "Slow line (7.5)" || string(a.Value) != "7.5" {
			t.Errorf("got %+v", a)
		}
		if _, err := two.AckAlarms(t.Context(), "ana", "", a.ID); err != nil {
			t.Error(err)
		}
		o.set("plant/b", true)
		o.set("plant/a", false)
		time.Sleep(time.Minute)
		o.set("plant/b", false)
		time.Sleep(time.Minute)
		wantTold(t, l, "raised:promql:active_unacked", "acked:promql:active_acked", "cleared:promql:cleared_acked", "raised:promql:active_unacked", "cleared:promql:cleared_unacked")
		if !reflect.DeepEqual(l.told(), other.told()) {
			t.Errorf("the other told %v", other.told())
		}
		if r, _ := follower.Rule("slow"); r.status.Watches != 0 || len(one.alarms.points) != 0 {
			t.Errorf("it goes on holding %+v and %d points", r.status, len(one.alarms.points))
		}
	})
}

func TestABrokenExpressionSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, o := &plant{t: t}, &oracle{}
		one, l, rules := p.asker(o, newShelf())
		run(t, one)
		rules.put(t, "r", `{"promql":"x > 1","thing":"plant/line","every":5}`)
		status := func() RuleStatus {
			time.Sleep(12 * time.Second)
			r, _ := rules.Rule("r")
			return r.status
		}
		o.set("", true) // without the label: of the one thing
		if s := status(); s.Active != 1 || one.Alarms(AlarmQuery{})[0].Thing != "plant/line" {
			t.Errorf("got %+v", s)
		}
		o.fail(errors.New("execution: found duplicate series"), 0)
		began := time.Now()
		if s := status(); s.Error != "execution: found duplicate series" || s.Failing.Before(began.Add(-time.Second)) || s.Active != 1 {
			t.Errorf("got %+v", s)
		}
		o.fail(nil, time.Hour)
		if s := status(); !strings.Contains(s.Error, "did not answer within 5s") || s.Took < 5 {
			t.Errorf("got %+v", s)
		}
		o.fail(nil, 0)
		for i := range maxSeries + 1 {
			o.set(fmt.Sprint("plant/t", i), true)
		}
		rules.put(t, "many", `{"promql":"x > 1","every":5}`)
		time.Sleep(6 * time.Second)
		if r, _ := rules.Rule("many"); !strings.Contains(r.status.Error, "without the label thing") && !strings.Contains(r.status.Error, "more than 100") {
			t.Errorf("got %+v", r.status)
		}
		wantTold(t, l, "raised:promql:active_unacked") // all that time it stands
		rules.drop(t, "r")
		beat()
		if a := one.Alarms(AlarmQuery{})[0]; a.Active() || a.Reason != "its rule was removed" {
			t.Errorf("got %+v", a)
		}
	})
}

func TestAnExpressionOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, o, s := &plant{t: t}, &oracle{}, newShelf()
		ctx, kill := context.WithCancel(t.Context())
		one, _, rules := p.asker(o, s)
		go func() { _ = one.Run(ctx) }()
		rules.put(t, "r", `{"promql":"x > 1","for":60,"every":5}`)
		o.set("plant/stays", true)
		o.set("plant/goes", true)
		time.Sleep(80 * time.Second)
		o.set("plant/new", true)
		time.Sleep(40 * time.Second) // two thirds of its time
		kill()
		p.leave(one)
		_, chunks := one.Checkpoint()
		o.set("plant/goes", false)
		o.fail(errors.New("history is not open yet"), 0)

		two := New(Config{Log: p, Evaluate: o.answer})
		l := &listener{}
		two.OnChange(l.hear)
		again := book(t, two, s)
		if _, err := two.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		p.join(two)
		run(t, two)
		time.Sleep(4 * time.Second)
		wantTold(t, l) // nobody knows yet, and nothing is cleared for that
		o.fail(nil, 0)
		time.Sleep(30 * time.Second) // 74 s in all
		wantTold(t, l, "cleared:promql:cleared_unacked", "raised:promql:active_unacked")
		things := map[string]bool{}
		for _, a := range two.Alarms(AlarmQuery{}) {
			things[a.Thing] = a.Active()
		}
		if want := map[string]bool{"plant/stays": true, "plant/goes": false, "plant/new": true}; !reflect.DeepEqual(things, want) {
			t.Errorf("got %v", things)
		}
		// Another expression with the same labels keeps the alarm.
		again.put(t, "r", `{"promql":"x > 2","every":5,"priority":4}`)
		time.Sleep(3 * time.Second)
		for _, a := range two.Alarms(AlarmQuery{State: "active"}) {
			if a.Priority != 4 || a.Step != realtime.AlarmChanged {
				t.Errorf("got %+v", a)
			}
		}
	})
}

// A division by zero gives no number of JSON; it is an alarm all the same.
func TestAnExpressionThatGivesInfinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &plant{t: t, lag: 5 * time.Millisecond}, newShelf()
		tw := New(Config{Log: p, Evaluate: func(context.Context, string, time.Time) ([]QuerySample, error) {
			return []QuerySample{{Labels: map[string]string{"thing": "plant/a"}, Value: math.Inf(1)}, {Labels: map[string]string{"thing": "plant/b"}, Value: math.NaN()}}, nil
		}})
		rules := book(t, tw, s)
		p.join(tw)
		run(t, tw)
		attend(t, rules)
		rules.put(t, "broken", `{"promql":"a / b > 1","title":"Ratio"}`)
		time.Sleep(time.Minute)
		found, err := rules.Try(t.Context(), []byte(`{"promql":"a / b > 1"}`), RuleChange{})
		if b, mErr := json.Marshal(found); err != nil || mErr != nil || found.Watches != 2 {
			t.Errorf("got %s, %v, %v", b, err, mErr)
		}
		var got []string
		for _, a := range tw.Alarms(AlarmQuery{}) {
			got = append(got, a.Thing+" "+string(a.Value)+" "+a.Message)
		}
		slices.Sort(got)
		if want := []string{`plant/a "+Inf" Ratio (+Inf)`, `plant/b "NaN" Ratio (NaN)`}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
