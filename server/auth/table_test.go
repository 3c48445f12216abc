package auth

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A read that began before a logout, and ended after it, must not bring the
// session back into memory.
func TestARevokedRecordDoesNotComeBack(t *testing.T) {
	s := &slowStore{memory: newMemory(), reading: make(chan bool), go_on: make(chan bool)}
	tab := newTable[int](s, Config{NotFound: errMissing, Exists: errPresent, Recheck: time.Hour}, 10)
	s.memory.m["k"] = []byte("1")
	done := make(chan bool)
	go func() {
		_, _ = tab.get(context.Background(), "k")
		done <- true
	}()
	<-s.reading
	if err := tab.delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	s.go_on <- true
	<-done
	go func() { <-s.reading; s.go_on <- true }()
	if _, err := tab.get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// slowStore stops after it has read.
type slowStore struct {
	*memory
	reading, go_on chan bool
}

func (s *slowStore) GetRevision(ctx context.Context, key string) ([]byte, uint64, error) {
	b, revision, err := s.memory.GetRevision(ctx, key)
	s.reading <- true
	<-s.go_on
	return b, revision, err
}

func TestTheTableIsBounded(t *testing.T) {
	m := newMemory()
	tab := newTable[int](m, Config{NotFound: errMissing, Exists: errPresent, Recheck: time.Hour}, 10)
	for i := range 100 {
		if err := tab.create(t.Context(), string(rune('a'+i)), i); err != nil {
			t.Fatal(err)
		}
	}
	if len(tab.m) != 10 {
		t.Errorf("%d records in memory", len(tab.m))
	}
	if v, err := tab.get(t.Context(), "a"); v != 0 || err != nil {
		t.Errorf("one that was forgotten: %v, %v", v, err)
	}
	for range 1000 {
		_, _ = tab.get(t.Context(), "missing")
	}
	if len(tab.m) != 10 {
		t.Errorf("%d records in memory after guesses", len(tab.m))
	}
}
