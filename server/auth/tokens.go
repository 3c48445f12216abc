package auth

import (
	"context"
	"slices"
	"strings"
	"time"
)

// A Token lets a script act for a user, within limits.
type Token struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	User    string     `json:"user"`
	Scope   Scope      `json:"scope"`
	Things  []string   `json:"things,omitempty"` // patterns; none means every thing
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`

	UserID string `json:"userid"`
}

const (
	tokenPrefix   = "et_"
	tokensPerUser = 100
	maxPatterns   = 64
)

// NewToken issues a token for a user and answers its secret, which is kept
// nowhere. The patterns in t.Things have been checked by the caller.
func (a *Auth) NewToken(ctx context.Context, t Token) (Token, string, error) {
	if len(t.Name) == 0 || len(t.Name) > 100 {
		return t, "", wrong("token_name", "a name has 1 to {max} bytes", "max", 100).in("/name")
	}
	if t.Scope.rank() < 0 {
		return t, "", wrong("scopes", "scopes are read, command and admin").in("/scopes")
	}
	if len(t.Things) > maxPatterns {
		return t, "", wrong("patterns_many", "at most {max} patterns", "max", maxPatterns).in("/things")
	}
	now := time.Now()
	if expired(t.Expires, now) {
		return t, "", wrong("past", "that is in the past").in("/expires")
	}
	u, err := a.users.get(ctx, t.User)
	if err != nil {
		return t, "", err
	}
	if t.Scope.rank() > u.Role.scope().rank() {
		return t, "", wrong("scope_role", "the role {role} does not include the scope {scope}", "role", u.Role, "scope", t.Scope).in("/scopes")
	}
	if err := a.tokenRoom(ctx, u, now); err != nil {
		return t, "", err
	}
	secret := tokenPrefix + random()
	key := digest(secret)
	t.ID, t.UserID, t.Created = publicID(key), u.ID, second(now)
	return t, secret, a.tokens.create(ctx, key, t)
}

// tokenRoom clears away expired tokens of the user, who may hold so many.
func (a *Auth) tokenRoom(ctx context.Context, u User, now time.Time) error {
	m, err := a.tokens.all(ctx)
	if err != nil {
		return err
	}
	n := 0
	for key, t := range m {
		switch {
		case t.UserID != u.ID:
		case expired(t.Expires, now):
			if err := a.tokens.delete(ctx, key); err != nil {
				return err
			}
		default:
			n++
		}
	}
	if n >= tokensPerUser {
		return wrong("tokens_many", "at most {max} tokens a user: delete one first", "max", tokensPerUser)
	}
	return nil
}

// Token tells for whom a secret acts, and what it allows now.
func (a *Auth) Token(ctx context.Context, secret string) (*Identity, error) {
	if !strings.HasPrefix(secret, tokenPrefix) {
		return nil, ErrNone
	}
	return a.token(ctx, digest(secret))
}

func (a *Auth) token(ctx context.Context, key string) (*Identity, error) {
	t, err := a.tokens.get(ctx, key)
	if err != nil {
		return nil, none(err)
	}
	if expired(t.Expires, time.Now()) {
		return nil, ErrNone
	}
	u, err := a.users.get(ctx, t.User)
	if err != nil {
		return nil, none(err)
	}
	if u.ID != t.UserID {
		return nil, ErrNone
	}
	id := &Identity{Kind: ByToken, User: u.Username, Role: u.Role, Scope: weaker(t.Scope, u.Role.scope()), OIDC: u.OIDC != nil, user: limit(nil, u.Things), own: limit(nil, t.Things), source: ByToken, ref: key}
	if t.Expires != nil {
		id.Expires = *t.Expires
	}
	return id, nil
}

// Tokens lists those of a user, or of everybody when user is "", oldest first.
func (a *Auth) Tokens(ctx context.Context, user string) ([]Token, error) {
	m, err := a.tokens.all(ctx)
	if err != nil {
		return nil, err
	}
	var ts []Token
	for _, t := range m {
		if user == "" || t.User == user {
			ts = append(ts, t)
		}
	}
	slices.SortFunc(ts, func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return ts, nil
}

// DeleteToken revokes a token by its ID: one of the user's, or anybody's when
// user is "".
func (a *Auth) DeleteToken(ctx context.Context, user, id string) error {
	m, err := a.tokens.all(ctx)
	if err != nil {
		return err
	}
	for key, t := range m {
		if t.ID == id && (user == "" || t.User == user) {
			return a.tokens.delete(ctx, key)
		}
	}
	return ErrNotFound
}
