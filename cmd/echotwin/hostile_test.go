package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHostileClients lets many clients do to the shipped server what it may not
// mind: all at once, while two good ones follow a thing that changes. Its memory
// stays bounded, the good ones see every sentinel that is published between the
// attacks, and when all is over nothing is left.
func TestHostileClients(t *testing.T) {
	a, _ := startProcess(t, settings(t, nil))
	h := &hostile{t: t, addr: a.HTTP, client: signIn(t, a)}
	h.publish()
	h.good = h.client.watch("?path=plant/**")
	h.lines = h.client.follow("/events?path=plant/**&format=ndjson")
	h.see()
	base := h.memory()
	for _, attack := range []struct {
		name string
		do   func()
	}{
		{"malformed frames", h.malformed}, {"half a handshake", h.halfHandshakes}, {"floods of messages", h.messages},
		{"floods of control frames", h.control}, {"subscriptions at the limit", h.subscriptions},
		{"readers of a byte now and then", h.dribble}, {"large and endless requests", h.requests}, {"10,000 that never upgrade", h.neverUpgraded},
	} {
		attack.do()
		h.see()
		if m := h.memory(); m > base+h.allowed() {
			t.Errorf("%s: %d MB are in use, %d before anything", attack.name, m>>20, base>>20)
		} else {
			t.Logf("%s: %d MB in use, %d connections held", attack.name, m>>20, len(h.held))
		}
	}
	for _, nc := range h.held {
		nc.Close()
	}
	h.gone()
	h.see()
}

// hostile is the attackers, the ones they must not disturb, and the server.
type hostile struct {
	t      *testing.T
	addr   string
	client *client
	good   *viewer
	lines  *bufio.Reader
	n      int // the newest sentinel

	mu   sync.Mutex
	held []net.Conn // until the end
}

// allowed is what the attacks may cost in all: no more than a fair amount for
// each connection that is open, however much it sends.
func (h *hostile) allowed() uint64 { return 64<<20 + uint64(len(h.held))*64<<10 }

func (h *hostile) publish() {
	h.n++
	if code, body := h.client.do("POST", "/api/telemetry/plant/sentinel", fmt.Sprintf(`{"n":%d}`, h.n)); code != http.StatusAccepted {
		h.t.Fatalf("telemetry: %d %s", code, body)
	}
}

// see publishes a value and has both good clients see it.
func (h *hostile) see() {
	h.t.Helper()
	h.publish()
	want := strconv.Itoa(h.n)
	h.good.until("n = "+want, func(f frame) bool { return f.value("plant/sentinel", "n") == want })
	for {
		line, err := h.lines.ReadString('\n')
		if err != nil {
			h.t.Fatalf("the stream of a good client ended: %v", err)
		}
		if strings.Contains(line, `"n":`+want+`}`) {
			return
		}
	}
}

// follow opens a stream of lines.
func (c *client) follow(path string) *bufio.Reader {
	c.t.Helper()
	res, err := (&http.Client{Jar: c.http.Jar}).Get(c.base + path)
	if err != nil || res.StatusCode != 200 {
		c.t.Fatalf("%s: %v %v", path, res, err)
	}
	c.t.Cleanup(func() { res.Body.Close() })
	return bufio.NewReader(res.Body)
}

// memory is what the server's heap and stacks hold.
func (h *hostile) memory() uint64 {
	h.t.Helper()
	return uint64(h.figure("go_memstats_heap_inuse_bytes") + h.figure("go_memstats_stack_inuse_bytes"))
}

func (h *hostile) figure(name string) float64 {
	h.t.Helper()
	code, body := h.client.do("GET", "/metrics", "")
	for line := range strings.SplitSeq(body, "\n") {
		if value, is := strings.CutPrefix(line, name+" "); is {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				h.t.Fatal(err)
			}
			return f
		}
	}
	h.t.Fatalf("/metrics (%d) has no %s", code, name)
	return 0
}

// gone waits until only the two good clients are connected.
func (h *hostile) gone() {
	h.t.Helper()
	count := func() float64 {
		return h.figure(`echotwin_hub_connections{transport="ws"}`) + h.figure(`echotwin_hub_connections{transport="sse"}`) + h.figure(`echotwin_hub_connections{transport="ndjson"}`)
	}
	for end := time.Now().Add(60 * time.Second); count() != 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("%v connections are left", count())
		}
	}
}

// hold keeps a connection open until the end.
func (h *hostile) hold(nc net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, nc)
}

// tcp opens a connection with a small window.
func (h *hostile) tcp() net.Conn {
	h.t.Helper()
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10) // without it the attack is only weaker
	return nc
}

// socket opens a WebSocket by hand, signed in, and reads the answer's head.
func (h *hostile) socket(query string) (net.Conn, *bufio.Reader) {
	h.t.Helper()
	nc := h.tcp()
	fmt.Fprintf(nc, "GET /ws%s HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: %s\r\n\r\n", query, h.addr, h.addr, h.cookie())
	br := bufio.NewReader(nc)
	status, err := br.ReadString('\n')
	if err != nil || !strings.Contains(status, "101") {
		h.t.Fatalf("/ws: %q, %v", status, err)
	}
	for line := ""; line != "\r\n"; {
		if line, err = br.ReadString('\n'); err != nil {
			h.t.Fatal(err)
		}
	}
	return nc, br
}

func (h *hostile) cookie() string {
	u, err := url.Parse(h.client.base)
	if err != nil {
		h.t.Fatal(err)
	}
	var all []string
	for _, c := range h.client.http.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// masked is a frame as a client sends it; a mask of zeros leaves the text as it is.
func masked(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return string(append(b, 0, 0, 0, 0)) + payload
}

// fate is what the server does with a broken client.
type fate int

const (
	dropped  fate = 0 // it is cut off without a word
	answered fate = 1 // it is told what is wrong and stays
)

// The frames that no client should send, and the close code or other fate.
var malformedFrames = []struct {
	name, bytes string
	want        fate
}{
	{"no mask", "\x81\x02{}", 1002},
	{"reserved bit 1", masked(0xc1, "{}"), 1002},
	{"reserved bits 2 and 3", masked(0xb1, "{}"), 1002},
	{"opcode 3", masked(0x83, "{}"), 1002},
	{"opcode 11", masked(0x8b, ""), 1002},
	{"ping in parts", masked(0x09, ""), 1002},
	{"ping of 126 bytes", masked(0x89, strings.Repeat("x", 126)), 1002},
	{"continuation of nothing", masked(0x80, "{}"), 1002},
	{"text inside a text", masked(0x01, "{") + masked(0x81, "{}"), 1002},
	{"close with code 1005", masked(0x88, "\x03\xed"), 1002},
	{"close with code 999", masked(0x88, "\x03\xe7"), 1002},
	{"close with a reason that is no UTF-8", masked(0x88, "\x03\xe8\xff\xfe"), 1002},
	{"too large", masked(0x81, strings.Repeat("x", 65537)), 1009},
	{"too large in parts", strings.Repeat(masked(0x01, strings.Repeat("x", 40000)), 1) + masked(0x00, strings.Repeat("x", 40000)), 1009},
	{"length of 2^63", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1009},
	{"length of 2^62", "\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1009},
	{"close with half a code", masked(0x88, "\x03"), 1002},
	{"text that is no UTF-8", masked(0x81, "\xff\xfe\xfd"), 1007},
	{"binary", masked(0x82, `{"type":"ping"}`), answered},
	{"nothing", masked(0x81, ""), answered},
	{"zeros", masked(0x81, strings.Repeat("\x00", 3000)), answered},
	{"not JSON", masked(0x81, `{"type":`), answered},
	{"deep JSON", masked(0x81, `{"type":"sub","path":`+strings.Repeat("[", 30000)), answered},
	{"deep and whole JSON", masked(0x81, `{"type":"ping","x":`+strings.Repeat("[", 15000)+strings.Repeat("]", 15000)+`}`), answered},
	{"an id of 60 kB", masked(0x81, `{"type":"ping","id":"`+strings.Repeat("i", 60000)+`"}`), answered},
	{"a type of 60 kB", masked(0x81, `{"type":"`+strings.Repeat("t", 60000)+`"}`), answered},
	{"a number beyond all", masked(0x81, `{"type":"sub","path":"**","rate":1e999}`), answered},
	{"a negative seq", masked(0x81, `{"type":"resume","epoch":"x","seq":-1,"subs":[{"path":"**"}]}`), answered},
	{"a seq beyond 64 bits", masked(0x81, `{"type":"resume","epoch":"x","seq":99999999999999999999,"subs":[{"path":"**"}]}`), answered},
	{"a path of 9 segments", masked(0x81, `{"type":"sub","path":"a/b/c/d/e/f/g/h/i"}`), answered},
	{"a path that climbs", masked(0x81, `{"type":"sub","path":"../../etc/passwd"}`), answered},
	{"ten thousand subscriptions to resume", masked(0x81, `{"type":"resume","epoch":"x","seq":1,"subs":[`+strings.Repeat(`{},`, 10000)+`{}]}`), answered},
	{"the same key often", masked(0x81, `{`+strings.Repeat(`"type":"x",`, 5000)+`"type":"y"}`), answered},
	{"half a header", "\x81", dropped},
	{"half a frame", "\x81\xfe\x10\x00\x00\x00\x00\x00{", dropped},
}

// malformed sends each malformed frame and holds the server to what it does then.
func (h *hostile) malformed() {
	for _, m := range malformedFrames {
		nc, br := h.socket("")
		if _, err := io.WriteString(nc, m.bytes); err != nil {
			h.t.Errorf("%s: %v", m.name, err)
		}
		if m.want != dropped {
			if got, text := h.hear(nc, br, m.want == answered); got != m.want {
				h.t.Errorf("%s: outcome %d, want %d: %.300q", m.name, got, m.want, text)
			}
		}
		nc.Close()
	}
}

// hear reads to the close frame, or to the error and the pong behind it.
func (h *hostile) hear(nc net.Conn, br *bufio.Reader, stays bool) (fate, string) {
	nc.SetReadDeadline(time.Now().Add(30 * time.Second))
	if stays {
		io.WriteString(nc, masked(0x81, `{"type":"ping","id":"after"}`))
	}
	told := ""
	for {
		op, payload, err := readFrame(br)
		switch {
		case err != nil:
			return dropped, fmt.Sprint(told, err)
		case op == 0x88 && len(payload) >= 2:
			return fate(binary.BigEndian.Uint16([]byte(payload))), told + payload
		case strings.Contains(payload, `"type":"pong"`) && strings.Contains(payload, `"after"`):
			if strings.Contains(told, `"type":"error"`) || !stays {
				return answered, told
			}
			return dropped, "it was taken: " + told
		}
		told += payload
	}
}

// readFrame reads one frame of the server's, which are never masked.
func readFrame(br *bufio.Reader) (op byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return 0, "", err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var l uint16
		err = binary.Read(br, binary.BigEndian, &l)
		n = uint64(l)
	case 127:
		err = binary.Read(br, binary.BigEndian, &n)
	}
	if err != nil {
		return 0, "", err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(br, b)
	return head[0], string(b), err
}
