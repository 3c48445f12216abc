package server

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/sse"
	"echotwin/server/auth"
)

// wotBeat is how often a quiet stream proves that it is alive, and that its
// reader may still read it.
const wotBeat = 15 * time.Second

// streamProperty answers GET …/properties/{name}/sse: unnamed events whose data
// is the bare value, the current one first. Clients of the Web of Things listen
// to unnamed events only.
func (s *Server) streamProperty(c echo.Context, p thingPath) error {
	w := s.watch.add(p.id, p.part, p.name)
	if w == nil {
		return problem(realtime.CodeUnavailable, "too many streams are open")
	}
	defer s.watch.remove(w)
	// The state is read after the watcher was added, so nothing falls between
	// them; what both have is told once, by its seq.
	state, _ := s.Twins.State(p.id)
	var current []json.RawMessage
	if v := state.Properties[p.name].Value; v != nil {
		current = append(current, v)
	}
	return s.stream(c, w, current, state.Seq)
}

// streamEvents answers GET …/events/{name}: unnamed events whose data is that of
// the thing's event.
func (s *Server) streamEvents(c echo.Context, p thingPath) error {
	if _, ok := s.Twins.State(p.id); !ok {
		return noThing(p.id)
	}
	w := s.watch.add(p.id, p.part, p.name)
	if w == nil {
		return problem(realtime.CodeUnavailable, "too many streams are open")
	}
	defer s.watch.remove(w)
	return s.stream(c, w, nil, 0)
}

// stream writes what the watcher gets until one of both ends.
func (s *Server) stream(c echo.Context, w *watcher, first []json.RawMessage, seq uint64) error {
	ctx, who := c.Request().Context(), userOf(c)
	out, err := sse.Open(c.Response(), 0)
	if err != nil {
		return nil // the reader has left
	}
	beat := time.NewTicker(wotBeat)
	defer beat.Stop()
	news, over := first, ""
	for {
		for _, data := range news {
			if out.Event("", "", data) != nil {
				return nil
			}
		}
		if over != "" {
			_ = out.Comment(over) // a courtesy
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
			news, over = w.take(seq)
			if w.doubted.Swap(false) {
				if why := s.unreadable(ctx, who, w.thing); why != "" {
					news, over = nil, why
				}
			}
		case <-beat.C:
			news = nil
			if over = s.unreadable(ctx, who, w.thing); over == "" && out.Comment("hb") != nil {
				return nil
			}
		}
	}
}

const notYours = "this is not yours to read any more"

// reads is who a reader of things is now, and why they may read no more, or "".
// While that cannot be told they may.
func (s *Server) reads(ctx context.Context, who *auth.Identity) (*auth.Identity, string) {
	now, err := s.Auth.Again(ctx, who)
	switch {
	case errors.Is(err, auth.ErrNone):
		return who, "the session is over"
	case err != nil:
		return who, ""
	case !now.May(auth.ReadThings):
		return now, notYours
	}
	return now, ""
}

// unreadable is why somebody may not read a thing any more, or "".
func (s *Server) unreadable(ctx context.Context, who *auth.Identity, thing string) string {
	now, why := s.reads(ctx, who)
	if why == "" && !now.Covers(thing, realtime.Match) {
		return notYours
	}
	return why
}
