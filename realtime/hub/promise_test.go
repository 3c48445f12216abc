package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// Whoever types something wrong learns what would be right, and the connection lives on.
func TestPromiseErrorsTeach(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/a", `{"x":1}`)
	c := g.dial("")
	for _, tt := range []struct{ say, code, at, message string }{
		{`{"type":"subscribe","id":1}`, "unknown_type", "/type", ""},
		{`{"type":"sub","path":"plant//x"}`, "malformed", "/path", "path"},
		{`{"type":"sub","path":"plant/**/x"}`, "malformed", "/path", "**"},
		{`{"type":"sub","path":"plant/a","rate":1000}`, "out_of_range", "/rate", "20"},
		{`{"type":"sub","path":"plant/a","rate":"fast"}`, "malformed", "/rate", ""},
		{`{"type":"sub"}`, "malformed", "/path", ""},
		{`{"type":"unsub","sub":"s99"}`, "not_found", "/sub", ""},
		{`{"path":"plant/a"}`, "malformed", "/type", ""},
		{`{"type":`, "malformed", "", "JSON"},
		{`[]`, "malformed", "", ""},
		{`hello there`, "malformed", "", "help"},
		{`sub plant//x`, "malformed", "/path", ""},
	} {
		c.say("%s", tt.say)
		f := c.want("error")
		if f.Code != tt.code || tt.at != "" && f.At != tt.at || !strings.Contains(f.Message, tt.message) {
			t.Errorf("%s: got %s; want code %s at %q with %q", tt.say, f.raw, tt.code, tt.at, tt.message)
		}
		if tt.code == "unknown_type" && (len(f.Types) < 6 || !strings.Contains(f.raw, "example")) {
			t.Errorf("%s does not list the types with an example", f.raw)
		}
	}
	c.say(`{"type":"ping","id":"still here"}`)
	if f := c.want("pong"); string(f.ID) != `"still here"` {
		t.Errorf("pong %s", f.raw)
	}
}

func TestPromiseWordsForPeople(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/a", `{"x":1}`)
	c := g.dial("")
	c.say("sub plant/**")
	if f := c.want("snapshot"); f.Matched != 1 {
		t.Errorf("sub plant/**: %s", f.raw)
	}
	c.say("ping")
	c.want("pong")
	c.say("help")
	if f := c.next(); f.Type == "error" || !strings.Contains(f.raw, "sub") {
		t.Errorf("help: %s", f.raw)
	}
	c.say("unsub s1")
	c.want("ok")
}

// A client that stops reading costs nothing, is not disconnected, and the first
// frame it reads that was made after it began to read again is current.
func TestPromiseAStoppedClientIsCurrentWhenItReadsAgain(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{Stall: time.Hour}}) // on a busy machine it takes long
	pad := strings.Repeat("x", 4000)
	g.set("plant/a", fmt.Sprintf(`{"n":0,"pad":%q}`, pad))
	conn, br := g.rawSocket("?path=plant/**&rate=20", 4096)
	defer conn.Close()
	const last = 3000
	for n := 1; n <= last; n++ {
		g.set("plant/a", fmt.Sprintf(`{"n":%d,"pad":%q}`, n, pad))
		if n%100 == 0 {
			g.settle()
		}
	}
	conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	var seen strings.Builder
	buf := make([]byte, 64<<10)
	for !strings.Contains(seen.String(), fmt.Sprintf(`"n":%d,`, last)) {
		k, err := br.Read(buf)
		if err != nil {
			t.Fatalf("it was not kept and current: %v after %d bytes", err, seen.Len())
		}
		seen.Write(buf[:k])
	}
	if frames := strings.Count(seen.String(), `"type":"update"`); frames > 300 {
		t.Errorf("%d frames had been kept for it", frames)
	}
}

// Server-sent events resume from the last id, over WebSocket and SSE alike, and
// a cursor of another log gets a snapshot and the reason.
func TestPromiseResumeOverEvents(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/a", `{"x":1,"y":1}`)
	c := g.events("?path=plant/**", "Accept", "text/event-stream")
	cursor := c.want("snapshot").cursor
	if cursor == "" || !strings.HasPrefix(cursor, "k3f9.") {
		t.Fatalf("the snapshot's id is %q", cursor)
	}
	c.resp.Body.Close()
	g.set("plant/a", `{"x":2}`)
	g.fact(event("plant/a", "overheat"), event("plant/a", "cooled"))
	g.settle()

	again := g.events("?path=plant/**", "Last-Event-ID", cursor)
	if f := again.want("resumed"); f.Mode != "delta" {
		t.Errorf("resumed %s", f.raw)
	}
	var names, ids []string
	var got string
	for len(names) < 2 || got == "" {
		f := again.next()
		switch f.Type {
		case "event":
			names, ids = append(names, f.Name), append(ids, f.cursor)
		case "update":
			got += string(f.Things["plant/a"])
		case "":
			t.Fatalf("the stream ended after %v and %q", names, got)
		}
	}
	if strings.Join(names, " ") != "overheat cooled" || ids[0] != "" || ids[1] == "" {
		t.Errorf("facts %v with ids %q; want both once, and an id on the last of the bundle alone", names, ids)
	}
	if !strings.Contains(got, `"x":2`) || strings.Contains(got, `"y"`) {
		t.Errorf("the missed state was %s, want x alone", got)
	}

	for _, bad := range []string{"other.3", "nonsense", "k3f9.99999"} {
		c := g.events("?path=plant/**", "Last-Event-ID", bad)
		if f := c.want("resumed"); f.Mode != "snapshot" || f.Reason == "" {
			t.Errorf("cursor %s: %s, want a snapshot and the reason", bad, f.raw)
		}
		c.want("snapshot")
	}
}

// What a viewer may not see is counted and never sent.
func TestPromiseHiddenThings(t *testing.T) {
	g := newRig(t, Config{})
	see := func(thing string) bool { return thing != "plant/secret" }
	g.view = func(*http.Request) Viewer { return Viewer{User: "bo", See: see} }
	g.set("plant/open", `{"x":1}`)
	g.set("plant/secret", `{"x":1}`)
	c := g.dial("?path=plant/**")
	if f := c.want("snapshot"); f.Matched != 2 || f.Hidden != 1 || strings.Contains(f.raw, "secret") {
		t.Errorf("snapshot %s", f.raw)
	}
	g.set("plant/secret", `{"x":2}`)
	g.fact(event("plant/secret", "leak"))
	g.set("plant/open", `{"x":2}`)
	for {
		f := c.next()
		if strings.Contains(f.raw, "secret") {
			t.Fatalf("it was told %s", f.raw)
		}
		if strings.Contains(string(f.Things["plant/open"]), `"x":2`) {
			return
		}
	}
}

// Every limit answers with its reason.
func TestPromiseLimits(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{Subscriptions: 2, PerUser: 2, Frame: 512}})
	c := g.dial("")
	c.say(`{"type":"sub","path":"a/*"}`)
	c.want("snapshot")
	c.say(`{"type":"sub","path":"b/*"}`)
	c.want("snapshot")
	c.say(`{"type":"sub","path":"c/*"}`)
	if f := c.want("error"); f.Code != "too_many" || !strings.Contains(f.Message, "2") {
		t.Errorf("a third subscription: %s", f.raw)
	}
	c.say(`{"type":"sub","path":"%s"}`, strings.Repeat("x", 600))
	c.rest()
	if c.code != websocket.CloseMessageTooBig {
		t.Errorf("a large frame closed with %d, want 1009", c.code)
	}
	a, b := g.dial(""), g.dial("")
	third, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(g.srv.URL, "http")+"/ws", nil)
	if err == nil {
		_, frame, err := third.ReadMessage()
		for err == nil && !strings.Contains(string(frame), `"bye"`) {
			_, frame, err = third.ReadMessage()
		}
		if !strings.Contains(string(frame), "reconnectIn") {
			t.Errorf("a third connection of a user got %s (%v)", frame, err)
		}
		third.Close()
	}
	a.ws.Close()
	b.ws.Close()
}

// Before it ends a connection is told when to come back.
func TestPromiseDrain(t *testing.T) {
	g := newRig(t, Config{})
	c, e := g.dial(""), g.events("?path=**")
	e.want("snapshot")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	g.hub.Drain(ctx)
	for _, one := range []*client{c, e} {
		if f := one.want("bye"); f.Code != "drain" || f.Reconnect == nil {
			t.Errorf("bye %s", f.raw)
		}
	}
	c.rest()
	if c.code != websocket.CloseServiceRestart {
		t.Errorf("closed with %d, want 1012", c.code)
	}
}

// Bytes that are no WebSocket end one connection and nobody else's.
func TestPromiseGarbageHurtsNobody(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/a", `{"x":1}`)
	g.settle()
	good := g.dial("?path=plant/**")
	good.want("snapshot")
	for _, garbage := range []string{"\xff\xff\xff\xff\xff\xff", "\x81\x05hello", "\x81\xfe", "\x8f\x80\x00\x00\x00\x00", "\x01\x80\x00\x00\x00\x00\x81\x80\x00\x00\x00\x00", strings.Repeat("\x00", 5000)} {
		conn, _ := g.rawSocket("", 4096)
		if _, err := conn.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		if garbage == "\x81\xfe" {
			conn.Close() // half a frame, and gone
			continue
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		for buf := make([]byte, 4096); ; {
			if _, err := conn.Read(buf); err != nil {
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					t.Errorf("%q left the connection open", garbage)
				}
				break
			}
		}
		conn.Close()
	}
	g.set("plant/a", `{"x":2}`)
	if f := good.want("update"); !strings.Contains(f.raw, `"x":2`) {
		t.Errorf("the good client got %s", f.raw)
	}
}

func FuzzMessages(f *testing.F) {
	for _, s := range []string{`{"type":"sub","path":"plant/**","rate":1,"fields":["a"]}`, `{"type":"resume","epoch":"e","seq":1,"subs":[{"path":"a"}]}`, "sub a/b", "help", `{"type":"cmd","id":"7","thing":"a","action":"b","input":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, problem := parse(b)
		if problem == nil && m.Type == "" {
			t.Errorf("%q was taken without a type", b)
		}
	})
}

// A thing that was removed, forgotten and made anew between two updates was
// named twice in one frame. The client gets a snapshot instead, since the new
// thing does not know what the old one had.
func TestAThingThatComesBackAfterItWasForgotten(t *testing.T) {
	g := newRig(t, Config{})
	g.hub.sizes.ghosts = 1
	for _, id := range []string{"a", "b", "c"} {
		g.set(id, `{"old":1}`)
	}
	c := g.dial("?path=*&rate=0.25")
	c.want("snapshot")
	g.set("a", `{"old":2}`)
	c.want("update") // so that the next one has to wait
	for _, id := range []string{"a", "b", "c"} {
		g.remove(id)
		g.settle()
	}
	g.set("a", `{"new":1}`)
	shown := c.want("snapshot")
	s := screen{}
	s.apply(t, shown)
	if len(s) != 1 || len(s["a"]) != 1 || s["a"]["new"] != "1" || shown.Seq != g.seq {
		t.Errorf("the client is shown %v by %s", s, shown.raw)
	}
}

// Of more removals in one round than are remembered some were told to nobody.
func TestManyRemovalsAtOnceAreAllTold(t *testing.T) {
	g := newRig(t, Config{})
	g.hub.sizes.ghosts = 1
	s := screen{}
	for i := range 20 {
		g.set(fmt.Sprintf("t%d", i), `{"x":1}`)
	}
	c := g.dial("?path=*")
	s.apply(t, c.want("snapshot"))
	g.seq++
	u := realtime.Update{Seq: g.seq}
	for i := range 20 {
		u.Changes = append(u.Changes, realtime.Change{Thing: fmt.Sprintf("t%d", i), Removed: true})
	}
	g.hub.Publish(u)
	for f := (frame{}); f.Seq < g.seq; {
		f = c.want("update")
		s.apply(t, f)
	}
	if len(s) != 0 {
		t.Errorf("the client still shows %v", s)
	}
}
