package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
)

// device connects to the door as somebody else's MQTT client would.
func device(t testing.TB, a addresses, id string) *autopaho.ConnectionManager {
	t.Helper()
	u, _ := url.Parse("mqtt://" + a.MQTT)
	ctx, cancel := context.WithCancel(context.Background())
	cm, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{ServerUrls: []*url.URL{u}, KeepAlive: 20, CleanStartOnInitialConnection: true,
		ClientConfig: paho.ClientConfig{ClientID: id}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cm.Disconnect(context.Background()); cancel() })
	wait, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := cm.AwaitConnection(wait); err != nil {
		t.Fatal(err)
	}
	return cm
}

// say publishes with QoS 1 and returns when the door has acknowledged.
func say(t testing.TB, cm *autopaho.ConnectionManager, topic, payload string) {
	t.Helper()
	if err := publish(cm, topic, payload); err != nil {
		t.Fatalf("publish %s: %v", topic, err)
	}
}

func publish(cm *autopaho.ConnectionManager, topic, payload string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := cm.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(payload)})
	return err
}

// A viewer is a WebSocket client that is signed in.
type viewer struct {
	t  testing.TB
	ws *websocket.Conn
}

func (c *client) watch(query string) *viewer {
	c.t.Helper()
	u, _ := url.Parse(c.base)
	d := websocket.Dialer{Jar: c.http.Jar, HandshakeTimeout: 10 * time.Second}
	h := http.Header{"Origin": {c.base}}
	ws, res, err := d.Dial("ws://"+u.Host+"/ws"+query, h)
	if err != nil {
		c.t.Fatalf("/ws: %v (%+v)", err, res)
	}
	c.t.Cleanup(func() { ws.Close() })
	return &viewer{c.t, ws}
}

// frame is what these tests read of a frame.
type frame struct {
	Type   string `json:"type"`
	Epoch  string `json:"epoch"`
	Seq    uint64 `json:"seq"`
	Mode   string `json:"mode"`
	Reason string `json:"reason"`
	Status string `json:"status"`
	Cmd    string `json:"cmd"`
	Code   string `json:"code"`
	Thing  string `json:"thing"`
	Name   string `json:"name"`
	Limits struct {
		Rate                 float64
		Subscriptions, Frame int
	} `json:"limits"`
	Things map[string]struct {
		State map[string]json.RawMessage `json:"state"`
		Set   map[string]json.RawMessage `json:"set"`
	} `json:"things"`
}

// value is a property's value in a snapshot or an update, "" when it has none.
func (f frame) value(thing, property string) string {
	th := f.Things[thing]
	if v, ok := th.State[property]; ok {
		return string(v)
	}
	return string(th.Set[property])
}

func (v *viewer) send(text string) {
	v.t.Helper()
	if err := v.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		v.t.Fatal(err)
	}
}

// until reads frames until one is what is looked for.
func (v *viewer) until(what string, is func(frame) bool) frame {
	v.t.Helper()
	v.ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		_, b, err := v.ws.ReadMessage()
		if err != nil {
			v.t.Fatalf("waiting for %s: %v", what, err)
		}
		if f := decode[frame](v.t, string(b)); is(f) {
			return f
		}
	}
}

func TestReadingReachesEveryViewer(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	ws := c.watch("?path=bench/**")
	ws.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })

	// A reading over MQTT reaches the socket …
	dev := device(t, a, "press")
	say(t, dev, "telemetry/bench/press-1", `{"force":41.50,"mode":"auto"}`)
	ws.until("the MQTT reading", func(f frame) bool { return f.value("bench/press-1", "force") == "41.50" })

	// … one over HTTP, too, and is acknowledged with its place in the log …
	code, body := c.do("POST", "/api/telemetry/bench/press-1", `{"force":42}`)
	if code != 202 || decode[struct{ Accepted int }](t, body).Accepted != 1 {
		t.Fatalf("telemetry: %d %s", code, body)
	}
	f := ws.until("the HTTP reading", func(f frame) bool { return f.value("bench/press-1", "force") == "42" })

	// … and an event stream that begins now shows the same.
	events := c.stream("/events?path=bench/**", "text/event-stream")
	events.until("the state", func(line string) bool {
		return strings.HasPrefix(line, "data:") && strings.Contains(line, `"force":42`)
	})
	lines := c.stream("/events?path=bench/**&format=ndjson", "")
	lines.until("the state", func(line string) bool { return strings.HasPrefix(line, "{") && strings.Contains(line, `"force":42`) })

	// A viewer that was away gets what it missed, and only that.
	say(t, dev, "telemetry/bench/press-1/properties/force", `43`)
	eventually(t, "the twin has the reading", func() bool { return c.value("bench/press-1", "force") == "43" })
	again := c.watch("")
	hello := again.until("hello", func(f frame) bool { return f.Type == "hello" })
	again.send(`{"type":"resume","epoch":"` + hello.Epoch + `","seq":` + jsonNumber(f.Seq) + `,"subs":[{"path":"bench/**"}]}`)
	again.until("resumed", func(f frame) bool { return f.Type == "resumed" && f.Mode == "delta" })
	got := again.until("what was missed", func(f frame) bool { return f.Type == "update" })
	if got.value("bench/press-1", "force") != "43" || got.value("bench/press-1", "mode") != "" {
		t.Errorf("resume gave %+v, want force 43 and not the mode, which did not change", got.Things)
	}
}

func jsonNumber(n uint64) string { b, _ := json.Marshal(n); return string(b) }

func TestEventsReachViewersOnce(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	ws := c.watch("?path=bench/**")
	ws.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })
	dev := device(t, a, "press")
	say(t, dev, "event/bench/press-1/overheat", `{"temperature":91.5}`)
	say(t, dev, "event/bench/press-1/last", `{}`)
	n := 0
	ws.until("the last event", func(f frame) bool {
		if f.Type == "event" && f.Name == "overheat" {
			n++
		}
		return f.Type == "event" && f.Name == "last"
	})
	if n != 1 {
		t.Errorf("the event came %d times, want once", n)
	}
}

// A textStream is a response that is read line by line.
type textStream struct {
	t       testing.TB
	scanner *bufio.Scanner
	close   func()
	header  http.Header
}

func (c *client) stream(path, accept string, header ...string) *textStream {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, "GET", c.base+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Jar: c.http.Jar}).Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	stop := func() { cancel(); res.Body.Close() }
	c.t.Cleanup(stop)
	if res.StatusCode != 200 {
		c.t.Fatalf("%s: %s", path, res.Status)
	}
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 4<<20)
	return &textStream{c.t, s, stop, res.Header}
}

func (s *textStream) until(what string, is func(line string) bool) string {
	s.t.Helper()
	for s.scanner.Scan() {
		if is(s.scanner.Text()) {
			return s.scanner.Text()
		}
	}
	s.t.Fatalf("the stream ended before %s: %v", what, s.scanner.Err())
	return ""
}
