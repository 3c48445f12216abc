package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// press is a thing whose actions say how their effect is seen and what they risk.
const press = `{
	"id": "urn:echotwin:lab/press-1", "title": "Press",
	"properties": {"force": {"type": "number", "echotwin:period": 5}, "running": {"type": "boolean"}},
	"actions": {
		"setForce": {
			"input": {"type": "object", "required": ["force"], "properties": {"force": {"type": "number", "minimum": 0, "maximum": 50}}},
			"echotwin:feedback": {"property": "force", "tolerance": 0.5, "within": 8},
			"echotwin:cancel": "stop"
		},
		"start": {"echotwin:feedback": {"property": "running", "value": true, "within": 8}, "echotwin:risk": "confirm", "echotwin:group": "motor"},
		"stop": {"echotwin:group": "motor"},
		"open": {"echotwin:risk": "high", "echotwin:group": ""}
	}
}`

const pressID = "lab/press-1"

func force(f float64) realtime.Invocation {
	return realtime.Invocation{Thing: pressID, Action: "setForce", Input: json.RawMessage(fmt.Sprintf(`{"force":%v}`, f)), User: "ana", Via: "ui"}
}

// A command is verified by what the device reports, and by nothing else.
func TestVerified(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report func(p *plant) // after done
		steps  []string
		value  string
		after  time.Duration // of done
	}{
		{"it gets there", func(p *plant) {
			time.Sleep(time.Second)
			p.say(reading(pressID, time.Now(), `{"force":12}`))
			time.Sleep(time.Second)
			p.say(reading(pressID, time.Now(), `{"force":19.6}`))
		}, []string{"accepted", "sent", "done", "verified"}, "19.6", 2 * time.Second},
		{"done, and the value has not moved", func(p *plant) {
			for range 12 {
				time.Sleep(time.Second)
				p.say(reading(pressID, time.Now(), `{"force":10}`))
			}
		}, []string{"accepted", "sent", "done", "done"}, "10", 9 * time.Second},
		{"it gets there too late", func(p *plant) {
			for range 8 {
				time.Sleep(time.Second)
				p.say(reading(pressID, time.Now(), `{"force":19}`))
			}
			time.Sleep(500 * time.Millisecond)
			p.say(reading(pressID, time.Now(), `{"force":20}`), reading(pressID, time.Now(), `{"force":19}`))
		}, []string{"accepted", "sent", "done", "done"}, "19", 9 * time.Second},
		{"what it sends was measured before", func(p *plant) {
			time.Sleep(time.Second)
			p.say(realtime.Record{Kind: realtime.Telemetry, Thing: pressID, TS: time.Now().Add(-10 * time.Second), At: time.Now(), Values: []realtime.Value{{Name: "force", JSON: json.RawMessage("20")}}})
			p.say(reading(pressID, time.Now(), `{"force":10}`))
			for range 9 {
				time.Sleep(time.Second)
				p.say(reading(pressID, time.Now(), `{"force":10}`))
			}
		}, []string{"accepted", "sent", "done", "done"}, "10", 9 * time.Second},
		{"silence", func(p *plant) {}, []string{"accepted", "sent", "done", "done"}, "10", 9 * time.Second},
		{"a word for a number", func(p *plant) { p.say(reading(pressID, time.Now(), `{"force":"20"}`)) },
			[]string{"accepted", "sent", "done", "done"}, "10", 9 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &plant{t: t}
				tw, l := p.node(press)
				other, heard := p.node(press)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go tw.Run(ctx)
				go other.Run(ctx)
				p.device(pressID, func(cmd string, _ []byte) error {
					time.AfterFunc(time.Second, func() { p.answer(cmd, `{"ok":true}`) })
					return nil
				})
				p.say(reading(pressID, time.Now(), `{"force":10}`))
				got, err := tw.Invoke(t.Context(), force(20))
				if err != nil || got.Status != realtime.Done || !got.Verifying() {
					t.Fatalf("got %+v, %v", got, err)
				}
				done := time.Now()
				tt.report(p)
				time.Sleep(15 * time.Second)
				c, steps, _ := tw.CommandSteps(got.ID)
				if !reflect.DeepEqual(l.steps(), tt.steps) || !reflect.DeepEqual(heard.facts("cmd"), l.facts("cmd")) {
					t.Errorf("got %v and %v", l.steps(), heard.steps())
				}
				want := tt.steps[3] == "verified"
				if c.Reached == nil || *c.Reached != want || string(c.Reported) != tt.value || c.Verifying() {
					t.Errorf("got %+v", c)
				}
				if len(steps) != 4 || steps[3].Evidence == "" {
					t.Errorf("got %+v", steps)
				}
				// The loops of two nodes tick every second.
				if took := c.TS.Sub(done); took < tt.after-time.Second || took > tt.after+time.Second {
					t.Errorf("decided after %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// A device may report before it answers, and one that reports changes only has
// nothing to report when all was so before.
func TestVerifiedByWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(press)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go tw.Run(ctx)
		p.device(pressID, func(cmd string, _ []byte) error {
			p.say(reading(pressID, time.Now(), `{"force":20}`))
			p.answer(cmd, `{"ok":true}`)
			return nil
		})
		if _, err := tw.Invoke(t.Context(), force(20)); err != nil || l.steps()[2] != realtime.Verified {
			t.Errorf("got %v, %v", l.steps(), err)
		}
		p.device(pressID, func(cmd string, _ []byte) error { p.answer(cmd, `{"ok":true}`); return nil })
		time.Sleep(time.Second)
		got, _ := tw.Invoke(t.Context(), force(20))
		if got.Status != realtime.Done {
			t.Errorf("what was there before is evidence of nothing: %+v", got)
		}
		time.Sleep(3 * time.Second)
		p.say(reading(pressID, time.Now(), `{"running":true}`))
		// The value is stale after 15 s by its description, which is later than the 8 s.
		time.Sleep(7 * time.Second)
		if c, _ := tw.Command(got.ID); c.Status != realtime.Verified {
			t.Errorf("got %+v", c)
		}
		start := realtime.Invocation{Thing: pressID, Action: "start", User: "ana", Confirm: true}
		if got, _ = tw.Invoke(t.Context(), start); string(got.Feedback.Want) != "true" {
			t.Errorf("got %+v", got)
		}
	})
}

// A restart in the middle takes the wait up again, from a checkpoint or from
// the log.
func TestVerifyingSurvivesARestart(t *testing.T) {
	for _, how := range []string{"checkpoint", "log"} {
		for _, reports := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				p := &plant{t: t}
				dying, _ := p.node(press)
				p.device(pressID, func(cmd string, _ []byte) error { p.answer(cmd, `{"ok":true}`); return nil })
				p.say(reading(pressID, time.Now(), `{"force":10}`))
				got, _ := dying.Invoke(t.Context(), force(20))
				p.leave(dying)
				time.Sleep(2 * time.Second)
				tw := New(Config{Log: p, Devices: p})
				if how == "checkpoint" {
					if _, err := tw.Restore(second(dying.Checkpoint())); err != nil {
						t.Fatal(err)
					}
				}
				if err := tw.Describe([]byte(press)); err != nil {
					t.Fatal(err)
				}
				p.join(tw)
				if c, _ := tw.Command(got.ID); !c.Verifying() || len(tw.commands.verifying[pressID]) != 1 {
					t.Fatalf("%s: got %+v", how, c)
				}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go tw.Run(ctx)
				if reports {
					p.say(reading(pressID, time.Now(), `{"force":20.5}`))
				}
				time.Sleep(10 * time.Second)
				c, steps, _ := tw.CommandSteps(got.ID)
				if c.Reached == nil || *c.Reached != reports || len(tw.commands.verifying) != 0 || steps[0].Status != realtime.Accepted {
					t.Errorf("%s, reports %v: got %+v, %+v", how, reports, c, steps)
				}
			})
		}
	}
}

func TestRisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(press)
		p.device(pressID, func(cmd string, _ []byte) error { p.answer(cmd, `{"ok":true}`); return nil })
		for _, tt := range []struct {
			action, reason string
			confirm        bool
			code, at       string
		}{
			{"stop", "", false, "", ""},
			{"start", "", false, realtime.CodeConfirm, "/confirm"},
			{"start", "because", false, realtime.CodeConfirm, "/confirm"},
			{"start", "", true, "", ""},
			{"open", "", true, realtime.CodeReason, "/reason"},
			{"open", " \n", true, realtime.CodeReason, "/reason"},
			{"open", strings.Repeat("x", 501), true, realtime.CodeInvalid, "/reason"},
			{"open", " a jam ", false, "", ""},
		} {
			got, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: pressID, Action: tt.action, User: "ana", Reason: tt.reason, Confirm: tt.confirm})
			switch {
			case tt.code == "" && (err != nil || got.Status != realtime.Done):
				t.Errorf("%+v: got %+v, %v", tt, got, err)
			case tt.code != "" && (problem(t, err).Code != tt.code || problem(t, err).At != tt.at):
				t.Errorf("%+v: got %v", tt, err)
			}
			if tt.reason == " a jam " && (got.Reason != "a jam" || got.Risk != "high") {
				t.Errorf("the audit has %+v", got)
			}
		}
		if n := strings.Count(strings.Join(l.facts("cmd"), "\n"), `"status":"rejected"`); n != 4 {
			t.Errorf("the audit has %d refusals, want 4", n)
		}
		time.Sleep(time.Minute)
	})
}

// A device that answers twice, and differently, changes nothing and is noted.
func TestADeviceThatContradictsItself(t *testing.T) {
	for _, tt := range []struct{ first, then, status, err string }{
		{`{"ok":true}`, `{"ok":false,"error":"jam"}`, "done", "the device answered again, and differently: it failed, jam"},
		{`{"ok":false,"error":"jam"}`, `{"ok":true}`, "failed", "jam; the device answered again, and differently: it was done"},
		{`{"ok":true}`, `{"ok":true,"output":7}`, "done", ""},
		{`{"ok":false,"error":"` + strings.Repeat("x", 60_000) + `"}`, `{"ok":false}`, "failed", strings.Repeat("x", maxError) + "…"},
		{`{"ok":true,"error":[[[[]]]]}`, `nonsense`, "done", `the device answered again, and differently: it failed, the device's result has no "ok" that is true or false`},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &plant{t: t}
			tw, _ := p.node(press)
			p.device(pressID, func(cmd string, _ []byte) error { p.answer(cmd, tt.first); return nil })
			got, _ := tw.Invoke(t.Context(), realtime.Invocation{Thing: pressID, Action: "stop", User: "ana"})
			then := json.RawMessage(tt.then)
			if !json.Valid(then) {
				then = json.RawMessage(`"` + tt.then + `"`)
			}
			for range 3 { // however often it says so
				p.answer(got.ID, string(then))
			}
			c, steps, _ := tw.CommandSteps(got.ID)
			if c.Status != tt.status || c.Error != tt.err || len(steps) > 4 {
				t.Errorf("%s, %s: got %+v, %v", tt.first, tt.then, c, steps)
			}
			for _, s := range steps {
				if len(s.Evidence) > maxEvidence+10 {
					t.Errorf("a step quotes %d bytes", len(s.Evidence))
				}
			}
		})
	}
}

func TestWhatADescriptionSaysOfActions(t *testing.T) {
	for _, tt := range []struct{ action, at, message string }{
		{`{"echotwin:risk":"deadly"}`, "/actions/a/echotwin:risk", "one of"},
		{`{"echotwin:feedback":"nothing"}`, "/actions/a/echotwin:feedback", "no property"},
		{`{"echotwin:feedback":{"property":"x"}}`, "/actions/a/echotwin:feedback", "takes no input"},
		{`{"echotwin:feedback":{"tolerance":1}}`, "/actions/a/echotwin:feedback/property", "missing"},
		{`{"echotwin:feedback":{"property":"x","within":0,"value":1}}`, "/actions/a/echotwin:feedback/within", "not above 0"},
		{`{"echotwin:feedback":{"property":"x","tolerance":-1,"value":1}}`, "/actions/a/echotwin:feedback/tolerance", "below the minimum"},
		{`{"input":{"type":"object","properties":{"a":{},"b":{}}},"echotwin:feedback":{"property":"x"}}`, "/actions/a/echotwin:feedback", "several members"},
		{`{"input":{"type":"object","properties":{"a":{},"b":{}}},"echotwin:feedback":{"property":"x","from":"c"}}`, "/actions/a/echotwin:feedback/from", "no member"},
		{`{"echotwin:cancel":"b"}`, "/actions/a/echotwin:cancel", "no action"},
		{`{"echotwin:cancel":"a"}`, "/actions/a/echotwin:cancel", "itself"},
	} {
		td := `{"id":"lab/x","title":"X","properties":{"x":{"type":"number"}},"actions":{"a":` + tt.action + `}}`
		err := New(Config{}).Describe([]byte(td))
		if p := problem(t, err); p.At != tt.at || !strings.Contains(p.Message, tt.message) {
			t.Errorf("%s: got %s %v", tt.action, p.At, p)
		}
	}
	td := `{"id":"lab/x","title":"X","properties":{"x":{"type":"number"}},"actions":{"a":{"input":{"type":"number"},"echotwin:feedback":{"property":"x"},"echotwin:cancel":"b"},"b":{}}}`
	if err := New(Config{}).Describe([]byte(td)); err != nil {
		t.Error(err)
	}
}

// What was wanted and what is reported are compared as values, however the
// device writes its JSON.
func TestAReportMeansWhatItSays(t *testing.T) {
	for _, tt := range []struct {
		input, reported string
		want            bool
	}{
		{`"đóng"`, `"\u0111\u00f3ng"`, true}, // as Python writes it
		{`"a/b"`, `"a\/b"`, true},            // as PHP does
		{`"A&B <1>"`, `"A&B <1>"`, true},
		{`"đóng"`, `"dong"`, false},
		{`true`, `true`, true},
		{`true`, `"true"`, false},
		{`1`, `true`, false},
		{`1`, `1.0`, true},
		{`[1,2]`, `[1.0,2]`, true},
		{`[1,2]`, `[2,1]`, false},
		{`{"a":1,"b":{"c":["x"]}}`, `{"b":{"c":["x"]},"a":1.0}`, true},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
	} {
		input, problem := canonical([]byte(tt.input))
		if problem != nil {
			t.Fatal(problem)
		}
		if got := reached((&feedback{property: "x"}).of(input), json.RawMessage(tt.reported)); got != tt.want {
			t.Errorf("asked for %s, %s was reported: reached is %v", tt.input, tt.reported, got)
		}
	}
}
