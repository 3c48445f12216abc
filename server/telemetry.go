package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/ingest"
	"echotwin/server/auth"
)

const telemetryPrefix = "/api/telemetry/"

func (s *Server) telemetryRoutes() {
	s.echo.POST("/api/telemetry", s.telemetry)
	s.echo.POST(telemetryPrefix+"*", s.telemetry)
}

// telemetry answers POST /api/telemetry, {thing: object | array}, and POST
// /api/telemetry/<thing>, an object or an array. 202 means that what was
// accepted is on disk.
//
// Who may speak for a thing: its device, by Basic or Bearer; an operator's
// session; a token with the scope command. In development, and only from this
// machine, anybody.
func (s *Server) telemetry(c echo.Context) error {
	may, err := s.speaksFor(c)
	if err != nil {
		return err
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

// speaksFor says for which things the request may report; nil means all.
func (s *Server) speaksFor(c echo.Context) (func(thing string) bool, error) {
	r := c.Request()
	secret, bearer := strings.CutPrefix(r.Header.Get(echo.HeaderAuthorization), "Bearer ")
	var who *auth.Identity
	var err error
	if username, password, basic := r.BasicAuth(); basic {
		who, err = s.Auth.Device(r.Context(), username, password)
	} else if bearer {
		if who, err = s.Auth.DeviceToken(r.Context(), strings.TrimSpace(secret)); errors.Is(err, auth.ErrNone) {
			who, err = s.identity(c)
		}
	} else {
		who, err = s.identity(c)
	}
	switch {
	case err != nil:
		return nil, err
	case who == nil && s.OpenTelemetry && visitOf(c).local:
		return nil, nil
	case who == nil:
		return nil, errNotSignedIn
	case who.Kind != auth.ByDevice && !who.May(auth.Command):
		return nil, problem(realtime.CodeForbidden, "reporting needs a device's credentials, the role operator, or a token with the scope command")
	}
	visitOf(c).who = who
	return sees(who), nil
}

// DeviceAuth is a's answer to the MQTT door's question who a device is and for
// which things it speaks.
func DeviceAuth(a *auth.Auth) func(username, password string) (owns func(thing string) bool, ok bool) {
	return func(username, password string) (func(string) bool, bool) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		who, err := a.Device(ctx, username, password)
		if err != nil {
			return nil, false
		}
		return func(thing string) bool { return who.Covers(thing, realtime.Match) }, true
	}
}
