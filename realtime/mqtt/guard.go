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
	authenticate func(username, password, remote string) (Credential, bool)
	desks        chan struct{}

	mu       sync.Mutex
	suspects map[suspect]*rate.Limiter
}

type suspect struct{ host, user string }

func newGuard(authenticate func(username, password, remote string) (Credential, bool)) *guard {
	return &guard{authenticate: authenticate, desks: make(chan struct{}, 4), suspects: map[suspect]*rate.Limiter{}}
}

// check returns what the user has signed in with, or the reason code of the
// refusal.
func (g *guard) check(remote, user, password string) (Credential, error) {
	host, _, _ := net.SplitHostPort(remote)
	who := suspect{host, clip(user, 256)}
	if g.tired(who) {
		return Credential{}, errTooManyTries
	}
	select {
	case g.desks <- struct{}{}:
	case <-time.After(connectTimeout):
		return Credential{}, packets.ErrServerBusy
	}
	cred, ok := g.authenticate(user, password, host)
	<-g.desks
	if !ok || cred.Owns == nil {
		g.failed(who)
		return Credential{}, packets.ErrBadUsernameOrPassword
	}
	return cred, nil
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
