package twin

import (
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// beat lets the alarms catch up.
func beat() {
	time.Sleep(alarmsEvery * 3)
	synctest.Wait()
}

func TestARuleStandsInPlaceOfTheDescription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node(kiln)
		rules := book(t, one, newShelf())
		run(t, one)
		attend(t, rules)
		p.kilnSays(`{"temperature":80,"mode":"run"}`)
		rules.put(t, "warm", `{"thing":"plant/line1/*","property":"temperature","high":70,"hysteresis":1,"priority":3,"message":"{title} of {thing}: {value} {unit} > {limit}"}`)
		beat()
		a := one.Alarms(AlarmQuery{})
		if len(a) != 1 || a[0].RuleID != "warm" || *a[0].Limit != 70 || a[0].Priority != 3 || a[0].Message != "Temperature of plant/line1/oven-1: 80 °C > 70" {
			t.Fatalf("got %+v", a)
		}
		id := a[0].ID
		// One that names the thing itself comes before one with a pattern, a pattern
		// of one segment before one for the rest.
		rules.put(t, "all", `{"thing":"plant/**","property":"temperature","high":10}`)
		rules.put(t, "exact", `{"thing":"plant/line1/oven-1","property":"temperature","high":75,"priority":1}`)
		beat()
		if a, _ := one.AlarmState(id); !a.Active() || a.RuleID != "exact" || *a.Limit != 75 || a.Severity != "critical" || a.Message != "Temperature 80 °C is above 75 °C" {
			t.Errorf("it is to follow its rule: %+v", a)
		}
		rules.put(t, "exact", `{"thing":"plant/line1/oven-1","property":"temperature","high":false}`)
		beat()
		if a, _ := one.AlarmState(id); a.Active() || a.Reason != "its rule does not look at it any more" && a.Reason != "a rule takes it away" {
			t.Errorf("the limit was taken away: %+v", a)
		}
		rules.drop(t, "exact")
		rules.drop(t, "warm")
		beat()
		if a, _ := one.AlarmState(id); a.RuleID != "all" || !a.Active() || a.Reason != "" {
			t.Errorf("the next rule counts: %+v", a)
		}
		rules.drop(t, "all")
		beat()
		if a, _ := one.AlarmState(id); a.Active() || a.Reason != "its limit is 90 now" {
			t.Errorf("80 is not beyond the 90 of the description: %+v", a)
		}
		p.kilnSays(`{"temperature":95}`)
		if a, _ := one.AlarmState(id); !a.Active() || a.RuleID != "" || *a.Limit != 90 {
			t.Errorf("the description counts again: %+v", a)
		}
		wantTold(t, l, "raised:high:active_unacked", "changed:high:active_unacked", "cleared:high:cleared_unacked", "raised:high:active_unacked", "cleared:high:cleared_unacked", "raised:high:active_unacked")
	})
}

func TestARuleForWhatIsNotDescribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node()
		rules := book(t, one, newShelf())
		run(t, one)
		rules.put(t, "hot", `{"thing":"shed/*","property":"temp","high":30,"highHigh":90,"onDelay":10}`)
		p.say(reading("shed/a", time.Now(), `{"temp":40,"x":1}`), reading("shed/b", time.Now(), `{"temp":"warm"}`), reading("barn/a", time.Now(), `{"temp":40}`))
		time.Sleep(9 * time.Second)
		wantTold(t, l)
		time.Sleep(2 * time.Second)
		wantTold(t, l, "raised:high:active_unacked")
		if r, _ := rules.Rule("hot"); r.status.Watches != 2 || r.status.Active != 1 {
			t.Errorf("got %+v", r.status)
		}
		rules.drop(t, "hot")
		beat()
		if a := one.Alarms(AlarmQuery{})[0]; a.Active() || a.Reason != "its rule was removed" {
			t.Errorf("got %+v", a)
		}
		// A rule begins to count when it is written, not when the value came.
		time.Sleep(time.Hour)
		rules.put(t, "hot", `{"thing":"barn/*","property":"temp","high":30,"onDelay":60}`)
		time.Sleep(50 * time.Second)
		if got := one.Alarms(AlarmQuery{State: "active"}); len(got) != 0 {
			t.Errorf("too early: %+v", got)
		}
		time.Sleep(11 * time.Second)
		if got := one.Alarms(AlarmQuery{State: "active"}); len(got) != 1 {
			t.Errorf("got %+v", got)
		}
		rules.put(t, "hot", `{"thing":"barn/*","property":"temp","high":30,"enabled":false}`)
		beat()
		if a := one.Alarms(AlarmQuery{})[0]; a.Active() || a.Reason != "its rule is switched off" {
			t.Errorf("got %+v", a)
		}
	})
}

func TestDeadband(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node()
		rules := book(t, one, newShelf())
		run(t, one)
		rules.put(t, "r", `{"thing":"a","property":"x","high":90,"deadband":2}`)
		say := func(v string) { p.say(reading("a", time.Now(), `{"x":`+v+`}`)); beat() }
		say("89.5") // the first counts
		say("91")   // nearer than 2 to what counted
		say("90.8")
		wantTold(t, l)
		say("91.5") // as far as 2
		say("89.6") // again too near
		wantTold(t, l, "raised:high:active_unacked")
		say("89.5")
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked")
	})
}

// FuzzRule: whatever is sent as a rule is read in bounded time and answered by a
// problem, or can be put on a thing.
func FuzzRule(f *testing.F) {
	for _, doc := range []string{
		`{"thing":"a/*","property":"x","high":1,"low":0,"hysteresis":0.5,"deadband":0.1,"suppress":"b>1 and c=true"}`,
		`{"promql":"a > 1","for":60,"thing":"a/b"}`, `{"thing":"**","property":"x","rate":{"max":1,"over":9},"stale":true}`, `{"high":1e400}`, `[[[[`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, p := parseRule("r", doc, func(string) error { return nil })
		if p != nil {
			if p.Message == "" || p.Code == "" {
				t.Errorf("%+v", p)
			}
			return
		}
		set := newRuleSet(1, map[string]*rule{"r": r})
		tw := New(Config{})
		tw.setRules(set)
		tw.Apply(realtime.Bundle{Seq: 1, Records: []realtime.Record{reading("a/b", noon, `{"x":1e300}`), reading("a/b", noon.Add(time.Second), `{"x":-1}`)}})
		if again, p := parseRule("r", []byte(mustMarshal(t, r.doc)), func(string) error { return nil }); p != nil || again.tag != r.tag {
			t.Errorf("read back it is another: %v", p)
		}
	})
}

func mustMarshal(t *testing.T, v any) string {
	b, err := realtime.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
