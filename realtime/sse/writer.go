package sse

import (
	"errors"
	"net/http"
	"time"
)

// DefaultTimeout bounds one write of a Writer.
const DefaultTimeout = 10 * time.Second

// A Writer streams events as the answer to one request. It is for one
// goroutine. After an error the stream is over: the reader has left, and the
// handler should return.
type Writer struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	rests   bool // a deadline may not outlive its write
	buf     []byte
}

// Open sends the headers with status 200, so that the reader knows at once that
// it is connected, however long the first event takes. Timeout bounds one
// write, not the stream; zero means DefaultTimeout.
func Open(w http.ResponseWriter, timeout time.Duration) (*Writer, error) {
	SetHeaders(w.Header())
	return Stream(w, timeout)
}

// Stream is Open for somebody who has set the headers: the stream may be of
// another kind.
func Stream(w http.ResponseWriter, timeout time.Duration) (*Writer, error) {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	s := &Writer{w: w, rc: http.NewResponseController(w), timeout: timeout, rests: !overHTTP1(w)}
	if err := s.deadline(); err != nil {
		return nil, err
	}
	w.WriteHeader(http.StatusOK)
	return s, s.flush()
}

// Event writes one event; see AppendEvent.
func (s *Writer) Event(id, event string, data []byte) error {
	return s.Write(AppendEvent(s.buf[:0], id, event, data))
}

// Comment writes a comment.
func (s *Writer) Comment(text string) error {
	return s.Write(AppendComment(s.buf[:0], text))
}

// Retry writes how long the reader is to wait before it connects again.
func (s *Writer) Retry(d time.Duration) error {
	return s.Write(AppendRetry(s.buf[:0], d))
}

// Write sends what was appended with the functions above and flushes it.
func (s *Writer) Write(b []byte) error {
	if cap(b) <= 64<<10 {
		s.buf = b[:0] // one large event must not cost its memory for the whole stream
	}
	if err := s.deadline(); err != nil {
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.flush()
}

// flush ends one write. Over HTTP/2 a deadline is no matter of writes: it ends the
// stream when its time comes, also one that only has nothing to say. Over HTTP/1
// it stays, for the last bytes of the answer, which are written after the handler.
func (s *Writer) flush() error {
	err := s.rc.Flush()
	if err == nil && s.rests {
		err = s.until(time.Time{})
	}
	return err
}

// overHTTP1 says whether the answer has a connection of its own.
func overHTTP1(w http.ResponseWriter) bool {
	for {
		wrapper, is := w.(interface{ Unwrap() http.ResponseWriter })
		if !is {
			_, own := w.(http.Hijacker)
			return own
		}
		w = wrapper.Unwrap()
	}
}

// Abort ends a write that is under way in another goroutine. It alone may be
// called from there. The stream is over then.
func (s *Writer) Abort() {
	// Without support for deadlines the write ends when its reader reads.
	_ = s.rc.SetWriteDeadline(time.Now())
}

// A deadline per write frees the goroutine of a reader that stopped reading,
// without limiting how long the stream may live.
func (s *Writer) deadline() error { return s.until(time.Now().Add(s.timeout)) }

func (s *Writer) until(t time.Time) error {
	err := s.rc.SetWriteDeadline(t)
	if errors.Is(err, http.ErrNotSupported) { // a test recorder has none
		return nil
	}
	return err
}
