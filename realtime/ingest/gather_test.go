package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// slow is a log that needs a second for each bundle, and says what it got and
// when.
type slow struct {
	begin   time.Time
	mu      sync.Mutex
	bundles []string
	fail    map[int]bool // bundles that are not stored, counted from 1
}

func (s *slow) Append(_ context.Context, lines []byte) (uint64, error) {
	text := string(lines)
	time.Sleep(time.Second)
	if text != string(lines) {
		panic("the bundle was changed while it was written")
	}
	rs, err := realtime.ParseRecords(lines)
	if err != nil {
		panic(err)
	}
	var names []string
	for _, r := range rs {
		names = append(names, string(r.Values[0].JSON))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bundles = append(s.bundles, strings.Join(names, " "))
	if s.fail[len(s.bundles)] {
		return 0, errors.New("disk full")
	}
	return uint64(len(s.bundles)), nil
}

func (s *slow) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bundles)
}

func number(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }

func TestWhatArrivesDuringAWriteSharesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slow{begin: time.Now()}
		in := New(Config{Log: log})
		defer in.Close()
		type done struct {
			n     int
			seq   uint64
			after time.Duration
		}
		told := make(chan done, 10)
		for n := 1; n <= 6; n++ {
			go func() {
				a, err := in.Telemetry(t.Context(), "p", number(n))
				if err != nil {
					t.Errorf("%d: %v", n, err)
				}
				told <- done{n, a.Seq, time.Since(log.begin)}
			}()
			synctest.Wait()
			if n == 4 {
				time.Sleep(1200 * time.Millisecond) // into the second write
				synctest.Wait()
			}
		}
		for range 6 {
			d := <-told
			want := map[int]done{1: {1, 1, 1 * time.Second}, 2: {2, 2, 2 * time.Second}, 3: {3, 2, 2 * time.Second}, 4: {4, 2, 2 * time.Second},
				5: {5, 3, 3 * time.Second}, 6: {6, 3, 3 * time.Second}}[d.n]
			if d != want {
				t.Errorf("got %v, want %v", d, want)
			}
		}
		if got := strings.Join(log.bundles, ", "); got != "1, 2 3 4, 5 6" {
			t.Errorf("the bundles are %s", got)
		}
	})
}

func TestABundleHasItsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slow{}
		in := New(Config{Log: log, MaxBundle: 200}) // two lines
		defer in.Close()
		for n := 1; n <= 6; n++ {
			go in.Telemetry(t.Context(), "p", number(n))
			synctest.Wait()
		}
		a, err := in.Telemetry(t.Context(), "p", []byte(`[{"n":7},{"n":8},{"n":9}]`))
		if err != nil || a.Accepted != 3 || a.Seq != 6 {
			t.Errorf("%+v, %v", a, err)
		}
		if got := strings.Join(log.bundles, ", "); got != "1, 2 3, 4 5, 6, 7 8, 9" {
			t.Errorf("the bundles are %s", got)
		}
	})
}

func TestACallerThatLeftDoesNotStopTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slow{}
		in := New(Config{Log: log})
		defer in.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		go in.Telemetry(t.Context(), "p", number(2))
		start := time.Now()
		_, err := in.Telemetry(ctx, "p", number(1))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if p := new(realtime.Problem); errors.As(err, &p) {
			t.Errorf("%v is a Problem, though nobody knows whether it was stored", err)
		}
		in.Close()
		if got := strings.Join(log.bundles, " "); !strings.Contains(got, "1") {
			t.Errorf("the bundles are %q", got)
		}
		if s := in.Stats(); s.Readings != 2 || s.Queued != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAFullQueueHoldsCallersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slow{}
		in := New(Config{Log: log, MaxBundle: 64 << 10, MaxQueue: 1})
		room := 64<<10 + maxLine
		payload := []byte(`{"n":"` + strings.Repeat("x", 60_000) + `"}`)
		fit := room / 60_000
		for range fit {
			if a, err := in.TelemetryNoWait(t.Context(), "p", payload); err != nil || a.Accepted != 1 || a.Seq != 0 {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		synctest.Wait()
		if log.count() != 0 {
			t.Fatalf("TelemetryNoWait waited for %d bundles", log.count())
		}

		// One that gives up while it waits for room has stored nothing.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		a, err := in.TelemetryNoWait(ctx, "p", payload)
		if !errors.Is(err, context.DeadlineExceeded) || a.Accepted != 0 {
			t.Errorf("%+v, %v", a, err)
		}

		// One that waits gets room after the first write.
		if a, err := in.TelemetryNoWait(t.Context(), "p", payload); err != nil || a.Accepted != 1 || log.count() != 1 {
			t.Errorf("%+v, %v after %d bundles", a, err, log.count())
		}

		// Those who still wait when the Ingest closes are told, what is queued is stored.
		told := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := in.Telemetry(t.Context(), "p", payload)
				told <- err
			}()
		}
		synctest.Wait()
		closing := time.Now()
		go in.Close()
		for range 2 {
			wantUnavailable(t, <-told)
		}
		if d := time.Since(closing); d != 0 {
			t.Errorf("they were left waiting for %v", d)
		}
		in.Close()
		if log.count() != fit+1 {
			t.Errorf("%d bundles are stored, want %d", log.count(), fit+1)
		}
	})
}

func TestALogThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		log := &slow{fail: map[int]bool{2: true, 3: true}}
		in := New(Config{Log: log, MaxBundle: 200, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if _, err := in.Telemetry(t.Context(), "p", number(1)); err != nil {
			t.Error(err)
		}
		_, err := in.Telemetry(t.Context(), "p", number(2))
		wantUnavailable(t, err)

		// Of a large request the parts that were stored are counted.
		a, err := in.Telemetry(t.Context(), "p", []byte(`[{"n":3},{"n":4},{"n":5},{"n":6},{"ts":4102444800000,"n":7}]`))
		wantUnavailable(t, err)
		if a.Accepted != 3 || a.Seq != 5 || a.Clamped != 1 {
			t.Errorf("%+v of the bundles %q", a, log.bundles)
		}
		in.Close()
		if got := strings.Count(said.String(), "\n"); got != 2 || !strings.Contains(said.String(), "disk full") {
			t.Errorf("want one line for the failure and one for its end, got\n%s", said.String())
		}
		if s := in.Stats(); s.Failures != 2 || s.Lost != 3 || s.Readings != 4 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAfterClose(t *testing.T) {
	in, m := start(t, Config{})
	in.Close()
	in.Close()
	_, telemetry := in.Telemetry(t.Context(), "p", number(1))
	_, noWait := in.TelemetryNoWait(t.Context(), "p", number(1))
	_, batch := in.Batch(t.Context(), []byte(`{"p":{"n":1}}`))
	_, property := in.Property(t.Context(), "p", "n", []byte("1"))
	_, put := in.Put(t.Context(), realtime.Record{Kind: realtime.Event, Thing: "p", Name: "x"})
	for _, err := range []error{telemetry, noWait, batch, property, put,
		in.Event(t.Context(), "p", "x", nil), in.Status(t.Context(), "p", "online"), in.Result(t.Context(), "c", []byte(`{"ok":true}`))} {
		wantUnavailable(t, err)
	}
	if len(m.bundles) != 0 {
		t.Errorf("%d bundles were stored", len(m.bundles))
	}
}

func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if p := new(realtime.Problem); !errors.As(err, &p) || p.Code != realtime.CodeUnavailable {
		t.Errorf("got %v, want a Problem that says unavailable", err)
	}
}
