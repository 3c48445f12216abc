package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// A reader hands what a WebSocket client says to the shard, until it leaves.
//
// An idle client must cost little, so while a reader waits it holds no buffer,
// and no goroutine where it can be helped; see poller. Otherwise it waits near the
// ground of a small stack. After it has read something the next goroutine goes
// on: reading JSON takes a larger stack, which would stay as long as its
// goroutine lives.
type reader struct {
	hub     *Hub
	conn    *conn
	net     net.Conn
	allow   allowance
	watched bool // by the poller

	assembly
}

// A waiter is a sink whose connection can be waited for without a buffer.
type waiter interface {
	// wait returns when there is something to read, or the connection is over.
	wait() error
}

var readBuffers = sync.Pool{New: func() any { b := make([]byte, 4<<10); return &b }}

// run waits and reads once. There is one at a time.
func (r *reader) run() {
	if w, ok := r.conn.sink.(waiter); ok {
		if err := w.wait(); err != nil {
			r.ended(0, err)
			return
		}
	}
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	n, err := r.net.Read(*buf)
	if r.took((*buf)[:n], err) {
		r.hub.await(r)
	}
}

// took goes on with what was read. It is false when the client has said its last.
func (r *reader) took(b []byte, err error) bool {
	code, ok := r.take(b, r.hub.limits.Frame, r.hear)
	if code != 0 || ok && err != nil {
		r.ended(code, err)
		return false
	}
	return ok
}

// onlyThere says whether b is the answer to a ping and no more, and notes that
// the client is there.
func (r *reader) onlyThere(b []byte) bool {
	if len(r.rest) > 0 || len(b) < 6 || b[0] != 0x80|opPong || b[1] < 0x80 || len(b) != 6+int(b[1]&0x7f) {
		return false
	}
	return r.hear(opPong, nil)
}

// hear is false when nothing follows.
func (r *reader) hear(op byte, body []byte) bool {
	r.conn.heard.Store(int64(r.hub.now()))
	switch op {
	case opClose:
		r.ended(closeCodeOf(body), nil)
		return false
	case opPing:
		if r.allow.take() {
			data := string(body)
			r.conn.shard.post(func(s *shard) { s.pong(r.conn, data) })
		}
	case opPong:
		r.allow.take()
	case opText:
		if !utf8.Valid(body) {
			r.ended(websocket.CloseInvalidFramePayloadData, nil)
			return false
		}
		return r.message(op, body)
	default:
		return r.message(op, body)
	}
	return true
}

// message is false when there is nobody to hear it.
func (r *reader) message(kind byte, b []byte) bool {
	c := r.conn
	if !r.allow.take() {
		r.hub.tooFast(c, idIn(b))
		return true
	}
	m, problem := parse(b)
	switch {
	case kind != opText:
		problem = &realtime.Problem{Code: realtime.CodeMalformed, Message: "a binary frame; say " + teachSay}
	case problem == nil && m.Type == "auth":
		r.hub.signIn(c, &m)
		return true
	}
	var old *recalled
	if problem == nil && m.Type == "resume" && m.checkResume(&r.hub.limits) == nil {
		old = r.hub.recallFor(c, &m)
	}
	posted := c.shard.post(func(s *shard) {
		if problem != nil {
			s.sayError(c, m.ID, problem)
			return
		}
		s.hear(c, &m, old)
	})
	if !posted {
		old.free()
	}
	return posted
}

// ended tells the shard why nothing more comes: with what the client is to be
// closed, or zero when the line broke by err.
func (r *reader) ended(code int, err error) {
	var problem any
	switch code {
	case websocket.CloseMessageTooBig:
		most := float64(r.hub.limits.Frame)
		problem = errorFrame{Type: "error", Problem: &realtime.Problem{Code: realtime.CodeTooLarge, Maximum: &most, Message: fmt.Sprintf("a frame has at most %d bytes", r.hub.limits.Frame)}}
	case websocket.CloseInvalidFramePayloadData:
		problem = errorFrame{Type: "error", Problem: &realtime.Problem{Code: realtime.CodeMalformed, Message: "a text frame that is not UTF-8"}}
	}
	r.conn.shard.post(func(s *shard) { s.readerEnded(r.conn, code, problem, brokenLabel(err)) })
}

// tooFast answers a message beyond the limit, which is not done, and lets the
// client's line fill up for a moment. Who pairs answers with questions needs the
// id of this one as much as that of any other.
func (h *Hub) tooFast(c *conn, id json.RawMessage) {
	most := h.limits.Messages
	c.shard.post(func(s *shard) {
		s.sayError(c, id, &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: fmt.Sprintf("at most %v messages a second; this one was not done", most)})
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
