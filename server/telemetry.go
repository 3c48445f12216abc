package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/ingest"
	"echotwin/realtime/mqtt"
	"echotwin/server/auth"
)

const telemetryPrefix = "/api/telemetry/"

func (s *Server) telemetryRoutes() {
	s.post("/api/telemetry", auth.Report, s.telemetry)
	s.post(telemetryPrefix+"*", auth.Report, s.telemetry)
}

// telemetry answers POST /api/telemetry, {thing: object | array}, and POST
// /api/telemetry/<thing>, an object or an array. 202 means that what was
// accepted is on disk.
//
// Who may speak for a thing: its device, by Basic or Bearer; an operator's
// session; a token with the scope command. In development, and only from this
// machine, anybody.
func (s *Server) telemetry(c echo.Context) error {
	var may func(thing string) bool // nil: for all
	if who := userOf(c); who != nil {
		may = sees(who)
	}
	r := c.Request()
	thing := ""
	if escaped, ok := strings.CutPrefix(r.URL.EscapedPath(), telemetryPrefix); ok {
		p, err := parseThingPath(escaped)
		if err != nil {
			return err
		}
		if p.part != "" {
			return problem(realtime.CodeNotFound, "readings go to %s<thing>", telemetryPrefix)
		}
		if thing = p.id; may != nil && !may(thing) {
			return problem(realtime.CodeForbidden, "these credentials may not speak for %s", thing)
		}
	}
	payload, err := body(c, ingest.MaxPayload)
	if err != nil {
		return err
	}
	var a ingest.Answer
	if thing != "" {
		a, err = s.Ingest.Telemetry(r.Context(), thing, payload)
	} else {
		a, err = s.Ingest.BatchFor(r.Context(), payload, may)
	}
	if who := userOf(c); len(a.Rejected) > 0 && who != nil && who.Kind == auth.ByDevice {
		s.Auth.Refused(who, visitOf(c).addr, a.Rejected[0].Error())
	}
	if err != nil {
		return s.refused(c, a, err)
	}
	return noStore(c).JSON(http.StatusAccepted, a)
}

// refused answers with the first problem and, when there is more to say, with
// all of them and what was stored nevertheless.
func (s *Server) refused(c echo.Context, a ingest.Answer, err error) error {
	if len(a.Rejected) < 2 && a.Accepted == 0 {
		return err
	}
	f := failureOf(err, "")
	if f.status == http.StatusInternalServerError {
		return err
	}
	f.headers(c)
	return c.JSON(f.status, struct {
		failure
		ingest.Answer
	}{f, a})
}

// DeviceAuth is a's answer to the MQTT door's question who a device is, for which
// things it speaks, and who wants to know what becomes of it.
func DeviceAuth(a *auth.Auth) func(username, password, remote string) (mqtt.Credential, bool) {
	return func(username, password, remote string) (mqtt.Credential, bool) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		address := addressOf(remote)
		who, err := a.Device(ctx, username, password, address)
		if err != nil || !who.May(auth.Report) {
			return mqtt.Credential{}, false
		}
		told := func(n mqtt.News) {
			switch {
			case n.Came:
				a.Came(who, address)
			case n.Gone:
				a.Gone(who)
			case n.Refused != "":
				a.Refused(who, address, n.Refused)
			default:
				a.Used(who, address)
			}
		}
		return mqtt.Credential{Owns: covers(who), Told: told}, true
	}
}
