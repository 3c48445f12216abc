package server

import (
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

func TestAlarmRulesByTheAPI(t *testing.T) {
	s := newAlarmLine(t)
	s.login()
	if a := s.get("/api/alarms/rules"); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("got %s", a.body)
	}
	born := s.do("POST", "/api/alarms/rules", `{"id":"fast","thing":"plant/*","property":"speed","high":50,"hysteresis":1,"message":"too fast: {value}"}`)
	born.want(t, 201, "")
	if got := born.Header.Get("Location"); got != "/api/alarms/rules/fast" {
		t.Errorf("Location %q", got)
	}
	s.do("POST", "/api/alarms/rules", `{"id":"fast","thing":"plant/*","property":"speed","high":50}`).want(t, 409, "conflict")
	made := s.do("POST", "/api/alarms/rules", `{"thing":"plant/none","property":"speed","low":1}`)
	made.want(t, 201, "")
	if id, _ := made.json(t)["id"].(string); !strings.HasPrefix(id, "rule-") {
		t.Errorf("got %s", made.body)
	}

	s.speed("60", 1)
	list := s.alarms("")
	if len(list) != 1 || list[0].RuleID != "fast" || list[0].Message != "too fast: 60" || *list[0].Limit != 50 {
		t.Fatalf("got %+v", list)
	}
	read := s.get("/api/alarms/rules/fast")
	tag := read.Header.Get("ETag")
	if m := read.json(t); tag != born.Header.Get("ETag") || m["by"] != "admin" || m["status"].(map[string]any)["active"] != 1.0 {
		t.Errorf("got %q %s", tag, read.body)
	}
	same := s.get("/api/alarms/rules/fast", "If-None-Match: "+tag)
	same.want(t, 304, "")
	if got := same.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the 304 has Cache-Control %q", got)
	}
	// A proxy that compresses makes weak tags of ours.
	s.get("/api/alarms/rules/fast", "If-None-Match: \"x\", W/"+tag).want(t, 304, "")
	s.do("PATCH", "/api/alarms/rules/fast", `{"priority":1}`, "If-Match: W/"+tag).want(t, 200, "")
	s.do("PUT", "/api/alarms/rules/fast", read.body, "If-Match: "+tag).want(t, 412, "changed")
	s.do("PUT", "/api/alarms/rules/fast", read.body).want(t, 200, "")
	s.do("PUT", "/api/alarms/rules/fast", read.body, "If-None-Match: *").want(t, 412, "changed")
	s.do("PUT", "/api/alarms/rules/other", `{"thing":"plant/none","property":"speed","low":1}`).want(t, 201, "")
	for body, at := range map[string]string{
		`{"thing":"plant/*","property":"speed","high":"x"}`: "/high",
		`{"promql":"sum("}`:      "/promql",
		`{"promql":"1 + 1"}`:     "/promql",
		`{"promql":"rate(x[5m"}`: "/promql",
		`{"thing":"plant/*","property":"speed","high":5,"suppress":"x"}`: "/suppress",
	} {
		a := s.do("PUT", "/api/alarms/rules/bad", body)
		if got, _ := a.json(t)["at"].(string); a.StatusCode != 422 || got != at || a.json(t)["reason"] == nil {
			t.Errorf("%s: got %d %s", body, a.StatusCode, a.body)
		}
	}
	s.do("PATCH", "/api/alarms/rules/none", `{}`).want(t, 404, "not_found")
	s.get("/api/alarms/rules/none").want(t, 404, "not_found")
	s.do("PUT", "/api/alarms/rules/big", `{"message":"`+strings.Repeat("x", 5000)+`"}`).want(t, 413, "too_large")
	if a := s.get("/api/alarms/rules?limit=1"); !strings.Contains(a.Header.Get("Link"), "after=fast") {
		t.Errorf("Link %q", a.Header.Get("Link"))
	}
	if a := s.get("/api/alarms/rules?after=fast"); strings.Contains(a.body, `"fast"`) || !strings.Contains(a.body, `"other"`) {
		t.Errorf("got %s", a.body)
	}

	s.do("DELETE", "/api/alarms/rules/fast", "", "If-Match: "+tag).want(t, 204, "")
	s.do("DELETE", "/api/alarms/rules/fast", "").want(t, 404, "not_found")
	cleared := func() realtime.AlarmState { return s.alarms("")[0] }
	for deadline := time.Now().Add(time.Minute); cleared().Active(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it stands: %+v", cleared())
		}
	}
	s.speed("95", 1) // beyond the limit of the description
	if a := s.alarms("")[0]; a.RuleID != "" || *a.Limit != 90 {
		t.Errorf("got %+v", a)
	}
}

// Who sees some things only sees and writes rules about those only.
func TestAlarmRulesWithinPatterns(t *testing.T) {
	l := newLine(t)
	l.login()
	l.do("PUT", "/api/alarms/rules/all", `{"thing":"**","property":"speed","high":5}`).want(t, 201, "")
	l.do("PUT", "/api/alarms/rules/asks", `{"promql":"echotwin_value > 5"}`).want(t, 201, "")
	l.do("PUT", "/api/alarms/rules/ours", `{"thing":"plant/line1/*","property":"speed","high":5}`).want(t, 201, "")
	part := "Authorization: Bearer " + l.token(`{"name":"x","scopes":["admin"],"things":["plant/line1/**"]}`)
	if a := l.get("/api/alarms/rules", part); !strings.Contains(a.body, `"ours"`) || strings.Contains(a.body, `"all"`) || strings.Contains(a.body, `"asks"`) {
		t.Errorf("got %s", a.body)
	}
	l.get("/api/alarms/rules/all", part).want(t, 404, "not_found")
	l.do("PATCH", "/api/alarms/rules/ours", `{"high":6}`, part).want(t, 200, "")
	for _, taken := range []string{"all", "asks"} {
		l.do("PUT", "/api/alarms/rules/"+taken, `{"thing":"plant/line1/x","property":"speed","high":5}`, part).want(t, 409, "conflict")
	}
	for path, body := range map[string]string{
		"new": `{"thing":"plant/**","property":"speed","high":5}`, "ours": `{"thing":"*/line1/*","property":"speed","high":5}`, "q": `{"promql":"echotwin_value > 5","thing":"plant/line1/x"}`,
	} {
		l.do("PUT", "/api/alarms/rules/"+path, body, part).want(t, 403, "forbidden")
	}
	l.do("DELETE", "/api/alarms/rules/all", "", part).want(t, 404, "not_found")
	l.do("DELETE", "/api/alarms/rules/ours", "", part).want(t, 204, "")
}

// What a rule would find is said before it is written, and what is wrong with it
// as a write says it.
func TestTryingAnAlarmRule(t *testing.T) {
	s := newAlarmLine(t)
	s.login()
	s.speed("95", 1)
	try := func(rule string) answer { return s.do("POST", "/api/alarms/rules/try", rule) }
	a := try(`{"thing":"plant/*","property":"speed","high":50,"low":1}`)
	a.want(t, 200, "")
	if want := `"watches":1,"beyond":1,"samples":[{"thing":"plant/pump","property":"speed","value":95,"kinds":["high"]}]`; !strings.Contains(a.body, want) || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s, want %s", a.body, want)
	}
	if a := try(`{"thing":"office/*","property":"speed","high":50}`); !strings.Contains(a.body, `"watches":0,"beyond":0,"samples":[]`) {
		t.Errorf("got %s", a.body)
	}
	s.do("PUT", "/api/alarms/rules/close", `{"thing":"plant/pump","property":"speed","high":70}`).want(t, 201, "")
	if a := try(`{"thing":"plant/*","property":"speed","high":50}`); !strings.Contains(a.body, `"beyond":0`) || !strings.Contains(a.body, `"elsewhere":["high"]`) {
		t.Errorf("got %s", a.body)
	}
	if a := try(`{"id":"close","thing":"plant/pump","property":"speed","high":50,"enabled":false}`); !strings.Contains(a.body, `"beyond":1`) {
		t.Errorf("got %s", a.body)
	}
	bad := try(`{"promql":"sum("}`)
	bad.want(t, 422, "")
	if bad.json(t)["at"] != "/promql" {
		t.Errorf("got %s", bad.body)
	}
	if a := try(`{"promql":"echotwin_value > 5"}`); a.StatusCode != 200 || !strings.Contains(a.body, "there is no history to ask") {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	if a := s.get("/api/alarms/rules"); strings.Contains(a.body, "office") {
		t.Errorf("it was written: %s", a.body)
	}
	part := "Authorization: Bearer " + s.token(`{"name":"x","scopes":["admin"],"things":["office/**"]}`)
	s.do("POST", "/api/alarms/rules/try", `{"thing":"plant/*","property":"speed","high":50}`, part).want(t, 403, "forbidden")
}

// With keep=data the thing stays, and its alarms do not.
func TestKeepingDataClearsAlarms(t *testing.T) {
	s := newAlarmLine(t)
	s.login()
	td := strings.Replace(valveTD, `"maximum":100}`, `"maximum":100,"echotwin:alarms":{"high":50}}`, 1)
	s.do("POST", "/api/things", td).want(t, 201, "")
	s.do("POST", "/api/telemetry/plant/valve", `{"flow":60}`).want(t, 202, "")
	alarm := func() (a realtime.AlarmState) {
		for _, a = range s.alarms("?thing=plant/valve") {
			return a
		}
		return a
	}
	for deadline := time.Now().Add(time.Minute); !alarm().Active(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not raised")
		}
	}
	s.do("DELETE", "/api/things/plant/valve?keep=data", "").want(t, 204, "")
	if a := alarm(); a.State != realtime.ClearedUnacked || a.Reason != "the description was removed" {
		t.Errorf("got %+v", a)
	}
}

// A rule of things that somebody does not see is not there for them, and what
// they are told of its id says nothing of it.
func TestAlarmRulesOfOthers(t *testing.T) {
	s := newLine(t)
	s.login()
	s.do("POST", "/api/alarms/rules", `{"id":"fast","thing":"plant/secret","property":"speed","high":50}`).want(t, 201, "")
	me := s.user("office", "engineer", `,"things":["office/**"]`)
	mine := `{"thing":"office/lamp","property":"power","high":50}`
	for _, a := range []answer{me.get("/api/alarms/rules/fast"), me.do("PATCH", "/api/alarms/rules/fast", `{"high":1}`), me.do("DELETE", "/api/alarms/rules/fast", "")} {
		a.want(t, 404, "not_found")
	}
	taken := me.do("PUT", "/api/alarms/rules/fast", mine)
	taken.want(t, 409, "conflict")
	if strings.Contains(taken.body, "secret") {
		t.Errorf("it tells of it: %s", taken.body)
	}
	me.do("PUT", "/api/alarms/rules/own", mine).want(t, 201, "")
	me.do("PATCH", "/api/alarms/rules/own", `{"thing":"plant/secret"}`).want(t, 403, "forbidden")
	if got := s.get("/api/alarms/rules/fast").body; !strings.Contains(got, "plant/secret") || !strings.Contains(got, `"high":50`) {
		t.Errorf("the rule is now %s", got)
	}
}
