// Package sse writes server-sent events: the bytes of one event for those who
// own their socket, and a Writer over http.ResponseWriter for those who do not.
//
// A frame is complete once written: whoever reads it may act on it at once,
// because every event is flushed, and a reader that takes nothing is given up
// after a deadline that counts for one write and never for the whole stream.
package sse

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ContentType of every stream written here.
const ContentType = "text/event-stream; charset=utf-8"

// SetHeaders sets what a stream needs on its way: nobody may store it, nginx
// must not gather it, and no browser may take it for anything else.
func SetHeaders(h http.Header) {
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
}

// AppendEvent appends one event. An empty id leaves the reader's cursor where
// it is, an empty event makes an unnamed one, which EventSource gives to
// onmessage. Data is split at its line ends, as the format wants; the reader
// joins it again with "\n".
func AppendEvent(dst []byte, id, event string, data []byte) []byte {
	if event != "" {
		dst = appendField(dst, "event: ", event)
	}
	if id != "" {
		dst = appendField(dst, "id: ", id)
	}
	for more := true; more; {
		var line []byte
		line, data, more = cutLine(data)
		dst = append(dst, "data: "...)
		dst = append(dst, line...)
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// AppendComment appends a comment, which keeps a connection busy and reaches no
// listener. Text after a line end would be a field, so only one line is kept.
func AppendComment(dst []byte, text string) []byte {
	return append(appendField(dst, ": ", text), '\n')
}

// AppendRetry appends how long the reader waits before it connects again.
func AppendRetry(dst []byte, d time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, d.Milliseconds(), 10)
	return append(dst, '\n', '\n')
}

// appendField keeps what is before the first line end: what follows it would
// be read as a field of its own.
func appendField(dst []byte, name, value string) []byte {
	if i := strings.IndexAny(value, "\r\n\x00"); i >= 0 {
		value = value[:i]
	}
	dst = append(dst, name...)
	dst = append(dst, value...)
	return append(dst, '\n')
}

// cutLine splits at the first of the three line ends of the format.
func cutLine(b []byte) (line, rest []byte, more bool) {
	i := bytes.IndexAny(b, "\r\n")
	if i < 0 {
		return b, nil, false
	}
	if b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
		return b[:i], b[i+2:], true
	}
	return b[:i], b[i+1:], true
}
