package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/eclipse/paho.golang/autopaho"
)

// A told is somebody's web server: what it got, by its webhook-id.
type told struct {
	*httptest.Server
	mu     sync.Mutex
	alarms map[string]string // id → thing and step
	times  map[string]int
}

func newTold(t *testing.T, pause time.Duration) *told {
	v := &told{alarms: map[string]string{}, times: map[string]int{}}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Type, Thing, Step string }
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &body); err != nil {
			t.Errorf("%v: %s", err, b)
		}
		v.mu.Lock()
		v.alarms[r.Header.Get("webhook-id")] = body.Thing + " " + body.Step
		v.times[r.Header.Get("webhook-id")]++
		v.mu.Unlock()
		time.Sleep(pause)
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *told) got() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Values(v.alarms))
}

// describePresses puts presses with a limit into the folder of things.
func describePresses(t *testing.T, env map[string]string, n int) {
	t.Helper()
	dir := filepath.Join(env["ECHOTWIN_DATA"], "things")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		td := fmt.Sprintf(`{"@context":["https://www.w3.org/2019/wot/td/v1","https://www.w3.org/2022/wot/td/v1.1",{"echotwin":"urn:echotwin:td#"}],"id":"urn:echotwin:bench/press-%d","title":"Press",
			"securityDefinitions":{"s":{"scheme":"nosec"}},"security":"s","properties":{"force":{"type":"number","echotwin:alarms":{"high":90}}}}`, i)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("press-%d.json", i)), []byte(td), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func force(t *testing.T, dev *autopaho.ConnectionManager, press, value int) {
	t.Helper()
	say(t, dev, fmt.Sprintf("telemetry/bench/press-%d", press), fmt.Sprintf(`{"force":%d}`, value))
}

// Whatever kills the process, each alarm is told: at least once, under one id.
func TestAlarmsAreToldThroughKill9(t *testing.T) {
	env := settings(t, nil)
	const presses = 12
	describePresses(t, env, presses)
	v := newTold(t, 20*time.Millisecond) // so that a kill finds something under way
	var want []string
	for i := range presses {
		if i%3 == 0 {
			a, process := startProcess(t, env)
			c := signIn(t, a)
			if i == 0 {
				if code, body := c.do("POST", "/api/notify/channels", `{"kind":"webhook","url":"`+v.URL+`","perMinute":60,"steps":["raised"]}`); code != 201 {
					t.Fatalf("channel: %d %s", code, body)
				}
			}
			dev := device(t, a, fmt.Sprintf("presses-%d", i))
			for j := i; j < i+3; j++ {
				force(t, dev, j, 95)
				want = append(want, fmt.Sprintf("bench/press-%d raised", j))
			}
			eventually(t, "some are told", func() bool { return len(v.got()) > i })
			if err := process.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			process.Wait()
		}
	}
	slices.Sort(want)
	a, _ := startProcess(t, env)
	eventually(t, "all are told", func() bool { return len(v.got()) >= presses })
	if got := v.got(); !slices.Equal(got, want) {
		t.Errorf("got %v, want each once by its id: %v", got, want)
	}
	if _, body := signIn(t, a).do("GET", "/metrics", ""); !strings.Contains(body, "echotwin_notify_channels 1") || !strings.Contains(body, `echotwin_notify_attempts_total{kind="webhook",result="ok"}`) {
		t.Error("the metrics do not tell of it")
	}
}

// On two nodes of one NATS each step is sent by one of them, once, also when the
// value came to the other.
func TestTwoNodesTellAnAlarmOnce(t *testing.T) {
	ns, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	shared := map[string]string{"NATS_URL": ns.ClientURL(), "SESSION_SECRET": "q7Zt0mW3xvB9LpR2sYcN8dKfHa5JgUeX1oTiVb4Q"}
	var devices []*autopaho.ConnectionManager
	var nodes []addresses
	const presses = 6
	for i := range 2 {
		env := settings(t, shared)
		describePresses(t, env, presses)
		a, _ := start(t, env)
		nodes = append(nodes, a)
		devices = append(devices, device(t, a, fmt.Sprintf("node-%d", i)))
	}
	v := newTold(t, 0)
	if code, body := signIn(t, nodes[0]).do("POST", "/api/notify/channels", `{"kind":"webhook","url":"`+v.URL+`","perMinute":60}`); code != 201 {
		t.Fatalf("channel: %d %s", code, body)
	}
	var want []string
	for i := range presses {
		force(t, devices[i%2], i, 95)
		want = append(want, fmt.Sprintf("bench/press-%d raised", i))
	}
	eventually(t, "all raises are told", func() bool { return len(v.got()) >= presses })
	for i := range presses {
		force(t, devices[(i+1)%2], i, 10)
		want = append(want, fmt.Sprintf("bench/press-%d cleared", i))
	}
	slices.Sort(want)
	eventually(t, "all are told", func() bool { return len(v.got()) >= len(want) })
	if got := v.got(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, n := range v.times {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func TestWhatNotificationsAreSetTo(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"ECHOTWIN_PUBLIC_URL": "plant.example.com"}, "ECHOTWIN_PUBLIC_URL"},
		{map[string]string{"ECHOTWIN_PUBLIC_URL": "https://plant.example.com/?x=1"}, "ECHOTWIN_PUBLIC_URL"},
		{map[string]string{"ECHOTWIN_SMTP_URL": "mail.example.com", "ECHOTWIN_SMTP_FROM": "a@example.com"}, "ECHOTWIN_SMTP_URL"},
		{map[string]string{"ECHOTWIN_SMTP_URL": "smtp://ana:hunter2@mail.example.com"}, "ECHOTWIN_SMTP_FROM"},
		{map[string]string{"ECHOTWIN_SMTP_FROM": "a@example.com"}, "ECHOTWIN_SMTP_URL"},
		{map[string]string{"ECHOTWIN_PUBLIC_URL": "https://plant.example.com/echotwin", "ECHOTWIN_SMTP_URL": "smtps://ana:hunter2@mail.example.com", "ECHOTWIN_SMTP_FROM": "Echotwin <a@example.com>"}, ""},
	} {
		_, err := readConfig(nil, env(tt.env))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v, want %q", tt.env, err, tt.want)
		}
	}
}
