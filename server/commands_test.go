package server

import (
	"fmt"
	"strings"
	"testing"

	"echotwin/realtime"
)

func TestP5CommandsAreChecked(t *testing.T) {
	s := newLine(t)
	s.login()
	const setSpeed = "/api/things/plant/pump/actions/setSpeed"
	a := s.do("POST", setSpeed, `{"speed":80}`)
	a.want(t, 200, "")
	done := a.json(t)
	if done["status"] != "done" || done["user"] != "admin" || done["via"] != "api" || fmt.Sprint(s.devices.inputs) != `[{"speed":80}]` {
		t.Errorf("got %s, sent %v", a.body, s.devices.inputs)
	}
	id := done["cmd"].(string)
	if got := s.get("/api/commands/" + id).json(t); got["status"] != "done" {
		t.Errorf("the audit has %v", got)
	}
	if a := s.get("/api/commands"); !strings.Contains(a.body, id) {
		t.Errorf("the list is %s", a.body)
	}
	if a := s.get("/api/commands?path=office/**"); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("the list of another place is %s", a.body)
	}

	for _, input := range []string{`{"speed":999}`, `{"speed":19.9}`} {
		a = s.do("POST", setSpeed, input)
		a.want(t, 422, "out_of_range")
		if m := a.json(t); m["minimum"] != 20.0 || m["maximum"] != 100.0 || m["at"] != "/input/speed" {
			t.Errorf("%s: got %s", input, a.body)
		}
	}
	s.do("POST", setSpeed, `{"speed":"fast"}`).want(t, 422, "invalid")
	s.do("POST", setSpeed, `{}`).want(t, 422, "invalid")
	s.do("POST", setSpeed, `{"speed":`).want(t, 400, "malformed")
	s.do("POST", setSpeed, `{"speed":"`+strings.Repeat("x", 100<<10)+`"}`).want(t, 413, "too_large")
	s.do("POST", "/api/things/plant/pump/actions/none", `{}`).want(t, 404, "not_found")
	s.do("POST", "/api/things/plant/none/actions/setSpeed", `{"speed":80}`).want(t, 404, "not_found")
	for _, timeout := range []string{"0", "-1", "61", "NaN", "Inf", "x", "1e9"} {
		s.do("POST", setSpeed+"?timeout="+timeout, `{"speed":80}`).want(t, 422, "out_of_range")
	}

	s.devices.answer(`{"ok":false,"error":"jammed"}`, nil)
	if a = s.do("POST", setSpeed, `{"speed":80}`); a.StatusCode != 502 || a.json(t)["status"] != "failed" || a.json(t)["error"] != "jammed" {
		t.Errorf("failed: %d %s", a.StatusCode, a.body)
	}
	s.devices.answer("", nil)
	if a = s.do("POST", setSpeed+"?timeout=0.2", `{"speed":80}`); a.StatusCode != 504 || a.json(t)["status"] != "timeout" {
		t.Errorf("timeout: %d %s", a.StatusCode, a.body)
	}
	s.devices.answer("", &realtime.Problem{Code: realtime.CodeOffline, Message: "plant/pump is not connected"})
	s.do("POST", setSpeed, `{"speed":80}`).want(t, 409, "offline")

	s.devices.answer(`{"ok":true}`, nil)
	first := s.do("POST", setSpeed, `{"speed":50}`, "Idempotency-Key: k1").json(t)["cmd"]
	again := s.do("POST", setSpeed, `{"speed":50}`, "Idempotency-Key: k1").json(t)["cmd"]
	if first != again || len(s.devices.inputs) != 1 {
		t.Errorf("one key made %v and %v, sent %v", first, again, s.devices.inputs)
	}
	s.do("POST", setSpeed, `{"speed":51}`, "Idempotency-Key: k1").want(t, 409, "conflict")
	if got := s.do("POST", setSpeed, `{"speed":50}`, "Sec-Fetch-Site: same-origin").json(t)["via"]; got != "ui" {
		t.Errorf("from our page it came via %v", got)
	}
}

// With Prefer the answer does not wait for the device, and says where to ask.
func TestACommandNeedNotBeWaitedFor(t *testing.T) {
	s := newLine(t)
	s.login()
	const setSpeed = "/api/things/plant/pump/actions/setSpeed"
	s.devices.answer("", nil)
	for _, prefer := range []string{"respond-async", "wait=0", "respond-async, wait=0", "handling=lenient; respond-async"} {
		a := s.do("POST", setSpeed, `{"speed":80}`, "Prefer: "+prefer)
		m := a.json(t)
		if a.StatusCode != 202 || a.Header.Get("Location") != "/api/commands/"+m["cmd"].(string) || m["status"] != "accepted" && m["status"] != "sent" {
			t.Errorf("%s: got %d %s", prefer, a.StatusCode, a.body)
		}
		if got := s.get(a.Header.Get("Location")).json(t); got["cmd"] != m["cmd"] || len(got["steps"].([]any)) == 0 {
			t.Errorf("the status is %v", got)
		}
	}
	s.do("POST", setSpeed, `{"speed":999}`, "Prefer: respond-async").want(t, 422, "out_of_range")
	s.do("POST", setSpeed, `{"speed":80}`, "Prefer: wait=61").want(t, 422, "out_of_range")
	s.devices.answer(`{"ok":true}`, nil)
	if a := s.do("POST", setSpeed, `{"speed":80}`, "Prefer: wait=30"); a.StatusCode != 200 || a.json(t)["status"] != "done" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	// What the key, the reason and the confirmation are, the query can say too.
	first := s.do("POST", setSpeed+"?key=k&reason=test%20run&confirm=true", `{"speed":80}`).json(t)
	again := s.do("POST", setSpeed+"?key=k", `{"speed":80}`).json(t)
	if first["cmd"] != again["cmd"] || again["reason"] != "test run" {
		t.Errorf("got %v and %v", first, again)
	}
	s.do("POST", setSpeed+"?confirm=perhaps", `{"speed":80}`).want(t, 422, "invalid")
}

func TestACommandIsCancelled(t *testing.T) {
	s := newLine(t)
	s.login()
	const setSpeed = "/api/things/plant/pump/actions/setSpeed"
	s.devices.answer("", nil)
	at := s.do("POST", setSpeed, `{"speed":80}`, "Prefer: respond-async").Header.Get("Location")
	a := s.do("POST", at+"/cancel", "")
	if m := a.json(t); a.StatusCode != 200 || m["status"] != "cancelled" || m["by"] != "admin" || m["stop"] != nil {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	s.do("POST", at+"/cancel", "").want(t, 409, "conflict")
	s.do("POST", "/api/commands/none/cancel", "").want(t, 404, "not_found")
	// A command that somebody else ends answers the one who waits.
	waiting := make(chan answer)
	go func() { waiting <- s.do("POST", setSpeed, `{"speed":70}`) }()
	for s.twins.Stats().OpenCommands == 0 {
	}
	if a := s.do("POST", setSpeed, `{"speed":60}`, "Prefer: respond-async"); a.StatusCode != 202 {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	if a := <-waiting; a.StatusCode != 409 || a.json(t)["status"] != "superseded" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
}
