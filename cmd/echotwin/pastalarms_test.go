package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"echotwin/realtime"
)

// A documented is the frames as /asyncapi.json describes them.
type documented struct {
	Components struct {
		Messages map[string]struct{ Payload openapi3.Schema }
	}
}

// check says what of a frame is not in the document.
func (d *documented) check(t *testing.T, frame map[string]any) {
	t.Helper()
	msg, ok := d.Components.Messages[fmt.Sprint("server.", frame["type"])]
	if !ok {
		t.Errorf("%v is not in the document", frame)
		return
	}
	if err := msg.Payload.VisitJSON(frame, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%v: %v", frame, err)
	}
	for member := range frame {
		if msg.Payload.Properties[member] == nil {
			t.Errorf("%v: %s is not in the document", frame, member)
		}
	}
}

// A replay shows the alarms of its time: those that stood when it begins, also
// one that is over since, and then each step when it was taken. Every frame of
// it is one of the document.
func TestReplayShowsTheAlarmsOfItsTime(t *testing.T) {
	env := settings(t, nil)
	dir := filepath.Join(env["ECHOTWIN_DATA"], "things")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	td := `{"@context":["https://www.w3.org/2019/wot/td/v1","https://www.w3.org/2022/wot/td/v1.1"],"id":"urn:echotwin:bench/press-1","title":"Press","security":"n","securityDefinitions":{"n":{"scheme":"nosec"}},
		"properties":{"force":{"type":"number","echotwin:alarms":{"high":90,"hysteresis":2},"forms":[{"href":"f"}]}}}`
	if err := os.WriteFile(filepath.Join(dir, "press.json"), []byte(td), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ := start(t, env)
	c := signIn(t, a)
	alarms := func() string {
		_, body := c.do("GET", "/api/alarms", "")
		return body
	}
	force := func(f, until string) time.Time {
		t.Helper()
		if code, body := c.do("POST", "/api/telemetry/"+press, `{"force":`+f+`}`); code != http.StatusAccepted {
			t.Fatal(code, body)
		}
		eventually(t, "the alarm is "+until, func() bool { return strings.Contains(alarms(), `"state":"`+until+`"`) })
		time.Sleep(5 * time.Millisecond) // steps and moments are whole milliseconds
		defer time.Sleep(5 * time.Millisecond)
		return time.Now().Truncate(time.Millisecond)
	}
	if alarms() != "[]\n" {
		t.Fatalf("there are alarms: %s", alarms())
	}
	if code, body := c.do("POST", "/api/telemetry/"+press, `{"force":10}`); code != http.StatusAccepted {
		t.Fatal(code, body)
	}
	before := time.Now().Add(5 * time.Millisecond)
	time.Sleep(10 * time.Millisecond)
	raised := force("95", "active_unacked")
	cleared := force("50", "cleared_unacked")
	eventually(t, "that is the past", func() bool {
		_, m := c.do("GET", "/metrics", "")
		return time.Since(cleared) > settle+near && strings.Contains(m, "echotwin_facts_messages 2\n")
	})

	var doc documented
	_, body := c.do("GET", "/asyncapi.json", "")
	doc = decode[documented](t, body)
	ws := c.watch("?path=" + press)
	var seen []string
	until := func(what string, is func(map[string]any) bool) map[string]any {
		t.Helper()
		ws.ws.SetReadDeadline(time.Now().Add(time.Minute))
		for {
			var f map[string]any
			if err := ws.ws.ReadJSON(&f); err != nil {
				t.Fatalf("waiting for %s: %v; came %v", what, err, seen)
			}
			doc.check(t, f)
			if f["type"] == "alarm" {
				seen = append(seen, fmt.Sprint(f["step"]))
			}
			if is(f) {
				return f
			}
		}
	}
	typed := func(typ string) func(map[string]any) bool {
		return func(f map[string]any) bool { return f["type"] == typ }
	}
	ws.send(fmt.Sprintf(`{"type":"replay","id":1,"from":%q,"to":%q,"pause":true}`, realtime.Stamp(raised), realtime.Stamp(cleared)))
	f := until("the alarm that stood", typed("alarm"))
	if f["state"] != "active_unacked" || f["thing"] != press || f["at"] != realtime.Stamp(raised) || f["replay"] != true || f["value"] != 95.0 {
		t.Errorf("at the beginning comes %v", f)
	}
	ws.send(`{"type":"replay","pause":false}`)
	if f := until("the step after it", typed("alarm")); f["state"] != "cleared_unacked" {
		t.Errorf("then comes %v", f)
	}
	until("the end", typed("replayed"))

	seen = nil
	ws.send(fmt.Sprintf(`{"type":"replay","id":2,"from":%q,"to":%q,"speed":2,"pause":false}`, realtime.Stamp(before), realtime.Stamp(cleared)))
	until("the end of all of it", typed("replayed"))
	if got := strings.Join(seen, " "); got != "raised cleared" {
		t.Errorf("from before, the steps are %s", got)
	}
	ws.send(`{"type":"live","id":3}`)
	until("the present", func(f map[string]any) bool { return f["type"] == "snapshot" && f["replay"] == nil })
}
