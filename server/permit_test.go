package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"echotwin/server/auth"
)

// The people and programs of the table, and what each sends to say who it is.
// "part" is an administrator's token for some things only. Those of the office
// are users whom patterns limit to it, and so have nothing to do with the pump.
var asked = []string{"nobody", "viewer", "operator", "engineer", "admin", "read", "command", "adminToken", "engineerToken", "part", "ticket", "device",
	"office viewer", "office operator", "office engineer", "office ticket"}

// over is what was a credential and is none any more.
var over = []string{"expired token", "revoked token", "deleted user's token", "revoked token's ticket", "ended session", "ended session's ticket", "revoked device"}

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

// may says it of those of the office, too: patterns take things away, and no
// permission that is about things.
func may(who string, p auth.Permission) bool {
	who = strings.TrimPrefix(who, "office ")
	return slices.Contains(strings.Fields(whoMay[p]), who)
}

// framePermissions once more, for every type of frame.
var mayFrames = map[string]auth.Permission{
	"auth": auth.Public, "ping": auth.Public, "help": auth.Public, "sub": auth.ReadThings, "unsub": auth.ReadThings,
	"resume": auth.ReadThings, "live": auth.ReadThings, "replay": auth.ReadHistory, "cmd": auth.CommandThings,
}

// routePermissions is every route. One that is missing here fails the test.
var routePermissions = map[string]auth.Permission{
	"GET /": auth.Public, "GET /login.html": auth.Public, "GET /public/*": auth.Public,
	"GET /docs": auth.Public, "GET /docs/streams": auth.Public, "GET /openapi.json": auth.Public, "GET /asyncapi.json": auth.Public,
	"GET /health": auth.Public, "GET /livez": auth.Public, "GET /readyz": auth.Public,
	"GET /metrics":    auth.Public, // in development; TestP10Metrics has it in production
	"POST /api/login": auth.Public, "POST /api/logout": auth.Public, "GET /api/oidc/login": auth.Public, "GET /api/oidc/callback": auth.Public, "POST /api/oidc/backchannel-logout": auth.Public, "GET /api/me": auth.Public, "POST /api/token": auth.Public,
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
	}
	for _, path := range []string{"query", "query_range", "series", "labels"} {
		routePermissions["POST "+prometheusPrefix+path] = auth.ReadHistory
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
