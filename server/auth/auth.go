// Package auth knows who is signed in and what they may do.
//
// # Credentials
//
// A person signs in with a password and gets a session, which ends by logout,
// by idling or by age. A script carries a token, which is shown once and kept
// only as its SHA-256. A client that can send neither cookie nor header (an
// EventSource, a WoT consumer) carries a ticket: signed, read only, good for
// minutes, and dead as soon as the session or token it came from is. A device
// has a name and a password of its own and may only speak for its things.
//
// Each of them becomes an Identity, which never allows more than the role of
// its user does at that moment: demoting or deleting a user takes effect on
// everything that was issued to them.
//
// # What it costs
//
// Records are kept in memory, bounded, and read again from the Store every few
// seconds, so that a lookup costs no I/O and what another node revoked is known
// here within Config.Recheck. While the Store cannot answer, what is known here
// goes on being true.
//
// Passwords are hashed with argon2id, a few at a time. A login that fails is
// slowed per user and address, so that guessing is hopeless and the right user,
// from another address, does not notice.
package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// A Store is a bucket of records, each with a revision that every write
// changes. GetRevision of a missing key is Config.NotFound, Create of a present
// one is Config.Exists, and Update and DeleteRevision of one that has another
// revision are Config.Changed.
type Store interface {
	GetRevision(ctx context.Context, key string) ([]byte, uint64, error)
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string) error
	DeleteRevision(ctx context.Context, key string, revision uint64) error
	All(ctx context.Context) (map[string][]byte, error)
}

// Config is what Open needs.
type Config struct {
	Users, Sessions, Tokens, Devices Store
	Seen                             Store // when each of the last three was used last

	// NotFound, Exists and Changed are the Store's own errors for a missing key,
	// for a present one and for one with another revision.
	NotFound, Exists, Changed error

	// Secret is SESSION_SECRET. Tickets are signed with a key derived from it,
	// so nodes that share it accept each other's.
	Secret string

	// Production refuses the demo login.
	Production bool

	// AdminPassword makes the first administrator, and replaces the demo
	// password of one. Without it the first administrator gets DemoPassword in
	// development and a random password, see Generated, in production.
	AdminPassword string

	// Node is this process among those that share the stores, as people know it.
	Node string

	Idle     time.Duration // a session unused for so long is over; zero means 12 h
	Absolute time.Duration // a session is over then, used or not; zero means 7 days
	Recheck  time.Duration // how long a record is believed before it is read again; zero means 5 s

	Log *slog.Logger // nil means slog.Default()
}

// Auth holds users and what was issued to them. It is safe for concurrent use.
type Auth struct {
	users    *table[User]
	sessions *table[session]
	tokens   *table[Token]
	devices  *table[Device]
	seen     *seen
	rooms    sessionRooms

	// changing is held while a user is changed or deleted, so that only those who
	// do so on other nodes are met with; see anotherAdministrator.
	changing sync.Mutex

	hashing   hasher
	byPair    *throttle // user and address
	byAddress *throttle // address, whatever the user: guards against one password tried on many names

	ticketKey []byte
	idle      time.Duration
	absolute  time.Duration
	generated string
	log       *slog.Logger
}

// What can be wrong with a request that is well-formed. Their text may be shown.
var (
	ErrWrong    = errors.New("wrong username or password")
	ErrNone     = errors.New("the credentials are unknown, expired or revoked")
	ErrNotFound = errors.New("no such entry")
	ErrExists   = errors.New("that name is taken")
	ErrChanged  = errors.New("somebody else changed it at the same time, try again")
	ErrBusy     = errors.New("too many logins at once, try again")
	ErrDemoUsed = errors.New("the administrator still has the demo password. Set ECHOTWIN_ADMIN_PASSWORD to a password of your own; it replaces the demo one at the next start")
)

// Invalid says which member of a request is wrong, and why.
type Invalid struct {
	At      string // a JSON pointer
	Message string
	Reason  string         // which sentence Message is, for programs
	Args    map[string]any // what it fills in
}

// wrong is an Invalid whose text has the arguments in the places of their names.
func wrong(reason, text string, pairs ...any) *Invalid {
	e := &Invalid{Reason: reason}
	var places []string
	for i := 0; i+1 < len(pairs); i += 2 {
		name := fmt.Sprint(pairs[i])
		if e.Args == nil {
			e.Args = map[string]any{}
		}
		e.Args[name] = pairs[i+1]
		places = append(places, "{"+name+"}", fmt.Sprint(pairs[i+1]))
	}
	e.Message = strings.NewReplacer(places...).Replace(text)
	return e
}

func (e *Invalid) in(place string) *Invalid {
	e.At = place
	return e
}

func (e *Invalid) Error() string { return e.Message }

// Throttled says how long to wait before the next login.
type Throttled struct{ Wait time.Duration }

func (e *Throttled) Error() string {
	return fmt.Sprintf("too many failed logins, try again in %d s", e.Seconds())
}

// Seconds is Wait in whole seconds, rounded up, for Retry-After.
func (e *Throttled) Seconds() int { return int((e.Wait + time.Second - 1) / time.Second) }

// Open prepares the first administrator and answers who is who from then on.
func Open(ctx context.Context, c Config) (*Auth, error) {
	if c.Idle == 0 {
		c.Idle = 12 * time.Hour
	}
	if c.Absolute == 0 {
		c.Absolute = 7 * 24 * time.Hour
	}
	if c.Recheck == 0 {
		c.Recheck = 5 * time.Second
	}
	if c.Node == "" {
		c.Node = "node-" + random()[:8]
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	key, err := hkdf.Key(sha256.New, []byte(c.Secret), nil, "echotwin ticket", 32)
	if err != nil {
		return nil, err
	}
	a := &Auth{
		users:     newTable[User](c.Users, c, 1000),
		sessions:  newTable[session](c.Sessions, c, 10000),
		tokens:    newTable[Token](c.Tokens, c, 10000),
		devices:   newTable[Device](c.Devices, c, 10000),
		seen:      newSeen(c),
		hashing:   newHasher(),
		byPair:    newThrottle(5),
		byAddress: newThrottle(20),
		ticketKey: key,
		idle:      c.Idle,
		absolute:  c.Absolute,
		log:       c.Log,
	}
	if err := a.firstAdministrator(ctx, c); err != nil {
		return nil, err
	}
	return a, nil
}

// Generated is the random password that Open gave to the first administrator,
// to be printed once; "" when it gave none.
func (a *Auth) Generated() string { return a.generated }

// Run removes what has expired and writes down what was used, now and then,
// until ctx ends.
func (a *Auth) Run(ctx context.Context) error {
	hourly, often := time.NewTicker(time.Hour), time.NewTicker(seenEvery)
	defer hourly.Stop()
	defer often.Stop()
	a.tidy(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			a.note(last)
			return nil
		case <-hourly.C:
			a.rooms.forget()
			a.tidy(ctx)
		case <-often.C:
			a.note(ctx)
		}
	}
}

func (a *Auth) note(ctx context.Context) {
	if err := errors.Join(a.seen.meet(ctx, a.devices), a.seen.flush(ctx)); err != nil && ctx.Err() == nil {
		a.log.Warn("what was used last was not stored", "err", err)
	}
}

func (a *Auth) tidy(ctx context.Context) {
	if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("what has expired stays for now", "err", err)
	}
}

func (a *Auth) sweep(ctx context.Context) error {
	now := time.Now()
	return errors.Join(
		sweep(ctx, a.sessions, a.seen, BySession, func(s session) bool { return a.over(s, now) }),
		sweep(ctx, a.tokens, a.seen, ByToken, func(t Token) bool { return expired(t.Expires, now) }),
		sweep(ctx, a.devices, a.seen, ByDevice, func(d Device) bool { return expired(d.Expires, now) }),
	)
}

// sweep removes what is gone, and the uses of what is not there.
func sweep[T any](ctx context.Context, t *table[T], s *seen, kind Kind, gone func(T) bool) error {
	left, err := t.deleteIf(ctx, gone)
	if err != nil {
		return err
	}
	ids := make(map[string]bool, len(left))
	for key := range left {
		ids[publicID(key)] = true
	}
	return s.forget(ctx, kind, func(id string) bool { return ids[id] })
}

// expired says whether a point in time that may be absent has passed.
func expired(t *time.Time, now time.Time) bool { return t != nil && !now.Before(*t) }
