package auth

import (
	"sync"
	"time"
)

const (
	throttleKeys   = 10000
	throttleFirst  = 2 * time.Second
	throttleMost   = 15 * time.Minute
	throttleForget = time.Hour
)

// A throttle slows down whoever fails again and again. It counts an attempt
// when it begins, so that a thousand at once are not a thousand free guesses.
type throttle struct {
	free int // failures without a wait
	mu   sync.Mutex
	m    map[string]*failures
}

type failures struct {
	n    int
	last time.Time
	next time.Time // no attempt before
}

func newThrottle(free int) *throttle { return &throttle{free: free, m: map[string]*failures{}} }

// take begins an attempt, or says how long to wait for it.
func (t *throttle) take(key string) time.Duration {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.m[key]
	if f == nil || now.Sub(f.last) > throttleForget {
		t.makeRoom(now)
		f = &failures{}
		t.m[key] = f
	}
	if wait := f.next.Sub(now); wait > 0 {
		return wait
	}
	f.n++
	f.last = now
	f.next = now.Add(t.delay(f.n))
	return 0
}

// undo takes one attempt back.
func (t *throttle) undo(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.m[key]; f != nil {
		if f.n--; f.n <= 0 {
			delete(t.m, key)
			return
		}
		f.next = f.last.Add(t.delay(f.n))
	}
}

// forgive forgets the failures of a key: it was right.
func (t *throttle) forgive(key string) {
	t.mu.Lock()
	delete(t.m, key)
	t.mu.Unlock()
}

func (t *throttle) delay(n int) time.Duration {
	if n < t.free {
		return 0
	}
	return min(throttleFirst<<min(n-t.free, 16), throttleMost)
}

// makeRoom is called under mu. When every key is recent, an arbitrary one goes:
// whoever fills the table from one address is stopped by that address first.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.m) < throttleKeys {
		return
	}
	for k, f := range t.m {
		if now.Sub(f.last) > throttleForget {
			delete(t.m, k)
		}
	}
	for k := range t.m {
		if len(t.m) < throttleKeys {
			return
		}
		delete(t.m, k)
	}
}
