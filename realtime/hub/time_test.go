package hub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// Time is fake here, so the connections are pipes, which are written to through
// relays. Shards, rounds and rates are the same.

// pipes is a listener whose connections are pipes.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	nc, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

type fakeRig struct {
	*rig
	listener pipes
	web      *http.Server
}

// inFakeTime runs f in a bubble; whatever of the hub is left running after it
// fails the test.
func inFakeTime(t *testing.T, cfg Config, f func(g *fakeRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Epoch = "k3f9"
		g := &fakeRig{rig: &rig{t: t, hub: New(cfg)}, listener: make(pipes)}
		g.view = func(*http.Request) Viewer { return Viewer{User: "ana", May: func(string) bool { return true }} }
		mux := http.NewServeMux()
		mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { g.hub.ServeWS(w, r, g.view(r)) })
		mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) { g.hub.ServeEvents(w, r, g.view(r)) })
		g.web = &http.Server{Handler: mux}
		go g.web.Serve(g.listener)
		defer g.web.Close()
		defer g.hub.Close()
		f(g)
	})
}

func (g *fakeRig) connect() net.Conn {
	here, there := net.Pipe()
	g.listener <- there
	return here
}

// holdShards has the shards wait until it is told to let them go on.
func (g *fakeRig) holdShards() (release func()) {
	gate := make(chan struct{})
	for _, s := range g.hub.shards {
		s.post(func(*shard) { <-gate })
	}
	return func() { close(gate) }
}

// timed is a frame and when it came.
type timed struct {
	frame
	at time.Time
}

// socket opens a WebSocket and keeps all that comes, with its time.
func (g *fakeRig) socket(query string) (*websocket.Conn, *inbox) {
	g.t.Helper()
	d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return g.connect(), nil }}
	ws, _, err := d.Dial("ws://x/ws"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	in := &inbox{}
	go func() {
		defer ws.Close()
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				var e *websocket.CloseError
				if !errors.As(err, &e) {
					e = &websocket.CloseError{}
				}
				in.close(e.Code)
				return
			}
			in.take(parseFrame(g.t, b))
		}
	}()
	return ws, in
}

func (g *fakeRig) stream(query string) (net.Conn, *inbox) {
	nc := g.connect()
	in := &inbox{}
	go func() {
		br := bufio.NewReader(nc)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				in.close(0)
				return
			}
			if strings.HasPrefix(line, "data: ") {
				in.take(parseFrame(g.t, []byte(line[6:])))
			}
		}
	}()
	fmt.Fprintf(nc, "GET /events%s HTTP/1.1\r\nHost: x\r\n\r\n", query)
	return nc, in
}

// An inbox is what came over one connection, and how that ended.
type inbox struct {
	mu     sync.Mutex
	frames []timed
	ending
}

type ending struct {
	code   int
	closed time.Time
}

func (in *inbox) take(f frame) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.frames = append(in.frames, timed{f, time.Now()})
}

func (in *inbox) close(code int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ending = ending{code, time.Now()}
}

func (in *inbox) end() ending {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.ending
}

func (in *inbox) of(kind string) (fs []timed) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, f := range in.frames {
		if f.Type == kind {
			fs = append(fs, f)
		}
	}
	return fs
}

func TestHeartbeats(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("a", `{"x":1}`)
		begin := time.Now()
		ws, silent := g.socket("?path=a")
		defer ws.Close()
		busy, told := g.socket("?path=a")
		defer busy.Close()
		nc, stream := g.stream("?path=a")
		defer nc.Close()
		for range 12 {
			time.Sleep(10 * time.Second)
			busy.WriteMessage(websocket.TextMessage, []byte("ping"))
		}
		synctest.Wait()
		pings := silent.of("ping")
		if len(pings) != 4 {
			t.Fatalf("%d pings in 120 s of silence, want 4", len(pings))
		}
		last := begin
		for _, p := range pings {
			if d := p.at.Sub(last); d < 24*time.Second || d > 25*time.Second {
				t.Errorf("a ping after %v, want at most 25 s", d)
			}
			if p.Seq != 1 {
				t.Errorf("%s, want the client's own seq", p.raw)
			}
			last = p.at
		}
		if n := len(told.of("ping")); n != 0 {
			t.Errorf("%d pings though something else was said every 10 s", n)
		}
		if n := len(stream.of("ping")); n != 8 {
			t.Errorf("%d pings on a stream in 120 s, want 8", n)
		}
	})
}

// A client of 2 updates a second and one of 10, on one device of 50: each gets
// what it asked for, merged, and the first change after quiet at once.
func TestRates(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("a", `{"n":0}`)
		g.settle()
		slow, two := g.socket("?path=a&rate=2")
		defer slow.Close()
		fast, ten := g.socket("?path=a&rate=10")
		defer fast.Close()
		nc, stream := g.stream("?path=a&rate=2")
		defer nc.Close()
		synctest.Wait()
		time.Sleep(5 * time.Second)
		begin := time.Now()
		for n := range 500 { // 10 s
			g.set("a", fmt.Sprintf(`{"n":%d}`, n+1))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for _, tt := range []struct {
			in   *inbox
			want int
		}{{two, 21}, {ten, 101}, {stream, 21}} {
			us := tt.in.of("update")
			if len(us) < tt.want-1 || len(us) > tt.want+1 {
				t.Errorf("%d updates in 10 s, want %d", len(us), tt.want)
			}
			if d := us[0].at.Sub(begin); d > gather {
				t.Errorf("the first change after quiet took %v", d)
			}
			merged := 0
			for _, u := range us {
				merged += u.Merged
			}
			if merged != 500 {
				t.Errorf("the frames stand for %d samples, want 500", merged)
			}
			if last := us[len(us)-1]; !strings.Contains(last.raw, `"n":500`) {
				t.Errorf("the last update is %s", last.raw)
			}
		}
	})
}

// A fast subscription brings what a slow one of the same client waits for, and
// claims no more than the slow one has. When the slow one's turn comes there is
// nothing left to say, and then the cursor must not stay behind for ever.
func TestClaimMovesOnWhenNothingIsLeft(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("p/a", `{"x":0}`)
		g.settle()
		ws, in := g.socket("?path=p/*&rate=20")
		defer ws.Close()
		ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"sub","path":"p/a","rate":1}`))
		time.Sleep(5 * time.Second)
		for n := range 2 {
			g.set("p/a", fmt.Sprintf(`{"x":%d}`, n+1)) // 2 and 3
			time.Sleep(200 * time.Millisecond)
		}
		synctest.Wait()
		us := in.of("update")
		if len(us) != 2 || us[1].Prev != 2 || us[1].Seq != 2 || !strings.Contains(us[1].raw, `"x":2`) {
			t.Fatalf("%v, want the second to hold its claim back", us)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		us = in.of("update")
		if len(us) != 3 || us[2].Prev != 2 || us[2].Seq != 3 || len(us[2].Things) != 0 {
			t.Errorf("%v, want an empty update that claims 3", us)
		}
	})
}

// A device and a client of the same rate must not beat: the slack lets every
// sample through in its own frame though the device is not quite regular.
func TestEqualRatesDoNotBeat(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("a", `{"n":0}`)
		ws, in := g.socket("?path=a&rate=10")
		defer ws.Close()
		synctest.Wait()
		for n := range 200 {
			time.Sleep(100*time.Millisecond + time.Duration(n%3-1)*8*time.Millisecond)
			g.set("a", fmt.Sprintf(`{"n":%d}`, n))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(in.of("update")); n < 198 {
			t.Errorf("%d updates for 200 samples", n)
		}
	})
}

func TestSessionEnds(t *testing.T) {
	renewals := 0
	cfg := Config{Authenticate: func(_ context.Context, token string) (Viewer, error) {
		switch token {
		case "good":
			renewals++
			return Viewer{User: "ana", Expires: time.Now().Add(time.Minute)}, nil
		case "bo":
			return Viewer{User: "bo"}, nil
		}
		return Viewer{}, errors.New("the store is broken in its own words")
	}}
	inFakeTime(t, cfg, func(g *fakeRig) {
		g.set("a", `{"x":1}`)
		g.view = func(*http.Request) Viewer { return Viewer{User: "ana", Expires: time.Now().Add(time.Minute)} }
		begin := time.Now()
		left, short := g.socket("?path=a")
		defer left.Close()
		kept, long := g.socket("?path=a")
		defer kept.Close()
		nc, stream := g.stream("?path=a")
		defer nc.Close()
		time.Sleep(50 * time.Second)
		kept.WriteMessage(websocket.TextMessage, []byte(`{"type":"auth","token":"bo","id":1}`))
		kept.WriteMessage(websocket.TextMessage, []byte(`{"type":"auth","token":"bad","id":2}`))
		kept.WriteMessage(websocket.TextMessage, []byte(`{"type":"auth","token":"good","id":3}`))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		for name, in := range map[string]*inbox{"socket": short, "stream": stream} {
			if f := in.of("bye"); len(f) != 1 || f[0].Code != "session_over" {
				t.Errorf("%s: %v", name, in.of("bye"))
			}
			if d := in.end().closed.Sub(begin); d < time.Minute || d > 62*time.Second {
				t.Errorf("%s ended after %v, want a minute", name, d)
			}
		}
		if short.end().code != 4001 {
			t.Errorf("closed with %d, want 4001", short.end().code)
		}
		if es := long.of("error"); len(es) != 2 || es[0].Code != "forbidden" || es[1].Code != "unauthorized" || strings.Contains(es[1].raw, "broken") {
			t.Errorf("%v", es)
		}
		if !long.end().closed.IsZero() || renewals != 1 || len(long.of("ok")) != 1 {
			t.Errorf("a renewed session ended: %v", long.of("error"))
		}
		time.Sleep(32 * time.Second)
		synctest.Wait()
		if long.end().code != 4001 {
			t.Errorf("the renewed session ended with %d, want 4001", long.end().code)
		}
	})
}

func TestSigningIn(t *testing.T) {
	cfg := Config{Authenticate: func(_ context.Context, token string) (Viewer, error) {
		if token != "good" {
			return Viewer{}, &realtime.Problem{Code: "unauthorized", Message: "no such token"}
		}
		return Viewer{User: "ana"}, nil
	}}
	inFakeTime(t, cfg, func(g *fakeRig) {
		g.set("a", `{"x":1}`)
		g.view = func(*http.Request) Viewer { return Viewer{} }
		begin := time.Now()
		idle, nobody := g.socket("?path=a")
		defer idle.Close()
		wrong, refused := g.socket("?path=a")
		defer wrong.Close()
		right, ana := g.socket("?path=a")
		defer right.Close()
		right.WriteMessage(websocket.TextMessage, []byte(`{"type":"sub","path":"a"}`))
		right.WriteMessage(websocket.TextMessage, []byte(`{"type":"auth","token":"good"}`))
		right.WriteMessage(websocket.TextMessage, []byte(`{"type":"sub","path":"a","id":"mine"}`))
		wrong.WriteMessage(websocket.TextMessage, []byte(`{"type":"auth","token":"bad"}`))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if nobody.end().code != 4500 || nobody.end().closed.Sub(begin) > authWait+time.Second || len(nobody.of("snapshot")) > 0 {
			t.Errorf("nobody: code %d after %v, %v", nobody.end().code, nobody.end().closed.Sub(begin), nobody.of("error"))
		}
		if refused.end().code != 4500 || len(refused.of("error")) != 1 || len(refused.of("snapshot")) > 0 {
			t.Errorf("a wrong token: code %d, %v", refused.end().code, refused.of("error"))
		}
		// What was asked before signing in was refused; the URL's subscription
		// waited, and what was said after auth was done.
		if es := ana.of("error"); len(es) != 1 || es[0].Code != "unauthorized" {
			t.Errorf("%v", es)
		}
		if ss := ana.of("snapshot"); !ana.end().closed.IsZero() || len(ss) != 2 || string(ss[1].ID) != `"mine"` {
			t.Errorf("%v", ana.of("error"))
		}
	})
}

// A relay whose client never reads is given up, and is current when it reads
// again in time.
func TestRelayStalls(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("a", `{"n":0}`)
		g.settle()
		nc := g.connect()
		fmt.Fprintf(nc, "GET /events?path=a&format=ndjson HTTP/1.1\r\nHost: x\r\n\r\n")
		for n := range 250 {
			g.set("a", fmt.Sprintf(`{"n":%d}`, n))
			time.Sleep(100 * time.Millisecond)
		}
		if g.hub.door.inside() != 1 {
			t.Fatal("a client that does not read was cut off after 25 s")
		}
		br := bufio.NewReader(nc)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, `"update"`) {
				if !strings.Contains(line, `"n":249}`) || !strings.Contains(line, `"merged":250`) {
					t.Errorf("the first update is %s", line)
				}
				break
			}
		}
		g.set("a", `{"n":1}`)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if g.hub.door.inside() != 0 {
			t.Error("a client that takes nothing for 40 s is kept")
		}
	})
}

func TestDrainIsSpread(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("a", `{"x":1}`)
		var ins []*inbox
		for i := range 40 {
			if i%2 == 0 {
				ws, in := g.socket("?path=a")
				defer ws.Close()
				ins = append(ins, in)
			} else {
				nc, in := g.stream("?path=a")
				defer nc.Close()
				ins = append(ins, in)
			}
		}
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		g.hub.Drain(ctx)
		if took := time.Since(begin); took > 9*time.Second || g.hub.door.inside() != 0 {
			t.Errorf("draining took %v, %d are left", took, g.hub.door.inside())
		}
		synctest.Wait()
		early, late := 0, 0
		waits := map[int64]bool{}
		for i, in := range ins {
			bye := in.of("bye")
			if len(bye) != 1 || bye[0].Code != "drain" || bye[0].Reconnect == nil || *bye[0].Reconnect < 500 || *bye[0].Reconnect > 5000 {
				t.Fatalf("%v", in.of("bye"))
			}
			waits[*bye[0].Reconnect] = true
			if i%2 == 0 && in.end().code != 1012 {
				t.Errorf("closed with %d, want 1012", in.end().code)
			}
			if in.end().closed.Sub(begin) < 3*time.Second {
				early++
			} else {
				late++
			}
		}
		if early < 5 || late < 5 || len(waits) < 30 {
			t.Errorf("%d said goodbye in the first 3 s and %d later, with %d different delays: that is no spread", early, late, len(waits))
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return g.connect(), nil }}}).Get("http://x/events?path=a")
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a draining hub answers %v, %v", resp, err)
		}
		resp.Body.Close()
	})
}

// A client that answers no ping is cut off, though its kernel takes every byte;
// one that is only quiet stays.
func TestAClientThatAnswersNoPingIsCutOff(t *testing.T) {
	inFakeTime(t, Config{Limits: Limits{Stall: 30 * time.Second}}, func(g *fakeRig) {
		quiet, _ := g.socket("?path=a") // gorilla answers pings by itself
		dead := g.connect()
		fmt.Fprint(dead, "GET /ws?path=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		read := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(io.Discard, dead) // takes all and says nothing
			read <- n
		}()
		time.Sleep(100 * time.Millisecond) // not in the moment when its silence is judged
		for range 400 {                    // and there is always something to send
			g.set("a", `{"x":1}`)
			time.Sleep(257 * time.Millisecond) // a client is not asked while its pipe is full, so not always then
		}
		if got := g.hub.door.inside(); got != 1 {
			t.Errorf("%d are connected, want the quiet one", got)
		}
		if g.ended("silent") != 1 {
			t.Error("the other was not cut off for its silence")
		}
		time.Sleep(10 * time.Minute)
		if got := g.hub.door.inside(); got != 1 {
			t.Errorf("after a quiet while %d are connected", got)
		}
		quiet.Close()
		dead.Close()
		<-read
	})
}

// Who subscribes between the end of a round and the moment when its shard looks at
// it has what changed in it from the snapshot, which cannot claim it yet. The cursor
// moves on all the same, though nothing else changes.
func TestTheCursorOfASubscriptionBetweenRounds(t *testing.T) {
	for _, path := range []string{"plant/**", "under:plant"} {
		inFakeTime(t, Config{}, func(g *fakeRig) {
			g.set("plant/a", `{"x":1}`)
			ws, in := g.socket("")
			defer ws.Close()
			time.Sleep(time.Second)
			gate := make(chan struct{})
			for _, s := range g.hub.shards {
				s.post(func(s *shard) {
					<-gate
					for c := range s.conns {
						s.sub(c, &subRequest{Path: path}, nil, "/")
					}
				})
			}
			at := g.set("plant/a", `{"x":2}`)
			synctest.Wait()
			time.Sleep(2 * gather) // the round is closed, and waits for the shards
			close(gate)
			time.Sleep(time.Second)
			last := in.of("snapshot")
			if len(last) == 1 && last[0].Seq < at && last[0].value(t, "plant/a", "x") == "2" {
				last = in.of("update")
			}
			if len(last) != 1 || last[0].Seq != at {
				t.Errorf("%s: the cursor is not at %d after %v", path, at, last)
			}
		})
	}
}
