package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A table keeps the records of one Store, with those in use in memory.
type table[T any] struct {
	store            Store
	notFound, exists error
	recheck          time.Duration
	max              int // of records in memory

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
	return &table[T]{store: s, notFound: c.NotFound, exists: c.Exists, recheck: c.Recheck, max: limit, m: map[string]cached[T]{}}
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
	var v T
	b, err := t.store.Get(ctx, key)
	switch {
	case errors.Is(err, t.notFound):
		t.forget(key)
		return v, ErrNotFound
	case err != nil && ok:
		return known.v, nil
	case err != nil:
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("record %q: %w", key, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.writes == writes {
		t.remember(key, v)
	}
	return v, nil
}

// fresh is get of what the Store has now, for changing it.
func (t *table[T]) fresh(ctx context.Context, key string) (T, error) {
	var v T
	b, err := t.store.Get(ctx, key)
	if errors.Is(err, t.notFound) {
		t.forget(key)
		return v, ErrNotFound
	}
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("record %q: %w", key, err)
	}
	return v, nil
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

func (t *table[T]) put(ctx context.Context, key string, v T) error {
	return t.write(ctx, key, v, t.store.Put)
}

// create answers ErrExists for a present key.
func (t *table[T]) create(ctx context.Context, key string, v T) error {
	return t.write(ctx, key, v, t.store.Create)
}

func (t *table[T]) write(ctx context.Context, key string, v T, to func(context.Context, string, []byte) error) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := to(ctx, key, b); err != nil {
		if errors.Is(err, t.exists) {
			return ErrExists
		}
		t.forget(key) // it may have been stored all the same
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

// all reads every record from the Store.
func (t *table[T]) all(ctx context.Context) (map[string]T, error) {
	keys, err := t.store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	m := make(map[string]T, len(keys))
	for _, k := range keys {
		b, err := t.store.Get(ctx, k)
		if errors.Is(err, t.notFound) {
			continue // deleted since Keys
		}
		if err != nil {
			return nil, err
		}
		var v T
		if err := json.Unmarshal(b, &v); err != nil {
			return nil, fmt.Errorf("record %q: %w", k, err)
		}
		m[k] = v
	}
	return m, nil
}

func (t *table[T]) deleteIf(ctx context.Context, gone func(T) bool) error {
	m, err := t.all(ctx)
	if err != nil {
		return err
	}
	for k, v := range m {
		if gone(v) {
			if err := t.delete(ctx, k); err != nil {
				return err
			}
		}
	}
	return nil
}
