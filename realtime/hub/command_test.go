package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"echotwin/realtime"
)

// twins is a Commander that goes on step by step as the test says. It tells
// facts as the real one does: stored and published before Invoke returns.
type twins struct {
	g     *rig
	mu    sync.Mutex
	count int
	keys  map[string]realtime.Invoked
	steps chan string // the next status; "" returns an error
	got   chan realtime.Invocation
}

func newTwins() *twins {
	return &twins{steps: make(chan string), got: make(chan realtime.Invocation, 16), keys: map[string]realtime.Invoked{}}
}

func (w *twins) Invoke(ctx context.Context, i realtime.Invocation) (realtime.Invoked, error) {
	w.mu.Lock()
	if first, ok := w.keys[i.Key]; ok && i.Key != "" {
		w.mu.Unlock()
		realtime.TellCommandID(ctx, first.ID)
		return first, nil
	}
	w.count++
	out := realtime.Invoked{ID: fmt.Sprintf("C%d", w.count), Thing: i.Thing, Action: i.Action, Input: i.Input, User: i.User, Via: i.Via, TS: noon}
	w.mu.Unlock()
	w.got <- i
	realtime.TellCommandID(ctx, out.ID)
	for {
		var ok bool
		select {
		case out.Status, ok = <-w.steps:
		case <-ctx.Done():
			return out, ctx.Err()
		}
		if !ok || out.Status == "" {
			return out, &realtime.Problem{Code: realtime.CodeOutOfRange, Message: "rpm 999 is above the maximum 120", At: "/input/rpm"}
		}
		w.tell(out)
		if out.Ended() {
			w.mu.Lock()
			w.keys[i.Key] = out
			w.mu.Unlock()
			if out.Status == realtime.Rejected {
				return out, &realtime.Problem{Code: realtime.CodeOffline, Message: "the device is not connected"}
			}
			return out, nil
		}
	}
}

func (w *twins) tell(out realtime.Invoked) {
	b, _ := json.Marshal(out)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.g.fact(realtime.Fact{Type: "cmd", Thing: out.Thing, Body: b})
}

const setSpeed = `{"type":"cmd","id":%q,"thing":"line/c1","action":"setSpeed","input":{"rpm":80},"timeout":5%s}`

// The asker gets every step with its id, in order and once, whether it follows
// the thing or not; others who follow it get the steps without the id.
func TestCommandSteps(t *testing.T) {
	w := newTwins()
	g := newRig(t, Config{Commander: w})
	w.g = g
	g.set("line/c1", `{"x":1}`)
	watcher := g.dial("?path=line/*")
	watcher.want("snapshot")
	asker, both := g.dial(""), g.dial("?path=line/*")
	both.want("snapshot")
	for _, c := range []*client{asker, both} {
		c.say(setSpeed, "7", "")
		if i := <-w.got; i.User != "ana" || i.Via != "ws" || string(i.Input) != `{"rpm":80}` || i.Timeout.Seconds() != 5 {
			t.Errorf("%+v", i)
		}
		for _, status := range []string{"accepted", "sent", "done"} {
			w.steps <- status
			f := c.want("cmd")
			if string(f.ID) != `"7"` || f.Status != status || (f.Seq > 0) != (c == both) {
				t.Errorf("%s, want %s with the id, and a seq for who follows", f.raw, status)
			}
			if f = watcher.want("cmd"); f.ID != nil || f.Status != status || f.Seq == 0 {
				t.Errorf("a watcher got %s", f.raw)
			}
			if c == asker {
				both.want("cmd")
			}
		}
		g.settle()
		asker.quiet()
		both.quiet()
	}
	g.hub.mu.RLock()
	defer g.hub.mu.RUnlock()
	if len(g.hub.asks) != 0 {
		t.Errorf("%d ended commands are remembered", len(g.hub.asks))
	}
}

func TestCommandsThatDoNotRun(t *testing.T) {
	w := newTwins()
	g := newRig(t, Config{Commander: w, Limits: Limits{Commands: 2}})
	w.g = g
	c := g.dial("")
	// Refused at once: one answer, which says where and what.
	c.say(setSpeed, "1", "")
	<-w.got
	w.steps <- ""
	if f := c.want("error"); string(f.ID) != `"1"` || f.Code != "out_of_range" || f.At != "/input/rpm" {
		t.Errorf("%s", f.raw)
	}
	// Accepted, and then the device was not there: the steps end with rejected.
	c.say(setSpeed, "2", "")
	<-w.got
	w.steps <- "accepted"
	c.want("cmd")
	w.steps <- "rejected"
	if f := c.want("cmd"); f.Status != "rejected" || string(f.ID) != `"2"` {
		t.Errorf("%s", f.raw)
	}
	// A repeated key gets the first outcome and runs nothing.
	c.say(setSpeed, "3", `,"key":"k"`)
	<-w.got
	w.steps <- "accepted"
	w.steps <- "done"
	c.want("cmd")
	first := c.want("cmd")
	c.say(setSpeed, "4", `,"key":"k"`)
	if f := c.want("cmd"); f.Status != "done" || f.Cmd != first.Cmd || string(f.ID) != `"4"` {
		t.Errorf("%s", f.raw)
	}
	// A few at once, and no more.
	c.say(setSpeed, "5", "")
	c.say(setSpeed, "6", "")
	<-w.got
	<-w.got
	c.say(setSpeed, "7", "")
	if f := c.want("error"); f.Code != "too_many" || *f.Maximum != 2 || string(f.ID) != `"7"` {
		t.Errorf("%s", f.raw)
	}
	w.steps <- "timeout"
	w.steps <- "failed"
	if a, b := c.want("cmd"), c.want("cmd"); a.Status+b.Status != "timeoutfailed" && a.Status+b.Status != "failedtimeout" {
		t.Errorf("%s %s", a.raw, b.raw)
	}
	for say, code := range map[string]string{
		`{"type":"cmd","id":"a","thing":"line/c1"}`:                                                        "malformed",
		`{"type":"cmd","id":"a","thing":"line/*","action":"x"}`:                                            "malformed",
		`{"type":"cmd","id":"a","thing":"line/c1","action":"x","timeout":0}`:                               "out_of_range",
		`{"type":"cmd","id":"a","thing":"line/c1","action":"x","timeout":1e300}`:                           "out_of_range",
		`{"type":"cmd","id":"a","thing":"line/c1","action":"x","input":{"deep":` + strings.Repeat("[", 99): "malformed",
	} {
		c.say("%s", say)
		if f := c.want("error"); f.Code != code {
			t.Errorf("%s gives %s, want %s", say, f.raw, code)
		}
	}
	c.quiet()
}

// A command outlives the connection that asked, and the hub ends only when it
// has returned.
func TestCommandOutlivesItsConnection(t *testing.T) {
	w := newTwins()
	g := newRig(t, Config{Commander: w})
	w.g = g
	c := g.dial("")
	c.say(setSpeed, "1", "")
	<-w.got
	w.steps <- "accepted"
	c.want("cmd")
	c.ws.Close()
	g.empty()
	w.steps <- "done" // nobody hears, nobody minds
	g.hub.mu.RLock()
	defer g.hub.mu.RUnlock()
	if len(g.hub.asks) != 0 {
		t.Error("the asker has left and is remembered")
	}
}

// After done, the asker also hears whether it was verified, and then no more.
func TestTheAskerHearsOfTheEffect(t *testing.T) {
	w := newTwins()
	g := newRig(t, Config{Commander: w})
	w.g = g
	c := g.dial("")
	c.say(setSpeed, "1", "")
	<-w.got
	w.steps <- "accepted"
	c.want("cmd")
	out := realtime.Invoked{ID: "C1", Thing: "line/c1", Action: "setSpeed", Status: realtime.Done, Feedback: &realtime.Feedback{Property: "speed"}}
	w.tell(out)
	if f := c.want("cmd"); f.Status != "done" {
		t.Errorf("got %s", f.raw)
	}
	yes := true
	out.Status, out.Reached = realtime.Verified, &yes
	w.tell(out)
	if f := c.want("cmd"); f.Status != "verified" || string(f.ID) != `"1"` {
		t.Errorf("got %s", f.raw)
	}
	w.steps <- "failed"
	g.settle()
	c.quiet()
	g.hub.mu.RLock()
	defer g.hub.mu.RUnlock()
	if len(g.hub.asks) != 0 {
		t.Error("a verified command is remembered")
	}
}
