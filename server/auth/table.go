package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A table keeps the records of one Store, with those in use in memory.
type table[T any] struct {
	store                     Store
	notFound, exists, changed error
	recheck                   time.Duration
	max                       int // of records in memory

	mu sync.Mutex
	m  map[string]cached[T]
	// writes counts what was changed here, so that a read which began before a
	// change and ends after it does not bring the old record back.
	writes uint64
}

type cached[T any] struct {
	v  T
	at time.Time
}

func newTable[T any](s Store, c Config, limit int) *table[T] {
	return &table[T]{store: s, notFound: c.NotFound, exists: c.Exists, changed: c.Changed, recheck: c.Recheck, max: limit, m: map[string]cached[T]{}}
}

// get answers ErrNotFound for a missing key. Missing keys are not remembered,
// so guesses take no memory.
func (t *table[T]) get(ctx context.Context, key string) (T, error) {
	t.mu.Lock()
	known, ok := t.m[key]
	writes := t.writes
	t.mu.Unlock()
	if ok && time.Since(known.at) < t.recheck {
		return known.v, nil
	}
	v, _, err := t.read(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return v, err
	case err != nil && ok:
		return known.v, nil
	case err != nil:
		return v, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.writes == writes {
		t.remember(key, v)
	}
	return v, nil
}

// read is what the Store has now, with the revision that update wants.
func (t *table[T]) read(ctx context.Context, key string) (v T, revision uint64, err error) {
	b, revision, err := t.store.GetRevision(ctx, key)
	if errors.Is(err, t.notFound) {
		t.forget(key)
		return v, 0, ErrNotFound
	}
	if err != nil {
		return v, 0, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, 0, fmt.Errorf("record %q: %w", key, err)
	}
	return v, revision, nil
}

// remember is called under mu. A full table forgets an arbitrary record, which
// costs its owner one read of the Store.
func (t *table[T]) remember(key string, v T) {
	if _, ok := t.m[key]; !ok && len(t.m) >= t.max {
		for k := range t.m {
			delete(t.m, k)
			break
		}
	}
	t.m[key] = cached[T]{v, time.Now()}
}

func (t *table[T]) forget(key string) {
	t.mu.Lock()
	delete(t.m, key)
	t.writes++
	t.mu.Unlock()
}

// create answers ErrExists for a present key.
func (t *table[T]) create(ctx context.Context, key string, v T) error {
	return t.write(key, v, func(b []byte) error {
		_, err := t.store.Create(ctx, key, b)
		return err
	})
}

// update answers ErrChanged when the record is not the one of that revision any
// more.
func (t *table[T]) update(ctx context.Context, key string, v T, revision uint64) error {
	return t.write(key, v, func(b []byte) error {
		_, err := t.store.Update(ctx, key, b, revision)
		return err
	})
}

// change has f change the record as it is now, again when another node was
// faster. So nothing of what two change at once is lost, and what was deleted
// does not come back. An error of f changes nothing.
func (t *table[T]) change(ctx context.Context, key string, f func(*T) error) (v T, err error) {
	err = again(ctx, func() error {
		var revision uint64
		if v, revision, err = t.read(ctx, key); err != nil {
			return err
		}
		if err := f(&v); err != nil {
			return err
		}
		return t.update(ctx, key, v, revision)
	})
	return v, err
}

// again does what may meet with another node's change, until it does not.
func again(ctx context.Context, f func() error) error {
	for try := range 10 {
		err := f()
		if !errors.Is(err, ErrChanged) {
			return err
		}
		select { // not all at once
		case <-time.After(rand.N(time.Millisecond << try)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ErrChanged
}

func (t *table[T]) write(key string, v T, to func([]byte) error) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := to(b); err != nil {
		t.forget(key) // it may have been stored all the same
		switch {
		case errors.Is(err, t.exists):
			return ErrExists
		case errors.Is(err, t.changed):
			return ErrChanged
		}
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writes++
	t.remember(key, v)
	return nil
}

// delete of a missing key is no error.
func (t *table[T]) delete(ctx context.Context, key string) error {
	err := t.store.Delete(ctx, key)
	t.forget(key)
	if errors.Is(err, t.notFound) {
		return nil
	}
	return err
}

// deleteAt is delete of the record of that revision, or ErrChanged.
func (t *table[T]) deleteAt(ctx context.Context, key string, revision uint64) error {
	err := t.store.DeleteRevision(ctx, key, revision)
	t.forget(key)
	if errors.Is(err, t.changed) {
		return ErrChanged
	}
	return err
}

// all reads every record from the Store.
func (t *table[T]) all(ctx context.Context) (map[string]T, error) {
	all, err := t.store.All(ctx)
	if err != nil {
		return nil, err
	}
	m := make(map[string]T, len(all))
	for k, b := range all {
		var v T
		if err := json.Unmarshal(b, &v); err != nil {
			return nil, fmt.Errorf("record %q: %w", k, err)
		}
		m[k] = v
	}
	return m, nil
}

// deleteIf deletes the records that are gone, and answers the others.
func (t *table[T]) deleteIf(ctx context.Context, gone func(T) bool) (left map[string]T, err error) {
	m, err := t.all(ctx)
	if err != nil {
		return nil, err
	}
	for k, v := range m {
		if gone(v) {
			if err := t.delete(ctx, k); err != nil {
				return nil, err
			}
			delete(m, k)
		}
	}
	return m, nil
}
