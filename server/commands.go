package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
	"echotwin/server/auth"
)

// commandRoutes is what can be asked of things, and what came of it.
func (s *Server) commandRoutes() {
	s.post(thingsPrefix+"*", auth.ReadThings, s.invoke)
	s.get("/api/commands", auth.ReadCommands, s.listCommands, s.limitAnswer, zipped)
	s.get("/api/commands/:id", auth.ReadCommands, s.readCommand)
	s.post("/api/commands/:id/cancel", auth.CommandThings, s.cancelCommand)
}

// invoke answers POST …/actions/{name}: it returns when the command has ended,
// or after ?timeout= seconds. By the header Prefer it returns sooner, with 202
// and where to ask.
func (s *Server) invoke(c echo.Context) error {
	p, err := s.thingPath(c)
	if err != nil {
		return err
	}
	if p.part != "actions" || p.name == "" {
		return notAllowed(c, p)
	}
	return s.command(c, p, p.name)
}

// writeProperty answers PUT …/properties/{name} with the bare value: a command
// like any other, by the same way.
func (s *Server) writeProperty(c echo.Context, p thingPath) error {
	if p.part != "properties" || p.name == "" || p.sse {
		return notAllowed(c, p)
	}
	return s.command(c, p, "properties/"+p.name)
}

// command carries out what a request asks of a thing.
func (s *Server) command(c echo.Context, p thingPath, action string) error {
	i, err := invocation(c)
	if err != nil {
		return err
	}
	wait, early, err := preferred(c)
	if err != nil {
		return err
	}
	i.Thing, i.Action, i.Async = p.id, action, early
	done, err := s.Twins.Invoke(c.Request().Context(), i)
	if err == nil && early && wait > 0 && !done.Ended() {
		ctx, cancel := context.WithTimeout(c.Request().Context(), wait)
		defer cancel()
		now, waited := s.Twins.Follow(ctx, done.ID)
		if done = now; !errors.Is(waited, context.DeadlineExceeded) {
			err = waited
		}
	}
	s.log.Info("command", "user", i.User, "thing", p.id, "action", action, "command", done.ID, "status", done.Status, "err", err)
	if err != nil {
		return err
	}
	if !done.Ended() {
		c.Response().Header().Set(echo.HeaderLocation, "/api/commands/"+done.ID)
	}
	return noStore(c).JSON(invokedStatus(done.Status), done)
}

// readAction answers GET …/actions/{name}: what stands for and against it now.
func (s *Server) readAction(c echo.Context, p thingPath) error {
	r, err := s.Twins.Readiness(c.Request().Context(), p.id, p.name)
	if err != nil {
		return err
	}
	for i := range r.Interlocks {
		for name := range r.Interlocks[i].Values {
			if thing, _, other := strings.Cut(name, ":"); other && !userOf(c).Covers(thing, realtime.Match) {
				delete(r.Interlocks[i].Values, name)
			}
		}
	}
	return noStore(c).JSON(http.StatusOK, struct {
		twin.Readiness
		May bool `json:"may"` // whether who asks may command it
	}{r, denied(userOf(c), auth.CommandThings) == nil})
}

// invocation reads what a request asks for. The body is the bare input, so
// everything else is in the query or in headers.
func invocation(c echo.Context) (realtime.Invocation, error) {
	timeout, err := seconds(c, "timeout", 0.1, 60)
	if err != nil {
		return realtime.Invocation{}, err
	}
	confirm := false
	if text := c.QueryParam("confirm"); text != "" {
		if confirm, err = strconv.ParseBool(text); err != nil {
			return realtime.Invocation{}, &realtime.Problem{Code: realtime.CodeInvalid, At: "/confirm", Message: fmt.Sprintf("confirm is true or false, not %q", clip(text))}
		}
	}
	key := c.Request().Header.Get("Idempotency-Key")
	if key == "" {
		key = c.QueryParam("key")
	}
	input, err := body(c, commandBody)
	return realtime.Invocation{
		Input: input, Timeout: timeout, Key: key, Reason: c.QueryParam("reason"), Confirm: confirm,
		User: userOf(c).User, Via: via(c),
	}, err
}

// preferred reads the header Prefer (RFC 7240): respond-async answers as soon as
// the command is accepted, wait=5 after five seconds at the latest. What else it
// prefers is ignored, as that RFC wants.
func preferred(c echo.Context) (wait time.Duration, early bool, err error) {
	for _, line := range c.Request().Header.Values("Prefer") {
		for _, one := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(one), "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				early = true
			case "wait":
				n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
				if err != nil || n < 0 || n > 60 {
					return 0, false, outOfRange("wait", value, 0, 60)
				}
				wait, early = time.Duration(n)*time.Second, true
			}
		}
	}
	return wait, early, nil
}

// cancelCommand answers POST /api/commands/{id}/cancel.
func (s *Server) cancelCommand(c echo.Context) error {
	i, ok := s.Twins.Command(c.Param("id"))
	if !ok || !userOf(c).Covers(i.Thing, realtime.Match) {
		return unknownCommand(c)
	}
	out, err := s.Twins.Cancel(c.Request().Context(), twin.Cancellation{ID: i.ID, User: userOf(c).User, Via: via(c)})
	s.log.Info("command cancelled", "user", userOf(c).User, "command", i.ID, "status", out.Status, "err", err)
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, out)
}

// invokedStatus is how a command's end looks over HTTP. A body that is a
// realtime.Invoked comes with all of them.
func invokedStatus(status string) int {
	switch status {
	case realtime.Done, realtime.Verified:
		return http.StatusOK
	case realtime.Failed:
		return http.StatusBadGateway
	case realtime.TimedOut:
		return http.StatusGatewayTimeout
	case realtime.Rejected:
		return http.StatusUnprocessableEntity
	case realtime.Superseded, realtime.Cancelled:
		return http.StatusConflict
	}
	return http.StatusAccepted // it goes on without this request
}

// via says whether a person at our pages or a program sent the request. Only
// browsers say where a request comes from.
func via(c echo.Context) string {
	if h := c.Request().Header; userOf(c).Kind == auth.BySession && (h.Get("Sec-Fetch-Site") != "" || h.Get("Origin") != "") {
		return "ui"
	}
	return "api"
}

// seconds is a duration in the query; absent is zero.
func seconds(c echo.Context, name string, lo, hi float64) (time.Duration, error) {
	text := c.QueryParam(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= lo && n <= hi) {
		return 0, outOfRange(name, text, lo, hi)
	}
	return time.Duration(n * float64(time.Second)), nil
}

func unknownCommand(c echo.Context) error {
	return problem(realtime.CodeNotFound, "no command %s is known, or none any more", clip(c.Param("id")))
}
