package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// quick is a log that needs a millisecond for each bundle and counts them.
type quick struct {
	mu     sync.Mutex
	writes int
}

func (q *quick) Append(context.Context, []byte) (uint64, error) {
	time.Sleep(time.Millisecond)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writes++
	return uint64(q.writes), nil
}

// crowd is devices that send so many readings every 100 ms, at 5 ms from each
// other, whatever is acknowledged. It is for synctest.
func crowd(t *testing.T, in *Ingest, readings int, during time.Duration) (longest time.Duration) {
	body := "[" + strings.Repeat(`{"n":1},`, readings-1) + `{"n":1}]`
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 5 * time.Millisecond)
			for begin := time.Now(); time.Since(begin) < during; {
				sent := time.Now()
				if _, err := in.Telemetry(t.Context(), fmt.Sprint("crowd/", i), []byte(body)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				longest = max(longest, time.Since(sent))
				mu.Unlock()
				time.Sleep(time.Until(sent.Add(100 * time.Millisecond)))
			}
		})
	}
	all.Wait()
	return longest
}

func TestManyShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &quick{}
		in := New(Config{Log: log})
		defer in.Close()
		longest := crowd(t, in, 50, 2*time.Second)
		if sent := in.Stats().Readings; sent != 20_000 {
			t.Errorf("%d readings are stored, want 20000", sent)
		}
		if free := many/50 + freeRow + 15; log.writes > 2*pace+free {
			t.Errorf("%d writes in two seconds of 400 requests, want %d a second", log.writes, pace)
		}
		if most := time.Second/pace + 2*time.Millisecond; longest > most {
			t.Errorf("one waited %v for its acknowledgement, want at most %v", longest, most)
		}
	})
}

// A line of twenty devices at 10 Hz is seen as soon as the disk has it.
func TestFewAreNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(Config{Log: &quick{}})
		defer in.Close()
		if longest := crowd(t, in, 1, 2*time.Second); longest > 2*time.Millisecond {
			t.Errorf("one waited %v for its acknowledgement, want no more than a write", longest)
		}
	})
}

// One after the other, with a thought between, is as fast as the log is: the
// next is sent only when the one before is acknowledged.
func TestNobodyIsHeldWhoSendsOneAfterTheOther(t *testing.T) {
	for _, c := range []struct {
		name   string
		others bool
		thing  func(n int) string
		most   time.Duration // a reading, by and large
	}{
		{"alone", false, func(int) string { return "one" }, 3 * time.Millisecond},
		{"alone, for many things", false, func(n int) string { return fmt.Sprint("many/", n) }, 3 * time.Millisecond},
		{"beside others", true, func(int) string { return "one" }, 4 * time.Millisecond}, // a write may be under way
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := New(Config{Log: &quick{}})
				defer in.Close()
				if c.others {
					go crowd(t, in, 50, 3*time.Second)
					time.Sleep(time.Second)
				}
				const n = 400
				begin := time.Now()
				for i := range n {
					if _, err := in.Telemetry(t.Context(), c.thing(i), number(i)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(begin); took > n*c.most {
					t.Errorf("%d readings took %v, want at most %v", n, took, n*c.most)
				}
				time.Sleep(3 * time.Second) // the others end
			})
		})
	}
}

func TestFactsAreNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(Config{Log: &quick{}})
		defer in.Close()
		go crowd(t, in, 50, 2*time.Second)
		time.Sleep(time.Second)
		for range 10 {
			sent := time.Now()
			if err := in.Event(t.Context(), "one", "pressed", nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(sent); took > 2*time.Millisecond { // a write may be under way
				t.Errorf("an event waited %v", took)
			}
			time.Sleep(67 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
	})
}
