package twin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

const gate = `{
	"id": "urn:echotwin:lab/gate", "title": "Gate",
	"properties": {"guard": {"type": "string", "echotwin:period": 1}, "speed": {"type": "number", "echotwin:period": 1}},
	"actions": {
		"open": {"echotwin:interlocks": [
			{"when": "guard=closed and speed<5", "message": "The gate must stand."},
			{"when": "lab/other:pressure>=2"}
		]},
		"lift": {"echotwin:interlocks": [{"promql": "max_over_time(echotwin_value[1m]) < 5", "message": "Quiet for a minute"}]}
	}
}`

func TestInterlocks(t *testing.T) {
	const id = "lab/gate"
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(gate)
		p.device(id, func(cmd string, _ []byte) error { p.answer(cmd, `{"ok":true}`); return nil })
		open := realtime.Invocation{Thing: id, Action: "open", User: "ana"}
		other := func(v string) realtime.Record { return reading("lab/other", time.Now(), `{"pressure":`+v+`}`) }
		gateIs := func(guard, speed string) realtime.Record {
			return reading(id, time.Now(), `{"guard":`+guard+`,"speed":`+speed+`}`)
		}
		for _, tt := range []struct {
			name    string
			say     func() []realtime.Record
			wait    time.Duration
			at, why string // "" lets it pass
		}{
			{"nothing is known", nil, 0, "/interlocks/0", "not known whether this holds: nobody knows guard, speed"},
			{"one is missing", func() []realtime.Record { return []realtime.Record{gateIs(`"closed"`, "0")} }, 0, "/interlocks/1", "nobody knows lab/other:pressure"},
			{"all hold", func() []realtime.Record { return []realtime.Record{gateIs(`"closed"`, "4.9"), other("2")} }, 0, "", ""},
			{"one does not", func() []realtime.Record { return []realtime.Record{gateIs(`"open"`, "0")} }, 0, "/interlocks/0", `The gate must stand. (guard=closed and speed<5): this does not hold: guard is "open", speed is 0`},
			{"the other does not", func() []realtime.Record { return []realtime.Record{gateIs(`"closed"`, "0"), other("1.9")} }, 0, "/interlocks/1", "lab/other:pressure>=2: this does not hold"},
			{"a value is old", func() []realtime.Record { return []realtime.Record{gateIs(`"closed"`, "0"), other("2")} }, 4 * time.Second, "/interlocks/0", "nobody knows guard, speed"},
			{"a value is of the wrong type", func() []realtime.Record { return []realtime.Record{gateIs(`7`, "0"), other("2")} }, 0, "/interlocks/0", "nobody knows guard"},
			{"another type than compared", func() []realtime.Record { return []realtime.Record{gateIs(`"closed"`, "0"), other(`"2"`)} }, 0, "/interlocks/1", "another type"},
			{"the device is offline", func() []realtime.Record {
				return []realtime.Record{gateIs(`"closed"`, "0"), other("2"), {Kind: realtime.Status, Thing: id, Name: "offline"}}
			}, 0, "/interlocks/0", "nobody knows"},
			{"and back", func() []realtime.Record { return []realtime.Record{{Kind: realtime.Status, Thing: id, Name: "online"}} }, 0, "", ""},
		} {
			if tt.say != nil {
				p.say(tt.say()...)
			}
			time.Sleep(tt.wait)
			ready, err := tw.Readiness(t.Context(), id, "open")
			if err != nil || ready.Ready != (tt.at == "") {
				t.Errorf("%s: got %+v, %v", tt.name, ready, err)
			}
			got, err := tw.Invoke(t.Context(), open)
			if tt.at == "" {
				if err != nil || got.Status != realtime.Done {
					t.Errorf("%s: got %+v, %v", tt.name, got, err)
				}
				if _, steps, _ := tw.CommandSteps(got.ID); !strings.Contains(steps[0].Evidence, "these hold: guard=closed and speed<5, lab/other:pressure>=2") {
					t.Errorf("%s: the evidence is %+v", tt.name, steps[0])
				}
				continue
			}
			why := problem(t, err)
			if why.Code != realtime.CodeInterlock || why.At != tt.at || !strings.Contains(why.Message, tt.why) || got.Status != realtime.Rejected {
				t.Errorf("%s: got %+v", tt.name, why)
			}
			if strings.Contains(why.Message, "1.9") {
				t.Errorf("%s: another thing's value is told: %s", tt.name, why.Message)
			}
		}
		// People read frames in a terminal, where speed\u003c5 is hard to read.
		if told := strings.Join(l.facts("cmd"), "\n"); !strings.Contains(told, "speed<5") || strings.Contains(told, `\u003c`) {
			t.Errorf("told %s", told)
		}
		time.Sleep(time.Minute)
	})
}

func TestInterlocksThatAskHistory(t *testing.T) {
	const id = "lab/gate"
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		var answer []QuerySample
		var fails error
		tw := New(Config{Log: p, Devices: p, Query: func(ctx context.Context, expr string, at time.Time) ([]QuerySample, error) {
			if expr != "max_over_time(echotwin_value[1m]) < 5" || !at.Equal(time.Now()) {
				t.Errorf("asked for %s at %v", expr, at)
			}
			if errors.Is(fails, context.DeadlineExceeded) {
				<-ctx.Done() // history hangs
				return nil, ctx.Err()
			}
			return answer, fails
		}})
		if err := tw.Describe([]byte(gate)); err != nil {
			t.Fatal(err)
		}
		p.join(tw)
		p.device(id, func(cmd string, _ []byte) error { p.answer(cmd, `{"ok":true}`); return nil })
		lift := realtime.Invocation{Thing: id, Action: "lift", User: "ana"}
		for _, tt := range []struct {
			answer []QuerySample
			fails  error
			why    string
		}{
			{nil, nil, "this does not hold"},
			{[]QuerySample{{Value: 0}}, nil, ""}, // as a comparison gives what it is true of
			{nil, errors.New("parse error"), "not known whether this holds: the query failed: parse error"},
			{[]QuerySample{{Value: 0}}, errors.New("no disk"), "no disk"},
			{nil, context.DeadlineExceeded, "deadline"},
		} {
			answer, fails = tt.answer, tt.fails
			began := time.Now()
			got, err := tw.Invoke(t.Context(), lift)
			if tt.why == "" {
				if err != nil || got.Status != realtime.Done {
					t.Errorf("got %+v, %v", got, err)
				}
				continue
			}
			if why := problem(t, err); why.Code != realtime.CodeInterlock || !strings.Contains(why.Message, tt.why) {
				t.Errorf("%v: got %+v", tt.fails, why)
			}
			if took := time.Since(began); took > interlockWait {
				t.Errorf("it took %v", took)
			}
		}
		none, _ := p.node(gate)
		if _, err := none.Invoke(t.Context(), lift); problem(t, err).Code != realtime.CodeInterlock {
			t.Errorf("without history: got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestInterlocksThatAreWrong(t *testing.T) {
	for lock, at := range map[string]string{
		`{"when":"speed>"}`:                "/when",
		`{"when":"speed>1","promql":"up"}`: "",
		`{"message":"nothing"}`:            "",
		`{"when":""}`:                      "/when",
		`{"when":"speed>1","else":"stop"}`: "/else",
		`{"promql":7}`:                     "/promql",
		`"speed>1"`:                        "",
		`{"when":"(((((((((((((speed>1"}`:  "/when",
		`{"when":"a=1` + strings.Repeat(" and a=1", 20) + `"}`: "/when",
	} {
		td := `{"id":"lab/x","title":"X","actions":{"a":{"echotwin:interlocks":[{"when":"x=1"},` + lock + `]}}}`
		if p := problem(t, New(Config{}).Describe([]byte(td))); p.At != "/actions/a/echotwin:interlocks/1"+at {
			t.Errorf("%s: got %s: %s", lock, p.At, p.Message)
		}
	}
}

// Who commanded it last, and what a new command would replace.
func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(press)
		p.device(pressID, func(string, []byte) error { return nil })
		if r, err := tw.Readiness(t.Context(), pressID, "start"); err != nil || !r.Ready || r.Risk != "confirm" || r.Controller != nil || len(r.Replaces) > 0 {
			t.Errorf("got %+v, %v", r, err)
		}
		i := realtime.Invocation{Thing: pressID, Action: "stop", User: "bob", Async: true}
		if _, err := tw.Invoke(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		i.Action = "start" // refused: it is not confirmed
		_, _ = tw.Invoke(t.Context(), i)
		synctest.Wait()           // bob's has been sent
		p.devices.Delete(pressID) // accepted, and then the device is away
		_, _ = tw.Invoke(t.Context(), force(7))
		synctest.Wait()
		r, err := tw.Readiness(t.Context(), pressID, "start")
		if err != nil || r.Controller == nil || r.Controller.User != "bob" || r.Controller.Action != "stop" || len(r.Replaces) != 1 {
			t.Errorf("got %+v, %v", r, err)
		}
		if r, _ := tw.Readiness(t.Context(), pressID, "setForce"); len(r.Replaces) != 0 || r.Controller == nil {
			t.Errorf("got %+v", r)
		}
		if _, err := tw.Readiness(t.Context(), pressID, "none"); problem(t, err).Code != realtime.CodeNotFound {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

// behind is a log in which something stands right behind an accepted command.
type behind struct {
	*plant
	more realtime.Record
}

func (w behind) Put(ctx context.Context, rs ...realtime.Record) (uint64, error) {
	if rs[0].Kind == realtime.Command && strings.Contains(string(rs[0].Data), `"status":"accepted"`) {
		rs = append(rs, w.more)
	}
	return w.plant.Put(ctx, rs...)
}

// What held when a command was accepted may not hold any more when the log has
// stored it: then nothing is sent.
func TestInterlocksHoldWhenACommandIsSent(t *testing.T) {
	const id = "lab/gate"
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		// The log has the guard open right after the command.
		tw, l := New(Config{Log: behind{p, reading(id, time.Now(), `{"guard":"open"}`)}, Devices: p}), &listener{}
		tw.OnChange(l.hear)
		if err := tw.Describe([]byte(gate)); err != nil {
			t.Fatal(err)
		}
		p.join(tw)
		sent := 0
		p.device(id, func(cmd string, _ []byte) error { sent++; p.answer(cmd, `{"ok":true}`); return nil })
		p.say(reading("lab/other", time.Now(), `{"pressure":2}`), reading(id, time.Now(), `{"guard":"closed","speed":0}`))
		got, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: id, Action: "open", User: "ana", Key: "k"})
		why := problem(t, err)
		if why.Code != realtime.CodeInterlock || why.At != "/interlocks/0" || !strings.HasPrefix(why.Message, "not sent: ") || !strings.Contains(why.Message, `guard is "open"`) || got.Status != realtime.Rejected {
			t.Errorf("got %+v, %+v", got, why)
		}
		if want := []string{"accepted", "rejected"}; !slices.Equal(l.steps(), want) || sent != 0 {
			t.Errorf("got %v, want %v; sent %d times", l.steps(), want, sent)
		}
		// It was accepted, so its key stands for it and it does not run later.
		p.say(reading(id, time.Now(), `{"guard":"closed"}`))
		time.Sleep(time.Second / 2)
		again, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: id, Action: "open", User: "ana", Key: "k"})
		if again.ID != got.ID || problem(t, err).Code != realtime.CodeInterlock || sent != 0 {
			t.Errorf("again: got %+v, %v; sent %d times", again, err, sent)
		}
		time.Sleep(time.Minute)
	})
}
