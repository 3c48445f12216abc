package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
	"echotwin/realtime/bus"
)

// The crash test: writers over MQTT QoS 1 and HTTP, kill -9 at random moments,
// restart, and a count. What was acknowledged is there exactly once: every sample
// in the log and in history, every fact in the log and in FACTS, and every command
// that was told to be done was sent once, and ended once.
//
// Three kills in make test, as many as ECHOTWIN_SOAK_KILLS says in make soak; the
// same moments again with ECHOTWIN_SOAK_SEED.
func TestSoakKill9(t *testing.T) {
	kills, seed := 3, uint64(time.Now().UnixNano())
	if v := os.Getenv("ECHOTWIN_SOAK_KILLS"); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil || kills < 1 {
			t.Fatalf("ECHOTWIN_SOAK_KILLS is %q", v)
		}
	}
	if v := os.Getenv("ECHOTWIN_SOAK_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("ECHOTWIN_SOAK_SEED is %q", v)
		}
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	env := settings(t, map[string]string{"ECHOTWIN_RAW_SIZE": "64MB"})
	describeCounter(t, env)
	s := &soak{acked: map[string]bool{}}
	for range kills {
		a, process := startProcess(t, env)
		stop := s.write(t, a)
		least := s.count() + 40
		eventually(t, "something is acknowledged", func() bool { return s.count() >= least })
		time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		process.Wait()
		stop()
	}
	s.check(t, env)
}

// A soak counts what was acknowledged. Each has a name of its own: the way it
// went and a number.
type soak struct {
	mu    sync.Mutex
	acked map[string]bool
	next  int
}

func (s *soak) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

func (s *soak) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.next
}

func (s *soak) ack(way string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[fmt.Sprintf("%s %d", way, n)] = true
}

// write begins to write in every way there is, until the server is gone.
func (s *soak) write(t *testing.T, a addresses) (wait func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	dev := device(t, a, fmt.Sprintf("soak-%d", s.number()))
	loop := func(way string, send func(n int) bool) {
		all.Go(func() {
			for ctx.Err() == nil {
				n := s.number()
				if !send(n) {
					return
				}
				s.ack(way, n)
			}
		})
	}
	mqtt := func(topic string) func(n int) bool {
		return func(n int) bool {
			one, done := context.WithTimeout(ctx, 5*time.Second)
			defer done()
			_, err := dev.Publish(one, &paho.Publish{Topic: topic, QoS: 1, Payload: fmt.Appendf(nil, `{"n":%d}`, n)})
			return err == nil
		}
	}
	web := &http.Client{Timeout: 5 * time.Second}
	post := func(n int) bool {
		res, err := web.Post("http://"+a.HTTP+"/api/telemetry/soak/http", "application/json", strings.NewReader(fmt.Sprintf(`{"n":%d}`, n)))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusAccepted
	}
	loop("mqtt", mqtt("telemetry/soak/mqtt"))
	loop("fact", mqtt("event/soak/mqtt/count"))
	loop("http", post)
	loop("http", post)
	c, hand := signIn(t, a), device(t, a, fmt.Sprintf("hand-%d", s.number()))
	answer(t, hand)
	all.Go(func() {
		for ctx.Err() == nil && s.command(c, s.number()) {
		}
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// describeCounter says what the device that takes commands can do.
func describeCounter(t *testing.T, env map[string]string) {
	t.Helper()
	dir := filepath.Join(env["ECHOTWIN_DATA"], "things")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	td := `{"@context":["https://www.w3.org/2019/wot/td/v1","https://www.w3.org/2022/wot/td/v1.1"],"id":"urn:echotwin:soak/cmd","title":"Counter",
		"securityDefinitions":{"s":{"scheme":"nosec"}},"security":"s","actions":{"count":{"forms":[{"href":"actions/count"}],
		"input":{"type":"object","properties":{"n":{"type":"integer"}}}}}}`
	if err := os.WriteFile(filepath.Join(dir, "cmd.json"), []byte(td), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answer makes dev the device of soak/cmd, which does all that it is told.
func answer(t *testing.T, dev *autopaho.ConnectionManager) {
	t.Helper()
	dev.AddOnPublishReceived(func(r autopaho.PublishReceived) (bool, error) {
		topic := r.Packet.Topic
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			// A killed server loses it: then the command was not acknowledged either.
			_, _ = dev.Publish(ctx, &paho.Publish{Topic: "result/" + topic[strings.LastIndexByte(topic, '/')+1:], QoS: 1, Payload: []byte(`{"ok":true}`)})
		}()
		return true, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := dev.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "command/soak/cmd/#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := publish(dev, "status/soak/cmd", "online"); err != nil {
		t.Fatal(err)
	}
}

// command is acknowledged when it is told to be done.
func (s *soak) command(c *client, n int) bool {
	req, err := http.NewRequest("POST", c.base+"/api/things/soak/cmd/actions/count", strings.NewReader(fmt.Sprintf(`{"n":%d}`, n)))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	var done realtime.Invoked
	if json.NewDecoder(res.Body).Decode(&done) == nil && done.Status == realtime.Done {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.acked["command "+done.ID] = true
	}
	return true
}

// check counts what is there.
func (s *soak) check(t *testing.T, env map[string]string) {
	t.Helper()
	a, stop := start(t, env)
	c := signIn(t, a)
	eventually(t, "history is open", func() bool { _, b := c.do("GET", "/readyz", ""); return strings.Contains(b, `"history":"ok"`) })
	history := map[string]int{}
	for way, thing := range map[string]string{"mqtt": "soak/mqtt", "http": "soak/http"} {
		code, body := c.do("GET", "/api/history?thing="+thing+"&property=n&format=ndjson", "")
		if code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
			row := decode[struct{ Value json.Number }](t, lines.Text())
			history[way+" "+row.Value.String()]++
		}
	}
	stop()
	log := map[string]int{}
	readLog(t, env, func(r realtime.Record) {
		switch {
		case r.Kind == realtime.Telemetry && strings.HasPrefix(r.Thing, "soak/"):
			log[strings.TrimPrefix(r.Thing, "soak/")+" "+string(r.Values[0].JSON)]++
		case r.Kind == realtime.Event && r.Name == "count":
			n := decode[struct{ N int }](t, string(r.Data)).N
			log[fmt.Sprintf("fact %d", n)]++
		case r.Kind == realtime.Command && r.Thing == "soak/cmd":
			if i := decode[realtime.Invoked](t, string(r.Data)); i.Status == realtime.Sent { // the result is a record of its own
				log["command "+i.ID]++
			}
		}
	})
	s.table(t, "log", log, "mqtt", "http", "fact", "command")
	facts := map[string]int{}
	soakFacts(t, env, func(f realtime.Fact) {
		switch f.Type {
		case "event":
			e := decode[struct{ Data struct{ N int } }](t, string(f.Body))
			facts[fmt.Sprintf("fact %d", e.Data.N)]++
		case "cmd":
			if i := decode[realtime.Invoked](t, string(f.Body)); i.Status == realtime.Done {
				facts["command "+i.ID]++
			}
		}
	})
	s.table(t, "FACTS", facts, "fact", "command")
	s.table(t, "history", history, "mqtt", "http")
}

// soakFacts gives every fact of the soak that a stopped server has kept.
func soakFacts(t *testing.T, env map[string]string, f func(realtime.Fact)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(env["ECHOTWIN_DATA"], "nats")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	facts, err := b.Facts(ctx, bus.FactsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := facts.Read(ctx, []string{"soak/**"}, 0, b.Last(), f); err != nil {
		t.Fatal(err)
	}
}

// table prints the count and fails for what is missing or there twice.
func (s *soak) table(t *testing.T, where string, have map[string]int, ways ...string) {
	t.Helper()
	for _, way := range ways {
		acked, missing, twice := 0, 0, 0
		for name := range s.acked {
			if strings.HasPrefix(name, way+" ") {
				acked++
				if have[name] == 0 {
					missing++
				}
			}
		}
		for name, n := range have {
			if strings.HasPrefix(name, way+" ") && n > 1 {
				twice++
			}
		}
		t.Logf("%-8s %-8s acknowledged %6d  missing %d  twice %d", where, way, acked, missing, twice)
		if missing+twice > 0 || acked < 10 {
			t.Errorf("%s, %s: of %d acknowledged %d are missing and %d are there twice", where, way, acked, missing, twice)
		}
	}
}
