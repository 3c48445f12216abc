package mqtt

import (
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/time/rate"
)

// errTooManyTries is told without asking whether the password is right this time.
var errTooManyTries = packets.Code{Code: packets.ErrConnectionRateExceeded.Code, Reason: "too many failed sign-ins, wait a minute"}

// maxSuspects bounds how many failing pairs of address and user are kept.
const maxSuspects = 4096

// A guard checks credentials. A good hash is slow on purpose, so a flood of
// CONNECT must not take every core, and guessing must not be worth while. The
// count is kept by address and user: one device with an old password must not
// lock out the others behind the same address.
type guard struct {
	authenticate func(username, password string) (func(string) bool, bool)
	desks        chan struct{}

	mu       sync.Mutex
	suspects map[suspect]*rate.Limiter
}

type suspect struct{ host, user string }

func newGuard(authenticate func(string, string) (func(string) bool, bool)) *guard {
	return &guard{authenticate: authenticate, desks: make(chan struct{}, 4), suspects: map[suspect]*rate.Limiter{}}
}

// check returns which things are the user's, or the reason code of the refusal.
func (g *guard) check(remote, user, password string) (func(thing string) bool, error) {
	host, _, _ := net.SplitHostPort(remote)
	who := suspect{host, clip(user, 256)}
	if g.tired(who) {
		return nil, errTooManyTries
	}
	select {
	case g.desks <- struct{}{}:
	case <-time.After(connectTimeout):
		return nil, packets.ErrServerBusy
	}
	owns, ok := g.authenticate(user, password)
	<-g.desks
	if !ok || owns == nil {
		g.failed(who)
		return nil, packets.ErrBadUsernameOrPassword
	}
	return owns, nil
}

func (g *guard) tired(who suspect) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.suspects[who]
	return l != nil && l.Tokens() < 1
}

// failed counts one wrong password: ten at once, then one every six seconds.
func (g *guard) failed(who suspect) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.suspects[who]
	if l == nil {
		if len(g.suspects) >= maxSuspects {
			clear(g.suspects)
		}
		l = rate.NewLimiter(rate.Every(6*time.Second), 10)
		g.suspects[who] = l
	}
	l.Allow()
}
