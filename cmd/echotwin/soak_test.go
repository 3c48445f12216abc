package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
)

// The crash test: writers over MQTT QoS 1 and HTTP, kill -9 at random moments,
// restart, and a count. What was acknowledged is there exactly once: every sample
// in the log and in history, every fact and every step of a command in the log
// and, where commands end, told by the API.
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
	c := signIn(t, a)
	loop("command", func(n int) bool { return s.command(c, n) })
	return func() {
		cancel()
		all.Wait()
	}
}

// command asks for something that no device is there for: its rejection is a
// step in the log, and the answer carries its id.
func (s *soak) command(c *client, n int) bool {
	req, err := http.NewRequest("POST", c.base+"/api/things/soak/http/actions/count", strings.NewReader(fmt.Sprintf(`{"n":%d}`, n)))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("soak-%d", n))
	res, err := c.http.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	time.Sleep(5 * time.Millisecond)
	return res.StatusCode < 500
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
		}
	})
	s.table(t, "log", log, "mqtt", "http", "fact")
	s.table(t, "history", history, "mqtt", "http")
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
