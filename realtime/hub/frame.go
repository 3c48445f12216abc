package hub

import (
	"encoding/binary"
	"encoding/json"
	"strconv"

	"echotwin/realtime"
	"echotwin/realtime/sse"
)

// wire is how frames travel.
type wire uint8

const (
	webSocket wire = iota
	eventStream
	lines
	wires
)

func (w wire) String() string { return [...]string{"ws", "sse", "ndjson"}[w] }

const (
	opMore   = 0x0 // of a message in parts
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// appendFrame appends one frame in the connection's own wire. Cursor is the seq
// that an SSE reader may resume from after it; zero leaves its cursor alone.
func (s *shard) appendFrame(dst []byte, c *conn, kind string, cursor uint64, frame []byte) []byte {
	c.frames++
	switch c.wire {
	case webSocket:
		return append(appendHeader(dst, opText, len(frame)), frame...)
	case lines:
		return append(append(dst, oneLine(frame)...), '\n')
	}
	id := ""
	if cursor > 0 {
		id = s.hub.epoch + "." + strconv.FormatUint(cursor, 10)
	}
	return sse.AppendEvent(dst, id, kind, oneLine(frame))
}

// appendHeader appends the header of an unmasked, unfragmented WebSocket frame.
func appendHeader(dst []byte, op byte, n int) []byte {
	dst = append(dst, 0x80|op)
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
}

func appendClose(dst []byte, code int, reason string) []byte {
	reason = reason[:min(len(reason), 100)]
	dst = appendHeader(dst, opClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// appendMember appends ,"name":n.
func appendMember(dst []byte, name string, n uint64) []byte {
	dst = appendKey(append(dst, ','), name)
	return strconv.AppendUint(dst, n, 10)
}

// appendID appends ,"id":… when the client gave one.
func appendID(dst []byte, id json.RawMessage) []byte {
	if len(id) == 0 {
		return dst
	}
	return append(append(dst, `,"id":`...), id...)
}

// say puts a frame in front of everything else the client gets. It is for what
// is rare: answers, greetings, heartbeats.
func (s *shard) say(c *conn, kind string, frame any) {
	b, err := realtime.Marshal(frame)
	if err != nil {
		s.hub.log.Error("a frame that cannot be encoded", "type", kind, "error", err)
		return
	}
	s.sayRaw(c, kind, b)
}

func (s *shard) sayRaw(c *conn, kind string, frame []byte) {
	if c.closing != nil {
		return
	}
	if len(c.answers) > maxAnswers {
		c.answers = nil // it asks and does not read; the frames it lost are what the code says
		s.bye(c, goodbye{code: 4008, word: "overflow"})
		return
	}
	c.answers = s.appendFrame(c.answers, c, kind, 0, frame)
	s.touch(c)
}
