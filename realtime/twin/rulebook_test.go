package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// book gives a node its rules.
func book(t *testing.T, tw *Twins, s *shelf) *Rulebook {
	t.Helper()
	b := NewRulebook(RulebookConfig{Twins: tw, Store: s, Changed: errChanged, Exists: errExists, Missing: errMissing, Check: func(q string) error {
		if strings.Contains(q, "((") {
			return errors.New("parse error: unclosed left parenthesis")
		}
		return nil
	}})
	if err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func attend(t *testing.T, books ...*Rulebook) {
	for _, b := range books {
		go func() { _ = b.Run(t.Context()) }()
	}
	synctest.Wait()
}

func (b *Rulebook) put(t *testing.T, id, doc string) Rule {
	t.Helper()
	r, _, err := b.Put(t.Context(), id, []byte(doc), RuleChange{By: "ana"})
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return r
}

func (b *Rulebook) drop(t *testing.T, id string) {
	t.Helper()
	if err := b.Remove(t.Context(), id, RuleChange{}); err != nil {
		t.Fatal(err)
	}
}

// The node that hears of a rule late neither clears what the other raised by it
// nor raises what the other cleared.
func TestRulesOnTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &plant{t: t, lag: 5 * time.Millisecond}, newShelf()
		one, l := p.node(kiln)
		two, other := p.node(kiln)
		first, second := book(t, one, s), book(t, two, s)
		run(t, one, two)
		p.kilnSays(`{"temperature":80,"mode":"run"}`)
		first.put(t, "warm", `{"thing":"plant/**","property":"temperature","high":70}`)
		time.Sleep(3 * time.Second) // and the second does not hear of it
		wantTold(t, l, "raised:high:active_unacked")
		if err := second.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		beat()
		first.put(t, "warm", `{"thing":"plant/**","property":"temperature","high":85}`)
		time.Sleep(3 * time.Second)
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked")
		attend(t, first, second)
		second.put(t, "warm", `{"thing":"plant/**","property":"temperature","high":60}`)
		beat()
		first.drop(t, "warm")
		beat()
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked", "raised:high:active_unacked", "cleared:high:cleared_unacked")
		if fmt.Sprint(l.facts("alarm")) != fmt.Sprint(other.facts("alarm")) {
			t.Error("the nodes tell different things")
		}

		// Both write at once: neither is lost.
		var wg sync.WaitGroup
		for name, b := range map[string]*Rulebook{"a": first, "b": second} {
			wg.Go(func() {
				for i := range 10 {
					b.put(t, fmt.Sprint(name, i), `{"thing":"x","property":"y","high":1}`)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if a, b := len(first.List()), len(second.List()); a != 20 || b != 20 {
			t.Errorf("%d and %d rules", a, b)
		}
	})
}

func TestARuleOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &plant{t: t}, newShelf()
		one, _ := p.node(kiln)
		rules := book(t, one, s)
		run(t, one)
		rules.put(t, "warm", `{"thing":"plant/**","property":"temperature","high":70}`)
		rules.put(t, "dry", `{"thing":"plant/**","property":"slow","low":10}`)
		p.kilnSays(`{"temperature":80,"slow":5,"mode":"run"}`)
		before := one.Alarms(AlarmQuery{})
		_, chunks := one.Checkpoint()
		p.leave(one)
		again := func() *Twins {
			tw := New(Config{Log: p})
			if err := tw.Describe([]byte(kiln)); err != nil {
				t.Fatal(err)
			}
			return tw
		}
		tw := again()
		book(t, tw, s)
		if _, err := tw.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		now := time.Now().UnixMilli()
		if steps := tw.timedSteps(tw.pendingSteps(now), now); len(steps) != 0 || len(before) != 2 || !reflect.DeepEqual(tw.Alarms(AlarmQuery{}), before) {
			t.Errorf("it is not as it was: %+v of %+v", steps, before)
		}
		// The rules are not known yet: nothing is cleared for that.
		blind := again()
		if _, err := blind.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		for _, step := range blind.timedSteps(nil, now) {
			t.Errorf("a blind node takes the step %s of %s", step.Name, step.Data)
		}
		// Removed while no node ran.
		rules.drop(t, "dry")
		tw = again()
		book(t, tw, s)
		if _, err := tw.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		if steps := tw.timedSteps(tw.pendingSteps(now), now); len(steps) != 1 || !strings.Contains(string(steps[0].Data), "its rule was removed") {
			t.Errorf("got %+v", steps)
		}
	})
}

func TestWhatIsWrongWithARule(t *testing.T) {
	tw := New(Config{})
	rules := book(t, tw, newShelf())
	for doc, where := range map[string]string{
		`{"thing":"a","property":"x","high":1}`:                        "ok",
		`{"thing":"a","property":"x","stale":true,"onDelay":9}`:        "ok",
		`{"thing":"a","property":"x","high":false}`:                    "ok",
		`{"promql":"a > 1","for":60,"every":5,"by":"x","status":{}}`:   "ok",
		`{"thing":"a","property":"x","rate":{"max":1,"over":5}}`:       "ok",
		`{"thing":"a","property":"x","high":"ten"}`:                    "/high",
		`{"thing":"a","property":"x","high":true}`:                     "/high",
		`{"thing":"a","property":"x","low":5,"high":5}`:                "/high",
		`{"thing":"a","property":"x","rate":{"max":1}}`:                "/rate/over",
		`{"thing":"a","property":"x","low":1,"high":5,"hysteresis":9}`: "/hysteresis",
		`{"thing":"a","property":"x","high":5,"deadband":-1}`:          "/deadband",
		`{"thing":"a","property":"x","high":5,"for":9}`:                "/for",
		`{"thing":"a//b","property":"x","high":5}`:                     "/thing",
		`{"thing":"a","property":"x y","high":5}`:                      "/property",
		`{"thing":"a","high":5}`:                                       "/property",
		`{"property":"x","high":5}`:                                    "/thing",
		`{"thing":"a","property":"x","high":5,"suppress":"b>"}`:        "/suppress",
		`{"thing":"a","property":"x","high":5,"priority":7}`:           "/priority",
		`{"thing":"a","property":"x","high":5,"hihi":7}`:               "/hihi",
		`{"thing":"a","property":"x","high":5,"id":"other"}`:           "/id",
		`{"thing":"a","property":"x"}`:                                 "",
		`{"thing":"a","property":"x","message":"m"}`:                   "",
		`{"promql":"((","thing":"a"}`:                                  "/promql",
		`{"promql":"a","high":5}`:                                      "/high",
		`{"promql":"a","every":1}`:                                     "/every",
		`{"promql":"a","for":1e9}`:                                     "/for",
		`[]`:                                                           "",
		`{`:                                                            "",
		`{"thing":"a","property":"x","high":1e999}`:                    "",
		`{"thing":"a","property":"x","high":5,"message":"` + strings.Repeat("x", maxRule) + `"}`: "",
	} {
		_, _, err := rules.Put(t.Context(), "r", []byte(doc), RuleChange{})
		if where == "ok" {
			if err != nil {
				t.Errorf("%s: %v", doc, err)
			}
			continue
		}
		if p := problem(t, err); p.At != where {
			t.Errorf("%.80s: got %+v, want at %q", doc, p, where)
		}
	}
	if _, _, err := rules.Put(t.Context(), "a b", []byte(`{"thing":"a","property":"x","high":1}`), RuleChange{}); problem(t, err).At != "/id" {
		t.Errorf("got %v", err)
	}
	// Tags, patches and what is sent back as it was read.
	r := rules.put(t, "r", `{"thing":"a","property":"x","high":1}`)
	if _, err := rules.Patch(t.Context(), "r", []byte(`{"high":2}`), RuleChange{Match: Match{Tags: []string{r.Tag}}}); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		failure(rules.Patch(t.Context(), "r", []byte(`{"high":3}`), RuleChange{Match: Match{Tags: []string{r.Tag}}})),
		rules.Remove(t.Context(), "r", RuleChange{Match: Match{Tags: []string{r.Tag}}}),
	} {
		if problem(t, err).Code != realtime.CodeChanged {
			t.Errorf("got %v", err)
		}
	}
	if _, err := rules.Patch(t.Context(), "r", []byte(`{"high":null}`), RuleChange{}); problem(t, err).Code != realtime.CodeInvalid {
		t.Errorf("got %v", err)
	}
	if err := rules.Remove(t.Context(), "none", RuleChange{}); problem(t, err).Code != realtime.CodeNotFound {
		t.Errorf("got %v", err)
	}
	now, _ := rules.Rule("r")
	read, err := json.Marshal(now)
	if err != nil || !strings.Contains(string(read), `"high":2`) || !strings.Contains(string(read), `"watches":0`) {
		t.Fatalf("%s, %v", read, err)
	}
	if back := rules.put(t, "r", string(read)); back.Tag != now.Tag {
		t.Error("sent back as it was read, it is another")
	}
}

func TestRulesAreBounded(t *testing.T) {
	rules := book(t, New(Config{}), newShelf())
	for i := range maxExprRules {
		rules.put(t, fmt.Sprint("q", i), `{"promql":"a>1","thing":"a"}`)
	}
	if _, _, err := rules.Put(t.Context(), "q", []byte(`{"promql":"a>1","thing":"a"}`), RuleChange{}); problem(t, err).Code != realtime.CodeTooMany {
		t.Errorf("got %v", err)
	}
	long := `{"thing":"a","property":"x","high":1,"message":"` + strings.Repeat("x", 300) + `","suppress":"` + strings.Repeat("yyyyyyyyyy>1 and ", 15) + `y>1"}`
	var err error
	n := 0
	for ; n <= maxRules && err == nil; n++ {
		_, _, err = rules.Put(t.Context(), fmt.Sprint("r", n), []byte(long), RuleChange{})
	}
	if problem(t, err).Code != realtime.CodeTooMany || n < 300 {
		t.Errorf("%d rules, %v", n, err)
	}
}
