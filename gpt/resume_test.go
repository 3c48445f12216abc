package gpt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/gpt/upstreamtest"
)

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came: " + what)
		}
	}
}

func start(t *testing.T, r *Runs, user, question string) *Run {
	t.Helper()
	run, err := r.Start(Ask{Asker: Asker{User: user}, Question: question})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func code(err error) Code {
	var f *Failure
	errors.As(err, &f)
	if f == nil {
		return ""
	}
	return f.Code
}

// A reader that is cut after any event and comes back has read every token once.
func TestResumeAfterACutAtEveryEvent(t *testing.T) {
	words := strings.SplitAfter("the pump runs at seventy percent and its bearing is cool", " ")
	up := upstreamFor(t, upstreamtest.Slowly(30*time.Millisecond, words...))
	r := newRuns(t, Config{BaseURL: up.URL})
	live := start(t, r, "ana", "How is the pump?")
	var wg sync.WaitGroup
	for cut := range 16 { // live, each reader leaving after its own number of events
		wg.Go(func() {
			var text strings.Builder
			last := 0
			read := func(most int) {
				for es := range live.Events(context.Background(), last, 0) {
					for _, e := range es {
						if e.ID != last+1 {
							t.Errorf("cut %d: event %d after %d", cut, e.ID, last)
						}
						last = e.ID
						text.WriteString(e.Text)
						if most--; most == 0 {
							return
						}
					}
				}
			}
			if cut > 0 {
				read(cut)
			}
			read(-1)
			if text.String() != strings.Join(words, "") {
				t.Errorf("cut after %d: %q", cut, text.String())
			}
		})
	}
	wg.Wait()
	for after := range all(t, live) { // and once more when it is over
		n := after
		for es := range live.Events(context.Background(), after, 0) {
			for _, e := range es {
				if n++; e.ID != n {
					t.Fatalf("after %d: got %d, want %d", after, e.ID, n)
				}
			}
		}
	}
	if last := live.newest(); live.Left(last) || !live.Left(last-1) {
		t.Error("Left does not know what is left")
	}
}

// F5: who leaves does not go on paying.
func TestF5LeavingStopsTheUpstream(t *testing.T) {
	up := upstreamFor(t, func(c *upstreamtest.Call) {
		for c.Wait(time.Millisecond) {
			c.Text("token ")
		}
	})
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{Grace: 50 * time.Millisecond}})
	run := start(t, r, "ana", "Tell me a long story")
	for es := range run.Events(context.Background(), 0, 0) {
		if es[len(es)-1].Type == "delta" {
			break
		}
	}
	eventually(t, "the upstream's connection ends", func() bool { return up.Left() == 1 })
	if out := wait(t, run); out.Finish != "cancelled" || out.Usage.Output == 0 || !out.Usage.Estimated {
		t.Errorf("outcome %+v", out)
	}
}

func TestNobodyEverReading(t *testing.T) {
	up := upstreamFor(t, (*upstreamtest.Call).Hang)
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{Grace: 30 * time.Millisecond}})
	start(t, r, "ana", "Hello?")
	eventually(t, "the upstream is left", func() bool { return up.Left() == 1 })
}

// P11: work outlives the request that asked for it, as long as somebody asks for it.
func TestStatusKeepsARunAlive(t *testing.T) {
	up := upstreamFor(t, upstreamtest.Slowly(60*time.Millisecond, "one ", "two ", "three ", "four"))
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{Grace: 150 * time.Millisecond}})
	run := start(t, r, "ana", "Count")
	for run.Status().Status == "running" {
		time.Sleep(10 * time.Millisecond)
	}
	if s := run.Status(); s.Status != "done" || s.Finish != "stop" || s.Text != "one two three four" || s.Usage == nil {
		t.Errorf("status %+v", s)
	}
}

func TestStopButton(t *testing.T) {
	up := upstreamFor(t, func(c *upstreamtest.Call) { c.Text("half an "); c.Hang() })
	r := newRuns(t, Config{BaseURL: up.URL})
	run := start(t, r, "ana", "Go on")
	eventually(t, "text", func() bool { return run.Status().Text != "" })
	if err := r.Cancel("bob", run.ID()); code(err) != CodeNotFound {
		t.Errorf("a stranger's stop: %v", err)
	}
	if err := r.Cancel("ana", run.ID()); err != nil {
		t.Fatal(err)
	}
	if out := wait(t, run); out.Finish != "cancelled" || out.Text != "half an " {
		t.Errorf("outcome %+v", out)
	}
	eventually(t, "the upstream is left", func() bool { return up.Left() == 1 })
	if err := r.Cancel("ana", run.ID()); err != nil {
		t.Errorf("stopping what is over: %v", err)
	}
}

func TestTwoReadersGetTheSameBytes(t *testing.T) {
	up := upstreamFor(t, upstreamtest.Slowly(5*time.Millisecond, strings.SplitAfter(strings.Repeat("w ", 40), " ")...))
	run := start(t, newRuns(t, Config{BaseURL: up.URL}), "ana", "Well?")
	var got [2]string
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			for es := range run.Events(context.Background(), 0, 0) {
				for _, e := range es {
					got[i] += fmt.Sprintln(e.ID, string(e.Data))
				}
			}
		})
	}
	wg.Wait()
	if got[0] != got[1] || got[0] == "" {
		t.Errorf("readers differ:\n%s\n%s", got[0], got[1])
	}
}

func TestARunBelongsToWhoAsked(t *testing.T) {
	up := upstreamFor(t, upstreamtest.Say("secret"))
	r := newRuns(t, Config{BaseURL: up.URL})
	run, _ := ask(t, r, "Mine?")
	if _, err := r.Find("ana", run.ID()); err != nil {
		t.Error(err)
	}
	if _, err := r.Find("bob", run.ID()); code(err) != CodeNotFound {
		t.Errorf("bob: %v", err)
	}
	if _, err := r.Find("", run.ID()); code(err) != CodeNotFound {
		t.Errorf("nobody: %v", err)
	}
}

func TestFinishedRunsAreForgotten(t *testing.T) {
	up := upstreamFor(t, upstreamtest.Say(strings.Repeat("x", 1000)))
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{KeepRuns: 3}})
	var runs []*Run
	for range 5 {
		run, _ := ask(t, r, "Again?")
		runs = append(runs, run)
	}
	for i, run := range runs {
		if _, err := r.Find("ana", run.ID()); (err == nil) != (i >= 2) {
			t.Errorf("run %d of 5 with 3 kept: %v", i+1, err)
		}
	}
	small := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{KeepBytes: 2000}})
	first, _ := ask(t, small, "One?")
	ask(t, small, "Two?")
	if _, err := small.Find("ana", first.ID()); code(err) != CodeNotFound {
		t.Errorf("kept beyond KeepBytes: %v", err)
	}
	brief := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{KeepFor: time.Millisecond}})
	old, _ := ask(t, brief, "One?")
	eventually(t, "forgetting", func() bool { _, err := brief.Find("ana", old.ID()); return code(err) == CodeNotFound })
}

func TestCloseTellsReaders(t *testing.T) {
	up := upstreamFor(t, func(c *upstreamtest.Call) { c.Text("half"); c.Hang() })
	r := newRuns(t, Config{BaseURL: up.URL})
	run := start(t, r, "ana", "Go on")
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if out := wait(t, run); out.Failure == nil || out.Failure.Code != CodeStopping {
		t.Errorf("outcome %+v", out)
	}
	if _, err := r.Start(Ask{Question: "More?"}); code(err) != CodeStopping {
		t.Errorf("after Close: %v", err)
	}
}
