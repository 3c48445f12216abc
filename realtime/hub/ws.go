package hub

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// protocol is the subprotocol. A client that asks for others only is not ours.
const protocol = "echotwin.v1"

// writeBuffers are for the handshake; afterwards gorilla writes nothing.
var writeBuffers sync.Pool

// ServeWS makes the request a WebSocket connection of v. It returns at once;
// the connection goes on by itself. The caller has checked the origin.
func (h *Hub) ServeWS(w http.ResponseWriter, r *http.Request, v Viewer) {
	up := websocket.Upgrader{
		ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &writeBuffers,
		Subprotocols: []string{protocol},
		CheckOrigin:  func(*http.Request) bool { return true },
		Error:        refuseUpgrade,
	}
	tap := &tap{}
	ws, err := up.Upgrade(&tapped{w, tap}, r, nil)
	if err != nil {
		return // answered by refuseUpgrade, or the client has left
	}
	tap.own.Store(true)
	if asked := websocket.Subprotocols(r); len(asked) > 0 && ws.Subprotocol() == "" {
		turnAway(tap.Conn, 4510, "this is "+protocol, nil)
		return
	}
	address := addressOf(r, v)
	if refused := h.door.enter(v.User, address); refused != nil {
		code := 4029
		if refused.Code == realtime.CodeUnavailable {
			code = 1012
		}
		turnAway(tap.Conn, code, refused.Code, refused)
		return
	}
	subs, problem := subsOf(r, &h.limits)
	c := h.newConn(webSocket, v, address, tap.Conn)
	ws.SetReadLimit(int64(h.limits.Frame))
	ok := c.shard.post(func(s *shard) {
		s.add(c)
		if v.User == "" {
			c.signBy = s.now + authWait
			s.wheel.put(c, s.now, s.check(c))
		}
		s.greet(c)
		if problem != nil {
			s.sayError(c, nil, problem)
		}
		s.begin(c, subs)
	})
	if !ok {
		h.abandon(c)
		return
	}
	h.wg.Go(func() { h.readSocket(c, ws, tap) })
}

// begin starts the subscriptions of the URL, when there is somebody to see them.
func (s *shard) begin(c *conn, subs []subRequest) {
	if c.viewer.User == "" {
		c.pending = subs
		return
	}
	for i := range subs {
		s.sub(c, &subs[i], nil, "?")
	}
}

// newConn makes a connection, not yet known to its shard.
func (h *Hub) newConn(w wire, v Viewer, address string, nc net.Conn) *conn {
	c := &conn{wire: w, viewer: v, address: address, bucket: -1}
	c.shard = h.shards[h.nextShard.Add(1)%uint64(len(h.shards))]
	h.stats.began(w)
	c.setExpiry(h.now())
	if nc == nil {
		return c
	}
	if k, ok := newSocket(nc); ok {
		h.tune(nc.(*net.TCPConn), h.limits.Stall)
		c.sink = k
		return c
	}
	relay := newRelay(c, func() { nc.Close() })
	c.sink = relay
	h.wg.Go(func() { relay.toConn(nc, h.limits.Stall) })
	return c
}

// abandon ends a connection that no shard took, because the hub has ended.
func (h *Hub) abandon(c *conn) {
	h.door.leave(c.viewer.User, c.address)
	h.stats.ended(c.wire, "1012")
	c.sink.close(false)
}

// readSocket hands what the client says to the shard, until it leaves.
func (h *Hub) readSocket(c *conn, ws *websocket.Conn, tap *tap) {
	allow := allowance{rate: h.limits.Messages}
	ws.SetPingHandler(func(data string) error {
		if allow.take() {
			c.shard.post(func(s *shard) { s.pong(c, data) })
		}
		return nil
	})
	ws.SetPongHandler(func(string) error { allow.take(); return nil })
	for {
		kind, b, err := ws.ReadMessage()
		if err != nil {
			h.readEnded(c, tap, err)
			return
		}
		if !allow.take() {
			h.tooFast(c)
			continue
		}
		m, problem := parse(b)
		switch {
		case kind != websocket.TextMessage:
			problem = &realtime.Problem{Code: realtime.CodeMalformed, Message: "a binary frame; say " + teachSay}
		case problem == nil && m.Type == "auth":
			h.signIn(c, &m)
			continue
		}
		if !c.shard.post(func(s *shard) {
			if problem != nil {
				s.sayError(c, m.ID, problem)
				return
			}
			s.hear(c, &m)
		}) {
			return
		}
	}
}

func (s *shard) pong(c *conn, data string) {
	if c.gone || c.closing != nil {
		return
	}
	c.answers = append(appendHeader(c.answers, opPong, len(data)), data...)
	if len(c.answers) > maxAnswers {
		c.answers = nil
		s.bye(c, goodbye{code: 4008, word: "overflow"})
	}
	s.touch(c)
}

// readEnded tells the shard why nothing more comes.
func (h *Hub) readEnded(c *conn, tap *tap, err error) {
	code, problem := tap.code, any(nil)
	if errors.Is(err, websocket.ErrReadLimit) {
		most := float64(h.limits.Frame)
		code = websocket.CloseMessageTooBig
		problem = errorFrame{Type: "error", Problem: &realtime.Problem{Code: realtime.CodeTooLarge, Maximum: &most, Message: fmt.Sprintf("a frame has at most %d bytes", h.limits.Frame)}}
	}
	if code == websocket.CloseNoStatusReceived {
		code = websocket.CloseNormalClosure
	}
	c.shard.post(func(s *shard) { s.readerEnded(c, code, problem) })
}

// tooFast answers a message beyond the limit, which is not done, and lets the
// client's line fill up for a moment.
func (h *Hub) tooFast(c *conn) {
	most := h.limits.Messages
	c.shard.post(func(s *shard) {
		s.sayError(c, nil, &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: fmt.Sprintf("at most %v messages a second; this one was not done", most)})
	})
	time.Sleep(min(time.Duration(float64(time.Second)/h.limits.Messages), time.Second))
}

// signIn runs in the reader, so that what the client says after auth waits for
// its outcome.
func (h *Hub) signIn(c *conn, m *message) {
	v, err := Viewer{}, error(&realtime.Problem{Code: realtime.CodeUnavailable, Message: "nobody can sign in here"})
	if h.authenticate != nil {
		ctx, cancel := context.WithTimeout(h.ctx, authWait)
		v, err = h.authenticate(ctx, m.Token)
		cancel()
	}
	if err == nil && v.User == "" {
		err = &realtime.Problem{Code: codeSignIn, Message: "the token is nobody's"}
	}
	c.shard.post(func(s *shard) {
		if err == nil {
			s.setViewer(c, v, m.ID)
			return
		}
		var p *realtime.Problem
		if !errors.As(err, &p) {
			p = &realtime.Problem{Code: codeSignIn, Message: "the token is not valid, or not any more"}
		}
		s.sayError(c, m.ID, p)
		if c.signBy > 0 {
			s.bye(c, goodbye{code: 4500, word: "not_signed_in"})
		}
	})
}

// allowance is a bucket of messages; it belongs to the reader.
type allowance struct {
	rate float64
	used float64
	last time.Time
}

func (a *allowance) take() bool {
	now := time.Now()
	if !a.last.IsZero() {
		a.used = max(0, a.used-a.rate*now.Sub(a.last).Seconds())
	}
	a.last = now
	if a.used >= 2*a.rate {
		return false
	}
	a.used++
	return true
}

// refuseUpgrade answers a request that is no WebSocket handshake.
func refuseUpgrade(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	w.Header().Set("Sec-WebSocket-Version", "13")
	writeProblem(w, status, &realtime.Problem{Code: realtime.CodeMalformed,
		Message: "this is a WebSocket, such as wscat -c 'ws://host/ws?path=plant/**'; streams for curl are at /events (" + reason.Error() + ")"})
}

// turnAway says why a client may not stay. It has no shard yet, and one small
// write into a fresh socket does not wait.
func turnAway(nc net.Conn, code int, word string, r *refusal) {
	defer nc.Close()
	var out []byte
	if r != nil {
		// A struct of numbers and text cannot fail to be encoded.
		b, _ := json.Marshal(struct {
			Type        string `json:"type"`
			Code        string `json:"code"`
			Message     string `json:"message"`
			ReconnectIn int64  `json:"reconnectIn"`
		}{"bye", word, r.Message, r.retry.Milliseconds()})
		out = append(appendHeader(out, opText, len(b)), b...)
	}
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	nc.Write(appendClose(out, code, word))
}

// tapped hands the upgrader a connection through which it can only shake hands.
type tapped struct {
	http.ResponseWriter
	tap *tap
}

func (t *tapped) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.tap.Conn = nc
	return t.tap, rw, nil
}

// A tap keeps gorilla from writing once the connection is a shard's own. What
// it would have said is a close frame, of which the code is kept.
type tap struct {
	net.Conn
	own  atomic.Bool
	code int // for the reader
}

func (t *tap) Write(b []byte) (int, error) {
	if !t.own.Load() {
		return t.Conn.Write(b)
	}
	if len(b) >= 4 && b[0] == 0x80|opClose {
		t.code = int(binary.BigEndian.Uint16(b[2:]))
	} else if len(b) >= 2 && b[0] == 0x80|opClose {
		t.code = websocket.CloseNormalClosure
	}
	return len(b), nil
}

func (t *tap) SetWriteDeadline(at time.Time) error {
	if t.own.Load() {
		return nil
	}
	return t.Conn.SetWriteDeadline(at)
}
