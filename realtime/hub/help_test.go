package hub

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// A rig is a hub behind a real HTTP server.
type rig struct {
	t    testing.TB
	hub  *Hub
	srv  *httptest.Server
	seq  uint64
	view func(*http.Request) Viewer
}

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	if cfg.Epoch == "" {
		cfg.Epoch = "k3f9"
	}
	g := &rig{t: t, hub: New(cfg), view: func(*http.Request) Viewer {
		return Viewer{User: "ana", May: func(string) bool { return true }}
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { g.hub.ServeWS(w, r, g.view(r)) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) { g.hub.ServeEvents(w, r, g.view(r)) })
	g.srv = httptest.NewServer(mux)
	t.Cleanup(func() {
		g.hub.Close()
		g.srv.CloseClientConnections()
		g.srv.Close()
	})
	return g
}

// set publishes one reading in the next bundle and returns its seq.
func (g *rig) set(thing, props string) uint64 {
	g.seq++
	g.hub.Publish(realtime.Update{Seq: g.seq, Changes: []realtime.Change{reading(g.t, thing, props)}})
	return g.seq
}

func (g *rig) remove(thing string) {
	g.seq++
	g.hub.Publish(realtime.Update{Seq: g.seq, Changes: []realtime.Change{{Thing: thing, Removed: true}}})
}

func (g *rig) fact(facts ...realtime.Fact) uint64 {
	g.seq++
	for i := range facts {
		facts[i].Seq = g.seq
	}
	g.hub.Publish(realtime.Update{Seq: g.seq, Facts: facts})
	return g.seq
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 120e6, time.UTC)

func reading(t testing.TB, thing, props string) realtime.Change {
	t.Helper()
	vs, err := realtime.ParseValues([]byte(props))
	if err != nil {
		t.Fatal(err)
	}
	return realtime.Change{Thing: thing, TS: noon, Values: vs, Samples: 1}
}

func event(thing, name string) realtime.Fact {
	return realtime.Fact{Type: "event", Thing: thing, Body: json.RawMessage(fmt.Sprintf(`{"thing":%q,"name":%q,"ts":"2026-11-23T12:00:00Z"}`, thing, name))}
}

// settle returns when every shard has dealt with all that was published.
func (g *rig) settle() {
	g.t.Helper()
	g.hub.mu.RLock()
	n := g.hub.open.n
	if len(g.hub.open.entries)+len(g.hub.open.bereft) == 0 && g.hub.open.factStart == g.hub.ring.end {
		n--
	}
	g.hub.mu.RUnlock()
	for _, s := range g.hub.shards {
		at := make(chan uint64)
		for {
			if !s.post(func(s *shard) { at <- s.n }) {
				g.t.Fatal("the hub has ended")
			}
			if <-at >= n {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// A client reads frames over any wire.
type client struct {
	t      testing.TB
	ws     *websocket.Conn
	resp   *http.Response
	frames chan frame
	code   int // of the WebSocket close, when frames is closed
	head   []string
}

// dial opens a WebSocket and takes the hello.
func (g *rig) dial(query string) *client {
	g.t.Helper()
	c := g.dialRaw(query)
	if f := c.next(); f.Type != "hello" {
		g.t.Fatalf("first frame %s, want hello", f.raw)
	}
	return c
}

func (g *rig) dialRaw(query string) *client {
	g.t.Helper()
	nc, err := net.Dial("tcp", g.srv.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	return g.dialOver(nc, query)
}

func (g *rig) dialOver(nc net.Conn, query string) *client {
	g.t.Helper()
	g.settle() // or what was published before may reach the client as an update
	d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return nc, nil }}
	ws, _, err := d.Dial("ws://x/ws"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{t: g.t, ws: ws, frames: make(chan frame, 10000)}
	go func() {
		defer close(c.frames)
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				if e, ok := err.(*websocket.CloseError); ok {
					c.code = e.Code
				}
				return
			}
			c.frames <- parseFrame(g.t, b)
		}
	}()
	g.t.Cleanup(func() { ws.Close() })
	return c
}

// events opens a stream and takes the hello.
func (g *rig) events(query string, header ...string) *client {
	g.t.Helper()
	g.settle()
	req, err := http.NewRequest("GET", g.srv.URL+"/events"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := g.srv.Client().Transport.RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	c := readEvents(g.t, resp)
	if f := c.next(); f.Type != "hello" {
		g.t.Fatalf("first frame %s, want hello", f.raw)
	}
	return c
}

func readEvents(t testing.TB, resp *http.Response) *client {
	c := &client{t: t, resp: resp, frames: make(chan frame, 10000)}
	ready := make(chan struct{})
	go func() {
		defer close(c.frames)
		once := sync.OnceFunc(func() { close(ready) })
		defer once()
		br := bufio.NewReaderSize(resp.Body, 1<<20)
		var id, event string
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "{"):
				once()
				c.frames <- parseFrame(t, []byte(line))
			case strings.HasPrefix(line, "data: "):
				once()
				f := parseFrame(t, []byte(line[len("data: "):]))
				f.cursor, f.event = id, event
				if f.event != f.Type {
					t.Errorf("event %q has data of type %q", f.event, f.Type)
				}
				c.frames <- f
				id, event = "", ""
			case strings.HasPrefix(line, "id: "):
				id = line[len("id: "):]
			case strings.HasPrefix(line, "event: "):
				event = line[len("event: "):]
			case line != "":
				c.head = append(c.head, line)
			}
		}
	}()
	t.Cleanup(func() { resp.Body.Close() })
	<-ready
	return c
}

func (c *client) say(format string, args ...any) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		c.t.Fatal(err)
	}
}

// next is the next frame; its type is empty when the stream has ended.
func (c *client) next() frame {
	c.t.Helper()
	select {
	case f := <-c.frames:
		return f
	case <-time.After(20 * time.Second):
		c.t.Fatal("no frame for 20 s")
		return frame{}
	}
}

// want is the next frame, which must be of that type.
func (c *client) want(kind string) frame {
	c.t.Helper()
	f := c.next()
	if f.Type != kind {
		c.t.Fatalf("got %s, want a frame of type %q", f.raw, kind)
	}
	return f
}

// quiet fails when there is a frame that nobody asked for.
func (c *client) quiet() {
	c.t.Helper()
	c.say(`{"type":"ping"}`)
	c.want("pong")
}

// rest is the frames up to the end of the stream.
func (c *client) rest() []frame {
	c.t.Helper()
	var fs []frame
	for f := c.next(); f.Type != ""; f = c.next() {
		fs = append(fs, f)
	}
	return fs
}

// rawSocket opens a WebSocket by hand, for what no library would send and for
// readers that stop.
func (g *rig) rawSocket(query string, receive int) (net.Conn, *bufio.Reader) {
	g.t.Helper()
	g.settle()
	nc, err := net.Dial("tcp", g.srv.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { nc.Close() })
	if receive > 0 {
		nc.(*net.TCPConn).SetReadBuffer(receive)
	}
	fmt.Fprintf(nc, "GET /ws%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", query)
	br := bufio.NewReader(nc)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			g.t.Fatal(err)
		}
		if line == "\r\n" {
			return nc, br
		}
	}
}

// empty waits until no connection is left.
func (g *rig) empty() {
	g.t.Helper()
	for end := time.Now().Add(20 * time.Second); g.hub.door.inside() > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("%d connections are left", g.hub.door.inside())
		}
	}
}

// conns is all connections, each looked at in its shard.
func (g *rig) conns() func(yield func(*conn) bool) {
	return func(yield func(*conn) bool) {
		for _, s := range g.hub.shards {
			done := make(chan struct{})
			if s.post(func(s *shard) {
				defer close(done)
				for c := range s.conns {
					yield(c)
				}
			}) {
				<-done
			}
		}
	}
}

// rawLines opens a stream of lines whose reader can stop.
func (g *rig) rawLines(query string) (net.Conn, *bufio.Reader) {
	g.t.Helper()
	g.settle()
	nc, err := net.Dial("tcp", g.srv.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { nc.Close() })
	fmt.Fprintf(nc, "GET /events?format=ndjson&%s HTTP/1.1\r\nHost: x\r\n\r\n", query)
	br := bufio.NewReader(nc)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			g.t.Fatal(err)
		}
		if line == "\r\n" {
			return nc, br
		}
	}
}

// ended is how many connections have ended with that code.
func (g *rig) ended(label string) uint64 {
	g.hub.stats.mu.Lock()
	defer g.hub.stats.mu.Unlock()
	return g.hub.stats.ends[label]
}
