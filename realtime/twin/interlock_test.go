package twin

import (
	"context"
	"errors"
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
		tw, _ := p.node(gate)
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
