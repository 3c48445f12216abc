package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"echotwin/realtime"
	"echotwin/realtime/bus"
)

// One receiver that hangs delays nobody else.
func TestOneBadChannelDelaysNoOther(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, _ := p.notify(func(c *Config) { c.Timeout = time.Hour })
	release := make(chan struct{})
	bad := newReceiver(t, func(int, http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	good := newReceiver(t, nil)
	for range 3 {
		add(t, n, Draft{URL: bad.URL})
	}
	c := add(t, n, Draft{URL: good.URL, PerMinute: new(60)})
	for i := range 10 {
		p.say(alarm("plant/pump", "raised", 1))
		good.wait(t, i+1)
	}
	deliveries(t, n, c.ID, over(10))
	if got := len(bad.wait(t, 3)); got != 3 {
		t.Errorf("%d requests to the bad ones", got)
	}
}

// What waited for a receiver goes as soon as it is back, and what was new
// meanwhile, too, each once.
func TestAReceiverThatComesBack(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, _ := p.notify(func(c *Config) {
		c.Backoff = []time.Duration{time.Millisecond, time.Hour}
		c.GiveUp = 3 * time.Hour
	})
	back := make(chan struct{})
	v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		select {
		case <-back:
		default:
			w.WriteHeader(502)
		}
	})
	c := add(t, n, Draft{URL: v.URL, PerMinute: new(60)})
	p.say(alarm("plant/a", "raised", 1))
	p.say(alarm("plant/b", "raised", 1))
	deliveries(t, n, c.ID, func(l []Delivery) bool {
		return len(l) == 2 && l[0].Attempts == 2 && l[1].Attempts == 2 && l[0].Status == Waiting && l[1].Status == Waiting
	})
	close(back)
	p.say(alarm("plant/c", "raised", 1))
	list := deliveries(t, n, c.ID, over(3))
	for _, d := range list {
		if d.Status != Delivered {
			t.Errorf("got %+v", d)
		}
	}
}

// After a stop, and after a kill in the middle of an attempt, it goes on where it
// was, under the same id.
func TestARestartGoesOn(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	first, stop := p.notify()
	v := newReceiver(t, nil)
	c := add(t, first, Draft{URL: v.URL})
	p.say(alarm("plant/a", "raised", 1))
	v.wait(t, 1)
	deliveries(t, first, c.ID, over(1))
	stop()
	p.say(alarm("plant/b", "raised", 1))
	if err := p.facts.Wait(t.Context(), p.seq); err != nil {
		t.Fatal(err)
	}

	// A process that claims what it sends, and is killed.
	cfg := p.config()
	dead := New(cfg)
	dead.take(c.ID, &kept{Channel: c})
	m, _, err := newWorker(dead, c.ID).begin(t.Context(), dead.channel(c.ID))
	if err != nil || m == nil || m.Attempts != 1 || m.Thing != "plant/b" {
		t.Fatalf("got %+v, %v", m, err)
	}
	second, _ := p.notify()
	p.say(alarm("plant/c", "raised", 1))
	got := v.wait(t, 3)
	list := deliveries(t, second, c.ID, over(3))
	if got[1].id != m.ID || list[1].Attempts != 2 || list[0].Attempts != 1 || len(v.posts()) != 3 {
		t.Errorf("got %+v, and then %+v", got, list)
	}
}

// What the process was sending when it was told to stop is not counted as an
// attempt, and is sent by the next one.
func TestAStopInTheMiddleOfAnAttempt(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, stop := p.notify(func(c *Config) { c.Timeout = time.Hour })
	release := make(chan struct{})
	v := newReceiver(t, func(i int, _ http.ResponseWriter, r *http.Request) {
		if i == 0 {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}
	})
	t.Cleanup(func() { close(release) })
	c := add(t, n, Draft{URL: v.URL})
	p.say(alarm("plant/a", "raised", 1))
	v.wait(t, 1)
	stop()
	list := deliveries(t, n, c.ID, func(l []Delivery) bool { return len(l) == 1 })
	if list[0].Status != Waiting || list[0].Attempts != 0 || !strings.Contains(list[0].Error, "stopped") {
		t.Errorf("got %+v", list[0])
	}
	n, _ = p.notify()
	if list = deliveries(t, n, c.ID, over(1)); list[0].Status != Delivered {
		t.Errorf("got %+v", list)
	}
}

// Two nodes on one NATS tell each step once.
func TestTwoNodesTellEachStepOnce(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats is not ready")
	}
	one, two := newPlant(t, bus.Config{URL: s.ClientURL()}, bus.FactsConfig{}), newPlant(t, bus.Config{URL: s.ClientURL()}, bus.FactsConfig{})
	n1, stop1 := one.notify(func(c *Config) { c.Node = "one" })
	n2, _ := two.notify(func(c *Config) { c.Node = "two"; c.Timeout = 500 * time.Millisecond })
	v := newReceiver(t, nil)
	c := add(t, n1, Draft{URL: v.URL, PerMinute: new(60)})
	eventually(t, "the other knows the channel", func() bool { return n2.channel(c.ID) != nil })
	const all = 50
	told := func() (n int) { // by messages of one step and of many
		for _, d := range deliveries(t, n1, c.ID, func([]Delivery) bool { return true }) {
			n += d.Count
		}
		return n
	}
	for i := range all {
		a := alarm("plant/pump", "raised", 1)
		a.Count = i
		one.say(a)
		two.say(a)
	}
	eventually(t, "all are told", func() bool { return told() >= all && len(v.posts()) >= 1 })
	deliveries(t, n1, c.ID, func(l []Delivery) bool { return over(len(l))(l) })
	seen := map[string]bool{}
	for _, p := range v.posts() {
		if seen[p.id] {
			t.Errorf("%s came twice", p.id)
		}
		seen[p.id] = true
	}
	if told() != all || n1.Stats().Steps+n2.Stats().Steps != all {
		t.Errorf("%d were told, by one %d and by two %d, of %d", told(), n1.Stats().Steps, n2.Stats().Steps, all)
	}
	// The other goes on when one is gone, and takes over what it had claimed.
	stop1()
	st, revision, err := n2.state(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	m := probe(&kept{}, n2.now(), "")
	st.add(m, n2.now())
	st.begin(m, "one", n2.now(), n2.claim)
	if err := n2.save(t.Context(), c.ID, st, revision); err != nil {
		t.Fatal(err)
	}
	n2.look()
	deliveries(t, n2, c.ID, func(l []Delivery) bool {
		return l[0].ID == m.ID && l[0].Status == Delivered && l[0].Attempts == 2
	})
}

// What the store of facts had to drop is told to the receiver, the list and the
// metrics.
func TestLostStepsAreTold(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{MaxBytes: 64 << 10})
	n, stop := p.notify()
	v := newReceiver(t, nil)
	c := add(t, n, Draft{URL: v.URL})
	p.say(alarm("plant/a", "raised", 1))
	v.wait(t, 1)
	deliveries(t, n, c.ID, over(1))
	stop()
	for range 300 {
		p.say(alarm("plant/b", "raised", 1))
	}
	if err := p.facts.Wait(t.Context(), p.seq); err != nil {
		t.Fatal(err)
	}
	n, _ = p.notify()
	list := deliveries(t, n, c.ID, over(3))
	lost, many := list[1], list[0]
	if lost.Kind != kindLost || many.Kind != kindAlarms || many.Count >= 300 || !strings.Contains(lost.Message, fmt.Sprint(300-many.Count, " facts")) || n.Stats().Lost != 1 {
		t.Errorf("got %+v, and counted %+v", list, n.Stats())
	}
	var body struct {
		Type         string
		Facts        int
		Since, Until time.Time
	}
	if err := json.Unmarshal([]byte(v.posts()[1].body), &body); err != nil || body.Type != "lost" || body.Facts != 300-many.Count || !body.Until.After(body.Since) {
		t.Errorf("%v: %s", err, v.posts()[1].body)
	}
}

func TestWhatIsNoChannel(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, _ := p.notify()
	hook := Draft{Kind: Webhook, URL: "https://hooks.example.com/x"}
	with := func(f func(*Draft)) Draft { d := hook; f(&d); return d }
	for _, tt := range []struct {
		at, code string
		d        Draft
	}{
		{"/kind", "invalid", Draft{}},
		{"/kind", "invalid", with(func(d *Draft) { d.Kind = "pager" })},
		{"/kind", "conflict", Draft{Kind: Email, Addresses: []string{"ana@example.com"}}},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "ftp://example.com" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "https://" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "https://:80/" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "/hook" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "https://ana:secret@example.com" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "https://example.com/#x" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "https://example.com/\n" })},
		{"/url", "invalid", with(func(d *Draft) { d.URL = "https://example.com/" + strings.Repeat("x", maxURL) })},
		{"/addresses", "invalid", with(func(d *Draft) { d.Addresses = []string{"ana@example.com"} })},
		{"/things/1", "invalid", with(func(d *Draft) { d.Things = []string{"plant/**", "a//b"} })},
		{"/priority", "out_of_range", with(func(d *Draft) { d.Priority = new(0) })},
		{"/priority", "out_of_range", with(func(d *Draft) { d.Priority = new(5) })},
		{"/perMinute", "out_of_range", with(func(d *Draft) { d.PerMinute = new(61) })},
		{"/steps", "invalid", with(func(d *Draft) { d.Steps = []string{} })},
		{"/steps/0", "invalid", with(func(d *Draft) { d.Steps = []string{"exploded"} })},
		{"/steps/1", "invalid", with(func(d *Draft) { d.Steps = []string{"raised", "raised"} })},
		{"/locale", "invalid", with(func(d *Draft) { d.Locale = "fr" })},
		{"/name", "invalid", with(func(d *Draft) { d.Name = "a\r\nBcc: x" })},
		{"/secret", "invalid", with(func(d *Draft) { d.Secret = "whsec_c2hvcnQ=" })},
		{"/secret", "invalid", with(func(d *Draft) { d.Secret = "hunter2" })},
	} {
		_, err := n.Add(t.Context(), "ana", tt.d)
		var problem *realtime.Problem
		if !errors.As(err, &problem) || problem.At != tt.at || problem.Code != tt.code {
			t.Errorf("%+v: %v, want %s at %s", tt.d, err, tt.code, tt.at)
		}
	}
	if list, err := n.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v", list, err)
	}
	for _, a := range []string{"", "ana", "ana@", "Ana <ana@example.com>", "ana@example.com\r\nBcc: x@example.com", "ana@example.com,bob@example.com", "<ana@example.com>", "ánà@example.com", " ana@example.com", strings.Repeat("a", 250) + "@example.com"} {
		if err := checkAddress(a); err == nil {
			t.Errorf("%q is an address", a)
		}
	}
	for _, a := range []string{"ana@example.com", "ana.b+alarms@mail.plant.example", "o'neil@example.com"} {
		if err := checkAddress(a); err != nil {
			t.Error(err)
		}
	}
}

// A secret is shown once, and kept when nobody asks for another.
func TestChannelsAreKeptAndSecretsAreNot(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, _ := p.notify()
	c := add(t, n, Draft{Name: " Night shift ", URL: "https://hooks.example.com/x"})
	if key, err := keyOf(c.Secret); err != nil || len(key) != 32 || c.Name != "Night shift" || c.Priority != 4 || c.PerMinute != 10 || !c.Enabled || c.Locale != "en" || strings.Join(c.Steps, " ") != "raised cleared" {
		t.Errorf("got %+v, %v", c, err)
	}
	put := func(d Draft) Channel {
		t.Helper()
		d.Kind, d.URL = Webhook, "https://hooks.example.com/y"
		c, err := n.Put(t.Context(), "bob", c.ID, d)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	secret := func() string { k, _, _ := n.read(t.Context(), c.ID); return k.Secret }
	if got := put(Draft{Locale: "vi"}); got.Secret != "" || got.Locale != "vi" || got.By != "bob" || !got.Created.Equal(c.Created) || secret() != c.Secret {
		t.Errorf("got %+v", got)
	}
	if got := put(Draft{Secret: NewSecret}); got.Secret == "" || got.Secret == c.Secret || secret() != got.Secret {
		t.Errorf("got %+v", got)
	}
	mine := makeSecret()
	if got := put(Draft{Secret: mine}); got.Secret != mine || secret() != mine {
		t.Errorf("got %+v", got)
	}
	list, err := n.List(t.Context())
	one, err2 := n.Get(t.Context(), c.ID)
	if text, _ := json.Marshal([]any{list, one}); err != nil || err2 != nil || len(list) != 1 || strings.Contains(string(text), "whsec") || strings.Contains(string(text), "former") {
		t.Errorf("got %s, %v, %v", text, err, err2)
	}
	if _, err := n.Put(t.Context(), "bob", c.ID, Draft{Kind: Email, Addresses: []string{"ana@example.com"}}); err == nil || !strings.Contains(err.Error(), "stays") {
		t.Errorf("its kind changed: %v", err)
	}
	if err := n.Remove(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	var problem *realtime.Problem
	for _, err := range []error{n.Remove(t.Context(), c.ID), func() error { _, err := n.Get(t.Context(), "x/../y"); return err }(), func() error { _, err := n.Deliveries(t.Context(), c.ID); return err }(), func() error { _, err := n.Test(t.Context(), c.ID); return err }()} {
		if !errors.As(err, &problem) || problem.Code != realtime.CodeNotFound {
			t.Errorf("got %v", err)
		}
	}
	for range maxChannels {
		add(t, n, Draft{URL: "https://hooks.example.com/x"})
	}
	if _, err := n.Add(t.Context(), "ana", Draft{Kind: Webhook, URL: "https://hooks.example.com/x"}); err == nil {
		t.Error("there may be one too many")
	}
}
