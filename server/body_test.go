package server

import (
	"strings"
	"testing"
)

// What is wrong with a body is said in the words of JSON, and to somebody who
// reads it in a terminal.
func TestWrongBodiesAreToldInWordsOfJSON(t *testing.T) {
	s := newLine(t)
	s.login()
	for _, tt := range []struct{ path, body, want string }{
		{"/api/login", `{"username":["a"]}`, "want a string, got an array"},
		{"/api/gpt", `{"question":5}`, "want a string, got a number"},
		{"/api/tokens", `{"name":"x","scopes":"read"}`, "want an array, got a string"},
		{"/api/tokens", `["x"]`, "want a JSON object, got an array"},
		{"/api/tokens", `null`, "want a JSON object, got null"},
		{"/api/tokens", `{"name":"x","scopes":["read"],"expires":86400}`, `"want a time such as 2026-12-31T18:00:00Z, got 86400","code":"malformed","at":"/expires"`},
		{"/api/things", `[]`, "is not a Thing Description, which is a JSON object"},
		{"/api/things", `{"id":5}`, "a JSON object with a string as its id"},
		{"/api/things", `{`, "at byte 1, unexpected end"},
	} {
		a := s.do("POST", tt.path, tt.body)
		a.want(t, 400, "malformed")
		if !strings.Contains(a.body, tt.want) || strings.Contains(a.body, "Go ") {
			t.Errorf("%s %s: got %s, want %q", tt.path, tt.body, a.body, tt.want)
		}
	}
	if a := s.do("POST", "/api/telemetry/plant/pump/properties/speed", "7"); !strings.Contains(a.body, "/api/telemetry/<thing>") {
		t.Errorf("got %s, want it as people write it", a.body)
	}
}

// A token for one thing whose maker wrote "thing" was a token for all of them.
func TestAMisspeltLimitIsNoMissingLimit(t *testing.T) {
	s := newLine(t)
	s.login()
	for _, tt := range []struct{ path, body, at string }{
		{"/api/tokens", `{"name":"x","scopes":["read"],"thing":["plant/pump"]}`, "/thing"},
		{"/api/tokens", `{"name":"x","scopes":["read"],"expires_in":60}`, "/expires_in"},
		{"/api/tickets", `{"a/b~":1}`, "/a~1b~0"},
		{"/api/devices", `{"username":"d","pattern":"plant/**"}`, "/pattern"},
		{"/api/users", `{"username":"d","password":"12345678","role":"viewer","path":"plant/**"}`, "/path"},
	} {
		a := s.do("POST", tt.path, tt.body)
		a.want(t, 422, "invalid")
		if !strings.Contains(a.body, `"at":"`+tt.at+`"`) || !strings.Contains(a.body, "is not known here, only ") {
			t.Errorf("%s %s: got %s", tt.path, tt.body, a.body)
		}
	}
	s.do("POST", "/api/tokens", `{"Name":"x","scopes":["read"]}`).want(t, 201, "")
}
