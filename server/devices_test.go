package server

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"echotwin/realtime/mqtt"
)

func TestTheListOfDevicesSaysWhatBecomesOfThem(t *testing.T) {
	s := newLine(t)
	s.login()
	d := s.do("POST", "/api/devices", `{"username":"pump-1","things":["plant/pump"]}`).json(t)
	password := d["password"].(string)
	one := func() deviceView {
		t.Helper()
		var list []deviceView
		if err := json.Unmarshal([]byte(s.get("/api/devices").body), &list); err != nil || len(list) != 1 {
			t.Fatalf("got %+v, %v", list, err)
		}
		return list[0]
	}
	if got := one(); got.Seen != nil || got.Address != "" || got.Connected != nil || got.Refused != nil {
		t.Errorf("before: %+v", got)
	}
	basic := func(user, password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	from := "X-Forwarded-For: 203.0.113.5"
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":1}`, basic("pump-1", password), from).want(t, 202, "")
	if got := one(); got.Seen == nil || got.Address != "203.0.113.5" || got.Refused != nil {
		t.Errorf("used: %+v", got)
	}
	for _, tt := range []struct{ path, body, header, why string }{
		{"/api/telemetry/plant/valve", `{"speed":1}`, basic("pump-1", password), "may not speak for plant/valve"},
		{"/api/telemetry/plant/pump", `no JSON`, basic("pump-1", password), "want an object"},
		{"/api/telemetry/plant/pump", `[{"speed":1},7]`, basic("pump-1", password), "object"},
		{"/api/telemetry/plant/pump", `{"speed":1}`, basic("pump-1", "ed_x"), "unknown"},
		{"/api/telemetry/plant/pump", `{"speed":1}`, basic("pump-2", password), "another name"},
	} {
		s.do("POST", tt.path, tt.body, tt.header, from)
		if got := one(); got.Refused == nil || !strings.Contains(got.Refused.Why, tt.why) || got.Refused.Address != "203.0.113.5" {
			t.Errorf("%+v: got %+v", tt, got.Refused)
		}
	}
	cred, ok := DeviceAuth(s.Auth)("pump-1", password, "2001:db8::7")
	if !ok {
		t.Fatal("it is refused")
	}
	cred.Told(mqtt.News{Came: true})
	if got := one(); len(got.Connected) != 1 || got.Address != "2001:db8::/64" {
		t.Errorf("connected: %+v", got)
	}

	token := s.token(`{"name":"script","scopes":["read"]}`)
	tokens := func() tokenView {
		t.Helper()
		var list []tokenView
		if err := json.Unmarshal([]byte(s.get("/api/tokens").body), &list); err != nil || len(list) != 1 {
			t.Fatalf("got %+v, %v", list, err)
		}
		return list[0]
	}
	if got := tokens(); got.Used != nil {
		t.Errorf("before its use: %+v", got)
	}
	s.get("/api/things", "Authorization: Bearer "+token, from).want(t, 200, "")
	if got := tokens(); got.Used == nil || got.Address != "203.0.113.5" {
		t.Errorf("after its use: %+v", got)
	}
}
