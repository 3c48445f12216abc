package auth

import (
	"context"
	"errors"
	"time"
)

// A session lives on the server; the browser only holds its random id. It is
// kept under the id's digest, so that who reads the store cannot sign in.
type session struct {
	User    string    `json:"user"`
	Era     string    `json:"era"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"` // written now and then, so that idling can be told
}

func (a *Auth) over(s session, now time.Time) bool {
	return now.Sub(s.Created) >= a.absolute || now.Sub(s.Seen) >= a.idle
}

// Absolute is how long a session can last at most.
func (a *Auth) Absolute() time.Duration { return a.absolute }

// StartSession signs a verified user in and answers the session's secret id.
func (a *Auth) StartSession(ctx context.Context, u User) (string, error) {
	id, now := random(), time.Now()
	return id, a.sessions.put(ctx, digest(id), session{u.Username, u.Era, now, now})
}

// Session tells whose session it is. ErrNone means sign in again.
func (a *Auth) Session(ctx context.Context, id string) (*Identity, error) {
	return a.session(ctx, digest(id))
}

func (a *Auth) session(ctx context.Context, key string) (*Identity, error) {
	s, err := a.sessions.get(ctx, key)
	if err != nil {
		return nil, none(err)
	}
	now := time.Now()
	if a.over(s, now) {
		return nil, ErrNone
	}
	u, err := a.users.get(ctx, s.User)
	if err != nil {
		return nil, none(err)
	}
	if u.Era != s.Era {
		return nil, ErrNone
	}
	if now.Sub(s.Seen) > a.idle/16 {
		s.Seen = now
		// The store is down: the session is good all the same, and the next
		// request tries again.
		if err := a.sessions.put(ctx, key, s); err != nil {
			a.log.Warn("a session's last use was not stored", "err", err)
		}
	}
	return &Identity{Kind: BySession, User: u.Username, Role: u.Role, Scope: u.Role.scope(), Expires: s.Created.Add(a.absolute), user: limit(nil, u.Things), source: BySession, ref: key}, nil
}

// EndSession signs out. Ending one that is over is no error.
func (a *Auth) EndSession(ctx context.Context, id string) error {
	return a.sessions.delete(ctx, digest(id))
}

// none turns "not found" into ErrNone.
func none(err error) error {
	if errors.Is(err, ErrNotFound) {
		return ErrNone
	}
	return err
}
