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
