package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
)

// PastReader tells what things were.
type PastReader interface {
	// States is what the things that a pattern covers and that accept says yes to
	// were at a moment, by id. A *realtime.Problem says why that cannot be told.
	States(ctx context.Context, patterns []string, accept func(thing string) bool, at time.Time) ([]twin.State, error)
}

// pastMoment reads ?at=; false when the present is asked for.
func (s *Server) pastMoment(c echo.Context) (time.Time, bool, error) {
	if !c.QueryParams().Has("at") || c.Path() == "/.well-known/wot" {
		return time.Time{}, false, nil
	}
	now := time.Now()
	at, err := moment(c, "at", "", now)
	if err != nil {
		return at, true, err
	}
	if most := float64(now.UnixMilli()); at.After(now) {
		return at, true, &realtime.Problem{Code: realtime.CodeOutOfRange, At: "?at", Maximum: &most, Message: at.UTC().Format(time.RFC3339) + " is still to come"}
	}
	if s.Past == nil {
		return at, true, problem(realtime.CodeUnavailable, "this server keeps no history")
	}
	return at, true, nil
}

// listStates answers GET /api/things?at=: what the things were, by id. It takes
// the same parameters as the list of descriptions.
// What stood below a place is in no history: it is what stands there now.
func (s *Server) listStates(c echo.Context, at time.Time, limit int) error {
	path, see, err := s.scope(c, "path")
	if err != nil {
		return err
	}
	after, patterns := c.QueryParam("after"), []string{path}
	if place, ok := strings.CutPrefix(c.QueryParam("path"), realtime.Under); ok {
		patterns = s.Twins.PatternsUnder(place, covers(userOf(c)))
	} else if path == "" {
		patterns = []string{"**"}
	}
	q, typ := strings.ToLower(c.QueryParam("q")), c.QueryParam("type")
	accept := func(id string) bool {
		if id <= after || !see(id) {
			return false
		}
		if q == "" && typ == "" {
			return true
		}
		td, ok := s.Twins.TD(id, base(c))
		return ok && describes(td, id, q, typ)
	}
	states, err := s.Past.States(c.Request().Context(), patterns, accept, at)
	if err != nil {
		return err
	}
	states = slices.DeleteFunc(states, func(t twin.State) bool { return len(t.Properties) == 0 })
	if len(states) > limit {
		states = states[:limit]
		linkNext(c, states[limit-1].Thing)
	}
	return noStore(c).JSON(http.StatusOK, states)
}

// pastState answers GET /api/things/{id}/state?at=.
func (s *Server) pastState(c echo.Context, id string, at time.Time) error {
	states, err := s.Past.States(c.Request().Context(), []string{id}, func(string) bool { return true }, at)
	if err != nil {
		return err
	}
	if len(states) == 0 {
		return problem(realtime.CodeNotFound, "nothing was known of %s at %s", id, at.UTC().Format(time.RFC3339))
	}
	return noStore(c).JSON(http.StatusOK, states[0])
}
