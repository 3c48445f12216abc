package auth

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var (
	errMissing = errors.New("missing")
	errPresent = errors.New("present")
	errChanged = errors.New("changed")
)

// memory is a Store.
type memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	rev  map[string]uint64
	last uint64
	down error // answered to everything while set
	gets int
	puts int
	alls int

	yield bool // lets others run between what one caller does
}

func newMemory() *memory { return &memory{m: map[string][]byte{}, rev: map[string]uint64{}} }

func (s *memory) GetRevision(_ context.Context, key string) ([]byte, uint64, error) {
	if s.yield {
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if b, ok := s.m[key]; ok || s.down != nil {
		return b, s.rev[key], s.down
	}
	return nil, 0, errMissing
}

// put is called under mu.
func (s *memory) put(key string, b []byte) (uint64, error) {
	if s.down == nil {
		s.puts++
		s.last++
		s.m[key], s.rev[key] = b, s.last
	}
	return s.last, s.down
}

func (s *memory) Create(_ context.Context, key string, b []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[key]; ok {
		return 0, errPresent
	}
	return s.put(key, b)
}

func (s *memory) Update(_ context.Context, key string, b []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil && s.rev[key] != revision {
		return 0, errChanged
	}
	return s.put(key, b)
}

func (s *memory) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		delete(s.m, key)
		delete(s.rev, key)
	}
	return s.down
}

func (s *memory) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	s.mu.Lock()
	changed := s.down == nil && s.rev[key] != revision
	s.mu.Unlock()
	if changed {
		return errChanged
	}
	return s.Delete(ctx, key)
}

func (s *memory) All(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alls++
	return maps.Clone(s.m), s.down
}

// reads is how often everything was read.
func (s *memory) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alls
}

// stores are what two nodes share.
type stores struct{ users, sessions, tokens, devices, seen *memory }

func newStores() stores {
	return stores{newMemory(), newMemory(), newMemory(), newMemory(), newMemory()}
}

func (s stores) config(c Config) Config {
	c.Users, c.Sessions, c.Tokens, c.Devices, c.Seen = s.users, s.sessions, s.tokens, s.devices, s.seen
	c.NotFound, c.Exists, c.Changed, c.Log = errMissing, errPresent, errChanged, slog.New(slog.DiscardHandler)
	if c.Secret == "" {
		c.Secret = "a secret of the tests"
	}
	return c
}

func (s stores) open(t testing.TB, c Config) *Auth {
	t.Helper()
	a, err := Open(context.Background(), s.config(c))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *Auth) signIn(t *testing.T, username, password string) (*Identity, string) {
	t.Helper()
	u, err := a.Verify(context.Background(), username, password, "192.0.2.1")
	if err != nil {
		t.Fatalf("sign in as %s: %v", username, err)
	}
	id, err := a.StartSession(context.Background(), u, "192.0.2.1", "Firefox")
	if err != nil {
		t.Fatal(err)
	}
	who, err := a.Session(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return who, id
}

func (a *Auth) setRole(ctx context.Context, username string, role Role) error {
	_, err := a.ChangeUser(ctx, username, Change{Role: &role})
	return err
}

// match is enough of realtime.Match for these tests.
func match(pattern, thing string) bool {
	if p, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(thing, p)
	}
	ok, _ := path.Match(pattern, thing)
	return ok
}
