package hub

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
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

// frame is one frame as a client sees it.
type frame struct {
	Type      string                     `json:"type"`
	ID        json.RawMessage            `json:"id"`
	Seq       uint64                     `json:"seq"`
	Prev      uint64                     `json:"prev"`
	Merged    int                        `json:"merged"`
	Sub       string                     `json:"sub"`
	Subs      []string                   `json:"subs"`
	Epoch     string                     `json:"epoch"`
	Matched   int                        `json:"matched"`
	Hidden    int                        `json:"hidden"`
	More      bool                       `json:"more"`
	Mode      string                     `json:"mode"`
	Reason    string                     `json:"reason"`
	From      whence                     `json:"from"`
	Replay    bool                       `json:"replay"`
	Speed     float64                    `json:"speed"`
	Paused    bool                       `json:"paused"`
	TS        string                     `json:"ts"`
	Missed    int                        `json:"missed"`
	AtLeast   bool                       `json:"atLeast"`
	To        whence                     `json:"to"`
	Name      string                     `json:"name"`
	Thing     string                     `json:"thing"`
	Cmd       string                     `json:"cmd"`
	Status    string                     `json:"status"`
	Code      string                     `json:"code"`
	Message   string                     `json:"message"`
	At        string                     `json:"at"`
	Minimum   *float64                   `json:"minimum"`
	Maximum   *float64                   `json:"maximum"`
	Types     []string                   `json:"types"`
	User      string                     `json:"user"`
	Ping      int                        `json:"ping"`
	Joined    map[string][]string        `json:"joined"`
	Left      map[string][]string        `json:"left"`
	Things    map[string]json.RawMessage `json:"things"`
	Reconnect *int64                     `json:"reconnectIn"`

	raw    string
	cursor string // SSE
	event  string // SSE
}

// whence is a seq in resumed and resync, and a moment in replaying.
type whence uint64

func (w *whence) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return nil
	}
	return json.Unmarshal(b, (*uint64)(w))
}

func parseFrame(t testing.TB, b []byte) frame {
	t.Helper()
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		t.Errorf("a frame that is no JSON: %v: %s", err, b)
	}
	f.raw = string(b)
	if n := duplicateKey(b); n != "" {
		t.Errorf("the key %s stands twice in one object: %s", n, b)
	}
	return f
}

// duplicateKey finds a name that stands twice in one object.
func duplicateKey(b []byte) string {
	d := json.NewDecoder(strings.NewReader(string(b)))
	var walk func() string
	walk = func() string {
		tok, err := d.Token()
		if err != nil {
			return ""
		}
		switch tok {
		case json.Delim('{'):
			seen := map[string]bool{}
			for d.More() {
				k, _ := d.Token()
				if seen[k.(string)] {
					return k.(string)
				}
				seen[k.(string)] = true
				if s := walk(); s != "" {
					return s
				}
			}
			d.Token()
		case json.Delim('['):
			for d.More() {
				if s := walk(); s != "" {
					return s
				}
			}
			d.Token()
		}
		return ""
	}
	return walk()
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

// A screen is what a client would show.
type screen map[string]map[string]string

func (s screen) apply(t testing.TB, f frame) {
	t.Helper()
	for id, raw := range f.Things {
		if string(raw) == "null" {
			delete(s, id)
			continue
		}
		var v struct {
			State, Set map[string]json.RawMessage
			Stale      *[]string
			Quality    *map[string]string
			Online     *string
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if s[id] == nil {
			s[id] = map[string]string{}
		}
		for _, m := range []map[string]json.RawMessage{v.State, v.Set} {
			for k, x := range m {
				if f.Type == "snapshot" {
					s[id][k] = string(x)
				} else {
					s[id][k] = mergePatch(t, s[id][k], string(x))
				}
				if s[id][k] == "null" {
					delete(s[id], k)
				}
			}
		}
		if f.Type == "snapshot" || v.Stale != nil {
			delete(s[id], "*stale")
			if v.Stale != nil && len(*v.Stale) > 0 {
				s[id]["*stale"] = strings.Join(*v.Stale, ",")
			}
		}
		if f.Type == "snapshot" || v.Quality != nil {
			delete(s[id], "*quality")
			if v.Quality != nil && len(*v.Quality) > 0 {
				var list []string
				for name, word := range *v.Quality {
					list = append(list, name+"="+word)
				}
				slices.Sort(list)
				s[id]["*quality"] = strings.Join(list, ",")
			}
		}
		if v.Online != nil {
			if s[id]["*online"] = *v.Online; *v.Online == "" {
				delete(s[id], "*online")
			}
		}
	}
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

func (s screen) equal(o screen) bool { return maps.EqualFunc(s, o, maps.Equal) }

// mergePatch is RFC 7396 on the text of values.
func mergePatch(t testing.TB, target, patch string) string {
	t.Helper()
	if !strings.HasPrefix(patch, "{") {
		return patch
	}
	var was, is map[string]json.RawMessage
	if strings.HasPrefix(target, "{") {
		if err := json.Unmarshal([]byte(target), &was); err != nil {
			t.Error(err)
		}
	}
	if err := json.Unmarshal([]byte(patch), &is); err != nil {
		t.Error(err)
	}
	if was == nil {
		was = map[string]json.RawMessage{}
	}
	for k, v := range is {
		if was[k] = json.RawMessage(mergePatch(t, string(was[k]), string(v))); string(was[k]) == "null" {
			delete(was, k)
		}
	}
	b, err := json.Marshal(was)
	if err != nil {
		t.Error(err)
	}
	return string(b)
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
