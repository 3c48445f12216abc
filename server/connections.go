package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/hub"
	"echotwin/server/auth"
)

// connectionRoutes is who is connected, and how many follow a thing.
func (s *Server) connectionRoutes() {
	s.get("/api/connections", auth.ManageConnections, s.listConnections, s.limitAnswer, zipped)
	s.delete("/api/connections/:id", auth.ManageConnections, s.closeConnection)
	s.get("/api/viewers", auth.ReadThings, s.listViewers, s.limitAnswer, zipped)
}

// connectionView is a connection as administrators see it.
type connectionView struct {
	hub.Connection
	Own bool `json:"own"` // it belongs to the session or token that asks
}

// listConnections answers GET /api/connections: those of this node, in the order
// in which they came.
func (s *Server) listConnections(c echo.Context) error {
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	page, more, err := s.Hub.Connections(c.Request().Context(), c.QueryParam("after"), c.QueryParam("user"), limit)
	if err != nil {
		return err
	}
	own := userOf(c).Session()
	views := make([]connectionView, len(page))
	for i, one := range page {
		views[i] = connectionView{one, one.Session == own}
	}
	if more {
		linkNext(c, page[len(page)-1].ID)
	}
	return noStore(c).JSON(http.StatusOK, views)
}

const (
	usualReturn = 10 * time.Second // of a connection that an administrator closed
	maxReturn   = time.Hour
	maxReason   = 200 // bytes
)

// closeConnection answers DELETE /api/connections/{id}. ?reason= is shown to
// the client, and ?reconnectIn= is when it may come back, in milliseconds, or
// never.
func (s *Server) closeConnection(c echo.Context) error {
	reason, err := reasonOf(c.QueryParam("reason"))
	if err != nil {
		return err
	}
	d := hub.Dismissal{Message: "an administrator closed this connection", Again: usualReturn}
	if reason != "" {
		d.Message += ": " + reason
	}
	switch text := c.QueryParam("reconnectIn"); text {
	case "":
	case "never":
		d.Again = -1
	default:
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 || ms > maxReturn.Milliseconds() {
			return outOfRange("reconnectIn", text, 0, float64(maxReturn.Milliseconds()))
		}
		d.Again = time.Duration(ms) * time.Millisecond
	}
	id := c.Param("id")
	found, err := s.Hub.CloseConnection(c.Request().Context(), id, d)
	if err != nil {
		return err
	}
	if !found {
		return problem(realtime.CodeNotFound, "there is no connection %s here; it may have ended, or be of another node", strconv.Quote(clip(id)))
	}
	s.log.Info("connection closed", "by", userOf(c).User, "connection", clip(id), "reason", reason, "reconnectIn", d.Again)
	return c.NoContent(http.StatusNoContent)
}

// reasonOf checks what is shown to somebody else.
func reasonOf(text string) (string, error) {
	if len(text) > maxReason {
		return "", &realtime.Problem{Code: realtime.CodeInvalid, At: "?reason", Message: fmt.Sprintf("a reason has at most %d bytes, and this one has %d", maxReason, len(text))}
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", &realtime.Problem{Code: realtime.CodeInvalid, At: "?reason", Message: "a reason is one line of printable text"}
	}
	return text, nil
}

// listViewers answers GET /api/viewers: the things that somebody follows over
// /ws or /events of this node, with how many do.
func (s *Server) listViewers(c echo.Context) error {
	path, see, err := s.scope(c, "path")
	if err != nil {
		return err
	}
	if path == "" {
		path = "**"
	}
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	page, more := s.Hub.Viewed(path, c.QueryParam("after"), limit, see)
	if more {
		linkNext(c, page[len(page)-1].Thing)
	}
	return noStore(c).JSON(http.StatusOK, page)
}
