package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
)

// A table has all steps of its range, more than a page and more than one window
// holds, each once and the newest first.
func TestAllStepsOfAlarmsAsATable(t *testing.T) {
	s := newAlarmLine(t)
	s.login()
	const steps = factBudget/4 + 1010
	facts := s.Server.Facts.(*bus.Facts)
	ts := time.Now()
	for i := range steps {
		body, err := json.Marshal(realtime.AlarmState{ID: fmt.Sprint("a", i), Thing: "plant/pump", Rule: "high", Priority: 1 + i%4, State: realtime.ActiveUnacked, Step: realtime.AlarmRaised, Message: "m", Raised: ts, TS: ts, Count: 1})
		if err != nil {
			t.Fatal(err)
		}
		facts.Add(uint64(1000+i), []realtime.Fact{{Seq: uint64(1000 + i), Type: "alarm", Thing: "plant/pump", Body: body}})
	}
	if err := facts.Wait(t.Context(), uint64(1000+steps-1)); err != nil {
		t.Fatal(err)
	}
	a := s.get("/api/alarms/history?format=csv")
	a.want(t, 200, "")
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if len(lines) != steps+1 {
		t.Fatalf("got %d lines, want %d and a head", len(lines), steps)
	}
	for i, line := range lines[1:] {
		if want := fmt.Sprintf(",a%d", steps-1-i); !strings.HasSuffix(line, want) {
			t.Fatalf("line %d is %s, want the one of %s", i+1, line, want)
		}
	}
	// As far as asked, by what was chosen, and a page when one is asked for.
	if a := s.get("/api/alarms/history?format=csv&priority=2"); strings.Count(a.body, "\n") != (steps+2)/4+1 {
		t.Errorf("of priority 2 there are %d lines", strings.Count(a.body, "\n"))
	}
	if a := s.get("/api/alarms/history?format=csv&from=-2h&to=-1h"); strings.Count(a.body, "\n") != 1 {
		t.Errorf("got %d lines of a time when nothing was", strings.Count(a.body, "\n"))
	}
	if a := s.get("/api/alarms/history?format=csv&limit=5"); strings.Count(a.body, "\n") != 6 || a.Header.Get("Link") == "" {
		t.Errorf("got %d lines, Link %q", strings.Count(a.body, "\n"), a.Header.Get("Link"))
	}
}
