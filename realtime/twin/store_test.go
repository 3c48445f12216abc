package twin

import (
	"context"
	"errors"
	"maps"
	"sync"
)

var errChanged, errExists, errMissing = errors.New("changed"), errors.New("exists"), errors.New("missing")

// shelf is a Store and a RuleStore that several nodes share.
type shelf struct {
	mu       sync.Mutex
	m        map[string][]byte
	rev      map[string]uint64
	n        uint64
	watchers []chan struct{}

	after func(key string)       // called after a value was written, without the lock
	dies  func(key string) error // asked before one is removed
}

func newShelf() *shelf { return &shelf{m: map[string][]byte{}, rev: map[string]uint64{}} }

func (s *shelf) GetRevision(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rev[key] == 0 {
		return nil, 0, errMissing
	}
	return s.m[key], s.rev[key], nil
}

func (s *shelf) Create(ctx context.Context, key string, v []byte) (uint64, error) {
	rev, err := s.Update(ctx, key, v, 0)
	if err != nil {
		return 0, errExists
	}
	return rev, nil
}

func (s *shelf) Update(_ context.Context, key string, v []byte, rev uint64) (uint64, error) {
	s.mu.Lock()
	if s.rev[key] != rev {
		s.mu.Unlock()
		return 0, errChanged
	}
	s.n++
	n := s.n
	s.m[key], s.rev[key] = v, n
	for _, w := range s.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
	after := s.after
	s.mu.Unlock()
	if after != nil {
		after(key)
	}
	return n, nil
}

func (s *shelf) DeleteRevision(ctx context.Context, key string, rev uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.dies != nil {
		if err := s.dies(key); err != nil {
			return err
		}
	}
	if s.rev[key] != rev {
		return errChanged
	}
	delete(s.m, key)
	delete(s.rev, key)
	return nil
}

func (s *shelf) All(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.m)
	maps.DeleteFunc(all, func(_ string, v []byte) bool { return v == nil })
	return all, nil
}

// Watch tells what is written from now on.
func (s *shelf) Watch(ctx context.Context, fn func(string, []byte)) error {
	w := make(chan struct{}, 1)
	s.mu.Lock()
	s.watchers = append(s.watchers, w)
	told := s.n
	s.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w:
		}
		news := map[string][]byte{}
		s.mu.Lock()
		for key, rev := range s.rev {
			if rev > told {
				news[key] = s.m[key]
			}
		}
		told = s.n
		s.mu.Unlock()
		for key, v := range news {
			fn(key, v)
		}
	}
}

// heard has a directory take what the store has, as its watch would.
func (s *shelf) heard(d *Directory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.catchUp(context.Background()); err != nil {
		panic(err)
	}
}
