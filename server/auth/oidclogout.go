package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// OpenID Connect Back-Channel Logout 1.0: the provider itself says that somebody
// has signed out there, or may not go on.

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

	logoutAge  = 10 * time.Minute // of a logout token at most
	logoutSkew = 2 * time.Minute  // between the provider's clock and ours
	logoutsMax = 10_000           // logout tokens that are remembered, so that none counts twice
)

// ErrNoLogout means that the provider is not to say who has signed out.
var ErrNoLogout = errors.New("back-channel logout is not switched on: set ECHOTWIN_OIDC_BACKCHANNEL=1")

// A logoutToken is what a provider says in one.
type logoutToken struct {
	ID     string                     `json:"jti"`
	SID    string                     `json:"sid"`
	Nonce  json.RawMessage            `json:"nonce"`
	Events map[string]json.RawMessage `json:"events"`
	IAT    float64                    `json:"iat"`
	EXP    *float64                   `json:"exp"` // older providers leave it out
}

// LoggedOut does what a provider's logout token says, and answers whose sessions
// ended, and how many. ErrUntrusted says what is not in order with the token. The
// address is that of who sent it: many bad ones from there have to wait.
func (o *OIDC) LoggedOut(ctx context.Context, raw, address string) (users []string, n int, err error) {
	if !o.cfg.Backchannel {
		return nil, 0, ErrNoLogout
	}
	// A token with an unknown key has the provider's keys fetched anew.
	if wait := o.badLogouts.take(address); wait > 0 {
		return nil, 0, &Throttled{wait}
	}
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	default:
		o.badLogouts.undo(address)
		return nil, 0, ErrBusy
	}
	t, subject, err := o.readLogout(ctx, raw)
	if err != nil {
		return nil, 0, err
	}
	o.badLogouts.undo(address)
	users, n, err = o.auth.endAtProvider(ctx, Subject{o.cfg.Issuer, subject}, t.SID)
	if err != nil {
		o.logouts.forget(t.ID) // the provider sends it again
	}
	return users, n, err
}

// readLogout checks a logout token as the specification has it, and notes it.
func (o *OIDC) readLogout(ctx context.Context, raw string) (t logoutToken, subject string, err error) {
	wrong := func(format string, args ...any) (logoutToken, string, error) {
		return logoutToken{}, "", fmt.Errorf("%w: the logout token %w", ErrUntrusted, fmt.Errorf(format, args...))
	}
	p, err := o.discover(ctx)
	if err != nil {
		return t, "", err
	}
	// The signature, the issuer and the audience; the times are ours to check, since
	// not every provider writes exp.
	id, err := p.Verifier(&oidc.Config{ClientID: o.cfg.ClientID, SkipExpiryCheck: true}).Verify(oidc.ClientContext(ctx, o.client), raw)
	if err != nil && errors.Is(unverified(err), ErrUnreachable) {
		return t, "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	} else if err != nil {
		return wrong("is not the provider's for this server: %w", err)
	}
	if err := id.Claims(&t); err != nil {
		return wrong("cannot be read: %w", err)
	}
	now, issued := time.Now(), time.Unix(int64(t.IAT), 0)
	switch event := t.Events[logoutEvent]; {
	case len(event) == 0 || event[0] != '{':
		return wrong("lacks the event %s", logoutEvent)
	case t.Nonce != nil:
		return wrong("has a nonce, as only ID tokens have")
	case t.IAT == 0 || now.Sub(issued) > logoutAge || issued.Sub(now) > logoutSkew:
		return wrong("was issued at %s, and it is %s here", issued.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case t.EXP != nil && now.Sub(time.Unix(int64(*t.EXP), 0)) > logoutSkew:
		return wrong("has expired")
	case id.Subject == "" && t.SID == "":
		return wrong("names neither a person nor a session")
	case len(id.Subject) > maxSubject || len(t.SID) > maxSubject:
		return wrong("names something longer than %d bytes", maxSubject)
	case t.ID == "" || len(t.ID) > maxSubject:
		return wrong("has no jti of 1 to %d bytes", maxSubject)
	case !o.logouts.first(t.ID, now):
		return wrong("was here before")
	}
	return t, id.Subject, nil
}

// endAtProvider ends the sessions that a provider means: one by its sid, and all of
// a subject without. A session that has no sid is its subject's.
func (a *Auth) endAtProvider(ctx context.Context, who Subject, sid string) (users []string, n int, err error) {
	all, err := a.sessions.all(ctx)
	if err != nil {
		return nil, 0, err
	}
	known, err := a.users.all(ctx)
	if err != nil {
		return nil, 0, err
	}
	ended := map[string]bool{}
	for key, s := range all {
		u := known[s.User]
		if u.OIDC == nil || u.OIDC.Issuer != who.Issuer || who.ID != "" && u.OIDC.ID != who.ID {
			continue
		}
		if sid != "" && s.SID != sid && (s.SID != "" || who.ID == "") {
			continue
		}
		if err := a.sessions.delete(ctx, key); err != nil {
			return nil, n, err
		}
		n++
		if !ended[s.User] {
			ended[s.User] = true
			users = append(users, s.User)
		}
	}
	return users, n, nil
}

// A once remembers names for as long as they could come again.
type once struct {
	mu sync.Mutex
	m  map[string]time.Time
}

// first says whether a name was not there. A full memory forgets the oldest
// name: the provider's tokens are signed, so only the provider can fill it.
func (o *once) first(name string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, was := o.m[name]; was {
		return false
	}
	if o.m == nil {
		o.m = map[string]time.Time{}
	}
	if len(o.m) >= logoutsMax {
		oldest := name
		for k, at := range o.m {
			if now.Sub(at) > logoutAge+logoutSkew {
				delete(o.m, k)
			} else if oldest == name || at.Before(o.m[oldest]) {
				oldest = k
			}
		}
		if len(o.m) >= logoutsMax {
			delete(o.m, oldest)
		}
	}
	o.m[name] = now
	return true
}

func (o *once) forget(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.m, name)
}
