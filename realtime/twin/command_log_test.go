package twin

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

func TestARepeatedKeyNeverRunsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// All have seen that the key is free before one of them is in the log.
		p := &plant{t: t, hold: make(chan struct{})}
		one, l := p.node(conveyor)
		two, _ := p.node(conveyor)
		var runs atomic.Int32
		p.device(conveyorID, func(cmd string, _ []byte) error {
			runs.Add(1)
			time.AfterFunc(time.Second, func() { p.answer(cmd, `{"ok":true,"output":1}`) })
			return nil
		})
		i := speed(`{"speed":80}`)
		i.Key = "once"
		var wg sync.WaitGroup
		outcomes := make([]realtime.Invoked, 20)
		for n := range outcomes {
			wg.Go(func() {
				var err error
				if outcomes[n], err = []*Twins{one, two}[n%2].Invoke(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(p.hold)
		wg.Wait()
		again, err := two.Invoke(t.Context(), i)
		for _, o := range outcomes {
			if !reflect.DeepEqual(o, again) || err != nil || o.Status != realtime.Done {
				t.Errorf("got %+v and %+v, %v", o, again, err)
			}
		}
		if runs.Load() != 1 || !reflect.DeepEqual(l.steps(), []string{"accepted", "sent", "done"}) {
			t.Errorf("it ran %d times: %v", runs.Load(), l.steps())
		}

		// A restart brings the key back, from a checkpoint or from the log.
		_, chunks := one.Checkpoint()
		restored := New(Config{Log: p, Devices: p})
		if err := restored.Describe([]byte(conveyor)); err != nil {
			t.Fatal(err)
		}
		if _, err := restored.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		p.join(restored)
		replayed, _ := p.node(conveyor)
		for _, tw := range []*Twins{restored, replayed} {
			if got, err := tw.Invoke(t.Context(), i); err != nil || !reflect.DeepEqual(got, again) || runs.Load() != 1 {
				t.Errorf("after a restart got %+v, %v; it ran %d times", got, err, runs.Load())
			}
		}

		// Another wish, another user and a free key.
		other := i
		other.Input = json.RawMessage(`{"speed":81}`)
		if _, err := one.Invoke(t.Context(), other); problem(t, err).Code != realtime.CodeConflict {
			t.Errorf("got %v", err)
		}
		bob := i
		bob.User = "bob"
		if _, err := one.Invoke(t.Context(), bob); err != nil || runs.Load() != 2 {
			t.Errorf("bob's own key: %v; it ran %d times", err, runs.Load())
		}
		free := speed(`{"speed":999}`)
		free.Key = "free"
		if _, err := one.Invoke(t.Context(), free); err == nil {
			t.Error("999 was allowed")
		}
		free.Input = json.RawMessage(`{"speed":99}`)
		if _, err := one.Invoke(t.Context(), free); err != nil || runs.Load() != 3 {
			t.Errorf("the key of a rejected command is not free: %v", err)
		}
	})
}

func TestARepeatedKeyGivesTheFirstRejection(t *testing.T) {
	p := &plant{t: t}
	tw, _ := p.node(conveyor)
	i := speed(`{"speed":80}`)
	i.Key = "once"
	first, err := tw.Invoke(t.Context(), i)
	if problem(t, err).Code != realtime.CodeOffline {
		t.Fatal(err)
	}
	p.device(conveyorID, func(string, []byte) error { t.Error("it ran after all"); return nil })
	_, chunks := tw.Checkpoint()
	restored := New(Config{Log: p, Devices: p})
	if _, err := restored.Restore(chunks); err != nil {
		t.Fatal(err)
	}
	for _, tw := range []*Twins{tw, restored} {
		again, err := tw.Invoke(t.Context(), i)
		if !reflect.DeepEqual(first, again) || problem(t, err).Code != realtime.CodeOffline {
			t.Errorf("got %+v, %v, want %+v", again, err, first)
		}
	}
}

func TestACommandGoesOnWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(conveyor)
		var id atomic.Value
		p.device(conveyorID, func(cmd string, _ []byte) error { id.Store(cmd); return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := tw.Invoke(ctx, speed(`{"speed":80}`))
		if !errors.Is(err, context.DeadlineExceeded) || got.Status != realtime.Sent {
			t.Fatalf("got %+v, %v", got, err)
		}
		p.answer(id.Load().(string), `{"ok":true}`)
		if want := []string{"accepted", "sent", "done"}; !reflect.DeepEqual(l.steps(), want) {
			t.Errorf("got %v, want %v", l.steps(), want)
		}
	})
}

func TestACommandThatNobodyCarriesTimesOut(t *testing.T) {
	for _, how := range []string{"checkpoint", "log"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &plant{t: t}
				dying, _ := p.node(conveyor)
				p.device(conveyorID, func(string, []byte) error { return nil })
				ctx, kill := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, kill)
				got, _ := dying.Invoke(ctx, speed(`{"speed":80}`))
				p.leave(dying)
				time.Sleep(time.Hour)

				tw := New(Config{Log: p, Devices: p})
				if how == "checkpoint" {
					if _, err := tw.Restore(second(dying.Checkpoint())); err != nil {
						t.Fatal(err)
					}
				}
				p.join(tw)
				if c, _ := tw.Command(got.ID); c.Status != realtime.Sent {
					t.Fatalf("got %+v", c)
				}
				other, _ := p.node()
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go tw.Run(ctx)
				go other.Run(ctx)
				time.Sleep(3 * time.Second)
				c, _ := tw.Command(got.ID)
				if c.Status != realtime.TimedOut || tw.Stats().OpenCommands != 0 {
					t.Errorf("got %+v", c)
				}
			})
		})
	}
}

func second(_ uint64, chunks [][]byte) [][]byte { return chunks }

func TestWithoutALogNothingIsSent(t *testing.T) {
	p := &plant{t: t}
	tw, l := p.node(conveyor)
	p.device(conveyorID, func(string, []byte) error { t.Error("sent"); return nil })
	p.fail(&realtime.Problem{Code: realtime.CodeUnavailable, Message: "no space"})
	got, err := tw.Invoke(t.Context(), speed(`{"speed":80}`))
	if problem(t, err).Code != realtime.CodeUnavailable || got.Status != realtime.Rejected || len(l.steps()) != 0 {
		t.Errorf("got %+v, %v, %v", got, err, l.steps())
	}
	// What was wrong with the wish itself is said all the same.
	if _, err := tw.Invoke(t.Context(), speed(`{"speed":999}`)); problem(t, err).Code != realtime.CodeOutOfRange {
		t.Errorf("got %v", err)
	}
	p.fail(errors.New("disk on fire at 10.0.0.7"))
	if _, err := tw.Invoke(t.Context(), speed(`{"speed":80}`)); strings.Contains(problem(t, err).Message, "10.0.0.7") {
		t.Errorf("the user sees %v", err)
	}
	none := New(Config{})
	if err := none.Describe([]byte(conveyor)); err != nil {
		t.Fatal(err)
	}
	if _, err := none.Invoke(t.Context(), speed(`{"speed":80}`)); problem(t, err).Code != realtime.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestTheLogGoesDownWhileACommandRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(conveyor)
		p.device(conveyorID, func(string, []byte) error { p.fail(errors.New("full")); return nil })
		got, err := tw.Invoke(t.Context(), speed(`{"speed":80}`))
		if problem(t, err).Code != realtime.CodeUnavailable || got.Status != realtime.TimedOut {
			t.Errorf("got %+v, %v", got, err)
		}
		p.fail(nil)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go tw.Run(ctx)
		time.Sleep(5 * time.Second)
		if want := []string{"accepted", "timeout"}; !reflect.DeepEqual(l.steps(), want) {
			t.Errorf("got %v, want %v", l.steps(), want)
		}
	})
}

func TestStoppingLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(conveyor)
		p.device(conveyorID, func(string, []byte) error { return nil })
		ctx, stop := context.WithCancel(t.Context())
		go tw.Run(ctx)
		time.AfterFunc(time.Second, stop)
		began := time.Now()
		got, err := tw.Invoke(t.Context(), speed(`{"speed":80}`))
		if problem(t, err).Code != realtime.CodeUnavailable || got.Status != realtime.Sent || time.Since(began) != time.Second {
			t.Errorf("got %+v, %v after %v", got, err, time.Since(began))
		}
		if _, err := tw.Invoke(t.Context(), speed(`{"speed":80}`)); problem(t, err).Code != realtime.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	})
}

// Who asked over a socket must know a step of its command when it is told.
func TestTheIDIsKnownBeforeTheFirstStep(t *testing.T) {
	p := &plant{t: t}
	tw, l := p.node(conveyor)
	known := map[string]bool{}
	ctx := realtime.OnCommandID(t.Context(), func(id string) { known[id] = true })
	tw.OnChange(func(u realtime.Update) {
		l.hear(u)
		for _, f := range u.Facts {
			var c realtime.Invoked
			if err := json.Unmarshal(f.Body, &c); err != nil || !known[c.ID] {
				t.Errorf("a step of an unknown command was told: %s", f.Body)
			}
		}
	})
	i := speed(`{"speed":80}`)
	i.Key = "once"
	first, _ := tw.Invoke(ctx, i) // offline
	if len(l.steps()) != 2 {
		t.Errorf("got %v", l.steps())
	}
	_, _ = tw.Invoke(ctx, speed(`{"speed":999}`))
	clear(known)
	if _, _ = tw.Invoke(ctx, i); !known[first.ID] || len(known) != 1 {
		t.Errorf("a repeated key was told %v, want %s", known, first.ID)
	}
}

// What a command is follows from the order of the log alone, also when the log
// has steps that were too late or are twice.
func TestTheOrderOfTheLogDecides(t *testing.T) {
	step := func(cmd, status, key string) realtime.Record {
		data, err := json.Marshal(command{Invoked: realtime.Invoked{ID: cmd, Status: status, User: "ana"}, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return realtime.Record{Kind: realtime.Command, Thing: conveyorID, TS: noon, At: noon, Cmd: cmd, Data: data}
	}
	result := realtime.Record{Kind: realtime.Result, TS: noon, At: noon, Cmd: "1", Data: json.RawMessage(`{"ok":true}`)}
	for _, tt := range []struct {
		log  []realtime.Record
		want []string
	}{
		{[]realtime.Record{step("1", "accepted", ""), step("1", "sent", ""), result, step("1", "timeout", "")}, []string{"accepted", "sent", "done"}},
		{[]realtime.Record{step("1", "accepted", ""), result, step("1", "sent", "")}, []string{"accepted", "done"}},
		{[]realtime.Record{step("1", "accepted", ""), step("1", "timeout", ""), step("1", "timeout", ""), step("1", "sent", "")}, []string{"accepted", "timeout"}},
		{[]realtime.Record{step("1", "accepted", ""), step("1", "sent", ""), step("1", "sent", ""), step("1", "accepted", "")}, []string{"accepted", "sent"}},
		{[]realtime.Record{step("1", "accepted", ""), result, result}, []string{"accepted", "done"}},
		{[]realtime.Record{step("1", "accepted", "k"), step("2", "accepted", "k"), step("2", "sent", "k")}, []string{"accepted"}},
		{[]realtime.Record{step("2", "rejected", "k"), step("1", "accepted", "k")}, []string{"rejected", "accepted"}},
		{[]realtime.Record{result}, nil},
	} {
		tw, l := New(Config{}), &listener{}
		tw.OnChange(l.hear)
		for i, r := range tt.log {
			tw.Apply(realtime.Bundle{Seq: uint64(i + 1), Records: []realtime.Record{r}})
		}
		if got := l.steps(); !slices.Equal(got, tt.want) {
			t.Errorf("got %v, want %v", got, tt.want)
		}
	}
}

// A sender that gives up when its context does, as the real one.
type slowSender struct{ cancelled chan error }

func (s slowSender) Send(ctx context.Context, _, _, _ string, _ []byte) error {
	<-ctx.Done()
	s.cancelled <- ctx.Err()
	return ctx.Err()
}

func TestSendingEndsByItsTimeAndNotByItsCaller(t *testing.T) {
	for _, tt := range []struct {
		who  string
		want time.Duration
	}{{"caller", 10 * time.Second}, {"server", time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			p := &plant{t: t}
			s := slowSender{make(chan error, 1)}
			tw := New(Config{Log: p, Devices: s})
			if err := tw.Describe([]byte(conveyor)); err != nil {
				t.Fatal(err)
			}
			p.join(tw)
			caller, leave := context.WithCancel(t.Context())
			server, stop := context.WithCancel(t.Context())
			defer stop()
			defer leave()
			go tw.Run(server)
			time.AfterFunc(time.Second, map[string]func(){"caller": leave, "server": stop}[tt.who])
			began := time.Now()
			go tw.Invoke(caller, speed(`{"speed":80}`))
			<-s.cancelled
			if took := time.Since(began); took != tt.want {
				t.Errorf("the %s left after 1 s and sending ended after %v, want %v", tt.who, took, tt.want)
			}
		})
	}
}
