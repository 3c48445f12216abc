package auth

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A Role is what a user is to the plant.
type Role string

// The roles. Each may do what the ones before it may; see permission.go.
const (
	Viewer        Role = "viewer"
	Operator      Role = "operator"
	Engineer      Role = "engineer"
	Administrator Role = "admin"
)

// Roles lists them, weakest first.
var Roles = []Role{Viewer, Operator, Engineer, Administrator}

// rank orders roles; -1 is less than all of them.
func (r Role) rank() int { return slices.Index(Roles, r) }

// A Scope narrows what a token may of all that its user may. Each includes the
// ones before it.
type Scope string

// The scopes.
const (
	Read    Scope = "read"    // look at things, history and the assistant
	Command Scope = "command" // and have devices do something, and speak for them
	Admin   Scope = "admin"   // and everything else that the role may
)

// Scopes lists them, weakest first.
var Scopes = []Scope{Read, Command, Admin}

// rank orders scopes; -1 is less than all of them.
func (s Scope) rank() int { return slices.Index(Scopes, s) }

// scope is the most that a token of somebody with the role can have.
func (r Role) scope() Scope {
	switch r {
	case Viewer:
		return Read
	case Operator:
		return Command
	case Engineer, Administrator:
		return Admin
	}
	return ""
}

// A Kind says by what somebody showed who they are.
type Kind string

// The kinds of credentials.
const (
	BySession Kind = "session"
	ByToken   Kind = "token"
	ByTicket  Kind = "ticket"
	ByDevice  Kind = "device"
)

// An Identity is somebody who showed a credential, and what it allows now. Of a
// device User is its name, and it may only speak for its things. A ticket's
// Expires is that of what it came from: the ticket's own life says how long it
// opens streams, not how long they last.
type Identity struct {
	Kind    Kind
	User    string
	Role    Role // "" of a device
	Scope   Scope
	Expires time.Time // zero: never
	OIDC    bool      // the user signs in at a provider

	// The lists of patterns that limit the user, and those that limit the token
	// or ticket besides; every one of them must cover a thing.
	user [][]string
	own  [][]string

	source Kind   // where its record is: a ticket's is that of the session or token it came from
	ref    string // the record's key
}

// Session names what the identity rests on: a session, a token with everything
// that came from it, or a device's password.
func (i *Identity) Session() string { return string(i.source) + ":" + i.ref }

// RestsOn says whether the identity rests on a session, by its public id.
func (i *Identity) RestsOn(session string) bool {
	return i.source == BySession && publicID(i.ref) == session
}

// Again is the identity as it is now. ErrNone means that what it rests on was
// ended or revoked, or has expired; whoever holds a connection open asks now
// and then.
func (a *Auth) Again(ctx context.Context, i *Identity) (*Identity, error) {
	var now *Identity
	var err error
	switch i.source {
	case BySession:
		now, err = a.session(ctx, i.ref)
	case ByToken:
		now, err = a.token(ctx, i.ref)
	case ByDevice:
		now, err = a.device(ctx, i.ref)
	default:
		err = ErrNone
	}
	if err != nil {
		return nil, err
	}
	if i.Kind == ByTicket {
		// What limits the token behind it cannot change; the ticket's patterns come
		// on top.
		now.Kind, now.Scope, now.own = ByTicket, weaker(now.Scope, Read), i.own
	}
	return now, nil
}

// Still says whether Again would not be ErrNone. While that cannot be told it
// says yes.
func (a *Auth) Still(ctx context.Context, i *Identity) bool {
	_, err := a.Again(ctx, i)
	return !errors.Is(err, ErrNone)
}

// Everything says whether no pattern limits the identity.
func (i *Identity) Everything() bool { return len(i.user) == 0 && len(i.own) == 0 }

// Covers says whether a thing lies within the identity's patterns. match is
// realtime.Match.
func (i *Identity) Covers(thing string, match func(pattern, thing string) bool) bool {
	within := func(limits [][]string) bool {
		for _, patterns := range limits {
			if !slices.ContainsFunc(patterns, func(p string) bool { return match(p, thing) }) {
				return false
			}
		}
		return true
	}
	return within(i.user) && within(i.own)
}

// Patterns are the lists of patterns that limit the identity; every one of them
// must cover a thing.
func (i *Identity) Patterns() [][]string {
	if len(i.user) == 0 {
		return i.own
	}
	return append(slices.Clip(i.user), i.own...)
}

// Limits are the patterns that the user is limited to, whatever credential
// showed them.
func (i *Identity) Limits() []string {
	if len(i.user) == 0 {
		return nil
	}
	return i.user[0]
}

// As is the same credential with what its user is now, as Again told it of what
// the credential rests on.
func (i *Identity) As(now *Identity) *Identity {
	c := *i
	c.Role, c.user = now.Role, now.user
	if i.Kind != ByTicket {
		c.Scope = now.Scope
	}
	return &c
}

// SameThings says whether both cover the same things.
func (i *Identity) SameThings(o *Identity) bool {
	return slices.EqualFunc(i.Patterns(), o.Patterns(), slices.Equal[[]string])
}

// limit adds a list of patterns; an empty list limits nothing.
func limit(limits [][]string, patterns []string) [][]string {
	if len(patterns) == 0 {
		return limits
	}
	return append(slices.Clip(limits), patterns)
}

// weaker is the lesser of two scopes.
func weaker(a, b Scope) Scope {
	if a.rank() < b.rank() {
		return a
	}
	return b
}
