package twin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

const kilnID = "plant/line1/oven-1"

const kiln = `{
	"@context": "https://www.w3.org/2022/wot/td/v1.1", "id": "urn:echotwin:plant/line1/oven-1", "title": "Oven 1",
	"properties": {
		"temperature": {"title": "Temperature", "type": "number", "unit": "°C", "echotwin:period": 1,
			"echotwin:alarms": {"lowLow": 5, "low": 10, "high": 90, "highHigh": 100, "hysteresis": 2, "stale": true, "suppress": "mode=\"test\""}},
		"slow": {"type": "number", "echotwin:alarms": {"high": 50, "onDelay": 3, "offDelay": 2}},
		"ramp": {"type": "number", "echotwin:alarms": {"rate": {"max": 1, "over": 10}}},
		"mode": {"type": "string"}
	},
	"events": {"overheat": {"title": "Overheated"}, "greased": {}},
	"echotwin:alarms": {"offline": true, "events": {"overheat": {"priority": 1}}}
}`

// told is the alarm facts, as step:rule:state.
func (l *listener) told() (out []string) {
	for _, body := range l.facts("alarm") {
		var a realtime.AlarmState
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			return []string{err.Error()}
		}
		out = append(out, a.Step+":"+a.Rule+":"+a.State)
	}
	return out
}

// kilnSays says something and lets the alarms catch up.
func (p *plant) kilnSays(set string) {
	p.say(reading(kilnID, time.Now(), set))
	time.Sleep(alarmsEvery * 3)
	synctest.Wait()
}

func run(t *testing.T, nodes ...*Twins) {
	for _, tw := range nodes {
		go func() { _ = tw.Run(t.Context()) }()
	}
}

func wantTold(t *testing.T, l *listener, want ...string) {
	t.Helper()
	if got := l.told(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestALimitIsRaisedOnceAndClearedWithHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t, lag: 5 * time.Millisecond}
		one, l := p.node(kiln)
		two, other := p.node(kiln) // both nodes write, one step counts
		run(t, one, two)
		for _, set := range []string{`{"temperature":90}`, `{"temperature":91.5}`, `{"temperature":89}`, `{"temperature":90.5}`, `{"temperature":87.9}`, `{"temperature":"x"}`, `{"temperature":101}`} {
			p.kilnSays(set)
		}
		want := []string{"raised:high:active_unacked", "cleared:high:cleared_unacked", "raised:high:active_unacked", "raised:highHigh:active_unacked"}
		wantTold(t, l, want...)
		if !reflect.DeepEqual(l.facts("alarm"), other.facts("alarm")) {
			t.Errorf("the other node told\n%v", other.facts("alarm"))
		}
		list := one.Alarms(AlarmQuery{})
		if len(list) != 2 || list[0].Rule != "highHigh" || list[0].Priority != 1 || list[0].Severity != "critical" || list[1].Count != 2 {
			t.Errorf("got %+v", list)
		}
		if got := list[1].Message; got != "Temperature 101 °C is above 90 °C" {
			t.Errorf("got %q", got)
		}
		if s := one.AlarmSummary(nil); s.Active != 2 || s.Unacked != 2 || s.Priorities["1"] != (AlarmCount{1, 1}) || s.Flood {
			t.Errorf("got %+v", s)
		}
		if s := one.AlarmSummary(func(string) bool { return false }); s.Active != 0 {
			t.Errorf("who sees nothing counts %+v", s)
		}
	})
}

func TestAnAlarmWaitsForItsDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node(kiln)
		run(t, one)
		p.kilnSays(`{"slow":60}`)
		time.Sleep(2 * time.Second)
		p.kilnSays(`{"slow":40}`)
		p.kilnSays(`{"slow":60}`)
		time.Sleep(2500 * time.Millisecond)
		wantTold(t, l)
		time.Sleep(time.Second) // no reading is needed for its time to come
		wantTold(t, l, "raised:high:active_unacked")
		p.kilnSays(`{"slow":40}`)
		time.Sleep(time.Second)
		wantTold(t, l, "raised:high:active_unacked")
		time.Sleep(time.Second)
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked")
	})
}

func TestWhatPeopleDoWithAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t, lag: 5 * time.Millisecond}
		one, l := p.node(kiln)
		two, _ := p.node(kiln)
		run(t, one, two)
		p.kilnSays(`{"temperature":95}`)
		id := one.Alarms(AlarmQuery{})[0].ID
		got, err := one.AckAlarms(t.Context(), "ana", " on my way ", id)
		if err != nil || got[0].State != realtime.ActiveAcked || got[0].Acked.By != "ana" || got[0].Acked.Comment != "on my way" {
			t.Errorf("got %+v, %v", got, err)
		}
		if again, err := two.AckAlarms(t.Context(), "bob", "me too", id); err != nil || again[0].Acked.By != "ana" {
			t.Errorf("the second counted: %+v, %v", again, err)
		}
		shelved, err := two.ShelveAlarm(t.Context(), id, "bob", "sensor", 10*time.Second)
		if err != nil || shelved.Shelved == nil || shelved.Shelved.Reason != "sensor" {
			t.Errorf("got %+v, %v", shelved, err)
		}
		if s := one.AlarmSummary(nil); s.Active != 0 || s.Shelved != 1 {
			t.Errorf("got %+v", s)
		}
		time.Sleep(12 * time.Second)
		if a, _ := one.AlarmState(id); a.Shelved != nil || a.Step != realtime.AlarmUnshelved {
			t.Errorf("its time is over: %+v", a)
		}
		p.kilnSays(`{"temperature":50}`)
		if left := one.Alarms(AlarmQuery{}); len(left) != 1 || left[0].Rule != ruleStale {
			t.Errorf("what stands is %+v", left)
		}
		wantTold(t, l, "raised:high:active_unacked", "acked:high:active_acked", "shelved:high:active_acked", "raised:stale:active_unacked", "unshelved:high:active_acked", "cleared:high:cleared_acked", "cleared:stale:cleared_unacked")
		for _, err := range []error{
			failure(one.AckAlarms(t.Context(), "ana", "", "nope")),
			failure(one.ShelveAlarm(t.Context(), id, "ana", "", time.Minute)),
			failure(one.ShelveAlarm(t.Context(), id, "ana", "x", 0)),
			failure(one.ShelveAlarm(t.Context(), id, "ana", "x", time.Minute)),
		} {
			problem(t, err)
		}
		p.fail(fmt.Errorf("disk"))
		if _, err := one.AckAlarms(t.Context(), "ana", "", id); problem(t, err).Code != realtime.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	})
}

func failure[T any](_ T, err error) error { return err }

func TestARestartRaisesNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node(kiln)
		run(t, one)
		p.kilnSays(`{"temperature":95}`)
		p.kilnSays(`{"slow":60}`) // still in its delay
		_, chunks := one.Checkpoint()
		before := one.Alarms(AlarmQuery{})
		p.leave(one)
		for name, restore := range map[string]func(tw *Twins){
			"before the description": func(tw *Twins) { _, _ = tw.Restore(chunks); _ = tw.Describe([]byte(kiln)) },
			"after it":               func(tw *Twins) { _ = tw.Describe([]byte(kiln)); _, _ = tw.Restore(chunks) },
		} {
			tw := New(Config{Log: p})
			restore(tw)
			if got := tw.Alarms(AlarmQuery{}); !reflect.DeepEqual(got, before) {
				t.Errorf("%s: got %+v, want %+v", name, got, before)
			}
			if s := tw.pendingSteps(time.Now().UnixMilli()); len(s) != 0 {
				t.Errorf("%s: it raises again: %+v", name, s)
			}
			if s := tw.pendingSteps(time.Now().Add(4 * time.Second).UnixMilli()); len(s) != 1 || !strings.Contains(string(s[0].Data), `"slow"`) {
				t.Errorf("%s: what was in its delay is forgotten: %+v", name, s)
			}
		}
		replayed, heard := p.node(kiln)
		if !reflect.DeepEqual(heard.facts("alarm"), l.facts("alarm")) || !reflect.DeepEqual(replayed.Alarms(AlarmQuery{}), before) {
			t.Errorf("by the log: %v", heard.told())
		}
	})
}

func TestEventsSilenceAndRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node(kiln)
		run(t, one)
		event := func(name string) {
			p.say(realtime.Record{Kind: realtime.Event, Thing: kilnID, TS: time.Now(), At: time.Now(), Name: name, Data: json.RawMessage(`{"t":99}`)})
		}
		event("overheat")
		event("greased")
		event("overheat")
		if a := one.Alarms(AlarmQuery{})[0]; a.Event != "overheat" || a.Count != 2 || a.Message != "Overheated" || a.Priority != 1 || string(a.Value) != `{"t":99}` {
			t.Errorf("got %+v", a)
		}
		status := func(name string) {
			p.say(realtime.Record{Kind: realtime.Status, Thing: kilnID, TS: time.Now(), At: time.Now(), Name: name})
		}
		status("online")
		status("offline")
		time.Sleep(3 * time.Second)
		status("online") // that was short
		time.Sleep(10 * time.Second)
		status("offline")
		time.Sleep(6 * time.Second)
		status("online")
		for i := range 20 {
			p.kilnSays(fmt.Sprintf(`{"ramp":%d}`, 2*i))
			time.Sleep(time.Second)
		}
		for range 12 {
			p.kilnSays(`{"ramp":38}`)
			time.Sleep(time.Second)
		}
		p.kilnSays(`{"temperature":50}`)
		time.Sleep(10 * time.Second)
		wantTold(t, l, "raised:event:cleared_unacked", "raised:event:cleared_unacked",
			"raised:offline:active_unacked", "cleared:offline:cleared_unacked", "raised:rate:active_unacked", "cleared:rate:cleared_unacked", "raised:stale:active_unacked")
	})
}

func TestSuppressedAndUnlogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node(kiln)
		run(t, one)
		one.ShowUnlogged([]realtime.Record{reading(kilnID, time.Now(), `{"temperature":99}`)})
		time.Sleep(2 * time.Second)
		wantTold(t, l)
		p.kilnSays(`{"mode":"test"}`)
		p.kilnSays(`{"temperature":99}`)
		if s := one.AlarmSummary(nil); s.Suppressed != 1 || s.Active != 0 || len(one.Alarms(AlarmQuery{State: "suppressed"})) != 1 || len(one.Alarms(AlarmQuery{State: "active"})) != 0 {
			t.Errorf("got %+v", s)
		}
		p.kilnSays(`{"mode":"run","temperature":99}`)
		time.Sleep(2 * time.Second)
		if s := one.AlarmSummary(nil); s.Suppressed != 0 || s.Active != 1 {
			t.Errorf("got %+v", s)
		}
		// The rule goes from the description, and its alarm with it.
		if err := one.Describe([]byte(strings.Replace(kiln, `"high": 90,`, ``, 1))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		wantTold(t, l, "raised:high:active_unacked", "unsuppressed:high:active_unacked", "cleared:high:cleared_unacked")
	})
}

func TestChatterAndFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		var tds []string
		for i := range 500 {
			tds = append(tds, strings.ReplaceAll(kiln, "oven-1", fmt.Sprintf("oven-%d", i+1)))
		}
		one, l := p.node(tds...)
		run(t, one)
		for range 40 {
			p.kilnSays(`{"temperature":95}`)
			p.kilnSays(`{"temperature":50}`)
		}
		if n := len(l.facts("alarm")); n > 20 {
			t.Errorf("it chattered %d times", n)
		}
		time.Sleep(time.Minute)
		var rs []realtime.Record
		for i := range 500 {
			rs = append(rs, reading(fmt.Sprintf("plant/line1/oven-%d", i+1), time.Now(), `{"slow":60,"ramp":1}`))
		}
		p.say(rs...)
		time.Sleep(4 * time.Second)
		if s := one.AlarmSummary(nil); !s.Flood || s.Active < 500 {
			t.Errorf("got %+v", s)
		}
		p.mu.Lock()
		bundles := p.bundles
		p.mu.Unlock()
		for _, b := range bundles {
			if len(b.Records) > 2*stepsAtOnce && b.Records[0].Kind == realtime.Alarm {
				t.Errorf("%d steps in one bundle", len(b.Records))
			}
		}
		time.Sleep(time.Minute)
		if s := one.AlarmSummary(nil); s.Flood {
			t.Error("the flood is over and still told")
		}
	})
}

func TestAlarmsAreBounded(t *testing.T) {
	tw := New(Config{})
	long := strings.Repeat("é", 5000)
	for i := range maxAlarms + maxOver + 2000 {
		id := fmt.Sprint("a", i)
		step := alarmStep{Rule: "high", Priority: 9, Message: "too high"}
		if i%500 == 0 {
			step.Message = long
		}
		data, _ := json.Marshal(step)
		tw.Apply(realtime.Bundle{Seq: uint64(2*i + 1), Records: []realtime.Record{{Kind: realtime.Alarm, Thing: "t", Name: realtime.AlarmRaised, Cmd: id, Data: data}}})
		if i < maxOver+2000 {
			data, _ = json.Marshal(alarmStep{After: uint64(2*i + 1)})
			tw.Apply(realtime.Bundle{Seq: uint64(2*i + 2), Records: []realtime.Record{
				{Kind: realtime.Alarm, Thing: "t", Name: realtime.AlarmAcked, Cmd: id, Data: []byte(`{"user":"a"}`)},
				{Kind: realtime.Alarm, Thing: "t", Name: realtime.AlarmCleared, Cmd: id, Data: data}}})
		}
	}
	tw.Apply(realtime.Bundle{Seq: 1 << 40, Records: []realtime.Record{
		{Kind: realtime.Alarm, Thing: "t", Name: realtime.AlarmRaised, Cmd: "more", Data: []byte(`{"rule":"high"}`)},
		{Kind: realtime.Alarm, Thing: "t", Name: "dance", Cmd: "more", Data: []byte(`{`)},
		{Kind: realtime.Alarm, Thing: "t", Name: "dance", Cmd: "a1", Data: []byte(`{}`)},
	}})
	s := tw.Stats()
	if s.Alarms != maxAlarms || s.LostAlarms != 1 || s.Unreadable != 1 || len(tw.alarms.byID) > maxAlarms+maxOver {
		t.Errorf("got %+v and %d", s, len(tw.alarms.byID))
	}
	clipped := 0
	for _, al := range tw.alarms.byID {
		if len(al.Message) > maxAlarmMsg+3 {
			t.Errorf("a message of %d bytes", len(al.Message))
		}
		if len(al.Message) > maxAlarmMsg-3 {
			clipped++
		}
	}
	if clipped < maxAlarms/500 {
		t.Errorf("%d messages were clipped", clipped)
	}
}

func TestAlarmsOfADescriptionAreChecked(t *testing.T) {
	for _, tt := range []struct{ alarms, thing, at string }{
		{`{"high":10,"highHigh":5}`, ``, "/properties/x/echotwin:alarms/highHigh"},
		{`{"low":10,"high":10}`, ``, "/properties/x/echotwin:alarms/high"},
		{`{"lowLow":10,"highHigh":1}`, ``, "/properties/x/echotwin:alarms/highHigh"},
		{`{"high":"ten"}`, ``, "/properties/x/echotwin:alarms/high"},
		{`{"hihi":10}`, ``, "/properties/x/echotwin:alarms/hihi"},
		{`{"high":10,"onDelay":-1}`, ``, "/properties/x/echotwin:alarms/onDelay"},
		{`{"low":1,"high":10,"hysteresis":20}`, ``, "/properties/x/echotwin:alarms/hysteresis"},
		{`{"high":10,"suppress":"a>"}`, ``, "/properties/x/echotwin:alarms/suppress"},
		{`{"rate":{"max":0,"over":5}}`, ``, "/properties/x/echotwin:alarms/rate/max"},
		{`{"high":10}`, `{"events":{"boom":{}}}`, "/echotwin:alarms/events/boom"},
		{`{"high":10}`, `{"offline":1}`, "/echotwin:alarms/offline"},
		{`{"high":10,"low":1,"lowLow":0,"highHigh":11,"hysteresis":1}`, `{"offline":true}`, ""},
	} {
		td := `{"@context":"https://www.w3.org/2022/wot/td/v1.1","id":"urn:echotwin:a","title":"A","properties":{"x":{"type":"number","echotwin:alarms":` + tt.alarms + `}}`
		if tt.thing != "" {
			td += `,"echotwin:alarms":` + tt.thing
		}
		err := New(Config{}).Describe([]byte(td + "}"))
		if tt.at == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.alarms, err)
			}
			continue
		}
		if p := problem(t, err); p.At != tt.at {
			t.Errorf("%s %s: got %+v, want at %s", tt.alarms, tt.thing, p, tt.at)
		}
	}
}

// A cause that comes and goes between two turns, or within one message of a
// device that sends what it kept, is raised and cleared as any other.
func TestACauseThatHasPassedIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t, lag: 5 * time.Millisecond}
		kiln := strings.NewReplacer(`"stale": true, `, ``, `"lowLow": 5, "low": 10, `, ``).Replace(kiln)
		one, l := p.node(kiln)
		two, other := p.node(kiln)
		run(t, one, two)
		kept := func(name string, values ...float64) { // one a second, the newest now
			var rs []realtime.Record
			for i, v := range values {
				r := reading(kilnID, time.Now().Add(time.Duration(i+1-len(values))*time.Second), fmt.Sprintf(`{"%s":%v}`, name, v))
				r.At = time.Now()
				rs = append(rs, r)
			}
			p.say(rs...)
			time.Sleep(time.Second)
		}
		kept("temperature", 50, 95, 50)
		began := time.Now().Add(-2 * time.Second)
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked")
		a := one.Alarms(AlarmQuery{})[0]
		if string(a.Value) != "95" || a.Message != "Temperature 95 °C is above 90 °C" || !a.Raised.Equal(began) || !a.Cleared.Equal(began.Add(time.Second)) {
			t.Errorf("got %+v, began %v", a, began)
		}
		kept("slow", 60, 60, 40) // shorter than its delay
		time.Sleep(5 * time.Second)
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked")
		kept("slow", 60, 60, 60, 60, 60, 40, 40, 40)
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked", "raised:high:active_unacked", "cleared:high:cleared_unacked")
		many := make([]float64, 1000)
		for i := range many {
			many[i] = float64(i % 2 * 60)
		}
		kept("slow", append(many, 40)...) // each for a second only
		kept("temperature", append(many, 95, 50)...)
		time.Sleep(10 * time.Second)
		wantTold(t, l, "raised:high:active_unacked", "cleared:high:cleared_unacked", "raised:high:active_unacked", "cleared:high:cleared_unacked",
			"raised:high:active_unacked", "cleared:high:cleared_unacked")
		if !reflect.DeepEqual(l.facts("alarm"), other.facts("alarm")) {
			t.Errorf("the other node told\n%v", other.facts("alarm"))
		}
		// Who reads the log from its beginning finds that all of it was raised.
		time.Sleep(time.Minute)
		later, heard := p.node(kiln)
		run(t, later)
		time.Sleep(time.Second)
		if !reflect.DeepEqual(heard.facts("alarm"), l.facts("alarm")) {
			t.Errorf("by the log: %v", heard.told())
		}
	})
}

// A value that comes less often than its rate looks back changes since the one
// before.
func TestARateOfAValueThatComesSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node(kiln)
		run(t, one)
		for _, v := range []int{0, 10, 40, 41, 90} {
			p.kilnSays(fmt.Sprintf(`{"ramp":%d}`, v))
			time.Sleep(15 * time.Second)
		}
		wantTold(t, l, "raised:rate:active_unacked", "cleared:rate:cleared_unacked", "raised:rate:active_unacked")
		time.Sleep(time.Hour)
		p.kilnSays(`{"ramp":500}`)
		wantTold(t, l, "raised:rate:active_unacked", "cleared:rate:cleared_unacked", "raised:rate:active_unacked", "cleared:rate:cleared_unacked")
	})
}
