package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

// A system that has all the things it may have says so to whoever brings one
// more, by HTTP and by MQTT, and takes what comes beside it.
func TestAThingBeyondTheLimitIsRefused(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	const half = 10_000
	for n := range 2 {
		var b strings.Builder
		for i := range half {
			fmt.Fprintf(&b, `,"plant/pump-%d":{"v":1}`, n*half+i)
		}
		if code, body := c.do("POST", "/api/telemetry", "{"+b.String()[1:]+"}"); code != http.StatusAccepted || !strings.Contains(body, `"accepted":10000`) {
			t.Fatalf("%d %s", code, body)
		}
	}
	code, body := c.do("POST", "/api/telemetry", `{"plant/pump-7":[{"v":2},{"v":3}],"plant/more":[{"v":1},{"v":2}]}`)
	type answer struct {
		Code     string
		Accepted int
		Rejected []struct {
			Code, At, Message string
			Maximum           float64
		}
	}
	if got := decode[answer](t, body); code != 202 || got.Accepted != 2 || len(got.Rejected) != 2 || got.Rejected[0].At != "/plant~1more/0" || got.Rejected[0].Code != "too_many" || got.Rejected[0].Maximum != 20_000 {
		t.Errorf("beside others: %d %s", code, body)
	}
	if code, body := c.do("POST", "/api/telemetry/plant/more", `{"v":1}`); code != 429 || !strings.Contains(body, `"maximum":20000`) {
		t.Errorf("alone: %d %s", code, body)
	}
	events := c.watch("?path=plant/more")
	events.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })
	d := device(t, a, "more")
	for topic, payload := range map[string]string{"telemetry/plant/more": `{"v":1}`, "telemetry/plant/more/properties/v": `1`, "status/plant/more": "online"} {
		if code := reasonOf(t, d, topic, payload); code != 0x97 {
			t.Errorf("%s: got 0x%02x, want 0x97, quota exceeded", topic, code)
		}
	}
	events.until("the event that tells its owner why", func(f frame) bool { return f.Type == "event" && f.Name == "refused" })
	say(t, d, "event/plant/more/hello", `"an event is shown without a thing"`)
	events.until("its own event", func(f frame) bool { return f.Type == "event" && f.Name == "hello" })
	say(t, d, "telemetry/plant/pump-7", `{"v":4}`)
	if _, body := c.do("GET", "/metrics", ""); !strings.Contains(body, "echotwin_twin_refused_total 0") || !strings.Contains(body, `reason="too_many"} 3`) {
		t.Errorf("counted: %s", grep(body, "refused"))
	}
	if code, body := c.do("DELETE", "/api/things/plant/pump-8", ""); code != 204 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := c.do("POST", "/api/telemetry/plant/more", `{"v":1}`); code != 202 {
		t.Errorf("after one was removed: %d %s", code, body)
	}
}

// reasonOf is the reason code of the door's PUBACK.
func reasonOf(t *testing.T, cm *autopaho.ConnectionManager, topic, payload string) byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	answer, err := cm.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(payload)})
	if answer == nil {
		t.Fatalf("publish %s: %v", topic, err)
	}
	return answer.ReasonCode
}

// grep is the lines that hold a word.
func grep(text, word string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
