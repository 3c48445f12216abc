package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/server/auth"
)

// commandRoutes is what can be asked of things, and what came of it.
func (s *Server) commandRoutes() {
	s.echo.POST(thingsPrefix+"*", s.invoke, s.requireUser)
	s.get("/api/commands", s.listCommands, s.limitAnswer, s.requireUser)
	s.get("/api/commands/:id", s.readCommand, s.requireUser)
}

// invoke answers POST …/actions/{name}: it returns when the command has ended,
// or after ?timeout= seconds.
func (s *Server) invoke(c echo.Context) error {
	p, err := s.thingPath(c)
	if err != nil {
		return err
	}
	if p.part != "actions" || p.name == "" {
		return notAllowed(c, p)
	}
	who := userOf(c)
	if !who.May(auth.Command) {
		return problem(realtime.CodeForbidden, "commanding needs the role operator and, of a token, the scope command")
	}
	timeout, err := seconds(c, "timeout", 0.1, 60)
	if err != nil {
		return err
	}
	input, err := body(c, commandBody)
	if err != nil {
		return err
	}
	done, err := s.Twins.Invoke(c.Request().Context(), realtime.Invocation{
		Thing: p.id, Action: p.name, Input: input, Timeout: timeout, Key: c.Request().Header.Get("Idempotency-Key"),
		User: who.User, Via: via(c),
	})
	s.log.Info("command", "user", who.User, "thing", p.id, "action", p.name, "command", done.ID, "status", done.Status, "err", err)
	if err != nil {
		return err
	}
	return noStore(c).JSON(invokedStatus(done.Status), done)
}

// invokedStatus is how a command's end looks over HTTP. A body that is a
// realtime.Invoked comes with all of them.
func invokedStatus(status string) int {
	switch status {
	case realtime.Done:
		return http.StatusOK
	case realtime.Failed:
		return http.StatusBadGateway
	case realtime.TimedOut:
		return http.StatusGatewayTimeout
	case realtime.Rejected:
		return http.StatusUnprocessableEntity
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

// listCommands answers GET /api/commands: the newest first, of things that the
// user may see.
func (s *Server) listCommands(c echo.Context) error {
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	path := c.QueryParam("path")
	if path != "" {
		if err := realtime.CheckPattern(path); err != nil {
			return err
		}
	}
	out := []realtime.Invoked{}
	for _, i := range s.Twins.Commands(maxPage, c.QueryParam("after")) {
		if path != "" && !realtime.Match(path, i.Thing) || !userOf(c).Covers(i.Thing, realtime.Match) {
			continue
		}
		if len(out) == limit {
			linkNext(c, out[limit-1].ID)
			break
		}
		out = append(out, i)
	}
	return noStore(c).JSON(http.StatusOK, out)
}

// readCommand answers GET /api/commands/{id}.
func (s *Server) readCommand(c echo.Context) error {
	i, ok := s.Twins.Command(c.Param("id"))
	if !ok || !userOf(c).Covers(i.Thing, realtime.Match) {
		return problem(realtime.CodeNotFound, "no command %s is known; the newest thousand are kept", clip(c.Param("id")))
	}
	return noStore(c).JSON(http.StatusOK, i)
}
