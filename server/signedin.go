package server

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/server/auth"
)

// sessionView is a session as its owner and administrators see it.
type sessionView struct {
	auth.Session
	Own bool `json:"own"` // it is the one that asks
}

// listSessions answers GET /api/sessions: one's own, or with ?user= somebody's (*
// for everybody's) when an administrator asks; the newest first.
func (s *Server) listSessions(c echo.Context) error {
	user, err := ownerAsked(c, auth.ManageUsers)
	if err != nil {
		return err
	}
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	after, err := sessionCursor(c.QueryParam("after"))
	if err != nil {
		return err
	}
	all, err := s.Auth.Sessions(c.Request().Context(), user)
	if err != nil {
		return err
	}
	views := []sessionView{}
	for _, one := range all {
		if !after(one) {
			continue
		}
		if len(views) == limit {
			last := views[limit-1]
			linkNext(c, strconv.FormatInt(last.Started.Unix(), 10)+"-"+last.ID)
			break
		}
		views = append(views, sessionView{one, userOf(c).RestsOn(one.ID)})
	}
	return noStore(c).JSON(http.StatusOK, views)
}

// sessionCursor says which sessions come after the one of a cursor, which may
// have ended since.
func sessionCursor(text string) (func(auth.Session) bool, error) {
	if text == "" {
		return func(auth.Session) bool { return true }, nil
	}
	at, id, _ := strings.Cut(text, "-")
	unix, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return nil, &realtime.Problem{Code: realtime.CodeMalformed, At: "?after", Message: "after is not one of this list; take it from the header Link"}
	}
	started := time.Unix(unix, 0)
	return func(s auth.Session) bool {
		order := s.Started.Compare(started)
		return order < 0 || order == 0 && s.ID > id
	}, nil
}

// endSession answers DELETE /api/sessions/{id}.
func (s *Server) endSession(c echo.Context) error {
	who, id := userOf(c), c.Param("id")
	user := who.User
	if who.May(auth.ManageUsers) {
		user = "" // anybody's
	}
	owner, err := s.Auth.EndSessionOf(c.Request().Context(), user, id)
	if err != nil {
		return err
	}
	s.sessionsChanged()
	s.log.Info("session ended", "by", who.User, "user", owner, "session", clip(id))
	return c.NoContent(http.StatusNoContent)
}

// endSessions answers DELETE /api/sessions: sign out everywhere, or with
// ?keep=current everywhere else; an administrator may name a ?user=.
func (s *Server) endSessions(c echo.Context) error {
	who, user := userOf(c), c.QueryParam("user")
	if user == "" {
		user = who.User
	}
	if user != who.User {
		if err := who.Denied(auth.ManageUsers); err != nil {
			return err
		}
	}
	var keep *auth.Identity
	switch word := c.QueryParam("keep"); word {
	case "":
	case "current":
		keep = who
	default:
		return &realtime.Problem{Code: realtime.CodeInvalid, At: "?keep", Message: "keep is current or absent, and not " + strconv.Quote(clip(word))}
	}
	n, err := s.Auth.EndSessions(c.Request().Context(), user, keep)
	if n > 0 {
		s.sessionsChanged()
		s.log.Info("sessions ended", "by", who.User, "user", clip(user), "sessions", n)
	}
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, map[string]int{"ended": n})
}
