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

// Two operators at once: the newer one counts, and the older one is told.
func TestANewerCommandSupersedes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(press)
		other, heard := p.node(press)
		p.device(pressID, func(cmd string, _ []byte) error { return nil })
		older := make(chan realtime.Invoked)
		go func() {
			got, err := tw.Invoke(t.Context(), force(20))
			if err != nil {
				t.Error(err)
			}
			older <- got
		}()
		synctest.Wait()
		bob := force(30)
		bob.User = "bob"
		newer, err := other.Invoke(t.Context(), func() realtime.Invocation { b := bob; b.Async = true; return b }())
		if err != nil || newer.Status != realtime.Accepted && newer.Status != realtime.Sent {
			t.Fatalf("got %+v, %v", newer, err)
		}
		got := <-older
		if got.Status != realtime.Superseded || got.SupersededBy != newer.ID || !strings.Contains(got.Error, "bob") || !strings.Contains(got.Error, "may have run") {
			t.Errorf("got %+v", got)
		}
		p.answer(got.ID, `{"ok":true}`) // it ran after all
		p.answer(newer.ID, `{"ok":true}`)
		if c, _ := tw.Command(got.ID); c.Status != realtime.Superseded || !strings.HasSuffix(c.Error, "a late result says: it was done") {
			t.Errorf("got %+v", c)
		}
		// Done, and still on its way there: a third command ends the wait and not the outcome.
		third, _ := tw.Invoke(t.Context(), func() realtime.Invocation { i := force(5); i.Async = true; return i }())
		if c, _ := tw.Command(newer.ID); c.Status != realtime.Done || c.SupersededBy != third.ID || c.Verifying() || c.Reached != nil {
			t.Errorf("got %+v", c)
		}
		p.answer(third.ID, `{"ok":true}`)
		if !reflect.DeepEqual(heard.facts("cmd"), l.facts("cmd")) {
			t.Errorf("the nodes told\n%v\nand\n%v", heard.facts("cmd"), l.facts("cmd"))
		}
	})
}

// Other actions are other groups; those that say so share one, or have none.
func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(press)
		p.device(pressID, func(string, []byte) error { return nil })
		ids := map[string]string{}
		for i, action := range []string{"setForce", "start", "open", "open", "stop"} {
			in := realtime.Invocation{Thing: pressID, Action: action, User: "ana", Confirm: true, Reason: "test", Async: true}
			if action == "setForce" {
				in.Input = json.RawMessage(`{"force":1}`)
			}
			got, err := tw.Invoke(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			ids[fmt.Sprint(i)] = got.ID
			synctest.Wait()
		}
		for i, want := range []string{"sent", "superseded", "sent", "sent", "sent"} {
			if c, _ := tw.Command(ids[fmt.Sprint(i)]); c.Status != want {
				t.Errorf("%d: got %+v, want %s", i, c, want)
			}
		}
		time.Sleep(time.Minute)
	})
}

// A command that is superseded before it was sent is not sent, and says so. Its
// carrier may be slower than a newer command as a whole.
func TestWhatIsOvertakenIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(press)
		var sent []string
		p.device(pressID, func(cmd string, in []byte) error {
			sent = append(sent, string(in))
			p.answer(cmd, `{"ok":true}`)
			return nil
		})
		older := command{Group: "setForce", Deadline: time.Now().Add(time.Second).UnixMilli(),
			Invoked: realtime.Invoked{ID: newID(time.Now()), Thing: pressID, Action: "setForce", Input: json.RawMessage(`{"force":20}`), Status: realtime.Accepted, User: "ana", TS: time.Now()}}
		if err := tw.record(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Invoke(t.Context(), force(30)); err != nil {
			t.Error(err)
		}
		c, err := tw.carry(t.Context(), older)
		if err != nil || len(sent) != 1 || sent[0] != `{"force":30}` || c.Status != realtime.Superseded || c.Error != "superseded before it was sent: the device did not get it" {
			t.Errorf("sent %v, got %+v, %v", sent, c, err)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(press)
		var sent []string
		p.device(pressID, func(cmd string, in []byte) error {
			sent = append(sent, string(in))
			if string(in) == "null" {
				p.answer(cmd, `{"ok":true}`)
			}
			return nil
		})
		cancel := func(id string) (Cancelled, error) {
			return tw.Cancel(t.Context(), Cancellation{ID: id, User: "bob", Via: "ui"})
		}
		if _, err := cancel("none"); problem(t, err).Code != realtime.CodeNotFound {
			t.Errorf("got %v", err)
		}
		i := force(20)
		i.Async = true
		c, _ := tw.Invoke(t.Context(), i)
		synctest.Wait()
		got, err := cancel(c.ID)
		if err != nil || got.Status != realtime.Cancelled || got.By != "bob" || !strings.Contains(got.Error, "may run it") {
			t.Errorf("got %+v, %v", got, err)
		}
		// The description names an action that stops it, which was sent.
		if got.Stop == nil || got.Stop.Status != realtime.Done || got.Stop.User != "bob" || got.StopError != "" || len(sent) != 2 {
			t.Errorf("got %+v, sent %v", got, sent)
		}
		if _, err := cancel(c.ID); problem(t, err).Code != realtime.CodeConflict {
			t.Errorf("got %v", err)
		}

		// What is done stays done; only nobody looks any more.
		c, _ = tw.Invoke(t.Context(), i)
		synctest.Wait()
		p.answer(c.ID, `{"ok":true}`)
		p.devices.Delete(pressID)
		got, err = cancel(c.ID)
		if err != nil || got.Status != realtime.Done || got.By != "bob" || got.Verifying() || !strings.Contains(got.StopError, "not connected") {
			t.Errorf("got %+v, %v", got, err)
		}
		// A result that is in the log first wins.
		p.device(pressID, func(string, []byte) error { return nil })
		stop := realtime.Invocation{Thing: pressID, Action: "stop", User: "ana", Async: true}
		c, _ = tw.Invoke(t.Context(), stop)
		synctest.Wait()
		p.answer(c.ID, `{"ok":true}`)
		if _, err := cancel(c.ID); problem(t, err).Code != realtime.CodeConflict {
			t.Errorf("got %v", err)
		}
	})
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
