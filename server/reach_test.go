package server

import (
	"strings"
	"testing"
)

// An engineer of some things must not find out what others are worth by
// conditions of their own: an interlock or a suppression that looks at a hidden
// thing answers one comparison at a time, and an expression answers everything.
func TestConditionsLookNoFurtherThanWhoWritesThem(t *testing.T) {
	s := newLine(t)
	s.login()
	me := s.user("office", "engineer", `,"things":["office/**"]`)
	const rest = `"title":"Lamp","securityDefinitions":{"n":{"scheme":"nosec"}},"security":"n","properties":{"power":{"type":"number"`
	lamp := func(alarms, interlock string) string {
		return `{"@context":"https://www.w3.org/2022/wot/td/v1.1",` + rest + alarms + `}},"actions":{"on":{` + interlock + `}}}`
	}
	locked := func(condition string) string { return `"echotwin:interlocks":[` + condition + `]` }
	const (
		hidden = `{"when":"power<5 and plant/pump:speed<5"}`
		own    = `{"when":"power<5 and office/door:closed=true"}`
		asks   = `{"promql":"echotwin_value{thing=\"plant/pump\"} < 5"}`
	)
	for name, tt := range map[string]struct{ td, at string }{
		"an interlock":               {lamp("", locked(hidden)), `"at":"/actions/on/echotwin:interlocks/0/when"`},
		"an expression":              {lamp("", locked(own+`,`+asks)), `"at":"/actions/on/echotwin:interlocks/1/promql"`},
		"what suppresses an alarm":   {lamp(`,"echotwin:alarms":{"high":5,"suppress":"plant/pump:speed<5"}`, ""), `"at":"/properties/power/echotwin:alarms/suppress"`},
		"what suppresses them all":   {strings.TrimSuffix(lamp("", ""), "}") + `,"echotwin:alarms":{"offline":true,"suppress":"plant/pump:speed<5"}}`, `"at":"/echotwin:alarms/suppress"`},
		"a thing that nobody has":    {lamp("", locked(`{"when":"plant/none:speed<5"}`)), "plant/none reaches outside"},
		"a thing, by what is hidden": {lamp("", locked(`{"when":"office/door:closed=true or plant/pump:speed<5"}`)), "plant/pump reaches outside"},
	} {
		a := me.do("PUT", "/api/things/office/lamp", tt.td)
		a.want(t, 403, "forbidden")
		if !strings.Contains(a.body, tt.at) {
			t.Errorf("%s: got %s", name, a.body)
		}
	}
	me.do("PUT", "/api/things/office/lamp", lamp("", locked(own))).want(t, 201, "")
	me.do("PATCH", "/api/things/office/lamp", `{"actions":{"on":{"echotwin:interlocks":[`+asks+`]}}}`).want(t, 403, "forbidden")
	me.do("POST", "/api/things", `{"id":"office/spy",`+strings.TrimPrefix(lamp("", locked(hidden)), "{")).want(t, 403, "forbidden")

	// What somebody wrote who may stays when others write the rest, and only that.
	s.do("PUT", "/api/things/office/lamp", lamp("", locked(hidden+`,`+asks))).want(t, 200, "")
	me.do("PATCH", "/api/things/office/lamp", `{"title":"Desk lamp"}`).want(t, 200, "")
	me.do("PATCH", "/api/things/office/lamp", `{"actions":{"on":{"echotwin:interlocks":[`+strings.ReplaceAll(hidden, "<5", "<6")+`]}}}`).want(t, 403, "forbidden")

	// Nor by a model, of which the condition or a value in it comes.
	const model = `{"@context":"https://www.w3.org/2022/wot/td/v1.1","@type":"tm:ThingModel","title":"M","actions":{"on":{"echotwin:interlocks":[{"when":"`
	me.do("PUT", "/api/models/open", model+`{{OF}}:speed<5"}]}}}`).want(t, 201, "")
	me.do("PUT", "/api/things/office/a", `{"echotwin:model":"open","echotwin:values":{"OF":"plant/pump"}}`).want(t, 403, "forbidden")
	me.do("PUT", "/api/things/office/a", `{"echotwin:model":"open","echotwin:values":{"OF":"office/door"}}`).want(t, 201, "")
	me.do("PUT", "/api/models/open", model+`plant/pump:speed<5"}]}}}`).want(t, 403, "forbidden")
	if got := s.get("/api/things/office/a").body; !strings.Contains(got, "office/door:speed<5") {
		t.Errorf("it is now %s", got)
	}
	s.do("PUT", "/api/things/office/a", `{"echotwin:model":"open","echotwin:values":{"OF":"plant/pump"}}`).want(t, 200, "")

	// A rule with such a condition is as one about things outside.
	rule := func(suppress string) string {
		return `{"thing":"office/lamp","property":"power","high":5,"suppress":"` + suppress + `"}`
	}
	for _, a := range []answer{
		me.do("PUT", "/api/alarms/rules/spy", rule("plant/pump:speed<5")), me.do("POST", "/api/alarms/rules", rule("plant/pump:speed<5")),
		me.do("POST", "/api/alarms/rules/try", rule("plant/pump:speed<5")),
	} {
		a.want(t, 403, "forbidden")
		if !strings.Contains(a.body, "plant/pump reaches outside") {
			t.Errorf("got %s", a.body)
		}
	}
	me.do("PUT", "/api/alarms/rules/own", rule("power=0 or office/door:closed=true")).want(t, 201, "")
	s.do("PUT", "/api/alarms/rules/far", rule("plant/pump:speed<5")).want(t, 201, "")
	me.get("/api/alarms/rules/far").want(t, 404, "not_found")
}
