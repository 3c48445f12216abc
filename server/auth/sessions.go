package auth

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// A session lives on the server; the browser only holds its random id. It is
// kept under the id's digest, so that who reads the store cannot sign in.
type session struct {
	User    string    `json:"user"`
	Era     string    `json:"era"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"` // written now and then, so that idling can be told

	Address string `json:"address,omitempty"` // where it was started from, and by what
	Agent   string `json:"agent,omitempty"`

	// Of one that was started at a provider: what the provider calls it, and when it
	// is over however much it is used; zero for the usual time.
	SID   string    `json:"sid,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

const (
	// sessionsPerUser is how many live at once: one more ends a tenth of them, those
	// that were used the longest ago. A script that signs in again and again, instead
	// of keeping its cookie, must not fill the store.
	sessionsPerUser = 500
	sessionsLeft    = sessionsPerUser - sessionsPerUser/10
	maxAgent        = 160 // bytes of a browser's name
)

func (a *Auth) over(s session, now time.Time) bool {
	return !now.Before(a.ends(s)) || now.Sub(s.Seen) >= a.idle
}

// ends is when a session is over, however much it is used.
func (a *Auth) ends(s session) time.Time {
	end := s.Created.Add(a.absolute)
	if !s.Until.IsZero() && s.Until.Before(end) {
		return s.Until
	}
	return end
}

// Absolute is how long a session can last at most.
func (a *Auth) Absolute() time.Duration { return a.absolute }

// StartSession signs a verified user in and answers the session's secret id.
// From where, and with what browser, is kept for people to recognise it by.
func (a *Auth) StartSession(ctx context.Context, u User, address, agent string) (string, error) {
	return a.startSession(ctx, session{User: u.Username, Era: u.Era, Address: address, Agent: cleanAgent(agent)})
}

func (a *Auth) startSession(ctx context.Context, s session) (string, error) {
	id, now := random(), time.Now()
	s.Created, s.Seen = now, now
	if err := a.sessions.create(ctx, digest(id), s); err != nil {
		return "", err
	}
	return id, a.sessionRoom(ctx, s.User)
}

// cleanAgent is what a browser calls itself, printable and short.
func cleanAgent(agent string) string {
	return clip(strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, agent[:min(len(agent), 8*maxAgent)]), maxAgent)
}

// A sessionRooms says how many sessions users may start before all sessions are
// read and counted again: a sign-in must not cost what others have. A count is
// good for an hour, since other nodes start sessions, too; half of the room that
// it found is given away, for the same reason.
type sessionRooms struct {
	mu      sync.Mutex
	counted bool
	left    map[string]int // by user, who is not in it when there were none
}

func (r *sessionRooms) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted, r.left = false, nil
}

// take is called under mu.
func (r *sessionRooms) take(user string) bool {
	n, known := r.left[user]
	if !known {
		n = sessionsPerUser / 2
	}
	if !r.counted || n == 0 {
		return false
	}
	r.left[user] = n - 1
	return true
}

// sessionRoom ends the sessions of a user that are too many.
func (a *Auth) sessionRoom(ctx context.Context, user string) error {
	a.rooms.mu.Lock()
	defer a.rooms.mu.Unlock()
	if a.rooms.take(user) {
		return nil
	}
	all, err := a.Sessions(ctx, "")
	if err != nil {
		return err
	}
	of := map[string][]Session{}
	for _, s := range all {
		of[s.User] = append(of[s.User], s)
	}
	if mine := of[user]; len(mine) > sessionsPerUser {
		slices.SortFunc(mine, func(a, b Session) int { return b.Used.Compare(a.Used) })
		for _, s := range mine[sessionsLeft:] {
			if err := a.sessions.delete(ctx, s.key); err != nil {
				return err
			}
		}
		of[user] = mine[:sessionsLeft]
	}
	a.rooms.counted, a.rooms.left = true, make(map[string]int, len(of))
	for name, theirs := range of {
		a.rooms.left[name] = max(sessionsPerUser-len(theirs)+1, 0) / 2
	}
	return nil
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
		// The store is down: the session is good all the same, and the next
		// request tries again.
		_, err := a.sessions.change(ctx, key, func(s *session) error { s.Seen = now; return nil })
		if errors.Is(err, ErrNotFound) {
			return nil, ErrNone // another node has ended it
		}
		if err != nil {
			a.log.Warn("a session's last use was not stored", "err", err)
		}
	}
	return &Identity{Kind: BySession, User: u.Username, Role: u.Role, Scope: u.Role.scope(), Expires: a.ends(s), OIDC: u.OIDC != nil, user: limit(nil, u.Things), source: BySession, ref: key}, nil
}

// EndSession signs out. Ending one that is over is no error.
func (a *Auth) EndSession(ctx context.Context, id string) error {
	return a.sessions.delete(ctx, digest(id))
}

// A Session is one that somebody has, as it is shown to people.
type Session struct {
	ID      string    `json:"id"` // public: it signs nobody in
	User    string    `json:"user"`
	Started time.Time `json:"started"`
	Used    time.Time `json:"used"`
	Expires time.Time `json:"expires"` // when it ends, however much it is used
	Address string    `json:"address"` // of the last use
	From    string    `json:"from"`    // the address that it was started from
	Agent   string    `json:"agent"`   // what the browser calls itself, shortened

	key string
}

// Sessions lists those of a user, or of everybody when user is "", the newest
// first.
func (a *Auth) Sessions(ctx context.Context, user string) ([]Session, error) {
	all, err := a.sessions.all(ctx)
	if err != nil {
		return nil, err
	}
	uses, err := a.Uses(ctx, BySession)
	if err != nil {
		return nil, err
	}
	users, err := a.users.all(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var out []Session
	for key, s := range all {
		if user != "" && s.User != user || a.over(s, now) || users[s.User].Era != s.Era {
			continue
		}
		use := later(Use{At: s.Seen, Address: s.Address}, uses[publicID(key)])
		out = append(out, Session{
			ID: publicID(key), User: s.User, Started: second(s.Created), Used: second(use.At), Expires: second(a.ends(s)),
			Address: use.Address, From: s.Address, Agent: s.Agent, key: key,
		})
	}
	slices.SortFunc(out, func(a, b Session) int { return cmp.Or(b.Started.Compare(a.Started), strings.Compare(a.ID, b.ID)) })
	return out, nil
}

// second is a time as people need it.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// EndSessionOf ends a session by its public ID: one of the user's, or anybody's
// when user is "". It answers whose it was.
func (a *Auth) EndSessionOf(ctx context.Context, user, id string) (string, error) {
	all, err := a.sessions.all(ctx)
	if err != nil {
		return "", err
	}
	for key, s := range all {
		if publicID(key) == id && (user == "" || s.User == user) {
			return s.User, a.sessions.delete(ctx, key)
		}
	}
	return "", ErrNotFound
}

// EndSessions ends all sessions of a user, but for the one that keep rests on,
// which may be nil. It answers how many there were.
func (a *Auth) EndSessions(ctx context.Context, user string, keep *Identity) (int, error) {
	all, err := a.sessions.all(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for key, s := range all {
		if s.User != user || keep != nil && keep.source == BySession && keep.ref == key {
			continue
		}
		if err := a.sessions.delete(ctx, key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// none turns "not found" into ErrNone.
func none(err error) error {
	if errors.Is(err, ErrNotFound) {
		return ErrNone
	}
	return err
}
