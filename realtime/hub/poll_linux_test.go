package hub

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readers counts the goroutines that are at what a client says.
func readers() int {
	n := 0
	for _, s := range ourStacks() {
		if strings.Contains(s, "hub.(*reader)") {
			n++
		}
	}
	return n
}

// A WebSocket that says nothing has no goroutine, before it has said something
// and after, and what it says is heard however it is cut.
func TestIdleWebSocketsHaveNoGoroutine(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/a", `{"x":1}`)
	nobody := func() {
		t.Helper()
		for end := time.Now().Add(time.Minute); readers() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d readers of idle connections have a goroutine", readers())
			}
		}
	}
	var clients []*client
	for range 30 {
		c := g.dial("?path=plant/**")
		c.want("snapshot")
		clients = append(clients, c)
	}
	nobody()
	for _, c := range clients {
		c.say(`{"type":"ping"}`)
	}
	for _, c := range clients {
		c.want("pong")
	}
	nobody()

	nc, br := g.rawSocket("", 0)
	ping := append([]byte{0x81, 0x80 | 4, 0, 0, 0, 0}, "ping"...)
	for _, b := range ping { // a byte at a time
		nc.Write([]byte{b})
		time.Sleep(time.Millisecond)
	}
	for heard := ""; !strings.Contains(heard, `{"type":"pong"`); {
		b, err := br.ReadByte()
		if err != nil {
			t.Fatalf("after %q: %v", heard, err)
		}
		heard += string(b)
	}
	nobody()
}

// The answer to a ping, which is all that an idle client says, is heard as such
// and nothing else is taken for it.
func TestWhoIsOnlyThere(t *testing.T) {
	g := newRig(t, Config{})
	g.dial("").say(`{"type":"help"}`)
	var c *conn
	for one := range g.conns() {
		c = one
	}
	if c == nil {
		t.Fatal("no connection")
	}
	masked := func(head byte, body string) []byte {
		return append([]byte{head, 0x80 | byte(len(body)), 0, 0, 0, 0}, body...)
	}
	for _, one := range []struct {
		b    []byte
		rest string
		want bool
	}{
		{masked(0x8a, ""), "", true},
		{masked(0x8a, "hello"), "", true},
		{masked(0x8a, "hello"), "half a frame", false},
		{masked(0x8a, "hello")[:8], "", false},
		{append(masked(0x8a, "hello"), 0x81), "", false},
		{masked(0x89, "hello"), "", false}, // a ping
		{masked(0x0a, ""), "", false},      // not whole, which is against the protocol
		{masked(0x81, "ping"), "", false},
		{[]byte{0x8a, 0}, "", false},
		{[]byte{0x8a, 5, 'h', 'e', 'l', 'l', 'o'}, "", false}, // without a mask
		{nil, "", false},
	} {
		r := &reader{hub: g.hub, conn: c, allow: allowance{rate: 10}, assembly: assembly{rest: []byte(one.rest)}}
		before := c.heard.Load()
		if got := r.onlyThere(one.b); got != one.want || got != (c.heard.Load() > before) {
			t.Errorf("% x after %q: %v, want %v", one.b, one.rest, got, one.want)
		}
	}
}

// Where there is no epoll each reader waits in a goroutine, and all is the same.
func TestReadingWithoutEpoll(t *testing.T) {
	g := newRig(t, Config{})
	g.hub.poller.once.Do(func() {}) // as if it could not be made
	g.set("plant/a", `{"x":1}`)
	c := g.dial("?path=plant/**")
	c.want("snapshot")
	for range 3 {
		c.say(`{"type":"ping"}`)
		c.want("pong")
	}
	if n := readers(); n == 0 {
		t.Error("nobody waits for the client")
	}
	c.ws.Close()
	g.empty()
}

// Descriptors are used again. What epoll has said of a connection that is closed
// is not taken for the next one's.
func TestEpollTellsOfTheRightConnection(t *testing.T) {
	p := &poller{}
	first := &reader{conn: &conn{num: 7, wire: webSocket, sink: &socket{fd: 5}}}
	second := &reader{conn: &conn{num: 7 + 1<<31, wire: webSocket, sink: &socket{fd: 5}}}
	about := func(r *reader) *syscall.EpollEvent { return &syscall.EpollEvent{Fd: 5, Pad: r.stamp()} }
	if p.enter(5, first) != syscall.EPOLL_CTL_ADD || p.take(about(first)) != first || p.take(about(first)) != nil {
		t.Error("a connection is told of once")
	}
	if p.enter(5, first) != syscall.EPOLL_CTL_MOD {
		t.Error("a connection is added once")
	}
	p.forget(first.conn)
	if p.enter(5, first) != 0 || p.take(about(first)) != nil {
		t.Error("a connection that was let go of came back")
	}
	p.enter(5, second)
	p.forget(first.conn)
	if p.take(about(first)) != nil || p.take(about(second)) != second {
		t.Error("one connection was taken for another")
	}
	if len(slices.DeleteFunc(p.at, func(r *reader) bool { return r == nil })) > 0 {
		t.Error("a connection is kept")
	}
}
