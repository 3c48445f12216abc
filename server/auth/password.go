package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"sync/atomic"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"
)

// params are OWASP's for argon2id: 19 MB and two passes, about 25 ms, so that
// two logins at once neither starve the plant's stream nor take the memory that
// the whole server is allowed.
var params = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

const (
	hashesAtOnce = 2
	hashesQueued = 32
	maxPassword  = 256
)

// A hasher runs few hashes at once, lets some wait and refuses the rest.
type hasher struct {
	slots   chan struct{}
	waiting *atomic.Int32
	// dummy is checked when the user is unknown, so that both answers take as long.
	dummy string
}

func newHasher() hasher {
	h := hasher{slots: make(chan struct{}, hashesAtOnce), waiting: new(atomic.Int32)}
	// An impossible key: no password hashes to all zeros in our lifetime.
	salt := base64.RawStdEncoding.EncodeToString(make([]byte, params.SaltLength))
	key := base64.RawStdEncoding.EncodeToString(make([]byte, params.KeyLength))
	h.dummy = "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + key
	return h
}

func (h hasher) enter(ctx context.Context) error {
	if h.waiting.Add(1) > hashesQueued {
		h.waiting.Add(-1)
		return ErrBusy
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// typed is a password as it is compared. Keyboards and systems write the same
// letter with a mark, of which Vietnamese has many, as one code point or as
// several; a person cannot know which (RFC 8265, OpaqueString).
func typed(password string) string { return norm.NFC.String(password) }

func (h hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.slots }()
	return argon2id.CreateHash(typed(password), params)
}

// verify takes as long for an empty hash, and says no.
func (h hasher) verify(ctx context.Context, password, hash string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-h.slots }()
	if hash == "" {
		hash = h.dummy
	}
	return argon2id.ComparePasswordAndHash(typed(password), hash)
}

// random is a secret of 256 bits that can stand in a URL, a header or a form.
func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest is what is kept of such a secret. It needs no salt and no slow hash:
// nobody guesses 256 bits.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
