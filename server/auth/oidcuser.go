package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Subject is who somebody is at a provider, whatever they are called there.
type Subject struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
}

// claims are what a provider says of somebody.
type claims map[string]any

// at is the claim of a name, or of a path such as realm_access.roles.
func (c claims) at(path string) (any, bool) {
	if v, ok := c[path]; ok { // names may have dots, as in https://example.com/roles
		return v, true
	}
	var v any = map[string]any(c)
	for _, name := range strings.Split(path, ".") {
		m, _ := v.(map[string]any)
		var ok bool
		if v, ok = m[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// role is the strongest that somebody's groups have; "" for none.
func (o *OIDC) role(c claims) Role {
	best := o.cfg.DefaultRole
	groups, _ := c.at(o.cfg.RoleClaim)
	list, ok := groups.([]any)
	if one, text := groups.(string); text {
		list, ok = []any{one}, true
	}
	if !ok {
		return best
	}
	for _, g := range list {
		name, _ := g.(string)
		if r := o.roles[name]; r.rank() > best.rank() {
			best = r
		}
	}
	return best
}

// username is what somebody is to be called here: as the provider calls them,
// where that is a name for us.
func (o *OIDC) username(subject string, c claims) string {
	for _, claim := range []string{"preferred_username", "email"} {
		if name, _ := c[claim].(string); checkUsername(name) == nil {
			return name
		}
	}
	return "oidc-" + digest(o.cfg.Issuer + "\x00" + subject)[:12]
}

// user is the one of a subject, made or brought up to date.
func (o *OIDC) user(ctx context.Context, subject string, c claims) (User, error) {
	role := o.role(c)
	who := Subject{o.cfg.Issuer, subject}
	known, ok, err := o.auth.ofSubject(ctx, who)
	if err != nil {
		return User{}, err
	}
	switch {
	case role == "":
		err := fmt.Errorf("%w: %q has the groups %v", ErrNoRole, clip(o.username(subject, c), 100), clip(fmt.Sprint(first(c.at(o.cfg.RoleClaim))), 300))
		if ok { // what was issued to them while they had one is over
			err = errors.Join(err, o.auth.endAll(ctx, known))
		}
		return User{}, err
	case ok:
		return o.auth.follow(ctx, known, who, role)
	}
	name := o.username(subject, c)
	u := User{Username: name, Role: role, Created: second(time.Now()), ID: random(), Era: random(), OIDC: &who}
	err = o.auth.users.create(ctx, name, u)
	if !errors.Is(err, ErrExists) {
		return u, err
	}
	// Another node was first, or it is somebody else's name, which must not be
	// taken over by whoever can choose a name at the provider.
	known, ok, err = o.auth.ofSubject(ctx, who)
	if err != nil {
		return User{}, err
	}
	if !ok {
		return User{}, fmt.Errorf("%w: %q", ErrNameTaken, name)
	}
	return o.auth.follow(ctx, known, who, role)
}

// ofSubject finds the user that a subject is.
func (a *Auth) ofSubject(ctx context.Context, who Subject) (User, bool, error) {
	us, err := a.Users(ctx)
	if err != nil {
		return User{}, false, err
	}
	i := slices.IndexFunc(us, func(u User) bool { return u.OIDC != nil && *u.OIDC == who })
	if i < 0 {
		return User{}, false, nil
	}
	return us[i], true, nil
}

// follow gives a user of a provider the role that they have there.
func (a *Auth) follow(ctx context.Context, u User, who Subject, role Role) (User, error) {
	if u.Role == role {
		return u, nil
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.users.change(ctx, u.Username, func(u *User) error {
		if u.OIDC == nil || *u.OIDC != who {
			return ErrChanged // deleted, and another one of that name, since
		}
		was := u.Role
		u.Role = role
		if role == Administrator {
			u.Things = nil // there is no administrator of a part
		}
		if was == Administrator && role != Administrator {
			return a.anotherAdministrator(ctx, u.Username)
		}
		return nil
	})
}

func first[A, B any](a A, _ B) A { return a }

// clip keeps what others said short.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
