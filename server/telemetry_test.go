package server

import (
	"bytes"
	"compress/gzip"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"echotwin/realtime/ingest"
)

func TestTelemetryIsStoredAndShown(t *testing.T) {
	s := newLine(t)
	s.login()
	a := s.do("POST", "/api/telemetry/plant/pump", `[{"speed":60.4,"ts":1790000000000},{"speed":61,"ts":1790000001000}]`)
	a.want(t, 202, "")
	if m := a.json(t); m["accepted"] != 2.0 || m["seq"] == nil {
		t.Errorf("got %s", a.body)
	}
	s.settle()
	if got := strings.TrimSpace(s.get("/api/things/plant/pump/properties/speed").body); got != "61" {
		t.Errorf("shown is %s", got)
	}
}

func TestWrongReadingsAreNamedByPlace(t *testing.T) {
	s := newLine(t)
	s.login()
	a := s.do("POST", "/api/telemetry/plant/pump", `[{"speed":60.4},{"speed":NaN}]`)
	if a.StatusCode != 202 && a.StatusCode != 400 {
		t.Fatalf("got %d %s", a.StatusCode, a.body)
	}
	if !strings.Contains(a.body, `"accepted":1`) || !strings.Contains(a.body, `"at":"/1`) {
		t.Errorf("got %s", a.body)
	}
	s.do("POST", "/api/telemetry/plant/pump", `{"a b":1}`).want(t, 400, "malformed")
	s.do("POST", "/api/telemetry/plant/pump", `7`).want(t, 400, "malformed")
	s.do("POST", "/api/telemetry/plant/pump", ``).want(t, 400, "malformed")
	s.do("POST", "/api/telemetry/plant/pump/properties/speed", `7`).want(t, 404, "not_found")
	s.do("POST", "/api/telemetry/plant/%2e%2e", `{"x":1}`).want(t, 400, "malformed")
	s.do("POST", "/api/telemetry/plant/pump", `{"x":"`+strings.Repeat("x", ingest.MaxPayload)+`"}`).want(t, 413, "too_large")
}

func TestWhoMaySpeakForAThing(t *testing.T) {
	s := newLine(t)
	s.login()
	d := s.do("POST", "/api/devices", `{"username":"pump-1","things":["plant/pump"]}`)
	d.want(t, 201, "")
	password := d.json(t)["password"].(string)
	read := s.token(`{"name":"read","scopes":["read"]}`)
	command := s.token(`{"name":"command","scopes":["command"]}`)
	ticket := s.do("POST", "/api/tickets", `{}`).json(t)["ticket"].(string)
	s.client = newClient()
	basic := func(user, password string) string {
		r, _ := http.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		return "Authorization: " + r.Header.Get("Authorization")
	}
	for _, tt := range []struct {
		name, path string
		header     string
		status     int
	}{
		{"nobody", "/api/telemetry/plant/pump", "", 401},
		{"a ticket", "/api/telemetry/plant/pump?ticket=" + ticket, "", 401},
		{"the device", "/api/telemetry/plant/pump", basic("pump-1", password), 202},
		{"the device by bearer", "/api/telemetry/plant/pump", "Authorization: Bearer " + password, 202},
		{"the device for another", "/api/telemetry/plant/valve", basic("pump-1", password), 403},
		{"another with its password", "/api/telemetry/plant/pump", basic("pump-2", password), 401},
		{"the device with another's", "/api/telemetry/plant/pump", basic("pump-1", password+"x"), 401},
		{"a user by basic", "/api/telemetry/plant/pump", basic("admin", "123456"), 401},
		{"a token that reads", "/api/telemetry/plant/pump", "Authorization: Bearer " + read, 403},
		{"a token that commands", "/api/telemetry/plant/pump", "Authorization: Bearer " + command, 202},
		{"rubbish", "/api/telemetry/plant/pump", "Authorization: Bearer x", 401},
		{"rubbish scheme", "/api/telemetry/plant/pump", "Authorization: Digest x", 401},
	} {
		var headers []string
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		if a := s.do("POST", tt.path, `{"speed":1}`, headers...); a.StatusCode != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.name, a.StatusCode, a.body, tt.status)
		}
	}
	// A device's password opens nothing else.
	for _, header := range []string{basic("pump-1", password), "Authorization: Bearer " + password} {
		s.get("/api/things/plant/pump", header).want(t, 401, "unauthorized")
	}
	cred, ok := DeviceAuth(s.Auth)("pump-1", password, "127.0.0.1")
	if !ok || !cred.Owns("plant/pump") || cred.Owns("plant/valve") {
		t.Error("the door's question is answered wrongly")
	}
	if _, ok := DeviceAuth(s.Auth)("pump-1", "x", "127.0.0.1"); ok {
		t.Error("the door is open")
	}
}

// Agents such as Telegraf compress what they send. It was taken for broken
// JSON; and a small body must not become a large one here.
func TestReadingsMayBeCompressed(t *testing.T) {
	s := newLine(t)
	s.login()
	zip := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(text))
		w.Close()
		return b.String()
	}
	good := zip(`{"speed":60.4}`)
	s.do("POST", "/api/telemetry/plant/pump", good, "Content-Encoding: gzip").want(t, 202, "")
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":61}`, "Content-Encoding: identity").want(t, 202, "")
	s.settle()
	if got := strings.TrimSpace(s.get("/api/things/plant/pump/properties/speed").body); got != "61" {
		t.Errorf("shown is %s", got)
	}
	for _, tt := range []struct {
		name, coding, body string
		status             int
		code               string
	}{
		{"plain, and said to be gzip", "gzip", `{"speed":1}`, 400, "malformed"},
		{"cut", "gzip", good[:len(good)-6], 400, "malformed"},
		{"a bomb", "gzip", zip(strings.Repeat(" ", ingest.MaxPayload) + `{"speed":1}`), 413, "too_large"},
		{"another coding", "br", good, 415, "unsupported_media_type"},
	} {
		a := s.do("POST", "/api/telemetry/plant/pump", tt.body, "Content-Encoding: "+tt.coding)
		a.want(t, tt.status, tt.code)
		if tt.status == 415 && a.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("%s: it is not said what would do", tt.name)
		}
	}
}

// A device that reports ten times a second, and Grafana, which asks by POST,
// wrote a line each time, and what mattered was soon rotated away.
func TestRoutinePostsDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	s := newLine(t, func(d *Deps) { d.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s.login()
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":60.4}`).want(t, 202, "")
	s.do("POST", "/api/telemetry", `{"plant/pump":{"speed":60.4}}`).want(t, 202, "")
	s.do("POST", "/prometheus/api/v1/query", "query=1")
	s.do("POST", "/api/telemetry/plant/pump", `{`).want(t, 400, "malformed")
	if n := strings.Count(log.String(), "path=/api/telemetry"); n != 1 || !strings.Contains(log.String(), "status=400") {
		t.Errorf("%d lines about readings, want one, of what was refused:\n%s", n, log.String())
	}
	if !strings.Contains(log.String(), "path=/api/login") {
		t.Errorf("the sign-in is not logged:\n%s", log.String())
	}
}

func TestOpenTelemetryIsForThisMachineOnly(t *testing.T) {
	s := newLine(t, func(d *Deps) { d.OpenTelemetry = true })
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":1}`).want(t, 202, "")
	for _, header := range []string{"X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https", "Forwarded: for=x", "Authorization: Bearer x", "Host: raspberrypi.local"} {
		s.do("POST", "/api/telemetry/plant/pump", `{"speed":1}`, header).want(t, 401, "unauthorized")
	}
	// A page of another site, opened on this machine, is not this machine.
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":1}`, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example").want(t, 403, "forbidden")
	s.get("/api/things").want(t, 401, "unauthorized")
}

func TestTheLogThatCannotStoreIs503(t *testing.T) {
	s := newLine(t)
	s.login()
	s.Ingest.Close()
	a := s.do("POST", "/api/telemetry/plant/pump", `{"speed":1}`)
	a.want(t, 503, "unavailable")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if f := failureOf(errors.New("disk on fire"), ""); f.status != 500 || strings.Contains(f.Error, "fire") {
		t.Errorf("an error of ours is shown as %+v", f)
	}
}
