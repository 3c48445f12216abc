package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

var errOld, errThere, errNone = errors.New("changed"), errors.New("exists"), errors.New("missing")

// A shelf is a Store without I/O, for tests in which time is not real.
type shelf struct {
	mu       sync.Mutex
	values   map[string][]byte
	revision map[string]uint64
	next     uint64
}

func newShelf() *shelf { return &shelf{values: map[string][]byte{}, revision: map[string]uint64{}} }

func (s *shelf) GetRevision(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.values[key]; ok {
		return v, s.revision[key], nil
	}
	return nil, 0, errNone
}

func (s *shelf) Create(_ context.Context, key string, value []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.values[key]; ok {
		return 0, errThere
	}
	s.next++
	s.values[key], s.revision[key] = value, s.next
	return s.next, nil
}

func (s *shelf) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revision[key] != revision {
		return 0, errOld
	}
	s.next++
	s.values[key], s.revision[key] = value, s.next
	return s.next, nil
}

func (s *shelf) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	delete(s.revision, key)
	return nil
}

func (s *shelf) All(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.values), nil
}

func (s *shelf) Watch(ctx context.Context, _ func(string, []byte)) error {
	<-ctx.Done()
	return nil
}

// steady is facts without I/O; a cursor is a number.
type steady struct {
	mu    sync.Mutex
	facts []realtime.Fact
	at    []time.Time
}

func (s *steady) say(a realtime.AlarmState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := json.Marshal(a)
	s.facts = append(s.facts, realtime.Fact{Seq: uint64(len(s.facts) + 1), Type: "alarm", Thing: a.Thing, Body: body})
	s.at = append(s.at, time.Now())
}

func (s *steady) End(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("e.%d", len(s.facts)), nil
}

func (s *steady) After(_ context.Context, _, cursor string, yield func(string, time.Time, realtime.Fact) bool) (string, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, text, _ := strings.Cut(cursor, ".")
	i, _ := strconv.Atoi(text)
	for more := true; more && i < len(s.facts); {
		i++
		more = yield(fmt.Sprintf("e.%d", i), s.at[i-1], s.facts[i-1])
	}
	return fmt.Sprintf("e.%d", i), 0, nil
}

func (s *steady) Wait(context.Context, uint64) error { return nil }

// a sent message, and when.
type message struct {
	at    time.Time
	kind  string
	count int
	body  string
}

// In a flood nobody gets more messages than they asked for, and none of the steps
// is left out of the count.
func TestAFloodIsFolded(t *testing.T) {
	for _, limit := range []int{1, 10} {
		synctest.Test(t, func(t *testing.T) {
			facts := &steady{}
			n := New(Config{Channels: newShelf(), States: newShelf(), Facts: facts, Changed: errOld, Exists: errThere, Missing: errNone, Node: "alone", Logger: slog.New(slog.DiscardHandler)})
			var mu sync.Mutex
			var sent []message
			n.senders[Webhook] = func(_ context.Context, _ *kept, m *open) result {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, message{time.Now(), m.Kind, m.Count, string(m.Body)})
				return result{ok: true}
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- n.Run(ctx) }()
			synctest.Wait()
			c := add(t, n, Draft{URL: "https://hooks.example.com", PerMinute: &limit})
			told := 0
			say := func(count int, pause time.Duration) {
				for range count {
					priority := 3
					if told%50 == 7 {
						priority = 1
					}
					told++
					a := alarm(fmt.Sprintf("plant/pump-%d", told), "raised", priority)
					a.TS = time.Now()
					facts.say(a)
					n.Alarmed(uint64(told))
					time.Sleep(pause)
				}
			}
			say(1, time.Second) // one, by itself
			synctest.Wait()
			if len(sent) != 1 || sent[0].kind != kindAlarm {
				t.Fatalf("limit %d: the first: %+v", limit, sent)
			}
			time.Sleep(2 * time.Minute)
			say(500, 20*time.Millisecond) // 10 s
			say(100, 3*time.Second)       // 5 minutes
			say(300, 0)                   // at once
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			count := 0
			for i, m := range sent {
				count += m.count
				if i >= limit && m.at.Sub(sent[i-limit].at) < time.Minute {
					t.Errorf("limit %d: more than that between %v and %v", limit, sent[i-limit].at, m.at)
				}
			}
			if count != told {
				t.Errorf("limit %d: %d messages tell %d steps of %d", limit, len(sent), count, told)
			}
			var last struct {
				Count      int
				Steps      map[string]int
				Priorities map[string]int
				Alarms     []realtime.AlarmState
			}
			if err := json.Unmarshal([]byte(sent[len(sent)-1].body), &last); err != nil || sent[len(sent)-1].kind != kindAlarms {
				t.Fatalf("%v: %s", err, sent[len(sent)-1].body)
			}
			if last.Steps["raised"] != last.Count || last.Priorities["1"]+last.Priorities["3"] != last.Count || len(last.Alarms) != min(last.Count, maxListed) {
				t.Errorf("the last says %d steps, %v, %v, and shows %d", last.Count, last.Steps, last.Priorities, len(last.Alarms))
			}
			for i, a := range last.Alarms {
				if urgent := last.Priorities["1"]; (a.Priority == 1) != (i < urgent) {
					t.Errorf("of %d urgent ones, the priority %d is at %d", urgent, a.Priority, i)
				}
			}
			list, err := n.Deliveries(ctx, c.ID)
			if err != nil || len(list) > maxDone {
				t.Errorf("%d deliveries are listed, %v", len(list), err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A receiver that never works gets less and less, for a day; what waits for it
// stays bounded, and then is told to have failed.
func TestAReceiverThatNeverWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts, states := &steady{}, newShelf()
		n := New(Config{Channels: newShelf(), States: states, Facts: facts, Sweep: 10 * time.Minute, Changed: errOld, Exists: errThere, Missing: errNone, Node: "alone", Logger: slog.New(slog.DiscardHandler)})
		var attempts, hold atomic.Int64
		n.senders[Webhook] = func(context.Context, *kept, *open) result {
			attempts.Add(1)
			return result{code: 503, err: "503", after: time.Duration(hold.Load())}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- n.Run(ctx) }()
		synctest.Wait()
		c := add(t, n, Draft{URL: "https://hooks.example.com"})
		begin := time.Now()
		for i := range 150 { // 25 hours
			facts.say(alarm("plant/pump", "raised", 1))
			n.Alarmed(uint64(i + 1))
			time.Sleep(10 * time.Minute)
			s, _, err := n.state(ctx, c.ID)
			if err != nil || len(s.Open) > maxWaiting || len(s.Done) > maxDone {
				t.Fatalf("%d wait and %d are over, %v", len(s.Open), len(s.Done), err)
			}
		}
		synctest.Wait()
		list, err := n.Deliveries(ctx, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, d := range list {
			if d.Status == Failed {
				failed++
				if life := d.Updated.Sub(d.Created); life < 23*time.Hour || life > 24*time.Hour || d.Attempts < 40 || d.Attempts > 70 {
					t.Errorf("it was tried %d times in %v", d.Attempts, life)
				}
			}
		}
		if failed < 5 || n.Stats().Failed != uint64(failed) || n.Stats().Waiting == 0 {
			t.Errorf("%d failed in %v: %+v", failed, time.Since(begin), n.Stats())
		}
		// When it wants to be left alone, nothing goes to it, new or old.
		hold.Store(int64(5 * time.Hour))
		time.Sleep(time.Hour)
		before := attempts.Load()
		facts.say(alarm("plant/fan", "raised", 1))
		n.Alarmed(1 << 40)
		time.Sleep(3 * time.Hour)
		if got := attempts.Load(); got != before {
			t.Errorf("%d attempts while it wanted none", got-before)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
