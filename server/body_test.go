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
