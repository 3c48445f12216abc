package server

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/hub"
	"echotwin/server/auth"
)

const (
	// liveCheck is how often open connections are asked whether their session
	// still is one. A logout here does not wait for it.
	liveCheck = 15 * time.Second
	maxLive   = 20000

	// A connection may be on its way to the hub while its session ends, and would
	// miss the end. So an end is told again, every liveAgain, for liveLinger.
	liveAgain  = time.Second
	liveLinger = 5 * time.Second
)

// streamRoutes is the hub's.
func (s *Server) streamRoutes() {
	s.getStream("/ws", auth.Public, s.serveWS)
	s.getStream("/events", auth.ReadThings, s.serveEvents)
}

// serveWS answers GET /ws. Who shows nothing may connect, and has to send auth
// before anything else; who shows something wrong may not.
func (s *Server) serveWS(c echo.Context) error {
	s.takeTicket(c)
	who, err := s.identity(c)
	if err != nil {
		return err
	}
	if who != nil && !who.May(auth.ReadThings) {
		return auth.ErrNone
	}
	s.Hub.ServeWS(c.Response(), c.Request(), s.viewer(who, visitOf(c).addr))
	return nil
}

// serveEvents answers GET /events.
func (s *Server) serveEvents(c echo.Context) error {
	s.Hub.ServeEvents(c.Response(), c.Request(), s.viewer(userOf(c), visitOf(c).addr))
	return nil
}

// Viewer is whom the token or ticket of an auth frame belongs to.
func (s *Server) Viewer(ctx context.Context, token string) (hub.Viewer, error) {
	who, err := s.Auth.Token(ctx, token)
	if errors.Is(err, auth.ErrNone) {
		who, err = s.Auth.Ticket(ctx, token)
	}
	if errors.Is(err, auth.ErrNone) {
		return hub.Viewer{}, &realtime.Problem{Code: codeUnauthorized, At: "/token", Message: "the token is unknown, expired or revoked; POST /api/tokens makes one"}
	}
	if err != nil {
		return hub.Viewer{}, err
	}
	return s.viewer(who, ""), nil
}

// viewer is somebody as the hub knows them. What they may do follows their role
// while they are connected.
func (s *Server) viewer(who *auth.Identity, address string) hub.Viewer {
	if who == nil {
		return hub.Viewer{Address: address}
	}
	v := hub.Viewer{User: who.User, Session: who.Session(), Address: address, See: sees(who), Expires: who.Expires, Rights: strings.Join(who.Limits(), " ")}
	// The table is asked with who they are now, but for what limits this
	// credential: one session may have given tickets for different things.
	l := s.live.hold(who)
	v.May = func(thing string) bool {
		return who.Kind != auth.ByTicket && l.who.Load().May(auth.CommandThings) && who.Covers(thing, realtime.Match)
	}
	v.Allow = func(typ string) *realtime.Problem {
		if who.Kind == auth.ByTicket {
			return mayFrame(who, typ)
		}
		return mayFrame(l.who.Load(), typ)
	}
	v.Again = func() hub.Viewer { return s.viewer(who.As(l.who.Load()), address) }
	return v
}

// lives are the sessions and tokens that connections were opened with.
type lives struct {
	mu sync.Mutex
	m  map[string]*life // by Identity.Kind and Session

	recheck chan struct{} // capacity 1
	stop    context.CancelFunc
	stopped chan struct{}
}

type life struct {
	who atomic.Pointer[auth.Identity]

	// Only checkLive touches these.
	ended   time.Time // zero while it lives
	limited time.Time // when what it may see changed last
}

// liveKey tells a session from its tickets, which live as long but may not the
// same.
func liveKey(who *auth.Identity) string { return string(who.Kind) + " " + who.Session() }

func (l *lives) hold(who *auth.Identity) *life {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := liveKey(who)
	one := l.m[key]
	if one == nil {
		for k := range l.m { // the forgotten one is only not asked about again
			if len(l.m) < maxLive {
				break
			}
			delete(l.m, k)
		}
		one = &life{}
		one.who.Store(who)
		l.m[key] = one
	}
	return one
}

// startLive asks about the sessions of open connections until Close.
func (s *Server) startLive() {
	ctx, stop := context.WithCancel(context.Background())
	s.live.m = map[string]*life{}
	s.live.recheck, s.live.stop, s.live.stopped = make(chan struct{}, 1), stop, make(chan struct{})
	go func() {
		defer close(s.live.stopped)
		t := time.NewTimer(liveCheck)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			case <-s.live.recheck:
			}
			next := liveCheck
			if s.checkLive(ctx) {
				next = liveAgain
			}
			t.Reset(next)
		}
	}()
}

// checkLive ends the connections of sessions that are over and renews what the
// others may do. An open dashboard counts as use of its session. It says
// whether an end has to be told again. One at a time runs.
func (s *Server) checkLive(ctx context.Context) (again bool) {
	s.live.mu.Lock()
	all := slices.Collect(maps.Values(s.live.m))
	s.live.mu.Unlock()
	for _, l := range all {
		was := l.who.Load()
		now, err := s.Auth.Again(ctx, was)
		if err == nil {
			s.Auth.Used(now, "")
			l.who.Store(now)
			if !now.SameThings(was) {
				l.limited = time.Now()
			}
			if !l.limited.IsZero() {
				s.Hub.Renew(now.Session())
				if again = again || time.Since(l.limited) < liveLinger; time.Since(l.limited) >= liveLinger {
					l.limited = time.Time{}
				}
			}
		}
		if !errors.Is(err, auth.ErrNone) {
			continue
		}
		s.Hub.End(was.Session())
		if l.ended.IsZero() {
			l.ended = time.Now()
		}
		if time.Since(l.ended) < liveLinger {
			again = true
			continue
		}
		s.live.mu.Lock()
		delete(s.live.m, liveKey(was))
		s.live.mu.Unlock()
	}
	return again
}

// sessionsChanged has open connections asked about at once.
func (s *Server) sessionsChanged() {
	s.watch.doubt()
	s.listings.wake(false)
	select {
	case s.live.recheck <- struct{}{}:
	default: // it will look anyway
	}
}
