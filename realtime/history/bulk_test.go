package history

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"echotwin/realtime"
)

// A bulkLog is days of a plant that were never read: made while it is read, so
// that it is as fast as a log can be. It ends where far says.
type bulkLog struct {
	things int
	from   int64
	step   int64 // ms between two bundles
	far    atomic.Uint64
}

func (l *bulkLog) Epoch() string               { return "bulk" }
func (l *bulkLog) Continues(epoch string) bool { return epoch == "bulk" }
func (l *bulkLog) Last() uint64                { return l.far.Load() }

func (l *bulkLog) Consume(ctx context.Context, after uint64, apply func(realtime.Bundle)) error {
	for seq := after + 1; ctx.Err() == nil; seq++ {
		for seq > l.far.Load() {
			if !sleep(ctx, 5*time.Millisecond) {
				return nil
			}
		}
		apply(l.bundle(seq))
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// bundle is one reading of each thing. Every seventh device is offline for
// hours and then sends what it kept, and now and then a thing is removed.
func (l *bulkLog) bundle(seq uint64) realtime.Bundle {
	at := l.from + int64(seq)*l.step
	b := realtime.Bundle{Seq: seq}
	for i := range l.things {
		ts, thing := at, fmt.Sprintf("plant/m%d", i)
		switch {
		case i%7 == 3 && at/hour%5 < 2:
			continue
		case i%7 == 3 && at/hour%5 == 2 && seq%2 == 0:
			ts = at - 2*hour
		}
		r := said(thing, ts, "n", i, "f", float64(seq%1000)+0.25, "on", seq%2 == 0)
		r.At = time.UnixMilli(at)
		b.Records = append(b.Records, r)
	}
	if seq%97 == 0 {
		b.Records = append(b.Records, realtime.Record{Kind: realtime.Removed, Thing: "plant/m1", TS: time.UnixMilli(at), At: time.UnixMilli(at)})
	}
	return b
}

// Days of log are read as fast as can be, while everything that can be asked is
// asked, copies are made, what came late is moved, and the store is closed and
// opened again: nothing panics, nothing fails, and nothing of it is lost.
// ECHOTWIN_STRESS is how long it goes on; a day of log is read without it.
func TestALongLogIsReadUnderQuestions(t *testing.T) {
	log := &bulkLog{things: 20, step: 30 * second}
	long, _ := time.ParseDuration(os.Getenv("ECHOTWIN_STRESS"))
	days := int64(1)
	if long > 0 {
		log.things, days = 40, 4
	}
	end := floor(time.Now().UnixMilli(), hour)
	log.from = end - days*24*hour
	log.far.Store(uint64(days * 24 * hour / log.step))
	deadline := time.Now().Add(long)
	cfg := Config{Dir: t.TempDir(), Log: log, Logger: slog.New(slog.DiscardHandler), Retention: 100 * 24 * time.Hour}
	for round := 0; round == 0 || time.Now().Before(deadline); round++ {
		if long > 0 && round%8 == 0 {
			cfg.Dir = filepath.Join(t.TempDir(), strconv.Itoa(round))
		}
		h := New(cfg)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := h.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		askers, stop := context.WithCancel(ctx)
		for i := range 4 {
			wg.Go(func() { ask(askers, t, h, i, log.from, end) })
		}
		whole := long == 0 || round%8 == 7
		if whole {
			for h.Ready() != nil && ctx.Err() == nil {
				if f := h.fault.Load(); f != nil {
					t.Error(*f)
					break
				}
				sleep(ctx, 10*time.Millisecond)
			}
		} else {
			sleep(ctx, rand.N(10*time.Second))
		}
		stop()
		if whole {
			checkBulk(t, h, log)
		}
		cancel()
		wg.Wait()
		if f := h.fault.Load(); f != nil {
			t.Error(*f)
		}
	}
}

// checkBulk counts what is there of a device that was never away, and of one
// that was.
func checkBulk(t *testing.T, h *History, log *bulkLog) {
	t.Helper()
	for _, thing := range []int{0, 3} {
		want := 0
		for seq := uint64(1); seq <= log.Last(); seq++ {
			at := log.from + int64(seq)*log.step
			if thing%7 != 3 || at/hour%5 >= 2 {
				want++
			}
		}
		got := 0
		name := fmt.Sprintf("plant/m%d", thing)
		for _, err := range h.Samples(t.Context(), Which{Path: name, Properties: []string{"f"}}, time.UnixMilli(log.from-day), time.UnixMilli(log.from+100*day)) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != want {
			t.Errorf("%s has %d samples, want %d", name, got, want)
		}
	}
}

// ask asks all that can be asked, until ctx ends. That history is being opened is
// an answer.
func ask(ctx context.Context, t *testing.T, h *History, who int, from, to int64) {
	dir := t.TempDir()
	for n := 0; ctx.Err() == nil; n++ {
		a := from + rand.Int64N(to-from)
		b := a + rand.Int64N(to-a+1)
		thing := fmt.Sprintf("plant/m%d", rand.IntN(20))
		var err error
		switch (n + who) % 5 {
		case 0:
			_, err = h.Trend(ctx, TrendQuery{Thing: thing, Properties: []string{"f"}, From: time.UnixMilli(a), To: time.UnixMilli(b + 1), Buckets: 50})
		case 1:
			form := url.Values{"query": {`sum(rate(echotwin_value{property="f"}[10m]))`}, "start": {fmt.Sprint(a / 1000)}, "end": {fmt.Sprint(b / 1000)}, "step": {"1h"}}
			if status, body := h.Prometheus(ctx, "query_range", "", form, nil); status >= 500 && status != 503 {
				t.Errorf("%d %s", status, body)
			}
		case 2:
			_, err = h.At(ctx, Which{}, time.UnixMilli(a))
		case 3:
			seen := 0
			for _, failed := range h.Samples(ctx, Which{Path: thing}, time.UnixMilli(a), time.UnixMilli(b)) {
				if err = failed; err != nil || seen > 5000 {
					break
				}
				seen++
			}
		case 4:
			if who == 0 {
				copied := filepath.Join(dir, strconv.Itoa(n))
				if err = h.Snapshot(copied); err == nil {
					err = os.RemoveAll(copied)
				}
			}
		}
		if err != nil && ctx.Err() == nil && code(err) != realtime.CodeUnavailable && code(err) != realtime.CodeNotFound {
			t.Errorf("question %d: %v", (n+who)%5, err)
		}
		_, _ = h.Stats(), h.Ready()
		_, _ = h.Since() // fails as long as history is being opened
		sleep(ctx, 5*time.Millisecond)
	}
}
