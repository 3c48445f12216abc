package hub

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEventStream(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/line1/pump", `{"speed":1,"current":2}`)
	g.settle()
	c := g.events("?path=plant/**&fields=speed&rate=20")
	for k, want := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
		if got := c.resp.Header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if ms, err := strconv.Atoi(strings.TrimPrefix(c.head[0], "retry: ")); err != nil || ms < 2000 || ms > 5000 {
		t.Errorf("the stream begins with %q, want retry", c.head)
	}
	if f := c.want("snapshot"); f.cursor != "k3f9.1" || strings.Contains(f.raw, "current") {
		t.Errorf("%s %s", f.cursor, f.raw)
	}
	g.set("plant/line1/pump", `{"speed":2,"current":3}`)
	if f := c.want("update"); f.cursor != "k3f9.2" || strings.Contains(f.raw, "current") {
		t.Errorf("%s %s", f.cursor, f.raw)
	}
	g.fact(event("plant/line1/pump", "overheat"))
	if f := c.want("event"); f.cursor != "k3f9.3" {
		t.Errorf("%s %s", f.cursor, f.raw)
	}
	// Jitter: readers must not all come back at once.
	heads := map[string]bool{c.head[0]: true}
	for range 5 {
		heads[g.events("?path=plant/**").head[0]] = true
	}
	if len(heads) < 3 {
		t.Errorf("all readers come back after %v", heads)
	}
}

func TestLinesByAcceptOrFormat(t *testing.T) {
	g := newRig(t, Config{})
	g.set("a", "{\"x\": {\n\"y\":\r1}}") // a line end between tokens must not end the line
	for _, c := range []*client{
		g.events("?path=a&format=ndjson"),
		g.events("?path=a", "Accept", "application/x-ndjson"),
		g.events("?path=a", "Accept", "application/x-ndjson;q=0.9, */*;q=0.1"),
	} {
		if got := c.resp.Header.Get("Content-Type"); got != "application/x-ndjson; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
		if f := c.want("snapshot"); f.Seq == 0 || f.Epoch != "k3f9" || f.event != "" || len(c.head) > 0 {
			t.Errorf("%s, and beside it %q", f.raw, c.head)
		}
	}
	for _, c := range []*client{g.events("?path=a", "Accept", "*/*"), g.events("?path=a&format=sse", "Accept", "application/x-ndjson")} {
		if f := c.want("snapshot"); f.event != "snapshot" {
			t.Errorf("%s", f.raw)
		}
	}
}

func TestEventsRefused(t *testing.T) {
	g := newRig(t, Config{})
	g.view = func(r *http.Request) Viewer {
		if r.URL.Query().Has("nobody") {
			return Viewer{}
		}
		return Viewer{User: "ana"}
	}
	for query, want := range map[string]string{
		"":                                  `400 "at":"?path"`,
		"?path=":                            `400 "at":"?path"`,
		"?path=plant/+":                     `400 a path is 1 to 8 segments`,
		"?path=a&rate=fast":                 `400 "at":"?rate"`,
		"?path=a&rate=99":                   `422 "maximum":20`,
		"?path=a&rate=NaN":                  `422 "minimum":0.01`,
		"?path=a&fields=a%20b":              `400 "at":"?fields"`,
		"?path=a&format=xml":                `400 neither sse nor ndjson`,
		"?path=a&nobody":                    `401 "code":"unauthorized"`,
		"?" + strings.Repeat("path=a&", 65): `400 at most 64 paths`,
	} {
		resp, err := http.Get(g.srv.URL + "/events" + query)
		if err != nil {
			t.Fatal(err)
		}
		body := readAll(t, resp)
		status, text, _ := strings.Cut(want, " ")
		if fmt.Sprint(resp.StatusCode) != status || !strings.Contains(body, text) || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%.40s: %d %s, want %s", query, resp.StatusCode, body, want)
		}
	}
}

// Of twenty pages that followed a server with EventSource, fourteen were dead
// after an ordinary restart: they came back while it still drained, got 503, and
// EventSource gives up at any status but 200.
func TestNoRefusalEndsAnEventSource(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{PerUser: 1}})
	g.set("a", `{"x":1}`)
	g.events("?path=a")
	const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	ask := func(agent, accept, query string) (*http.Response, string) {
		req, _ := http.NewRequest("GET", g.srv.URL+"/events?path=a"+query, nil)
		req.Header.Set("Accept", accept)
		req.Header.Set("User-Agent", agent)
		resp, err := g.srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp, readAll(t, resp)
	}
	for _, want := range []struct {
		code   string
		status int
	}{{"too_many", 429}, {"unavailable", 503}} {
		resp, body := ask(browser, "text/event-stream", "")
		var retry, wait int
		if _, err := fmt.Sscanf(body, "retry: %d\n\nevent: bye\n", &retry); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" || retry < 1000 {
			t.Errorf("EventSource is told %d %q %s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
		}
		_, bye, _ := strings.Cut(body, `"type":"bye","code":"`+want.code+`"`)
		_, bye, _ = strings.Cut(bye, `"reconnectIn":`)
		if fmt.Sscanf(bye, "%d", &wait); wait != retry || strings.Contains(body, "id:") {
			t.Errorf("the goodbye is %s", body)
		}
		for _, other := range [][3]string{{browser, "*/*", ""}, {browser, "application/x-ndjson", ""}, {browser, "text/event-stream", "&format=ndjson"}, {"python-requests/2.34", "text/event-stream", ""}} {
			resp, body := ask(other[0], other[1], other[2])
			if resp.StatusCode != want.status || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, `"code":"`+want.code+`"`) {
				t.Errorf("%v: %d %s, want %d", other, resp.StatusCode, body, want.status)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		g.hub.Drain(ctx)
		cancel()
	}
	if resp, body := ask(browser, "text/event-stream", "&rate=no"); resp.StatusCode != 400 {
		t.Errorf("what will never be right: %d %s", resp.StatusCode, body)
	}
}

// Over TLS and HTTP/2 the same frames come through a relay, and whoever leaves
// is noticed at once.
func TestEventsOverTLSAndHTTP2(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		g := newRig(t, Config{})
		srv := httptest.NewUnstartedServer(g.srv.Config.Handler)
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		defer srv.Close()
		g.set("a", `{"x":1}`)
		ctx, leave := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/events?path=a", nil)
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if (resp.ProtoMajor == 2) != h2 || resp.Header.Get("X-Accel-Buffering") != "no" {
			t.Errorf("%s %v", resp.Proto, resp.Header)
		}
		c := readEvents(t, resp)
		c.want("hello")
		c.want("snapshot")
		for n := range 50 {
			g.set("a", fmt.Sprintf(`{"x":%d}`, n))
		}
		for f := c.want("update"); !strings.Contains(f.raw, `"x":49`); f = c.want("update") {
		}
		// An orderly end says goodbye here too.
		other, err := srv.Client().Get(srv.URL + "/events?path=a")
		if err != nil {
			t.Fatal(err)
		}
		o := readEvents(t, other)
		leave()
		for g.hub.door.inside() > 1 {
			time.Sleep(time.Millisecond)
		}
		drained, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		g.hub.Drain(drained)
		cancel()
		fs := o.rest()
		if last := fs[len(fs)-1]; last.Type != "bye" || last.Code != "drain" {
			t.Errorf("the stream ends with %s", last.raw)
		}
		srv.CloseClientConnections()
	}
}

// wss of our own goes through a relay.
func TestSocketOverTLS(t *testing.T) {
	g := newRig(t, Config{})
	srv := httptest.NewTLSServer(g.srv.Config.Handler)
	defer srv.Close()
	g.set("a", `{"x":1}`)
	nc, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := g.dialOver(nc, "")
	c.want("hello")
	c.say("sub a")
	c.want("snapshot")
	g.set("a", `{"x":2}`)
	c.want("update")
	c.ws.WriteMessage(8, []byte{0x03, 0xe8})
	if c.rest(); c.code != 1000 {
		t.Errorf("closed with %d", c.code)
	}
	g.empty()
}

// A stream's client that leaves in silence is noticed by looking, not only by
// writing.
func TestLeavingIsSeen(t *testing.T) {
	g := newRig(t, Config{})
	nc, _ := g.rawLines("path=a")
	for c := range g.conns() {
		if c.sink.left() {
			t.Error("a client that is there passes for gone")
		}
	}
	nc.(*net.TCPConn).CloseWrite()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		for c := range g.conns() {
			if c.sink.left() {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("a client that closed its side passes for there")
		}
	}
}

func TestHiddenThings(t *testing.T) {
	g := newRig(t, Config{Authenticate: func(context.Context, string) (Viewer, error) { return Viewer{User: "ana"}, nil }})
	g.view = func(*http.Request) Viewer {
		return Viewer{User: "ana", See: func(thing string) bool { return thing != "secret" }}
	}
	g.set("open", `{"x":1}`)
	g.set("secret", `{"x":1}`)
	g.settle() // or their round would tell them again
	c := g.dial("?path=**")
	if f := c.want("snapshot"); f.Matched != 2 || f.Hidden != 1 || strings.Contains(f.raw, "secret") {
		t.Errorf("%s", f.raw)
	}
	g.fact(event("secret", "e"))
	g.set("secret", `{"x":2}`)
	g.settle()
	c.quiet()
	seq := g.set("open", `{"x":2}`)
	if f := c.want("update"); f.Seq != seq || f.Merged != 1 || strings.Contains(f.raw, "secret") {
		t.Errorf("%s", f.raw)
	}
	// A resume shows no more, and who may see more after auth is told anew.
	c.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"**"}]}`)
	c.want("resumed")
	if f := c.want("update"); strings.Contains(f.raw, "secret") {
		t.Errorf("%s", f.raw)
	}
	c.say(`{"type":"auth","token":"x"}`)
	c.want("ok")
	if f := c.want("snapshot"); f.Hidden != 0 || !strings.Contains(f.raw, "secret") {
		t.Errorf("%s", f.raw)
	}
}
