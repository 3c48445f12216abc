package twin

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// The process dies while a command is in each of its states, and comes back by
// a checkpoint or by the log. Nothing runs twice, nothing that ended moves, and
// what was under way ends by what the device says then, or by its time.
func TestARestartInEveryState(t *testing.T) {
	silent := func(*plant, string) error { return nil }
	says := func(data string) func(*plant, string) error {
		return func(p *plant, cmd string) error { p.answer(cmd, data); return nil }
	}
	for _, tt := range []struct {
		name   string
		device func(p *plant, cmd string) error
		before func(p *plant, tw *Twins, cmd string) // what happens until it dies
		was    string
		after  func(p *plant, cmd string) // what the device says when it is back
		want   string
		mark   string // of the effect: reached, missed or ""
	}{
		{"accepted, and never sent", func(*plant, string) error { return errors.New("connection reset") }, nil, "accepted", nil, "timeout", ""},
		{"accepted, and it ran all the same", func(*plant, string) error { return errors.New("connection reset") }, nil, "accepted", func(p *plant, cmd string) { p.answer(cmd, `{"ok":true}`) }, "done", "missed"},
		{"sent, and the device answers after", silent, nil, "sent", func(p *plant, cmd string) { p.answer(cmd, `{"ok":false,"error":"jam"}`) }, "failed", ""},
		{"sent, and then silence", silent, nil, "sent", nil, "timeout", ""},
		{"done, and the value comes after", says(`{"ok":true}`), nil, "done", func(p *plant, _ string) { p.say(reading(pressID, time.Now(), `{"force":20}`)) }, "verified", "reached"},
		{"done, and it never comes", says(`{"ok":true}`), nil, "done", nil, "done", "missed"},
		{"verified", says(`{"ok":true}`), func(p *plant, _ *Twins, _ string) { p.say(reading(pressID, time.Now(), `{"force":20}`)) }, "verified", func(p *plant, cmd string) { p.answer(cmd, `{"ok":true}`) }, "verified", "reached"},
		{"failed", says(`{"ok":false}`), nil, "failed", nil, "failed", ""},
		{"rejected", func(*plant, string) error { return &realtime.Problem{Code: realtime.CodeOffline, Message: "away"} }, nil, "rejected", nil, "rejected", ""},
		{"cancelled", silent, func(_ *plant, tw *Twins, cmd string) {
			_, _ = tw.Cancel(context.Background(), Cancellation{ID: cmd, User: "ana"})
		}, "cancelled", nil, "cancelled", ""},
		{"timed out, and an answer comes late", silent, func(*plant, *Twins, string) { time.Sleep(4 * time.Second) }, "timeout", func(p *plant, cmd string) { p.answer(cmd, `{"ok":true}`) }, "timeout", ""},
	} {
		for _, how := range []string{"checkpoint", "log"} {
			t.Run(tt.name+", by "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &plant{t: t}
					dying, _ := p.node(press)
					sent := 0
					p.device(pressID, func(cmd string, in []byte) error {
						if string(in) == "null" { // the action that stops it
							p.answer(cmd, `{"ok":true}`)
							return nil
						}
						sent++
						return tt.device(p, cmd)
					})
					i := force(20)
					i.Timeout, i.Async, i.Key = 3*time.Second, true, "once"
					got, _ := dying.Invoke(t.Context(), i)
					synctest.Wait()
					if tt.before != nil {
						tt.before(p, dying, got.ID)
					}
					if c, _ := dying.Command(got.ID); c.Status != tt.was {
						t.Fatalf("it died as %+v, want %s", c, tt.was)
					}
					p.leave(dying)
					dying.end() // its carriers go with it

					tw := New(Config{Log: p, Devices: p})
					if err := tw.Describe([]byte(press)); err != nil {
						t.Fatal(err)
					}
					if how == "checkpoint" {
						if _, err := tw.Restore(second(dying.Checkpoint())); err != nil {
							t.Fatal(err)
						}
					}
					l := &listener{}
					tw.OnChange(l.hear)
					p.join(tw)
					was, before, _ := dying.CommandSteps(got.ID)
					if is, steps, _ := tw.CommandSteps(got.ID); !reflect.DeepEqual(was, is) || !reflect.DeepEqual(before, steps) {
						t.Errorf("came back as %+v %+v, want %+v %+v", is, steps, was, before)
					}
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					go tw.Run(ctx)
					time.Sleep(time.Second)
					if tt.after != nil {
						tt.after(p, got.ID)
					}
					time.Sleep(20 * time.Second)
					c, _ := tw.Command(got.ID)
					mark := ""
					if c.Reached != nil {
						mark = map[bool]string{true: "reached", false: "missed"}[*c.Reached]
					}
					if c.Status != tt.want || mark != tt.mark || c.Verifying() || tw.Stats().OpenCommands != 0 {
						t.Errorf("got %+v, want %s %s", c, tt.want, tt.mark)
					}
					// The key is known still, so that a client which asks again runs nothing.
					if again, _ := tw.Invoke(t.Context(), i); again.ID != got.ID || sent != 1 {
						t.Errorf("asked again it is %s and was sent %d times", again.ID, sent)
					}
				})
			})
		}
	}
}
