package gpt

import (
	"bufio"
	"bytes"
	"io"
)

// events takes a body of server-sent events apart.
type events struct {
	in   *bufio.Reader
	max  int    // bytes of a line, and of the data of an event
	long []byte // a line that did not fit in's buffer
	data []byte
}

var bom = []byte("\xEF\xBB\xBF")

func newEvents(r io.Reader, maxLine int) *events {
	return &events{in: bufio.NewReaderSize(r, 16<<10), max: maxLine}
}

// sniff is the first byte that is not white space, left unread, so that a whole
// JSON answer or a web page is not mistaken for a stream.
func (e *events) sniff() (byte, error) {
	if b, err := e.in.Peek(len(bom)); err == nil && bytes.Equal(b, bom) {
		_, _ = e.in.Discard(len(bom))
	}
	for {
		c, err := e.in.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, e.in.UnreadByte()
		}
	}
}

// plausible reports whether what comes next looks like an event, for servers
// that stream under another content type.
func (e *events) plausible() bool {
	for _, field := range []string{":", "id:", "data:", "event:", "retry:", "error:"} {
		if b, _ := e.in.Peek(len(field)); string(b) == field {
			return true
		}
	}
	return false
}

// line is valid until the next call. At the end it comes together with io.EOF.
func (e *events) line() ([]byte, error) {
	e.long = e.long[:0]
	for {
		b, err := e.in.ReadSlice('\n')
		if len(e.long)+len(b) > e.max {
			return nil, fail(CodeLineTooLong, nil)
		}
		if err == bufio.ErrBufferFull {
			e.long = append(e.long, b...)
			continue
		}
		if len(e.long) > 0 {
			e.long = append(e.long, b...)
			b = e.long
		}
		b = bytes.TrimSuffix(b, []byte("\n"))
		return bytes.TrimSuffix(b, []byte("\r")), err
	}
}

// next is the next event that has data; both are valid until the next call.
// An event that lacks its blank line at the end of the body counts.
func (e *events) next() (name string, data []byte, err error) {
	e.data = e.data[:0]
	lines := 0
	for {
		l, err := e.line()
		if err != nil && err != io.EOF {
			return "", nil, err
		}
		field, value, _ := bytes.Cut(l, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(l) == 0:
			if lines > 0 {
				return name, e.data, nil
			}
			name = ""
		case l[0] == '{': // an error that a server wrote past its own stream
			lines++
			e.data = append(e.data, l...)
		case string(field) == "data":
			if lines++; lines > 1 {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
		case string(field) == "event":
			name = string(value)
		case string(field) == "error": // a dialect of llama.cpp
			lines++
			name = "error"
			e.data = append(e.data, value...)
		}
		if len(e.data) > e.max {
			return "", nil, fail(CodeLineTooLong, nil)
		}
		if err == io.EOF {
			if lines > 0 {
				return name, e.data, nil
			}
			return "", nil, io.EOF
		}
	}
}
