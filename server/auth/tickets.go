package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// TicketLife is how long a ticket is good for.
const TicketLife = 5 * time.Minute

// A ticket is kept nowhere: it carries what it allows, signed. Ref names the
// session or token it came from, without which it is worth nothing.
type ticket struct {
	Kind    Kind     `json:"k"`
	Ref     string   `json:"r"`
	Things  []string `json:"t,omitempty"`
	Expires int64    `json:"e"` // seconds since 1970
}

// NewTicket issues a read-only ticket that sees the things which both the
// patterns and the identity cover. The patterns have been checked by the caller.
func (a *Auth) NewTicket(i *Identity, things []string) (string, time.Time, error) {
	if i.Kind != BySession && i.Kind != ByToken {
		return "", time.Time{}, wrong("ticket_for", "a ticket is issued to a session or a token")
	}
	if len(things) > 16 {
		return "", time.Time{}, wrong("patterns_many", "at most {max} patterns", "max", 16).in("/things") // it has to fit into a URL
	}
	expires := time.Now().Add(TicketLife).Truncate(time.Second)
	body, err := json.Marshal(ticket{i.Kind, i.ref, things, expires.Unix()})
	if err != nil {
		return "", time.Time{}, err
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + a.sign(text), expires.UTC(), nil
}

// Ticket tells what a ticket allows now.
func (a *Auth) Ticket(ctx context.Context, s string) (*Identity, error) {
	text, mac, _ := strings.Cut(s, ".")
	if len(s) > 4096 || !hmac.Equal([]byte(mac), []byte(a.sign(text))) {
		return nil, ErrNone
	}
	body, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, ErrNone
	}
	var t ticket
	if json.Unmarshal(body, &t) != nil || time.Now().Unix() >= t.Expires {
		return nil, ErrNone
	}
	parent := a.session
	if t.Kind == ByToken {
		parent = a.token
	}
	i, err := parent(ctx, t.Ref)
	if err != nil {
		return nil, err
	}
	i.Kind, i.Scope = ByTicket, weaker(i.Scope, Read)
	i.own = limit(i.own, t.Things)
	return i, nil
}

func (a *Auth) sign(text string) string {
	m := hmac.New(sha256.New, a.ticketKey)
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
