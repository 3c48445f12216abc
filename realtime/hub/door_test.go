package hub

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Each limit on connections has its code over WebSocket and its status over
// HTTP, both with the limit and a delay.
func TestConnectionLimits(t *testing.T) {
	for _, tt := range []struct {
		limits Limits
		who    string
	}{
		{Limits{Connections: 1}, "the server has"},
		{Limits{PerUser: 1}, "ana has"},
		{Limits{PerAddress: 1}, "your address has"},
	} {
		g := newRig(t, Config{Limits: tt.limits})
		first := g.dial("")
		c := g.dialRaw("")
		f := c.want("bye")
		if f.Code != "too_many" || f.Message != tt.who+" too many connections: at most 1" || f.Reconnect == nil || *f.Reconnect < 1000 {
			t.Errorf("%s", f.raw)
		}
		if c.rest(); c.code != 4029 {
			t.Errorf("closed with %d, want 4029", c.code)
		}
		resp, err := http.Get(g.srv.URL + "/events?path=**")
		if err != nil {
			t.Fatal(err)
		}
		body := readAll(t, resp)
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, `"error":"`+tt.who) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		// Who leaves makes room.
		first.ws.Close()
		g.empty()
		g.dial("")
	}
}

func TestUsersAreCountedApart(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{PerUser: 1}})
	g.view = func(r *http.Request) Viewer { return Viewer{User: r.URL.Query().Get("user")} }
	g.dial("?user=ana")
	g.dial("?user=bo")
	if f := g.dialRaw("?user=bo").next(); f.Type != "bye" {
		t.Errorf("%s", f.raw)
	}
}

func TestTooManyMessages(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{Messages: 20}})
	c := g.dial("")
	for i := range 60 {
		c.say(`{"type":"ping","id":%d}`, i)
	}
	pongs, refused := 0, 0
	for i := range 60 {
		switch f := c.next(); f.Type {
		case "pong":
			pongs++
		case "error":
			if refused++; f.Code != "too_many" || *f.Maximum != 20 || !strings.Contains(f.Message, "at most 20 messages a second") || string(f.ID) != strconv.Itoa(i) {
				t.Errorf("%s", f.raw)
			}
		}
	}
	if pongs < 40 || refused == 0 {
		t.Errorf("%d done and %d refused, want 40 at once and some refused", pongs, refused)
	}
}

func TestSubscriptionLimit(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{Subscriptions: 3}})
	c := g.dial("")
	for i := range 3 {
		c.say("sub a/b%d", i)
		c.want("snapshot")
	}
	c.say("sub a/b3")
	if f := c.want("error"); f.Code != "too_many" || *f.Maximum != 3 {
		t.Errorf("%s", f.raw)
	}
	c.say(`{"type":"resume","epoch":"x","seq":1,"subs":[{"path":"a"},{"path":"a"},{"path":"a"},{"path":"a"}]}`)
	if f := c.want("error"); f.Code != "too_many" {
		t.Errorf("%s", f.raw)
	}
	c.say("unsub s2")
	c.want("ok")
	c.say("sub a/b3")
	if f := c.want("snapshot"); f.Sub != "s4" {
		t.Errorf("%s", f.raw)
	}
}

func TestOtherProtocolsAreTurnedAway(t *testing.T) {
	g := newRig(t, Config{})
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(g.srv.URL, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, 4510) {
		t.Errorf("%v, want 4510", err)
	}
	d.Subprotocols = []string{"other", "echotwin.v1"}
	ws, _, err = d.Dial("ws"+strings.TrimPrefix(g.srv.URL, "http")+"/ws", nil)
	if err != nil || ws.Subprotocol() != "echotwin.v1" {
		t.Errorf("%v", err)
	}
	ws.Close()
	// A browser that opens /ws as a page is told what it is.
	resp, err := http.Get(g.srv.URL + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp); resp.StatusCode != 400 && resp.StatusCode != 426 || !strings.Contains(body, "wscat") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// A session that is ended ends its connections and no others.
func TestEndOfASession(t *testing.T) {
	g := newRig(t, Config{})
	g.view = func(r *http.Request) Viewer { return Viewer{User: "ana", Session: r.URL.Query().Get("session")} }
	a, b, e := g.dial("?session=a"), g.dial("?session=b"), g.events("?path=**&session=a")
	e.want("snapshot")
	g.hub.End("a")
	g.hub.End("")
	for _, c := range []*client{a, e} {
		if f := c.want("bye"); f.Code != "session_over" {
			t.Errorf("%s", f.raw)
		}
		c.rest()
	}
	if a.code != 4001 {
		t.Errorf("closed with %d, want 4001", a.code)
	}
	b.quiet()
}

func TestFigures(t *testing.T) {
	g := newRig(t, Config{})
	g.set("a", `{"x":1}`)
	c, e := g.dial("?path=a"), g.events("?path=a")
	c.want("snapshot")
	e.want("snapshot")
	g.fact(event("a", "e"))
	c.want("event")
	e.want("event")
	g.set("a", `{"x":2}`)
	c.want("update")
	e.want("update")
	c.ws.WriteMessage(websocket.CloseMessage, []byte{0x03, 0xe8})
	c.rest()
	for g.hub.door.inside() > 1 {
		time.Sleep(time.Millisecond)
	}
	g.settle() // a frame is counted when it is written, which a client can see before
	got := g.figures()
	for name, want := range map[string]float64{
		"connections ws": 0, "connections sse": 1, "connections ndjson": 0, "closed_total 1000": 1, "subscriptions": 1, "things": 1,
		"facts_total": 1, "facts_sent_total": 2, "updates_total": 2, "resyncs_total": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if got["frames_total"] < 8 || got["bytes_total"] < 500 || got["rounds_total"] < 2 {
		t.Errorf("%v", got)
	}
}

// figures is what Prometheus would read, without echotwin_hub_.
func (g *rig) figures() map[string]float64 {
	g.t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(g.hub.Collector())
	families, err := r.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "echotwin_hub_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = value(m)
		}
	}
	return out
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

// New connections may come in a burst and then only so fast, in all and from
// one address; who is told to wait gets in when he has.
func TestHowFastConnectionsMayCome(t *testing.T) {
	now := time.Duration(0)
	d := newDoor(Limits{Accept: 10, AcceptPerAddress: 2}.withDefaults(), func() time.Duration { return now })
	in := func(address string) int {
		n := 0
		for d.enter("ana", address) == nil {
			n++
		}
		return n
	}
	if got := in("a"); got != 20 {
		t.Errorf("%d came from one address at once, want ten seconds' worth, 20", got)
	}
	r := d.enter("ana", "a")
	if r == nil || r.Code != "too_many" || *r.Maximum != 2 || r.retry < time.Second || !strings.HasPrefix(r.Message, "your address opens connections too fast: at most 2 a second") {
		t.Fatalf("got %+v", r)
	}
	now += r.retry
	if r := d.enter("ana", "a"); r != nil {
		t.Errorf("after the wait: %s", r.Message)
	}
	total := 21
	for _, address := range []string{"b", "c", "d", "e", "f", "g"} {
		total += in(address)
	}
	if want := 100 + int(now.Seconds()*10); total > want+1 || total < 100 {
		t.Errorf("%d came in all at once, want about %d", total, want)
	}
	if r := d.enter("ana", "z"); r == nil || !strings.HasPrefix(r.Message, "connections come too fast: at most 10 a second") {
		t.Errorf("got %+v", r)
	}
	if d.refused["rate"] == 0 || d.refused["address_rate"] == 0 {
		t.Errorf("refused %v", d.refused)
	}
}

// However many addresses come, only those of the last seconds are remembered.
func TestAddressesAreForgotten(t *testing.T) {
	now := time.Duration(0)
	d := newDoor(Limits{Connections: 10_000_000, PerUser: 10_000_000}.withDefaults(), func() time.Duration { return now })
	for i := range 200_000 {
		now += 2 * time.Millisecond
		if r := d.enter("ana", strconv.Itoa(i)); r != nil {
			t.Fatal(r.Message)
		}
	}
	if len(d.paces) > 4*minPaces {
		t.Errorf("%d addresses are remembered", len(d.paces))
	}
}

func TestTooFastOverTheWire(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{AcceptPerAddress: .2}})
	g.dial("")
	g.dial("")
	c := g.dialRaw("")
	if f := c.want("bye"); f.Code != "too_many" || !strings.Contains(f.Message, "too fast") || f.Reconnect == nil || *f.Reconnect < 1000 {
		t.Errorf("%s", f.raw)
	}
	if c.rest(); c.code != 4029 {
		t.Errorf("closed with %d, want 4029", c.code)
	}
	resp, err := http.Get(g.srv.URL + "/events?path=**")
	if err != nil {
		t.Fatal(err)
	}
	body := readAll(t, resp)
	if after, _ := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != 429 || after < 1 || !strings.Contains(body, "too fast") {
		t.Errorf("%d, Retry-After %s: %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
}
