package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// speed is a wish of ana's.
func speed(input string) realtime.Invocation {
	return realtime.Invocation{Thing: conveyorID, Action: "setSpeed", Input: json.RawMessage(input), User: "ana", Via: "ui"}
}

func TestACommandMovesOnEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t, lag: 5 * time.Millisecond}
		tw, l := p.node(conveyor)
		other, heard := p.node(conveyor) // another node, which only reads the log
		var sent atomic.Value
		p.device(conveyorID, func(cmd string, input []byte) error {
			sent.Store(string(input))
			if c, ok := tw.Command(cmd); !ok || c.Status != realtime.Accepted {
				t.Errorf("the device was asked before the log had it: %+v", c)
			}
			time.AfterFunc(300*time.Millisecond, func() { p.answer(cmd, `{"ok":true,"output":{"speed":80}}`) })
			return nil
		})
		got, err := tw.Invoke(t.Context(), speed(` {"speed" : 80} `))
		if err != nil || got.Status != realtime.Done || string(got.Output) != `{"speed":80}` || got.User != "ana" || got.Via != "ui" {
			t.Errorf("got %+v, %v", got, err)
		}
		synctest.Wait() // for the other node
		if sent.Load() != `{"speed":80}` {
			t.Errorf("the device got %v", sent.Load())
		}
		want := []string{realtime.Accepted, realtime.Sent, realtime.Done}
		if steps := l.steps(); !reflect.DeepEqual(steps, want) {
			t.Errorf("got steps %v, want %v", steps, want)
		}
		if !reflect.DeepEqual(heard.facts("cmd"), l.facts("cmd")) {
			t.Errorf("the other node told\n%v\nand this one\n%v", heard.facts("cmd"), l.facts("cmd"))
		}
		if c, ok := other.Command(got.ID); !ok || !reflect.DeepEqual(c, got) {
			t.Errorf("the other node has %+v, want %+v", c, got)
		}
		if body := l.facts("cmd")[0]; body != fmt.Sprintf(`{"cmd":"%s","thing":"plant/line1/conveyor-2","action":"setSpeed","input":{"speed":80},"status":"accepted","user":"ana","via":"ui","ts":"2000-01-01T00:00:00Z","evidence":"the input is valid by the description","evidenceCode":"valid"}`, got.ID) {
			t.Errorf("the fact is %s", body)
		}
	})
}

func TestAnInputIsCheckedAgainstTheDescription(t *testing.T) {
	p := &plant{t: t}
	tw, l := p.node(conveyor)
	p.device(conveyorID, func(string, []byte) error { t.Error("the device was asked"); return nil })
	p.say(reading("plant/new", noon, `{"x":1}`))
	lo, hi := 20.0, 100.0
	for _, tt := range []struct {
		thing, action, input string
		want                 realtime.Problem
	}{
		{conveyorID, "setSpeed", `{"speed":999}`, realtime.Problem{Code: "out_of_range", Message: "speed 999 is above the maximum 100", At: "/input/speed", Minimum: &lo, Maximum: &hi}},
		{conveyorID, "setSpeed", `{"speed":19.9}`, realtime.Problem{Code: "out_of_range", Message: "speed 19.9 is below the minimum 20", At: "/input/speed", Minimum: &lo, Maximum: &hi}},
		{conveyorID, "setSpeed", `{"speed":100.00000000000000000001}`, realtime.Problem{Code: "out_of_range", Message: "speed 100 is above the maximum 100", At: "/input/speed", Minimum: &lo, Maximum: &hi}},
		{conveyorID, "setSpeed", `{"speed":"80"}`, realtime.Problem{Code: "invalid", Message: "speed is a string, want a number", At: "/input/speed"}},
		{conveyorID, "setSpeed", `{}`, realtime.Problem{Code: "invalid", Message: "speed is missing", At: "/input/speed"}},
		{conveyorID, "setSpeed", `80`, realtime.Problem{Code: "invalid", Message: "the input is a number, want an object", At: "/input"}},
		{conveyorID, "setSpeed", `{"speed":80,"Speed":999}`, realtime.Problem{Code: "invalid", Message: "Speed is not known here, only speed", At: "/input/Speed"}},
		{conveyorID, "setSpeed", ``, realtime.Problem{Code: "invalid", Message: "the input is missing", At: "/input"}},
		{conveyorID, "stop", `{"now":true}`, realtime.Problem{Code: "invalid", Message: "stop takes no input", At: "/input"}},
		{conveyorID, "setSpeed", `{"speed":80`, realtime.Problem{Code: "malformed", Message: "the input is not JSON: unexpected EOF", At: "/input"}},
		{conveyorID, "setSpeed", `{"speed":1e999999999}`, realtime.Problem{Code: "malformed", Message: "the input is not JSON: the number 1e999999999 is beyond what can be calculated with", At: "/input"}},
		{conveyorID, "setSpeed", `{"speed":1e-999999999}`, realtime.Problem{Code: "malformed", Message: "the input is not JSON: the number 1e-999999999 is beyond what can be calculated with", At: "/input"}},
		{conveyorID, "fly", `{}`, realtime.Problem{Code: "not_found", Message: "plant/line1/conveyor-2 has no action fly, only setSpeed, stop"}},
		{"plant/none", "setSpeed", `{}`, realtime.Problem{Code: "not_found", Message: "there is no thing plant/none"}},
		{"plant/new", "setSpeed", `{}`, realtime.Problem{Code: "not_found", Message: "plant/new is not described, so nothing is known that it could be asked to do"}},
	} {
		got, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: tt.thing, Action: tt.action, Input: json.RawMessage(tt.input), User: "ana"})
		p := *problem(t, err)
		if got.ErrorReason != p.Reason || p.Reason == "" || !reflect.DeepEqual(got.ErrorArgs, p.Args) {
			t.Errorf("%s %s: the command says %s %v and the problem %s %v", tt.action, tt.input, got.ErrorReason, got.ErrorArgs, p.Reason, p.Args)
		}
		if p.Reason, p.Args = "", nil; !reflect.DeepEqual(p, tt.want) {
			t.Errorf("%s %s: got\n%+v\nwant\n%+v", tt.action, tt.input, p, tt.want)
		}
		if got.Status != realtime.Rejected || got.Error != tt.want.Message {
			t.Errorf("%s %s: got %+v", tt.action, tt.input, got)
		}
	}
	for _, tt := range []struct {
		i    realtime.Invocation
		code string
	}{
		{realtime.Invocation{Thing: "no/*", Action: "stop"}, realtime.CodeMalformed},
		{realtime.Invocation{Thing: conveyorID, Action: "stop now"}, realtime.CodeMalformed},
		{realtime.Invocation{Thing: conveyorID, Action: "stop", Timeout: time.Hour}, realtime.CodeOutOfRange},
		{realtime.Invocation{Thing: conveyorID, Action: "stop", Timeout: -1}, realtime.CodeOutOfRange},
		{realtime.Invocation{Thing: conveyorID, Action: "stop", Key: strings.Repeat("k", 129)}, realtime.CodeInvalid},
		{realtime.Invocation{Thing: conveyorID, Action: "setSpeed", Input: make([]byte, maxInput+1)}, realtime.CodeTooLarge},
		{realtime.Invocation{Thing: conveyorID, Action: "setSpeed", Input: json.RawMessage(strings.Repeat("[", 17) + strings.Repeat("]", 17))}, realtime.CodeTooLarge},
		{realtime.Invocation{Thing: conveyorID, Action: "setSpeed", Input: json.RawMessage(`"` + strings.Repeat(`[\"`, 17) + `"`)}, realtime.CodeInvalid}, // is a text
	} {
		if _, err := tw.Invoke(t.Context(), tt.i); problem(t, err).Code != tt.code {
			t.Errorf("%+v: got %v, want %s", tt.i, err, tt.code)
		}
	}
	// What was understood and not allowed is in the audit, nothing else is.
	if got := len(l.steps()); got != 10 {
		t.Errorf("got %d commands in the log, want the 10 that were checked against an action", got)
	}
}

// A doubled member could mean one value to our check and another to the device.
func TestTheDeviceGetsWhatWasChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(conveyor)
		var sent []string
		p.device(conveyorID, func(cmd string, input []byte) error {
			sent = append(sent, string(input))
			p.answer(cmd, `{"ok":true}`)
			return nil
		})
		if _, err := tw.Invoke(t.Context(), speed(`{"speed":999,"speed":50.0}`)); err != nil {
			t.Error(err)
		}
		if _, err := tw.Invoke(t.Context(), realtime.Invocation{Thing: conveyorID, Action: "stop"}); err != nil {
			t.Error(err)
		}
		if want := []string{`{"speed":50.0}`, `null`}; !reflect.DeepEqual(sent, want) {
			t.Errorf("the device got %q, want %q", sent, want)
		}
	})
}

func TestHowACommandEnds(t *testing.T) {
	later := func(p *plant, cmd, data string) {
		time.AfterFunc(time.Second, func() { p.answer(cmd, data) })
	}
	for _, tt := range []struct {
		name   string
		device func(p *plant, cmd string) error
		steps  []string
		err    string // of the command
		code   string // of Invoke's error
		took   time.Duration
	}{
		{"offline", nil,
			[]string{"accepted", "rejected"}, "plant/line1/conveyor-2 is not connected", realtime.CodeOffline, 0},
		{"no", func(p *plant, cmd string) error { later(p, cmd, `{"ok":false,"error":"guard is open"}`); return nil },
			[]string{"accepted", "sent", "failed"}, "guard is open", "", time.Second},
		{"no, in an object", func(p *plant, cmd string) error { later(p, cmd, `{"ok":false,"error":{"code":7}}`); return nil },
			[]string{"accepted", "sent", "failed"}, `{"code":7}`, "", time.Second},
		{"no answer to the question", func(p *plant, cmd string) error { later(p, cmd, `{"status":"fine"}`); return nil },
			[]string{"accepted", "sent", "failed"}, `the device's result has no "ok" that is true or false`, "", time.Second},
		{"silence", func(*plant, string) error { return nil },
			[]string{"accepted", "sent", "timeout"}, "the device took the command and gave no result in time: whether it ran is unknown", "", 10 * time.Second},
		{"lost on the way", func(*plant, string) error { return errors.New("connection reset") },
			[]string{"accepted", "timeout"}, "there is no evidence that the device got the command, and no result: whether it ran is unknown", "", 10 * time.Second},
		{"lost on the way, and yet a result", func(p *plant, cmd string) error { later(p, cmd, `{"ok":true}`); return errors.New("connection reset") },
			[]string{"accepted", "done"}, "", "", time.Second},
		{"a result before the evidence of sending", func(p *plant, cmd string) error { p.answer(cmd, `{"ok":true}`); return nil },
			[]string{"accepted", "done"}, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &plant{t: t}
				tw, l := p.node(conveyor)
				if tt.device != nil {
					p.device(conveyorID, func(cmd string, _ []byte) error { return tt.device(p, cmd) })
				}
				began := time.Now()
				got, err := tw.Invoke(t.Context(), speed(`{"speed":80}`))
				if tt.code == "" && err != nil || tt.code != "" && problem(t, err).Code != tt.code {
					t.Errorf("got error %v, want code %q", err, tt.code)
				}
				if steps := l.steps(); !reflect.DeepEqual(steps, tt.steps) || got.Status != steps[len(steps)-1] || got.Error != tt.err {
					t.Errorf("got %v, %+v", steps, got)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestALateResultIsANoteAndNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(conveyor)
		p.device(conveyorID, func(string, []byte) error { return nil })
		i := speed(`{"speed":80}`)
		i.Timeout = 2 * time.Second
		got, err := tw.Invoke(t.Context(), i)
		if err != nil || got.Status != realtime.TimedOut {
			t.Fatalf("got %+v, %v", got, err)
		}
		p.answer(got.ID, `{"ok":true}`)
		p.answer(got.ID, `{"ok":true}`) // the device sends again what it got no PUBACK for
		c, _ := tw.Command(got.ID)
		if c.Status != realtime.TimedOut || !strings.HasSuffix(c.Error, "; a late result says: it was done") {
			t.Errorf("got %+v", c)
		}
		if want := []string{"accepted", "sent", "timeout", "timeout"}; !reflect.DeepEqual(l.steps(), want) {
			t.Errorf("got %v, want %v", l.steps(), want)
		}
	})
}

func TestCommandsAreListedAndBounded(t *testing.T) {
	p := &plant{t: t}
	tw, _ := p.node(conveyor)
	ids := make([]string, 0, 1200)
	for n := range 1200 {
		i := speed(fmt.Sprintf(`{"speed":%d}`, 20+n%80))
		i.Key = fmt.Sprint(n)
		got, _ := tw.Invoke(t.Context(), i)
		ids = append(ids, got.ID)
	}
	if n := len(tw.Commands(1<<30, "")); n != keepCommands || len(tw.commands.keys) != keepCommands || len(tw.commands.order) != keepCommands || tw.commands.spent.all != 200 {
		t.Errorf("got %d commands, %d keys, %d in order, %d spent", n, len(tw.commands.keys), len(tw.commands.order), tw.commands.spent.all)
	}
	if _, ok := tw.Command(ids[0]); ok {
		t.Error("the oldest command was kept")
	}
	if _, ok := tw.Command(ids[1199]); !ok {
		t.Error("the newest command was not kept")
	}
	var paged []string
	for before := ""; ; {
		page := tw.Commands(99, before)
		for _, c := range page {
			paged = append(paged, c.ID)
		}
		if len(page) < 99 {
			break
		}
		before = page[98].ID
	}
	want := slices.Clone(ids[200:])
	slices.Sort(want)
	slices.Reverse(want)
	if !slices.Equal(paged, want) {
		t.Errorf("the pages are not the list: %d and %d", len(paged), len(want))
	}
	if got := tw.Commands(-1, ""); len(got) != 0 {
		t.Errorf("got %d commands for limit -1", len(got))
	}
}

func TestACommandUnderWayIsNotForgotten(t *testing.T) {
	cs := newCommands()
	for n := range 3 * keepCommands {
		c := command{Invoked: realtime.Invoked{ID: fmt.Sprintf("%06d", n), Status: realtime.Failed}}
		if n == 0 {
			c.Status = realtime.Sent
		}
		cs.put(c)
	}
	if cs.byID["000000"] == nil || len(cs.byID) != keepCommands || cs.byID["002999"] == nil {
		t.Errorf("%d commands are kept, the open one: %v", len(cs.byID), cs.byID["000000"])
	}
	for n := range 3 * keepCommands {
		cs.put(command{Invoked: realtime.Invoked{ID: fmt.Sprintf("open-%06d", n), Status: realtime.Sent}})
	}
	if len(cs.byID) != keepCommands {
		t.Errorf("%d open commands are kept", len(cs.byID))
	}
}

func TestTooManyCommandsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(conveyor)
		p.device(conveyorID, func(string, []byte) error { return nil })
		for i := range maxOpen { // of as many things, since on one they would supersede each other
			id := fmt.Sprintf("plant/line1/conveyor-%d", i+10)
			if err := tw.Describe([]byte(strings.ReplaceAll(conveyor, conveyorID, id))); err != nil {
				t.Fatal(err)
			}
			p.device(id, func(string, []byte) error { return nil })
			go tw.Invoke(t.Context(), realtime.Invocation{Thing: id, Action: "setSpeed", Input: json.RawMessage(`{"speed":80}`)})
		}
		synctest.Wait()
		if _, err := tw.Invoke(t.Context(), speed(`{"speed":80}`)); problem(t, err).Code != realtime.CodeTooMany {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		if n := tw.Stats().OpenCommands; n != 0 {
			t.Errorf("%d commands are open after their time", n)
		}
	})
}

func TestIDsSortByTime(t *testing.T) {
	a := newID(time.UnixMilli(1790000000000))
	b := newID(time.UnixMilli(1790000000001))
	var ms int64 // as a ULID has it: ten characters of five bits
	for _, c := range a[:10] {
		ms = ms<<5 | int64(strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c))
	}
	if len(a) != 26 || a >= b || ms != 1790000000000 {
		t.Errorf("got %s of %d, and %s", a, ms, b)
	}
	if at, ok := IDTime(a); !ok || at.UnixMilli() != 1790000000000 {
		t.Errorf("the id is of %v", at)
	}
	for _, id := range []string{"", "01JD", strings.Repeat("u", 26), strings.Repeat("é", 13)} {
		if at, ok := IDTime(id); ok {
			t.Errorf("%q is of %v", id, at)
		}
	}
	if newID(noon) == newID(noon) {
		t.Error("two ids are the same")
	}
	if err := realtime.CheckName(a); err != nil {
		t.Error(err)
	}
}
