package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"echotwin/realtime"
)

// outside starts a NATS server and is the settings of nodes that share it.
func outside(t *testing.T) map[string]string {
	t.Helper()
	ns, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(30 * time.Second) {
		t.Fatal("NATS did not start")
	}
	return map[string]string{"NATS_URL": ns.ClientURL(), "SESSION_SECRET": "q7Zt0mW3xvB9LpR2sYcN8dKfHa5JgUeX1oTiVb4Q"}
}

// inAMinute waits for what a machine under load does late.
func inAMinute(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// asWell is a client with the session of another, on another node.
func asWell(t *testing.T, a addresses, c *client) *client {
	t.Helper()
	other := newClient(t, a)
	other.http.Jar = c.http.Jar // cookies go by host, so the port does not matter
	return other
}

func (c *client) alarmsOf(path string) (list []realtime.AlarmState) {
	_, body := c.do("GET", path, "")
	_ = json.Unmarshal([]byte(body), &list) // what is no list has none
	return list
}

// standing are the alarms of the benches by their rule.
func (c *client) standing() map[string]realtime.AlarmState {
	out := map[string]realtime.AlarmState{}
	for _, a := range c.alarmsOf("/api/alarms?thing=bench/*") {
		out[a.Rule] = a
	}
	return out
}

// Two processes: a rule that one took counts on both, each alarm is one alarm and
// raised once, and when one process is killed the other goes on with it.
func TestAlarmsOfTwoProcesses(t *testing.T) {
	shared := outside(t)
	envs := []map[string]string{settings(t, shared), settings(t, shared)}
	one, first := startProcess(t, envs[0])
	two, _ := startProcess(t, envs[1])
	c1 := signIn(t, one)
	c2 := asWell(t, two, c1)
	for id, rule := range map[string]string{
		"hard": `{"thing":"bench/*","property":"force","high":50}`,
		"asks": `{"promql":"echotwin_value{property=\"force\"} > 40","thing":"bench/*","every":5}`,
	} {
		if code, body := c1.do("PUT", "/api/alarms/rules/"+id, rule); code != 201 {
			t.Fatalf("%s: %d %s", id, code, body)
		}
	}
	inAMinute(t, "two has heard of the rules", func() bool {
		_, body := c2.do("GET", "/api/alarms/rules", "")
		return strings.Contains(body, `"hard"`) && strings.Contains(body, `"asks"`)
	})
	say(t, device(t, one, "press"), "telemetry/bench/press-1", `{"force":60}`)
	inAMinute(t, "both know both alarms", func() bool { return len(c1.standing()) == 2 && len(c2.standing()) == 2 })
	before := c2.standing()
	for rule, a := range c1.standing() {
		if b := before[rule]; a.ID != b.ID || a.Seq != b.Seq || !a.Active() {
			t.Errorf("one has %+v, two %+v", a, b)
		}
	}

	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	for _, a := range before {
		if code, body := c2.do("POST", "/api/alarms/"+a.ID+"/ack", `{"comment":"mine"}`); code != 200 || !strings.Contains(body, `"active_acked"`) {
			t.Errorf("ack on the other: %d %s", code, body)
		}
	}
	one, _ = startProcess(t, envs[0])
	c1 = asWell(t, one, c2)
	for rule, a := range c1.standing() {
		if a.State != realtime.ActiveAcked || a.ID != before[rule].ID || a.Acked.Comment != "mine" {
			t.Errorf("after its restart one has %+v", a)
		}
	}
	say(t, device(t, two, "press2"), "telemetry/bench/press-1", `{"force":10}`)
	inAMinute(t, "both alarms are over on both", func() bool { return len(c1.standing()) == 0 && len(c2.standing()) == 0 })
	var steps map[string]int
	inAMinute(t, "all steps are among the facts", func() bool {
		list := c2.alarmsOf("/api/alarms/history?thing=bench/*")
		steps = map[string]int{}
		for _, a := range list {
			steps[a.Rule+" "+a.Step]++
		}
		return len(list) >= 6
	})
	if got, want := fmt.Sprint(steps), "map[high acked:1 high cleared:1 high raised:1 promql acked:1 promql cleared:1 promql raised:1]"; got != want {
		t.Errorf("the steps are %s, want %s", got, want)
	}
}

// A command that one process takes reaches its device on the other, and finds it
// again on another node after its own was killed.
func TestCommandsOfTwoProcesses(t *testing.T) {
	shared := outside(t)
	one, _ := startProcess(t, settings(t, shared))
	two, second := startProcess(t, settings(t, shared))
	c1 := signIn(t, one)
	td := `{"@context":"https://www.w3.org/2022/wot/td/v1.1","id":"urn:echotwin:bench/press-1","title":"Press","actions":{"press":{"input":{"type":"object","properties":{"force":{"type":"number","maximum":9}}}}}}`
	if code, body := c1.do("POST", "/api/things", td); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	plugIn := func(a addresses, id string) chan string {
		got, _ := plug(t, a.MQTT, "command/bench/press-1/#")
		answers := device(t, a, id)
		seen := make(chan string, 10)
		go func() {
			for text := range got {
				topic, input, _ := strings.Cut(text, " ")
				seen <- input
				_ = publish(answers, "result/"+topic[strings.LastIndexByte(topic, '/')+1:], `{"ok":true}`)
			}
		}()
		return seen
	}
	press := func(c *client, force int) (int, string) {
		return c.do("POST", "/api/things/bench/press-1/actions/press", fmt.Sprintf(`{"force":%d}`, force))
	}
	done := func(c *client, force int, seen chan string) {
		t.Helper()
		inAMinute(t, "the command is done", func() bool { // it may take a moment until a node has heard of the device
			code, body := press(c, force)
			if code != 200 && code != 409 {
				t.Fatalf("%d %s", code, body)
			}
			return code == 200
		})
		if got, want := <-seen, fmt.Sprintf(`{"force":%d}`, force); got != want || len(seen) != 0 {
			t.Errorf("the device got %s and %d more, want %s", got, len(seen), want)
		}
	}
	seen := plugIn(two, "answers-2")
	done(c1, 5, seen)
	if code, body := press(c1, 10); code != 422 {
		t.Errorf("beyond its limit: %d %s", code, body)
	}
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second.Wait()
	if code, body := press(c1, 6); code == 200 || code == 202 {
		t.Errorf("the node of the device is dead, and the answer is %d %s", code, body)
	}
	seen = plugIn(one, "answers-1")
	done(c1, 7, seen)
	again, _ := startProcess(t, settings(t, shared))
	done(asWell(t, again, c1), 8, seen)
}
