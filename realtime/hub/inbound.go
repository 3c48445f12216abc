package hub

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// An inbound is one frame of a WebSocket client, unmasked.
type inbound struct {
	op   byte
	last bool // of its message
	body []byte
}

const maxControl = 125 // bytes in a ping, pong or close

// cutInbound takes the first frame off b, whose size it tells, and unmasks it
// where it stands. The size is zero when b does not hold it whole. A code
// says how the client must be closed: its frame is against the protocol, or it
// has more than most bytes. Within says that a message in parts is open.
func cutInbound(b []byte, within bool, most int) (f inbound, size, code int) {
	if len(b) < 2 {
		return f, 0, 0
	}
	f.op, f.last = b[0]&0x0f, b[0]&0x80 != 0
	n, head := uint64(b[1]&0x7f), 2
	control := f.op >= opClose
	switch {
	case b[0]&0x70 != 0, b[1]&0x80 == 0: // an extension that was not agreed on; no mask
		return f, 0, websocket.CloseProtocolError
	case control && (n > maxControl || !f.last || f.op > opPong),
		!control && (f.op > opBinary || within != (f.op == opMore)):
		return f, 0, websocket.CloseProtocolError
	case n == 126:
		if head += 2; len(b) >= head {
			n = uint64(binary.BigEndian.Uint16(b[2:]))
		}
	case n == 127:
		if head += 8; len(b) >= head {
			n = binary.BigEndian.Uint64(b[2:])
		}
	}
	if len(b) < head {
		return f, 0, 0
	}
	if !control && n > uint64(most) {
		return f, 0, websocket.CloseMessageTooBig
	}
	if size = head + 4 + int(n); len(b) < size {
		return f, 0, 0
	}
	mask := b[head : head+4]
	f.body = b[head+4 : size]
	for i := range f.body {
		f.body[i] ^= mask[i&3]
	}
	return f, size, 0
}

// An assembly puts messages together from what comes off the line.
type assembly struct {
	rest []byte // of a frame that has not come whole
	text []byte // of a message that comes in parts
	kind byte   // that message's opcode; zero when there is none
}

// take gives hear what b completes: messages, which have at most most bytes,
// and control frames between them. It ends with the first that hear is false
// for, or with a code other than zero: how the client must be closed.
func (a *assembly) take(b []byte, most int, hear func(op byte, body []byte) bool) (code int, ok bool) {
	if len(a.rest) > 0 {
		a.rest = append(a.rest, b...)
		b = a.rest
	}
	for {
		f, size, code := cutInbound(b, a.kind != 0, most-len(a.text))
		if code != 0 {
			return code, false
		}
		if size == 0 {
			break
		}
		if f.op < opClose {
			f = a.join(f)
		}
		if f.last && !hear(f.op, f.body) {
			return 0, false
		}
		b = b[size:]
	}
	if len(b) == 0 {
		a.rest = nil
	} else {
		a.rest = append(a.rest[:0], b...)
	}
	return 0, true
}

// join adds a frame to the message that is open, and is the whole with the last.
func (a *assembly) join(f inbound) inbound {
	if f.last && a.kind == 0 {
		return f
	}
	if a.kind == 0 {
		a.kind = f.op
	}
	a.text = append(a.text, f.body...)
	f.op = a.kind
	if f.last {
		f.body = a.text
		*a = assembly{rest: a.rest}
	}
	return f
}

// closeCodeOf is the code to answer a close frame with: the client's own, or
// that it was none.
func closeCodeOf(body []byte) int {
	switch len(body) {
	case 0:
		return websocket.CloseNormalClosure
	case 1:
		return websocket.CloseProtocolError // half a code
	}
	code := int(binary.BigEndian.Uint16(body))
	known := code >= 3000 && code <= 4999 || code >= 1000 && code <= 1014 && code != 1004 &&
		code != websocket.CloseNoStatusReceived && code != websocket.CloseAbnormalClosure
	if !known || !utf8.Valid(body[2:]) {
		return websocket.CloseProtocolError
	}
	return code
}
