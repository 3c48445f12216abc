package bus

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestASecondTryIsNotASecondBundle(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, b, 1, 1)
	first, err := b.store(t.Context(), b.row.active(), "an id", line(2))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.store(t.Context(), b.row.active(), "an id", line(2))
	if err != nil || second != first {
		t.Errorf("the second try is %d, the first %d: %v", second, first, err)
	}
	mustAppend(t, b, 3, 3)
	names, _ := read(t, b, 0, 3)
	if strings.Join(names, " ") != "1 2 3" {
		t.Errorf("got %v", names)
	}
}

func TestIdsDiffer(t *testing.T) {
	one, two := newIDs(), newIDs()
	if a, b, c := one.next(), one.next(), two.next(); a == b || a == c || b == c {
		t.Errorf("%s, %s, %s", a, b, c)
	}
}

func TestCloseWaitsForTheAppendsUnderWay(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	var wg sync.WaitGroup
	var stored atomic.Uint64
	begun := make(chan struct{}, 1000)
	for range 8 {
		wg.Go(func() {
			for {
				_, err := b.Append(context.Background(), line(1))
				if err != nil {
					if err != ErrClosed {
						t.Errorf("cut off in the middle: %v", err)
					}
					return
				}
				stored.Add(1)
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 8 {
		<-begun
	}
	b.Close()
	wg.Wait()
	if b := open(t, Config{Dir: dir}); b.Last() != stored.Load() {
		t.Errorf("%d are there, %d were acknowledged", b.Last(), stored.Load())
	}
}

// A log that takes bundles and never answers.
func TestNoAnswerIsNotANo(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	if err := b.js.DeleteStream(t.Context(), logName); err != nil {
		t.Fatal(err)
	}
	if _, err := b.nc.Subscribe(subject, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := b.Append(ctx, line(1)); !errors.Is(err, ErrUnsure) {
		t.Errorf("got %v, want ErrUnsure", err)
	}
}

func TestANoIsNotUnsure(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	for what, lines := range map[string][]byte{"empty": nil, "too large": make([]byte, maxPayload+1)} {
		if _, err := b.Append(t.Context(), lines); err == nil || errors.Is(err, ErrUnsure) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := b.Append(t.Context(), []byte(strings.Repeat("x", 1<<20))); err != nil {
		t.Errorf("1 MB: %v", err)
	}
	cfg := b.row.active().stream.CachedInfo().Config
	cfg.Sealed = true
	if _, err := b.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), line(1)); err == nil || errors.Is(err, ErrUnsure) {
		t.Errorf("a sealed log: got %v", err)
	}
}
