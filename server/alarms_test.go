package server

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
)

// newAlarmLine is a line whose pump has limits, and whose facts are kept.
func newAlarmLine(t *testing.T) *line {
	t.Helper()
	l := newLine(t)
	l.keepAlarms()
	return l
}

func (l *line) keepAlarms() {
	l.Helper()
	t := l.T
	facts, err := l.bus.Facts(t.Context(), bus.FactsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	l.Server.Facts = facts
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = facts.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	l.twins.OnChange(func(u realtime.Update) {
		facts.Add(u.Seq, u.Facts)
		l.Hub.Publish(u)
		l.Publish(u)
	})
	td := strings.Replace(pumpTD, `"maximum": 120}`, `"maximum": 120, "echotwin:alarms": {"high": 90, "highHigh": 100, "hysteresis": 2}}`, 1)
	if err := l.twins.Describe([]byte(td)); err != nil {
		t.Fatal(err)
	}
}

// say sends the pump's speed and waits until so many alarms are active.
func (l *line) speed(speed string, active int) {
	l.Helper()
	l.do("POST", "/api/telemetry/plant/pump", `{"speed":`+speed+`}`).want(l.T, 202, "")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s := l.get("/api/alarms/summary").json(l.T); s["active"] == float64(active) {
			return
		} else if time.Now().After(deadline) {
			l.Fatalf("%v are active, want %d", s, active)
		}
	}
}

func (l *line) alarms(query string) (out []realtime.AlarmState) {
	l.Helper()
	a := l.get("/api/alarms" + query)
	a.want(l.T, 200, "")
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		l.Fatal(err)
	}
	return out
}

func TestAlarmsAreShownAcknowledgedAndShelved(t *testing.T) {
	s := newAlarmLine(t)
	s.login()
	if a := s.get("/api/alarms"); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("got %s", a.body)
	}
	s.speed("95", 1)
	s.speed("101", 2)
	list := s.alarms("")
	if len(list) != 2 || list[0].Rule != "highHigh" || list[0].Severity != "critical" || list[1].Message != "speed 95 % is above 90 %" || string(list[1].Value) != "95" || *list[1].Limit != 90 {
		t.Fatalf("got %+v", list)
	}
	if list[0].Seq <= list[1].Seq || list[1].Seq == 0 {
		t.Errorf("the seqs of two steps are %d and %d", list[1].Seq, list[0].Seq)
	}
	id := list[1].ID
	for query, want := range map[string]int{"?priority=1": 1, "?priority=2,3": 1, "?priority=4": 0, "?thing=plant/**": 2, "?thing=office/**": 0, "?state=active": 2, "?state=shelved": 0, "?limit=1": 1, "?after=" + list[0].ID: 1} {
		if got := s.alarms(query); len(got) != want {
			t.Errorf("%s: %d alarms, want %d", query, len(got), want)
		}
	}
	s.get("/api/alarms?state=odd").want(t, 422, "invalid")
	s.get("/api/alarms?priority=9").want(t, 422, "out_of_range")
	s.get("/api/alarms?thing=a//b").want(t, 400, "malformed")
	s.get("/api/alarms?after=x").want(t, 409, "conflict")

	acked := s.do("POST", "/api/alarms/"+id+"/ack", `{"comment":"=on it"}`)
	acked.want(t, 200, "")
	if m := acked.json(t); m["state"] != "active_acked" || m["acked"].(map[string]any)["by"] != "admin" {
		t.Errorf("got %s", acked.body)
	}
	s.do("POST", "/api/alarms/"+id+"/ack", "").want(t, 200, "")
	s.do("POST", "/api/alarms/ack", `{"ids":["`+list[0].ID+`","`+id+`"]}`).want(t, 200, "")
	s.do("POST", "/api/alarms/ack", `{"ids":[]}`).want(t, 422, "out_of_range")
	s.do("POST", "/api/alarms/ack", `{"ids":["nope"]}`).want(t, 404, "not_found")
	s.do("POST", "/api/alarms/"+id+"/ack", `{"comment":"`+strings.Repeat("x", 501)+`"}`).want(t, 422, "invalid")
	for body, code := range map[string]string{`{"seconds":60}`: "reason", `{"seconds":0,"reason":"x"}`: "out_of_range", `{"seconds":1e300,"reason":"x"}`: "out_of_range", `{"reason":"x"}`: "out_of_range"} {
		s.do("POST", "/api/alarms/"+id+"/shelve", body).want(t, 422, code)
	}
	s.do("POST", "/api/alarms/"+id+"/shelve", `{"seconds":600,"reason":"sensor"}`).want(t, 200, "")
	if m := s.get("/api/alarms/summary").json(t); m["shelved"] != 1.0 || m["active"] != 1.0 || m["unacked"] != 0.0 {
		t.Errorf("got %v", m)
	}
	if got := s.alarms("?state=shelved"); len(got) != 1 || got[0].Shelved.Reason != "sensor" {
		t.Errorf("got %+v", got)
	}
	s.do("POST", "/api/alarms/"+id+"/unshelve", "").want(t, 200, "")
	s.speed("20", 0)
	if got := s.alarms(""); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	s.do("POST", "/api/alarms/"+id+"/shelve", `{"seconds":600,"reason":"late"}`).want(t, 409, "conflict")

	var steps []string
	for deadline := time.Now().Add(10 * time.Second); len(steps) < 8 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		steps = nil
		for next := "/api/alarms/history?limit=3&thing=plant/*"; next != ""; {
			a := s.get(next)
			var page []realtime.AlarmState
			if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page) > 3 {
				t.Fatalf("%v: %s", err, a.body)
			}
			for _, p := range page {
				steps = append(steps, p.Rule+" "+p.Step)
			}
			next, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
		}
	}
	got := strings.Join(steps, ", ")
	if want := "high unshelved, high shelved, highHigh acked, high acked, highHigh raised, high raised"; !strings.HasSuffix(got, want) || len(steps) != 8 {
		t.Errorf("the history is %s", got)
	}
	if a := s.get("/api/alarms/history", "Accept: text/csv"); !strings.Contains(a.body, "'=on it") || !strings.HasPrefix(a.body, "ts,step,thing,") {
		t.Errorf("the table is %s", a.body)
	}
	if a := s.get("/api/alarms/history?thing=office/**"); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("got %s", a.body)
	}
	for query, want := range map[string]int{"?priority=1": 3, "?priority=2": 5, "?priority=1,2": 8, "?priority=4": 0} {
		var page []realtime.AlarmState
		if a := s.get("/api/alarms/history" + query); json.Unmarshal([]byte(a.body), &page) != nil || len(page) != want || want > 0 && page[0].Seq == 0 {
			t.Errorf("%s: got %s, want %d steps", query, a.body, want)
		}
	}
	s.get("/api/alarms/history?after=x").want(t, 400, "malformed")
	s.get("/api/alarms/history?priority=5").want(t, 422, "out_of_range")
}
