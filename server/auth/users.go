package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A User signs in with a password, or at a provider.
type User struct {
	Username string    `json:"username"`
	Role     Role      `json:"role"`
	Created  time.Time `json:"created"`

	// Things are patterns of the things that the user has to do with; none means
	// every thing.
	Things []string `json:"things,omitempty"`

	// OIDC is who they are at the provider that they sign in at; nil of a local
	// user. They have no password here.
	OIDC *Subject `json:"oidc,omitempty"`

	Hash string `json:"hash"` // argon2id; "" is no password's
	ID   string `json:"id"`   // random: a later user of the same name is another one
	Era  string `json:"era"`  // random, new with each password: sessions of the old one are over
	Demo bool   `json:"demo,omitempty"`
}

// DemoPassword is the one of the tutorial, for development only.
const (
	DemoUser     = "admin"
	DemoPassword = "123456"
)

// MinPassword is the shortest password that can be chosen.
const MinPassword = 8

// Verify checks a password. The address is the client's; both decide how long
// the next attempt has to wait.
func (a *Auth) Verify(ctx context.Context, username, password, address string) (User, error) {
	name := username
	if checkUsername(name) != nil {
		name = "?" // cannot be right; all of these share one count
	}
	pair := address + " " + name
	if wait := max(a.byAddress.take(address), 0); wait > 0 {
		return User{}, &Throttled{wait}
	}
	if wait := a.byPair.take(pair); wait > 0 {
		a.byAddress.undo(address) // it did not come to a guess
		return User{}, &Throttled{wait}
	}
	u, err := a.verify(ctx, name, password)
	switch {
	case err == nil:
		a.byPair.forgive(pair)
		a.byAddress.undo(address)
	case !errors.Is(err, ErrWrong):
		a.byPair.undo(pair)
		a.byAddress.undo(address)
	}
	return u, err
}

func (a *Auth) verify(ctx context.Context, username, password string) (User, error) {
	u, err := a.users.get(ctx, username)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return User{}, err
	}
	if len(password) > maxPassword {
		password = "" // never set, so never right; and nobody makes us hash a megabyte
	}
	ok, err := a.hashing.verify(ctx, password, u.Hash)
	if err != nil {
		return User{}, err
	}
	if !ok || u.Username == "" {
		return User{}, ErrWrong
	}
	return u, nil
}

// Users lists them by name.
func (a *Auth) Users(ctx context.Context) ([]User, error) {
	m, err := a.users.all(ctx)
	if err != nil {
		return nil, err
	}
	us := slices.Collect(maps.Values(m))
	slices.SortFunc(us, func(a, b User) int { return strings.Compare(a.Username, b.Username) })
	return us, nil
}

// AddUser makes a user, limited to things when patterns are given; the caller
// has checked those.
func (a *Auth) AddUser(ctx context.Context, username, password string, role Role, things ...string) (User, error) {
	if err := checkUsername(username); err != nil {
		return User{}, err
	}
	if err := checkPassword(password); err != nil {
		return User{}, err
	}
	if err := checkRole(role); err != nil {
		return User{}, err
	}
	if err := checkLimits(role, things); err != nil {
		return User{}, err
	}
	return a.addUser(ctx, username, password, role, things)
}

func (a *Auth) addUser(ctx context.Context, username, password string, role Role, things []string) (User, error) {
	hash, err := a.hashing.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	u := User{
		Username: username, Role: role, Things: things, Created: second(time.Now()),
		Hash: hash, ID: random(), Era: random(), Demo: password == DemoPassword,
	}
	return u, a.users.create(ctx, username, u)
}

// A Change is what becomes different of a user; nil stays as it is.
type Change struct {
	Role     *Role
	Things   *[]string // an empty list lifts the limits; the caller has checked the patterns
	Password *string   // ends the user's sessions
}

// ChangeUser changes a user, all of it or nothing. There is always an
// administrator.
func (a *Auth) ChangeUser(ctx context.Context, username string, c Change) (User, error) {
	if c.Role != nil {
		if err := checkRole(*c.Role); err != nil {
			return User{}, err
		}
	}
	hash := ""
	if c.Password != nil {
		if err := checkPassword(*c.Password); err != nil {
			return User{}, err
		}
		var err error
		if hash, err = a.hashing.hash(ctx, *c.Password); err != nil { // before the lock: it takes a while
			return User{}, err
		}
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.users.change(ctx, username, func(u *User) error {
		was := u.Role
		if c.Role != nil {
			u.Role = *c.Role
		}
		if c.Things != nil {
			u.Things = *c.Things
		}
		if err := checkLimits(u.Role, u.Things); err != nil {
			return err
		}
		if hash != "" && u.OIDC != nil {
			return wrong("password_elsewhere", "this user signs in at a provider and has no password here").in("/password")
		}
		if hash != "" {
			u.Hash, u.Era, u.Demo = hash, random(), false
		}
		if was == Administrator && u.Role != Administrator {
			return a.anotherAdministrator(ctx, username)
		}
		return nil
	})
}

// SetPassword gives a user another password, which ends their sessions.
func (a *Auth) SetPassword(ctx context.Context, username, password string) error {
	_, err := a.ChangeUser(ctx, username, Change{Password: &password})
	return err
}

// DeleteUser ends everything that was issued to them. There is always an
// administrator.
func (a *Auth) DeleteUser(ctx context.Context, username string) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	var u User
	err := again(ctx, func() error {
		var revision uint64
		var err error
		if u, revision, err = a.users.read(ctx, username); err != nil {
			return err
		}
		if u.Role == Administrator {
			if err := a.anotherAdministrator(ctx, username); err != nil {
				return err
			}
		}
		return a.users.deleteAt(ctx, username, revision)
	})
	if err != nil {
		return err
	}
	// From here on they are worth nothing; removing them is tidiness.
	return a.endAll(ctx, u)
}

// endAll ends everything that was issued to a user.
func (a *Auth) endAll(ctx context.Context, u User) error {
	_, sessions := a.sessions.deleteIf(ctx, func(s session) bool { return s.User == u.Username })
	_, tokens := a.tokens.deleteIf(ctx, func(t Token) bool { return t.UserID == u.ID })
	return errors.Join(sessions, tokens)
}

// anotherAdministrator sees to it that somebody else is an administrator when a
// user is no more. It is called between the reading of that user's record and
// the writing of it, and writes the other's record anew. So of two nodes that
// take each other's administrator for the one who stays, at most one succeeds:
// whoever comes second finds the record that it read, or the one it would write
// anew, changed.
func (a *Auth) anotherAdministrator(ctx context.Context, than string) error {
	us, err := a.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range us {
		if u.Role != Administrator || u.Username == than {
			continue
		}
		now, revision, err := a.users.read(ctx, u.Username)
		if errors.Is(err, ErrNotFound) || err == nil && now.Role != Administrator {
			continue
		}
		if err != nil {
			return err
		}
		return a.users.update(ctx, now.Username, now, revision)
	}
	return wrong("last_admin", "the last administrator has to stay one").in("/role")
}

func (a *Auth) firstAdministrator(ctx context.Context, c Config) error {
	us, err := a.Users(ctx)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	for _, u := range us {
		if !u.Demo {
			continue
		}
		if c.AdminPassword != "" && c.AdminPassword != DemoPassword {
			if err := a.SetPassword(ctx, u.Username, c.AdminPassword); err != nil {
				return fmt.Errorf("ECHOTWIN_ADMIN_PASSWORD: %w", err)
			}
			a.log.Info("the demo password was replaced by ECHOTWIN_ADMIN_PASSWORD", "user", u.Username)
		} else if c.Production {
			return ErrDemoUsed
		}
	}
	if len(us) > 0 {
		return nil
	}
	password := c.AdminPassword
	switch {
	case password != "" && password != DemoPassword:
		if err := checkPassword(password); err != nil {
			return fmt.Errorf("ECHOTWIN_ADMIN_PASSWORD: %w", err)
		}
	case c.Production:
		a.generated = random()[:20]
		password = a.generated
	default:
		password = DemoPassword
	}
	_, err = a.addUser(ctx, DemoUser, password, Administrator, nil)
	if errors.Is(err, ErrExists) { // another node was first
		a.generated = ""
		return nil
	}
	return err
}

func checkUsername(s string) error {
	bad := strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._@-", r))
	})
	if s == "" || len(s) > 64 || bad {
		return wrong("username", "a username is 1 to {max} letters, digits and . _ @ -", "max", 64).in("/username")
	}
	return nil
}

func checkPassword(s string) error {
	if len(s) < MinPassword || len(s) > maxPassword {
		return wrong("password", "a password has {min} to {max} bytes", "min", MinPassword, "max", maxPassword).in("/password")
	}
	return nil
}

func checkRole(r Role) error {
	if !slices.Contains(Roles, r) {
		return wrong("role", "a role is one of viewer, operator, engineer, admin").in("/role")
	}
	return nil
}

// checkLimits refuses an administrator who sees only a part: they manage users
// and devices of every thing, and could lift their own limits.
func checkLimits(r Role, things []string) error {
	if len(things) > maxPatterns {
		return wrong("patterns_many", "at most {max} patterns", "max", maxPatterns).in("/things")
	}
	if r == Administrator && len(things) > 0 {
		return wrong("admin_things", "an administrator has to do with every thing; give another role, or no patterns").in("/things")
	}
	return nil
}
