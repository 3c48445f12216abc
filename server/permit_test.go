package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime/hub"
	"echotwin/server/auth"
)

// The people and programs of the table, and what each sends to say who it is.
// "part" is an administrator's token for some things only.
var asked = []string{"nobody", "viewer", "operator", "engineer", "admin", "read", "command", "adminToken", "engineerToken", "part", "ticket", "device"}

// whoMay says it once more, apart from the table that is tested.
var whoMay = map[auth.Permission]string{
	auth.Public:            "nobody viewer operator engineer admin read command adminToken engineerToken part ticket device",
	auth.ReadThings:        "viewer operator engineer admin read command adminToken engineerToken part ticket",
	auth.ReadHistory:       "viewer operator engineer admin read command adminToken engineerToken part ticket",
	auth.ReadAlarms:        "viewer operator engineer admin read command adminToken engineerToken part ticket",
	auth.ReadCommands:      "viewer operator engineer admin read command adminToken engineerToken part",
	auth.Ask:               "viewer operator engineer admin read command adminToken engineerToken part",
	auth.IssueTickets:      "viewer operator engineer admin read command adminToken engineerToken part",
	auth.CommandThings:     "operator engineer admin command adminToken engineerToken part",
	auth.WriteProperties:   "operator engineer admin command adminToken engineerToken part",
	auth.AckAlarms:         "operator engineer admin command adminToken engineerToken part",
	auth.ShelveAlarms:      "operator engineer admin command adminToken engineerToken part",
	auth.Report:            "operator engineer admin command adminToken engineerToken part device",
	auth.EditThings:        "engineer admin adminToken engineerToken part",
	auth.EditAlarms:        "engineer admin adminToken engineerToken part",
	auth.OwnAccount:        "viewer operator engineer admin adminToken engineerToken",
	auth.ManageUsers:       "admin adminToken",
	auth.ManageTokens:      "admin adminToken",
	auth.ManageDevices:     "admin adminToken",
	auth.ManageConnections: "admin adminToken",
	auth.ManageNotify:      "admin adminToken",
	auth.ReadBackup:        "admin adminToken",
	auth.ReadMetrics:       "admin adminToken",
	auth.Profile:           "admin adminToken",
}

// routePermissions is every route. One that is missing here fails the test.
var routePermissions = map[string]auth.Permission{
	"GET /": auth.Public, "GET /login.html": auth.Public, "GET /public/*": auth.Public,
	"GET /docs": auth.Public, "GET /docs/streams": auth.Public, "GET /openapi.json": auth.Public, "GET /asyncapi.json": auth.Public,
	"GET /health": auth.Public, "GET /livez": auth.Public, "GET /readyz": auth.Public,
	"GET /metrics":    auth.Public, // in development; TestP10Metrics has it in production
	"POST /api/login": auth.Public, "POST /api/logout": auth.Public, "GET /api/oidc/login": auth.Public, "GET /api/oidc/callback": auth.Public, "GET /api/me": auth.Public, "POST /api/token": auth.Public,
	"GET /ws": auth.Public, // the frames have permissions

	"GET /app": auth.ReadThings, "GET /app/*": auth.ReadThings, "GET /events": auth.ReadThings, "GET /api/viewers": auth.ReadThings,
	"GET /.well-known/wot": auth.ReadThings, "GET /api/tree": auth.ReadThings, "GET /api/things": auth.ReadThings,
	"GET /api/things/plant/pump": auth.ReadThings, "GET /api/things/plant/pump/state": auth.ReadThings,
	"GET /api/things/plant/pump/properties": auth.ReadThings, "GET /api/things/plant/pump/properties/speed": auth.ReadThings,
	"GET /api/things/plant/pump/properties/speed/sse": auth.ReadThings, "GET /api/things/plant/pump/events/overheat": auth.ReadThings,

	"GET /api/things/plant/pump/actions/setSpeed": auth.ReadThings, "POST /api/things/plant/pump/actions/setSpeed": auth.CommandThings, "PUT /api/things/plant/pump/properties/speed": auth.WriteProperties,
	"POST /api/things": auth.EditThings, "PUT /api/things/plant/pump": auth.EditThings, "PATCH /api/things/plant/pump": auth.EditThings, "DELETE /api/things/plant/pump": auth.EditThings,

	"GET /api/things/events": auth.ReadThings, "GET /api/things/events/:type": auth.ReadThings,
	"GET /api/models": auth.ReadThings, "GET /api/models/:id": auth.ReadThings, "GET /api/models/:id/uses": auth.ReadThings,
	"POST /api/models": auth.EditThings, "PUT /api/models/:id": auth.EditThings, "PATCH /api/models/:id": auth.EditThings, "DELETE /api/models/:id": auth.EditThings,

	"GET /api/history":  auth.ReadHistory,
	"GET /api/commands": auth.ReadCommands, "GET /api/commands/:id": auth.ReadCommands, "POST /api/commands/:id/cancel": auth.CommandThings,
	"GET /api/alarms": auth.ReadAlarms, "GET /api/alarms/summary": auth.ReadAlarms, "GET /api/alarms/history": auth.ReadAlarms, "GET /api/alarms/:id": auth.ReadAlarms,
	"GET /api/alarms/rules": auth.ReadAlarms, "GET /api/alarms/rules/:id": auth.ReadAlarms,
	"POST /api/alarms/rules": auth.EditAlarms, "POST /api/alarms/rules/try": auth.EditAlarms, "PUT /api/alarms/rules/:id": auth.EditAlarms, "PATCH /api/alarms/rules/:id": auth.EditAlarms, "DELETE /api/alarms/rules/:id": auth.EditAlarms,
	"POST /api/alarms/ack": auth.AckAlarms, "POST /api/alarms/:id/ack": auth.AckAlarms, "POST /api/alarms/:id/shelve": auth.ShelveAlarms, "POST /api/alarms/:id/unshelve": auth.ShelveAlarms,
	"POST /api/telemetry": auth.Report, "POST /api/telemetry/*": auth.Report,

	"GET /api/gpt": auth.Ask, "POST /api/gpt": auth.Ask, "GET /api/gpt/runs/:id": auth.Ask, "GET /api/gpt/runs/:id/events": auth.Ask, "POST /api/gpt/runs/:id/cancel": auth.Ask,
	"POST /v1/chat/completions": auth.Ask, "GET /v1/models": auth.Ask, "GET /v1/models/:model": auth.Ask,

	"POST /api/tickets": auth.IssueTickets,
	"GET /api/tokens":   auth.OwnAccount, "POST /api/tokens": auth.OwnAccount, "DELETE /api/tokens/:id": auth.OwnAccount,
	"GET /api/sessions": auth.OwnAccount, "DELETE /api/sessions": auth.OwnAccount, "DELETE /api/sessions/:id": auth.OwnAccount,
	"GET /api/users": auth.ManageUsers, "POST /api/users": auth.ManageUsers, "DELETE /api/users/:name": auth.ManageUsers,
	"PATCH /api/users/:name": auth.ManageUsers, // of somebody else; TestUsers has one's own password
	"GET /api/devices":       auth.ManageDevices, "POST /api/devices": auth.ManageDevices, "DELETE /api/devices/:id": auth.ManageDevices,
	"GET /api/connections": auth.ManageConnections, "DELETE /api/connections/:id": auth.ManageConnections,
	"GET /api/notify/channels": auth.ManageNotify, "POST /api/notify/channels": auth.ManageNotify, "GET /api/notify/channels/:id": auth.ManageNotify, "PUT /api/notify/channels/:id": auth.ManageNotify,
	"DELETE /api/notify/channels/:id": auth.ManageNotify, "POST /api/notify/channels/:id/test": auth.ManageNotify, "GET /api/notify/channels/:id/deliveries": auth.ManageNotify,
	"GET /api/backup": auth.ReadBackup, "GET /debug/pprof/*": auth.Profile, "POST /debug/pprof/*": auth.Profile,
}

func init() {
	for _, path := range []string{"query", "query_range", "series", "labels", "label/:name/values", "metadata", "status/buildinfo"} {
		routePermissions["GET "+prometheusPrefix+path] = auth.ReadHistory
		routePermissions["POST "+prometheusPrefix+path] = auth.ReadHistory
	}
}

// credentials makes everybody of the table; each is a header, or a query.
func (l *line) credentials() map[string]string {
	l.Helper()
	l.login()
	as := map[string]string{"nobody": "X-Nothing: 1", "admin": "Cookie: " + l.cookie()}
	for _, role := range []string{"viewer", "operator", "engineer"} {
		l.do("POST", "/api/users", fmt.Sprintf(`{"username":"%[1]s","password":"correct horse","role":"%[1]s"}`, role)).want(l.T, 201, "")
		one := newSiteFor(l.site)
		one.do("POST", "/api/login", `{"username":"`+role+`","password":"correct horse"}`).want(l.T, 200, "")
		as[role] = "Cookie: " + one.cookie()
		if role == "engineer" {
			as["engineerToken"] = "Authorization: Bearer " + one.token(`{"name":"x","scopes":["admin"]}`)
		}
	}
	as["read"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["read"]}`)
	as["command"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["command"]}`)
	as["adminToken"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["admin"]}`)
	as["part"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["admin"],"things":["plant/**"]}`)
	as["ticket"] = "?ticket=" + l.do("POST", "/api/tickets", `{"things":["plant/**"]}`).json(l.T)["ticket"].(string)
	device := l.do("POST", "/api/devices", `{"username":"pump","things":["plant/**"]}`).json(l.T)
	as["device"] = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("pump:"+device["password"].(string)))
	l.client = newClient()
	l.client.Jar = nil
	return as
}

// status asks without waiting for the end of a stream.
func (s *site) status(method, path, credential string) int {
	s.Helper()
	if query, ok := strings.CutPrefix(credential, "?"); ok {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + query
	}
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader("{}"))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if k, v, ok := strings.Cut(credential, ": "); ok {
		r.Header.Set(k, v)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// behindRoute are the paths to try for what the router has.
func behindRoute(method, path string) []string {
	if path != thingsPrefix+"*" {
		return []string{path}
	}
	var all []string
	for template := range thingPermissions {
		if m, rest, _ := strings.Cut(template, " "); m == method || m == "GET" && method == "HEAD" {
			name := "speed"
			if strings.Contains(rest, "actions") {
				name = "setSpeed"
			} else if strings.Contains(rest, "events") {
				name = "overheat"
			}
			all = append(all, strings.NewReplacer("{id}", "plant/pump", "{name}", name).Replace(rest))
		}
	}
	return all
}

func TestWhoMayCallWhat(t *testing.T) {
	l := newLine(t)
	l.do("POST", "/api/login", `{}`)
	as := l.credentials()
	for _, r := range l.echo.Routes() {
		if strings.HasPrefix(r.Method, "echo") {
			continue
		}
		for _, path := range behindRoute(r.Method, r.Path) {
			name := strings.Replace(r.Method, "HEAD", "GET", 1) + " " + path
			permission, ok := routePermissions[name]
			if !ok {
				t.Errorf("who may %s? It is not in the table of this test", name)
				continue
			}
			path = strings.NewReplacer("/api/telemetry/*", "/api/telemetry/plant/pump", "/*", "/x", ":id", "x", ":name", "x", ":model", "x", ":type", "thing_created").Replace(path)
			if name == "DELETE /api/sessions" {
				path += "?keep=nothing" // refused, or it would end the sessions of the others
			}
			for _, who := range asked {
				if r.Path == "/api/logout" && who != "nobody" {
					continue // it would end the session of the others
				}
				got := l.status(r.Method, path, as[who])
				may := slices.Contains(strings.Fields(whoMay[permission]), who)
				// A login without a password, and /ws with a credential that is none for
				// it, are refused for what they are.
				if may && permission == auth.Public && got == 401 {
					continue
				}
				if may != (got != 401 && got != 403) {
					t.Errorf("%s %s as %s: got %d, and may is %v", r.Method, path, who, got, may)
				}
				// Whoever is known is told that they may not, and others to sign in.
				unknown := who == "nobody" || who == "device" || who == "ticket" && !strings.Contains(whoMay[permission], "ticket")
				if want := map[bool]int{true: 401, false: 403}[unknown]; !may && got != want {
					t.Errorf("%s %s as %s: got %d, want %d", r.Method, path, who, got, want)
				}
			}
		}
	}
}

func TestEveryPermissionIsInTheTable(t *testing.T) {
	for _, p := range auth.Permissions() {
		if whoMay[p] == "" {
			t.Errorf("who may %s?", p)
		}
	}
}

// Nothing can be served by accident.
func TestARouteWithoutAPermissionKeepsTheServerFromStarting(t *testing.T) {
	s := newSite(t)
	if err := s.ruled(); err != nil {
		t.Fatal(err)
	}
	s.echo.GET("/oops", func(c echo.Context) error { return nil })
	if err := s.ruled(); err == nil || !strings.Contains(err.Error(), "GET /oops") {
		t.Errorf("got %v", err)
	}
	s = newSite(t)
	s.get2("/oops", "anything")
	if err := s.ruled(); err == nil || !strings.Contains(err.Error(), `no permission "anything"`) {
		t.Errorf("got %v", err)
	}
	if got := s.status("GET", "/oops", "X-Nothing: 1"); got != 401 {
		t.Errorf("and it answers %d", got)
	}
}

func (s *site) get2(path string, p auth.Permission) {
	s.Server.get(path, p, func(c echo.Context) error { return c.NoContent(204) })
}

func TestWhoMaySendWhichFrame(t *testing.T) {
	permissions := map[string]auth.Permission{
		"auth": auth.Public, "ping": auth.Public, "help": auth.Public, "sub": auth.ReadThings, "unsub": auth.ReadThings,
		"resume": auth.ReadThings, "live": auth.ReadThings, "replay": auth.ReadHistory, "cmd": auth.CommandThings,
	}
	frames := map[string]string{
		"auth": `{"type":"auth","token":"x"}`, "sub": `{"type":"sub","path":"plant/**"}`, "unsub": `{"type":"unsub"}`,
		"resume": `{"type":"resume","epoch":"x","seq":1,"subs":[{"path":"plant/**"}]}`, "replay": `{"type":"replay","from":"-1h"}`,
		"cmd": `{"type":"cmd","thing":"plant/pump","action":"setSpeed","input":{"speed":50}}`,
	}
	l := newLine(t)
	as := l.credentials()
	l.client = newClient()
	for _, who := range asked {
		query, header := "", as[who]
		if strings.HasPrefix(header, "?") {
			query, header = header, "X-Nothing: 1"
		}
		if who == "device" {
			if _, res, err := l.socket("", header); err == nil || res.StatusCode != 401 {
				t.Errorf("a device's credential opens /ws: %v", err)
			}
			continue
		}
		for _, typ := range hub.Types() {
			if who == "nobody" && typ == "auth" {
				continue // a wrong token ends the connection; see TestWebSocketCredentials
			}
			permission, ok := permissions[typ]
			if !ok {
				t.Errorf("who may send %s?", typ)
				continue
			}
			c, _, err := l.socket(query, header)
			if err != nil {
				t.Fatalf("%s: %v", who, err)
			}
			frame := frames[typ]
			if frame == "" {
				frame = `{"type":"` + typ + `"}`
			}
			send(t, c, frame)
			send(t, c, `{"type":"ping","id":"end"}`)
			refused := false
			for {
				var m map[string]any
				if err := c.ReadJSON(&m); err != nil {
					t.Fatalf("%s %s: %v", who, typ, err)
				}
				if m["type"] == "pong" && m["id"] == "end" {
					break
				}
				if code := m["code"]; m["type"] == "error" && (code == "forbidden" || code == "unauthorized" && typ != "auth") {
					refused = true
				}
			}
			if may := slices.Contains(strings.Fields(whoMay[permission]), who); may == refused {
				t.Errorf("%s as %s: refused is %v, may is %v", typ, who, refused, may)
			}
			c.Close()
		}
	}
}
