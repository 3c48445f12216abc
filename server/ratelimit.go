package server

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

const rateLimitKeys = 10000

// perMinute is middleware that lets each user, or each address when nobody is
// signed in, through n times in any 60 seconds. The next one gets 429 with the
// seed's body and, in Retry-After, when to come back.
func (s *Server) perMinute(n int) echo.MiddlewareFunc {
	l := newRateLimit(n, time.Minute)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who, err := s.identity(c)
			if err != nil {
				return err
			}
			key := "address " + visitOf(c).addr
			if who != nil {
				key = "user " + who.User
			}
			wait := l.take(key)
			if wait <= 0 {
				return next(c)
			}
			c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int((wait+time.Second-1)/time.Second)))
			return c.JSON(http.StatusTooManyRequests, map[string]string{"error": "Too Many Requests"})
		}
	}
}

// A rateLimit remembers when each key was let through. A token bucket would let
// twice as many through in its first minute.
type rateLimit struct {
	n      int
	window time.Duration

	mu sync.Mutex
	m  map[string]*[]time.Time // at most n each, oldest first
}

func newRateLimit(n int, window time.Duration) *rateLimit {
	return &rateLimit{n: n, window: window, m: map[string]*[]time.Time{}}
}

// take lets one through, or says how long to wait.
func (l *rateLimit) take(key string) time.Duration {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	times := l.m[key]
	if times == nil {
		l.makeRoom(now)
		times = new([]time.Time)
		l.m[key] = times
	}
	for len(*times) > 0 && now.Sub((*times)[0]) >= l.window {
		*times = (*times)[1:]
	}
	if len(*times) >= l.n {
		if l.n <= 0 {
			return l.window
		}
		return l.window - now.Sub((*times)[0])
	}
	*times = append(*times, now)
	return 0
}

// makeRoom is called under mu.
func (l *rateLimit) makeRoom(now time.Time) {
	if len(l.m) < rateLimitKeys {
		return
	}
	for k, times := range l.m {
		if t := *times; len(t) == 0 || now.Sub(t[len(t)-1]) >= l.window {
			delete(l.m, k)
		}
	}
	for k := range l.m { // all are recent: arbitrary ones go
		if len(l.m) < rateLimitKeys {
			return
		}
		delete(l.m, k)
	}
}
