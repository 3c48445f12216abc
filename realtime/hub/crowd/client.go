//go:build linux

package crowd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"syscall"
	"time"
)

// A client is one socket and what it has read so far.
type client struct {
	group     *group
	fd        int
	say       string // the request, until it is written
	connected bool
	head      bool // the answer to the request is still to come
	events    bool // it is a stream of events and no WebSocket
	watched   bool
	muted     bool
	isReady   bool
	closed    bool
	rest      []byte // of a frame that has not come whole

	paced int   // bytes of its line that are used up
	seen  int64 // the newest "at"
	old   int64 // bytes read since Read, before the first new frame
	fresh bool  // that frame has come
}

// take goes on with b. It says what is wrong, if something is.
func (c *client) take(b []byte) string {
	g := c.group
	g.stats.Bytes += int64(len(b))
	if g.Raw {
		return ""
	}
	if g.woken > 0 && !c.fresh {
		c.old += int64(len(b))
	}
	if len(c.rest) > 0 {
		c.rest = append(c.rest, b...)
		b = c.rest
	}
	if c.head {
		head, rest, whole := bytes.Cut(b, []byte("\r\n\r\n"))
		if !whole {
			c.rest = append(c.rest[:0], b...)
			return ""
		}
		status, _, _ := bytes.Cut(head, []byte("\r\n"))
		switch {
		case bytes.HasPrefix(status, []byte("HTTP/1.1 101 ")):
		case bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")):
			c.events = true
		default:
			return fmt.Sprintf("%s: %.300s", status, rest)
		}
		c.head, b = false, rest
	}
	for {
		frame, rest, ok := c.cut(b)
		if !ok {
			break
		}
		if !c.events && b[0]&0x0f == opPing {
			if err := c.pong(); err != nil {
				return "a pong: " + err.Error()
			}
		} else {
			c.frame(frame)
		}
		b = rest
	}
	if len(b) == 0 {
		if c.rest = c.rest[:0]; cap(c.rest) > 64<<10 {
			c.rest = nil
		}
	} else {
		c.rest = append(c.rest[:0:0], b...)
	}
	return ""
}

const opPing = 0x9

// pong answers the server's own ping, as every WebSocket client does.
func (c *client) pong() error {
	_, err := syscall.Write(c.fd, []byte{0x8a, 0x80, 0, 0, 0, 0})
	return err
}

// cut takes the first whole frame.
func (c *client) cut(b []byte) (frame, rest []byte, ok bool) {
	if c.events {
		event, rest, ok := bytes.Cut(b, []byte("\n\n"))
		_, data, _ := bytes.Cut(event, []byte("data: "))
		return data, rest, ok
	}
	if len(b) < 2 {
		return nil, b, false
	}
	head, n := 2, int(b[1])
	switch {
	case n == 126 && len(b) >= 4:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case n == 127 && len(b) >= 10:
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	case n >= 126:
		return nil, b, false
	}
	if len(b) < head+n {
		return nil, b, false
	}
	return b[head : head+n], b[head+n:], true
}

var (
	update   = []byte(`{"type":"update"`)
	snapshot = []byte(`{"type":"snapshot"`)
	bye      = []byte(`{"type":"bye"`)
	failed   = []byte(`{"type":"error"`)
	more     = []byte(`"more":true`)
	at       = []byte(`"at":`)
)

func (c *client) frame(b []byte) {
	g := c.group
	g.stats.Frames++
	switch {
	case bytes.HasPrefix(b, update), g.Other && bytes.Contains(b, at):
		g.stats.Updates++
		c.update(b)
	case bytes.HasPrefix(b, snapshot) && !bytes.Contains(b[:min(len(b), 200)], more), g.Idle && len(b) > 0:
		g.isReady(c)
	case bytes.HasPrefix(b, bye), bytes.HasPrefix(b, failed):
		if g.stats.Err == "" {
			g.stats.Err = fmt.Sprintf("%.300s", b)
		}
	}
}

func (g *group) isReady(c *client) {
	if c.isReady {
		return
	}
	c.isReady = true
	g.stats.Ready++
	g.stats.ReadyAfter = time.Since(g.begin)
}

// update takes the ages of the things in a frame.
func (c *client) update(b []byte) {
	g := c.group
	now, newest := time.Now().UnixNano(), int64(0)
	for {
		i := bytes.Index(b, at)
		if i < 0 {
			break
		}
		b = b[i+len(at):]
		when := int64(0)
		for len(b) > 0 && b[0] >= '0' && b[0] <= '9' {
			when = 10*when + int64(b[0]-'0')
			b = b[1:]
		}
		newest = max(newest, when)
		g.stats.Things++
		g.ages.add(time.Duration(now - when))
	}
	if newest == 0 {
		return
	}
	if newest < c.seen {
		g.stats.Backwards++
	}
	c.seen = newest
	if g.woken > 0 && !c.fresh && newest >= g.woken {
		c.fresh = true
		g.stats.Current++
		g.stats.OldBytes = max(g.stats.OldBytes, c.old)
	}
}

// A histogram counts durations by 50 µs, up to a minute.
type histogram struct {
	counts []uint32
	n      uint64
}

const (
	bin  = 50 * time.Microsecond
	bins = int(time.Minute / bin)
)

func (h *histogram) add(d time.Duration) {
	if h.counts == nil {
		h.counts = make([]uint32, bins)
	}
	h.counts[min(max(0, int(d/bin)), bins-1)]++
	h.n++
}

func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank, sum := uint64(q*float64(h.n-1)), uint64(0)
	for i, c := range h.counts {
		if sum += uint64(c); sum > rank {
			return time.Duration(i) * bin
		}
	}
	return 0
}
