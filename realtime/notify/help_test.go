package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
)

// A plant raises alarms into a real store of facts.
type plant struct {
	t     *testing.T
	bus   *bus.Bus
	facts *bus.Facts

	mu   sync.Mutex
	seq  uint64
	tell []*Notify
}

func newPlant(t *testing.T, cfg bus.Config, facts bus.FactsConfig) *plant {
	t.Helper()
	if cfg.URL == "" && cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	b, err := bus.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	f, err := b.Facts(t.Context(), facts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return &plant{t: t, bus: b, facts: f}
}

// config has delays that a test can wait for.
func (p *plant) config() Config {
	p.t.Helper()
	bucket := func(name string) Store {
		b, err := p.bus.Bucket(p.t.Context(), name)
		if err != nil {
			p.t.Fatal(err)
		}
		return b
	}
	return Config{
		Channels: bucket("notify"), States: bucket("notify-state"), Facts: p.facts,
		Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound, Node: "alone",
		Backoff: []time.Duration{time.Millisecond, 20 * time.Millisecond}, Timeout: 5 * time.Second, Sweep: 100 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// notify runs one until the test ends, or stop is called.
func (p *plant) notify(change ...func(*Config)) (n *Notify, stop func()) {
	p.t.Helper()
	cfg := p.config()
	for _, f := range change {
		f(&cfg)
	}
	n = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("Run: %v", err)
		}
	}
	p.t.Cleanup(stop)
	p.mu.Lock()
	p.tell = append(p.tell, n)
	p.mu.Unlock()
	return n, stop
}

// alarm is a step that is as told by the twins.
func alarm(thing, step string, priority int) realtime.AlarmState {
	return realtime.AlarmState{
		ID: "a-" + thing, Thing: thing, Property: "temperature", Rule: "high", Severity: realtime.AlarmSeverity(priority), Priority: priority,
		State: realtime.ActiveUnacked, Message: "Temperature 95 °C is above 90 °C", Value: json.RawMessage("95"), Unit: "°C",
		Raised: time.UnixMilli(1790000000000).UTC(), Count: 1, TS: time.UnixMilli(1790000000000).UTC(), Step: step,
	}
}

// say tells steps, all in one bundle of the log.
func (p *plant) say(steps ...realtime.AlarmState) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	facts := make([]realtime.Fact, len(steps))
	for i, a := range steps {
		body, err := json.Marshal(a)
		if err != nil {
			p.t.Fatal(err)
		}
		facts[i] = realtime.Fact{Seq: p.seq, Type: "alarm", Thing: a.Thing, Body: body}
	}
	p.facts.Add(p.seq, facts)
	for _, n := range p.tell {
		n.Alarmed(p.seq)
	}
}

// add makes a channel that must be right.
func add(t *testing.T, n *Notify, d Draft) Channel {
	t.Helper()
	if d.Kind == "" {
		d.Kind = Webhook
	}
	c, err := n.Add(t.Context(), "ana", d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A receiver is somebody's web server.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []post
	answer func(n int, w http.ResponseWriter, r *http.Request) // the n-th request, from 0; nil is 204
}

// A post is what it got.
type post struct {
	id     string
	header http.Header
	body   string
}

func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	v := &receiver{answer: answer}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		n := len(v.got)
		v.got = append(v.got, post{r.Header.Get("webhook-id"), r.Header.Clone(), string(b)})
		v.mu.Unlock()
		if v.answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		v.answer(n, w, r)
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *receiver) posts() []post {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.got)
}

// wait returns what came as soon as it is so much.
func (v *receiver) wait(t *testing.T, n int) []post {
	t.Helper()
	eventually(t, fmt.Sprintf("%d requests came", n), func() bool { return len(v.posts()) >= n })
	return v.posts()
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("it never came about that %s", what)
}

// deliveries are those of a channel as soon as they are as wanted.
func deliveries(t *testing.T, n *Notify, id string, want func([]Delivery) bool) []Delivery {
	t.Helper()
	var list []Delivery
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var err error
		if list, err = n.Deliveries(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if want(list) {
			return list
		}
	}
	t.Fatalf("the deliveries stay %+v", list)
	return nil
}

// over says that so many deliveries are over, and none waits.
func over(n int) func([]Delivery) bool {
	return func(list []Delivery) bool {
		for _, d := range list {
			if d.Status == Waiting || d.Status == Sending {
				return false
			}
		}
		return len(list) == n
	}
}
