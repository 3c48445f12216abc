package ingest

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// A machine whose clocks a test sets.
type machine struct {
	wall    time.Time
	running time.Duration
}

func (m *machine) pass(d time.Duration) { m.wall, m.running = m.wall.Add(d), m.running+d }

func TestAClockThatJumpsIsBelievedWhenItHasSettled(t *testing.T) {
	for what, by := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		m := &machine{wall: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)}
		c := newClock(func() time.Time { return m.wall }, func() time.Duration { return m.running }, slog.New(slog.DiscardHandler))
		for range 1000 {
			m.pass(time.Second)
			m.wall = m.wall.Add(time.Millisecond) // as a clock is disciplined
			if f := c.Fault(); f != nil {
				t.Fatal(f)
			}
		}
		m.wall = m.wall.Add(by)
		f := c.Fault()
		if f == nil || f.Code != realtime.FaultClock || !strings.Contains(f.Message, what+" by 1h0m0s") {
			t.Fatalf("%s: got %v", what, f)
		}
		m.pass(settled - time.Second)
		if c.Fault() == nil {
			t.Errorf("%s: believed too early", what)
		}
		m.pass(time.Second)
		if f := c.Fault(); f != nil {
			t.Errorf("%s: still %v", what, f)
		}

		// And one that is set back to what it was.
		m.wall = m.wall.Add(by)
		if c.Fault() == nil {
			t.Fatal("the second jump is not noticed")
		}
		m.pass(10 * time.Second)
		m.wall = m.wall.Add(-by)
		if f := c.Fault(); f != nil {
			t.Errorf("%s: %v, though the clock is right again", what, f)
		}

		// One that jumps again and again never settles.
		for range 10 {
			m.wall = m.wall.Add(by)
			m.pass(settled - time.Second)
			if c.Fault() == nil {
				t.Fatal("a clock that jumps all the time is believed")
			}
		}
	}
}

// While there is a fault nothing reaches the log, who sent is told why, and who
// looks is given what came.
func TestAFaultRefusesAndShows(t *testing.T) {
	fault := &realtime.Fault{Code: realtime.FaultDisk, Message: "the disk is full"}
	now := fault
	var shown []realtime.Record
	log := &memory{}
	in := New(Config{Log: log, Fault: func() *realtime.Fault { return now }, Unlogged: func(r []realtime.Record) { shown = append(shown, r...) }})
	defer in.Close()
	a, err := in.Telemetry(t.Context(), "plant/pump", []byte(`{"speed":1}`))
	var p *realtime.Problem
	if p, _ = err.(*realtime.Problem); p == nil || p.Code != realtime.CodeUnavailable || !strings.Contains(p.Message, "the disk is full") || a.Accepted != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
	if _, err := in.TelemetryNoWait(t.Context(), "plant/pump", []byte(`{"speed":2}`)); err == nil {
		t.Error("QoS 0 is taken")
	}
	if err := in.Event(t.Context(), "plant/pump", "jam", nil); err == nil {
		t.Error("an event is taken")
	}
	if len(shown) != 2 || string(shown[1].Values[0].JSON) != "2" {
		t.Errorf("shown %+v", shown)
	}
	if s := in.Stats(); s.Lost != 3 || s.Bundles != 0 {
		t.Errorf("%+v", s)
	}
	now = nil
	if a, err := in.Telemetry(t.Context(), "plant/pump", []byte(`{"speed":3}`)); err != nil || a.Accepted != 1 {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
}

// The log refuses by itself.
func TestAFaultOfTheLogIsToldWithItsReason(t *testing.T) {
	log := &memory{err: &realtime.Fault{Code: realtime.FaultReadOnly, Message: "the data folder cannot be written to"}}
	in := New(Config{Log: log, Logger: slog.New(slog.DiscardHandler)})
	defer in.Close()
	_, err := in.Telemetry(t.Context(), "plant/pump", []byte(`{"speed":1}`))
	if p, _ := err.(*realtime.Problem); p == nil || !strings.Contains(p.Message, "cannot be written to") {
		t.Errorf("got %v", err)
	}
}
