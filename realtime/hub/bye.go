package hub

import (
	"strconv"
	"time"

	"echotwin/realtime/sse"
)

// A goodbye is how a connection ends in good order.
type goodbye struct {
	code        int    // WebSocket close code
	word        string // empty when the client itself has closed
	message     string // for people
	reconnectIn time.Duration
}

// A byeFrame is a goodbye as the client hears it.
type byeFrame struct {
	Type        string `json:"type"`
	Code        string `json:"code"`
	Message     string `json:"message,omitempty"`
	ReconnectIn int64  `json:"reconnectIn"`
}

func (g *goodbye) frame() byeFrame {
	return byeFrame{"bye", g.word, g.message, g.reconnectIn.Milliseconds()}
}

func (g *goodbye) label() string { return strconv.Itoa(g.code) }

// bye ends a connection after a last frame that says why.
func (s *shard) bye(c *conn, g goodbye) {
	if c.closing != nil || c.gone {
		return
	}
	for len(c.subs) > 0 {
		s.leave(c, c.subs[0])
	}
	if g.word != "" {
		if c.wire == eventStream && g.reconnectIn > 0 {
			c.answers = sse.AppendRetry(c.answers, g.reconnectIn) // EventSource comes back by itself
		}
		s.say(c, "bye", g.frame())
	}
	if c.closing != nil {
		return // it has read none of its answers, and that goodbye is on its way
	}
	c.closing, c.byeAt = &g, 0
	if c.wire == webSocket {
		c.answers = appendClose(c.answers, g.code, g.word)
	}
	c.deadline = s.now + lingerTime
	s.wheel.put(c, s.now, c.deadline)
	s.touch(c)
}

// goodbyeSaid follows when the last byte is out. A WebSocket client may take a
// moment to answer the close; closing under it could lose the goodbye.
func (s *shard) goodbyeSaid(c *conn) {
	c.flushed = true
	if c.wire != webSocket || c.readEnd {
		s.drop(c, c.closing.label())
		return
	}
	c.sink.closeWrite()
	c.deadline = s.now + lingerTime
	s.wheel.put(c, s.now, c.deadline)
}

// readerEnded follows when nothing more comes from a WebSocket client. Code is
// what it closed with, or what was wrong with what it sent; zero when the line
// broke, and broken says how.
func (s *shard) readerEnded(c *conn, code int, problem any, broken string) {
	c.readEnd = true
	switch {
	case c.gone:
	case c.flushed:
		s.drop(c, c.closing.label())
	case c.closing != nil:
	case code == 0:
		s.drop(c, broken)
	default:
		if problem != nil {
			s.say(c, "error", problem)
		}
		s.bye(c, goodbye{code: code})
	}
}
