package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// A Use is when and from where a session, a token or a device's credential was
// used last.
type Use struct {
	At      time.Time `json:"at"`
	Address string    `json:"address,omitempty"`
}

const (
	// seenEvery is how often uses are written down: in between they are in memory
	// only. A crash forgets as much of them.
	seenEvery = 30 * time.Second

	maxSeen      = 20_000 // credentials that were used since
	maxSeenShard = 4000   // uses in one record, which the store wants below 1 MB
)

// seen remembers uses. They are many and of little worth, so they are gathered
// here and written some hundreds to a record: whatever devices send costs the
// store a few writes every seenEvery.
type seen struct {
	store                     Store
	notFound, exists, changed error

	mu  sync.Mutex
	new map[seenKey]Use // what the store has not got
}

// A seenKey is a credential: id is the public one.
type seenKey struct {
	kind Kind
	id   string
}

// shard is the record that holds the credential's use.
func (k seenKey) shard() string { return string(k.kind) + "-" + k.id[:1] }

func newSeen(c Config) *seen {
	return &seen{store: c.Seen, notFound: c.NotFound, exists: c.Exists, changed: c.Changed, new: map[seenKey]Use{}}
}

// Used notes that somebody showed their credential. Without an address that of
// the last time stays.
func (a *Auth) Used(i *Identity, address string) {
	if i == nil || i.ref == "" {
		return
	}
	s := a.seen
	key := seenKey{i.source, publicID(i.ref)}
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.new[key]
	if !ok && len(s.new) >= maxSeen {
		return // of so many in half a minute some go without
	}
	s.new[key] = later(was, Use{time.Now(), address})
}

// later is the newer of two uses of one credential.
func later(a, b Use) Use {
	if b.At.Before(a.At) {
		a, b = b, a
	}
	if b.Address == "" {
		b.Address = a.Address
	}
	return b
}

// flush writes what is new into the store. What cannot be written is kept for
// the next time.
func (s *seen) flush(ctx context.Context) error {
	s.mu.Lock()
	taken := s.new
	s.new = map[seenKey]Use{}
	s.mu.Unlock()
	shards := map[string]map[string]Use{}
	for k, u := range taken {
		if shards[k.shard()] == nil {
			shards[k.shard()] = map[string]Use{}
		}
		u.At = u.At.UTC().Truncate(time.Millisecond)
		shards[k.shard()][k.id] = u
	}
	var failed []error
	for shard, uses := range shards {
		err := s.change(ctx, shard, func(m map[string]Use) bool {
			for id, u := range uses {
				m[id] = later(m[id], u)
			}
			return true
		})
		if err == nil {
			continue
		}
		failed = append(failed, err)
		s.mu.Lock()
		for k, u := range taken {
			if k.shard() == shard && len(s.new) < maxSeen {
				s.new[k] = later(u, s.new[k])
			}
		}
		s.mu.Unlock()
	}
	return errors.Join(failed...)
}

// change has f change a record, which other nodes write, too; false leaves it.
func (s *seen) change(ctx context.Context, shard string, f func(map[string]Use) bool) error {
	return again(ctx, func() error {
		m, revision, err := s.read(ctx, shard)
		if err != nil && !errors.Is(err, s.notFound) {
			return err
		}
		missing := err != nil
		if !f(m) {
			return nil
		}
		for len(m) > maxSeenShard {
			oldest := ""
			for id, u := range m {
				if oldest == "" || u.At.Before(m[oldest].At) {
					oldest = id
				}
			}
			delete(m, oldest)
		}
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if missing {
			err = s.store.Create(ctx, shard, b)
		} else {
			_, err = s.store.Update(ctx, shard, b, revision)
		}
		if errors.Is(err, s.exists) || errors.Is(err, s.changed) {
			return ErrChanged
		}
		return err
	})
}

func (s *seen) read(ctx context.Context, shard string) (map[string]Use, uint64, error) {
	m := map[string]Use{}
	b, revision, err := s.store.GetRevision(ctx, shard)
	if err != nil {
		return m, 0, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, 0, fmt.Errorf("record %q: %w", shard, err)
	}
	return m, revision, nil
}

// all are the last uses of one kind of credentials, by their public ids.
func (s *seen) all(ctx context.Context, kind Kind) (map[string]Use, error) {
	records, err := s.store.All(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]Use{}
	for shard, b := range records {
		if !strings.HasPrefix(shard, string(kind)+"-") {
			continue
		}
		m := map[string]Use{}
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("record %q: %w", shard, err)
		}
		maps.Copy(all, m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, u := range s.new {
		if k.kind == kind {
			all[k.id] = later(all[k.id], u)
		}
	}
	return all, nil
}

// forget drops the uses of credentials that are no more.
func (s *seen) forget(ctx context.Context, kind Kind, is func(id string) bool) error {
	all, err := s.store.All(ctx)
	if err != nil {
		return err
	}
	for shard := range all {
		if !strings.HasPrefix(shard, string(kind)+"-") {
			continue
		}
		err := s.change(ctx, shard, func(m map[string]Use) bool {
			had := len(m)
			maps.DeleteFunc(m, func(id string, _ Use) bool { return !is(id) })
			return len(m) < had
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// publicID names a record to people. It is neither the secret nor anything that
// signs in.
func publicID(key string) string { return key[:16] }
