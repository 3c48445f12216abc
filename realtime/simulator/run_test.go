package simulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"echotwin/realtime/mqtt"
	"echotwin/realtime/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patient = 15 * time.Second

// A store is an Ingest that keeps the newest of everything.
type store struct {
	mu        sync.Mutex
	telemetry map[string]map[string]any // by thing, merged
	count     map[string]int
	status    map[string]string
	results   map[string]string
}

func newStore() *store {
	return &store{telemetry: map[string]map[string]any{}, count: map[string]int{}, status: map[string]string{}, results: map[string]string{}}
}

func (s *store) Telemetry(_ context.Context, thing string, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.telemetry[thing] == nil {
		s.telemetry[thing] = map[string]any{}
	}
	s.count[thing]++
	m := s.telemetry[thing]
	return json.Unmarshal(p, &m)
}

func (s *store) Property(context.Context, string, string, []byte) error { return nil }
func (s *store) Event(context.Context, string, string, []byte) error    { return nil }

func (s *store) Status(_ context.Context, thing, word string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status[thing] = word
	return nil
}

func (s *store) Result(_ context.Context, cmd string, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results[cmd] = string(p)
	return nil
}

// until returns when ok holds for what is stored.
func (s *store) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		done := ok()
		s.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func openDoor(t *testing.T, addr string, s *store, cfg mqtt.Config) *mqtt.Door {
	t.Helper()
	cfg.Addr, cfg.Ingest = addr, s
	cfg.Open = cfg.Authenticate == nil
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	d, err := mqtt.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// run runs the line until the test ends, or stop is called.
func run(t *testing.T, cfg simulator.Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- simulator.Run(ctx, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patient):
			t.Error("the line does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestLineSpeaksToADoor(t *testing.T) {
	s := newStore()
	door := openDoor(t, "127.0.0.1:0", s, mqtt.Config{})
	stop := run(t, simulator.Config{URL: "mqtt://" + door.Addr(), Seed: 1})

	s.until(t, "every thing has said everything", func() bool {
		for _, b := range simulator.Things() {
			var td struct {
				ID         string         `json:"id"`
				Properties map[string]any `json:"properties"`
			}
			if err := json.Unmarshal(b, &td); err != nil {
				t.Fatal(err)
			}
			thing := strings.TrimPrefix(td.ID, "urn:echotwin:")
			for p := range td.Properties {
				if _, ok := s.telemetry[thing][p]; !ok {
					return false
				}
			}
			if s.status[thing] != "online" {
				return false
			}
		}
		return true
	})
	if n := door.Stats().Clients; n != 16 {
		t.Errorf("%d connections, want one for each of 16 things", n)
	}
	s.until(t, "the fast conveyor is ahead of the slow tank", func() bool {
		return s.count["plant/line1/conveyor-2"] > 3*s.count["plant/line1/tank"] && s.count["plant/line1/tank"] > 1
	})

	stop()
	s.until(t, "every thing is offline", func() bool {
		for _, w := range s.status {
			if w != "offline" {
				return false
			}
		}
		return true
	})
	if r := door.Stats().Refused; len(r) != 0 {
		t.Errorf("the door refused %v", r)
	}
}

func TestConveyorObeys(t *testing.T) {
	s := newStore()
	door := openDoor(t, "127.0.0.1:0", s, mqtt.Config{})
	run(t, simulator.Config{URL: "mqtt://" + door.Addr(), Seed: 1, Speed: 10})
	const belt = "plant/line1/conveyor-2"
	s.until(t, "the belt runs", func() bool { return s.status[belt] == "online" && s.telemetry[belt]["speed"] == 80.0 })

	for i, tt := range []struct{ action, input, want string }{
		{"setSpeed", `{"speed":60}`, `{"ok":true,"output":{"speed":60}}`},
		{"setSpeed", `{"speed":150}`, `{"ok":false,"error":"speed 150 is not between 20 and 100 %"}`},
		{"setSpeed", `{"rpm":60}`, `{"ok":false,"error":"the input is {\"speed\": a number from 20 to 100}"}`},
		{"setSpeed", `60`, `{"ok":false,"error":"the input is {\"speed\": a number from 20 to 100}"}`},
		{"explode", `{}`, `{"ok":false,"error":"this device has no such action"}`},
	} {
		cmd := fmt.Sprint("cmd", i)
		if err := door.Send(t.Context(), belt, tt.action, cmd, []byte(tt.input)); err != nil {
			t.Fatal(err)
		}
		s.until(t, "a result for "+tt.input, func() bool { return s.results[cmd] != "" })
		if got := s.results[cmd]; got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.action, tt.input, got, tt.want)
		}
	}
	s.until(t, "the belt is at 60 %", func() bool { return s.telemetry[belt]["speed"] == 60.0 && s.telemetry[belt]["speedSetpoint"] == 60.0 })

	if err := door.Send(t.Context(), "plant/line1/tank", "setSpeed", "tank", []byte(`{"speed":60}`)); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the tank says that it cannot", func() bool { return strings.Contains(s.results["tank"], `"ok":false`) })
}

func TestDevicesComeBackWithTheDoor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	run(t, simulator.Config{URL: "mqtt://" + addr, Seed: 1}) // before there is a door

	all := func(s *store) func() bool {
		return func() bool {
			n := 0
			for thing, w := range s.status {
				if w == "online" && s.count[thing] > 0 {
					n++
				}
			}
			return n == 16
		}
	}
	s := newStore()
	door := openDoor(t, addr, s, mqtt.Config{})
	s.until(t, "all are there", all(s))
	door.Close()
	s = newStore()
	openDoor(t, addr, s, mqtt.Config{})
	s.until(t, "all are there again", all(s))
}

func TestDevicesSignIn(t *testing.T) {
	s := newStore()
	door := openDoor(t, "127.0.0.1:0", s, mqtt.Config{Authenticate: func(u, p, _ string) (mqtt.Credential, bool) {
		return mqtt.Credential{Owns: func(thing string) bool { return strings.HasPrefix(thing, "plant/line1/") }}, u == "demo" && p == "secret"
	}})
	run(t, simulator.Config{URL: "mqtt://demo:secret@" + door.Addr()})
	s.until(t, "the belt has signed in", func() bool { return s.count["plant/line1/conveyor-1"] > 0 })
	s.until(t, "it may hear its commands", func() bool { return s.status["plant/line1/conveyor-1"] == "online" })
	if err := door.Send(t.Context(), "plant/line1/conveyor-1", "setSpeed", "1", []byte(`{"speed":60}`)); err != nil {
		t.Error(err)
	}
}

func TestBadAddress(t *testing.T) {
	if err := simulator.Run(t.Context(), simulator.Config{URL: "nowhere"}); err == nil {
		t.Error("an address without a port was taken")
	}
}
