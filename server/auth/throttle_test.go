package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestF10LoginThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		a := newStores().open(t, Config{AdminPassword: "correct horse"})
		guess := func(address, password string) error {
			_, err := a.Verify(ctx, "admin", password, address)
			return err
		}
		for range 5 {
			if err := guess("203.0.113.9", "wrong"); !errors.Is(err, ErrWrong) {
				t.Fatalf("a free guess gave %v", err)
			}
		}
		var wait *Throttled
		if err := guess("203.0.113.9", "correct horse"); !errors.As(err, &wait) || wait.Seconds() < 1 {
			t.Fatalf("the sixth guess gave %v", err)
		}
		// The right user, from another address, notices nothing.
		if err := guess("198.51.100.7", "correct horse"); err != nil {
			t.Errorf("from another address: %v", err)
		}
		time.Sleep(wait.Wait)
		if err := guess("203.0.113.9", "wrong"); !errors.Is(err, ErrWrong) {
			t.Errorf("after the wait: %v", err)
		}
		first := wait.Wait
		if err := guess("203.0.113.9", "wrong"); !errors.As(err, &wait) || wait.Wait <= first {
			t.Errorf("the next wait is no longer than %v: %v", first, err)
		}
		time.Sleep(wait.Wait)
		if err := guess("203.0.113.9", "correct horse"); err != nil {
			t.Errorf("the right password after the wait: %v", err)
		}
		for range 4 {
			if err := guess("203.0.113.9", "wrong"); !errors.Is(err, ErrWrong) {
				t.Errorf("after a success the count starts again: %v", err)
			}
		}
	})
}

func TestF10ManyNamesFromOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStores().open(t, Config{})
		var wait *Throttled
		guesses := 0
		for i := range 100 {
			_, err := a.Verify(context.Background(), fmt.Sprintf("user%d", i), "123456", "203.0.113.9")
			if errors.As(err, &wait) {
				break
			}
			guesses++
		}
		if guesses != 20 {
			t.Errorf("%d guesses before the address had to wait", guesses)
		}
	})
}

func TestF10ManyGuessesAtOnce(t *testing.T) {
	a := newStores().open(t, Config{AdminPassword: "correct horse"})
	var mu sync.Mutex
	wrong := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := a.Verify(context.Background(), "admin", "wrong", "203.0.113.9"); errors.Is(err, ErrWrong) {
				mu.Lock()
				wrong++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if wrong != 5 {
		t.Errorf("%d guesses were let through at once", wrong)
	}
}

func TestThrottleWaitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(1)
		for range 100 {
			wait := th.take("k")
			if wait > throttleMost {
				t.Fatalf("a wait of %v", wait)
			}
			time.Sleep(wait)
		}
		time.Sleep(throttleForget + time.Second)
		if wait := th.take("k"); wait != 0 {
			t.Errorf("after an hour of quiet: %v", wait)
		}
	})
}

func TestThrottleMemoryIsBounded(t *testing.T) {
	th := newThrottle(1)
	for i := range throttleKeys + 500 {
		th.take(fmt.Sprint(i))
	}
	if n := len(th.m); n > throttleKeys {
		t.Errorf("%d keys", n)
	}
}

// An unknown user and a wrong password run the same hash, so that names cannot
// be told apart by a clock; that the work is done is what is tested here.
func TestUnknownUsersCostAHash(t *testing.T) {
	a := newStores().open(t, Config{})
	for _, name := range []string{"nobody", "", "a b"} {
		a.hashing.slots <- struct{}{}
		a.hashing.slots <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := a.Verify(ctx, name, "123456", "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q did not wait for a hash: %v", name, err)
		}
		cancel()
		<-a.hashing.slots
		<-a.hashing.slots
		if _, err := a.Verify(t.Context(), name, "123456", "x"); !errors.Is(err, ErrWrong) {
			t.Errorf("%q gave %v", name, err)
		}
	}
}

func TestHashesWaitInABoundedQueue(t *testing.T) {
	h := newHasher()
	h.slots <- struct{}{}
	h.slots <- struct{}{}
	h.waiting.Store(hashesQueued)
	if _, err := h.verify(t.Context(), "x", ""); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}
