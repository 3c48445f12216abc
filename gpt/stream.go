package gpt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// A stream is one answer of an upstream, read as it comes.
//
// It ends well (io.EOF) only when the upstream said that it was done, by a
// finish_reason or by [DONE]; everything else is a Failure.
type stream struct {
	finish  string // as the upstream says it; "" until then
	usage   usage
	calls   calls
	refused bool // some of the text was a refusal

	ctx    context.Context
	body   io.ReadCloser
	events *events
	watch  *watch
	runes  runes
	whole  *chunk // of an answer that was not streamed
	done   bool
}

type usage struct {
	in, out int64
	known   bool // said by the upstream, not counted by us
}

func (u *usage) add(v usage) { u.in, u.out, u.known = u.in+v.in, u.out+v.out, u.known && v.known }

// A piece is what one event adds to an answer.
type piece struct {
	text   []byte // whole runes; valid until the next piece
	calls  bool   // a part of a tool call came
	thinks bool   // the model thinks aloud; the thoughts are not shown
}

func newStream(ctx context.Context, res *http.Response, w *watch, l Limits) (*stream, error) {
	s := &stream{ctx: ctx, body: res.Body, watch: w, calls: calls{maxArgs: l.MaxArgs, max: l.MaxCalls}}
	s.events = newEvents(&counted{r: res.Body, left: l.MaxStream, heard: &w.heard}, l.MaxLine)
	first, err := s.events.sniff()
	if err != nil {
		return nil, network(ctx, err)
	}
	switch first {
	case '{', '[':
		return s, s.readWhole(l.MaxLine)
	}
	if kind := res.Header.Get("Content-Type"); first == '<' || !strings.HasPrefix(kind, "text/event-stream") && !s.events.plausible() {
		return nil, fail(CodeNotAStream, fmt.Errorf("content type %q", kind))
	}
	return s, nil
}

// readWhole takes an answer from a server that does not stream, or the error
// object that it answered 200 with.
func (s *stream) readWhole(limit int) error {
	b, err := io.ReadAll(io.LimitReader(s.events.in, int64(limit)+1))
	if err != nil {
		return network(s.ctx, err)
	}
	if len(b) > limit {
		return fail(CodeLineTooLong, nil)
	}
	s.whole = new(chunk)
	if err := json.Unmarshal(b, s.whole); err != nil {
		return fail(CodeGarbage, err)
	}
	if s.whole.Error.set {
		return insideError(s.whole.Error)
	}
	if len(s.whole.Choices) == 0 {
		return fail(CodeNotAStream, errors.New("JSON without choices"))
	}
	for i := range s.whole.Choices {
		s.whole.Choices[i].Delta = s.whole.Choices[i].Message
		s.whole.Choices[i].Finish = or(s.whole.Choices[i].Finish, "stop")
	}
	return nil
}

// next waits for the next piece. Events that add nothing are passed over.
func (s *stream) next() (piece, error) {
	if s.whole != nil && !s.done {
		s.done = true
		return s.take(s.whole)
	}
	for !s.done {
		name, data, err := s.events.next()
		if err != nil {
			return s.ended(err)
		}
		if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[DONE]")) {
			s.done = true
			break
		}
		var k chunk
		if err := json.Unmarshal(data, &k); err != nil {
			return piece{}, fail(CodeGarbage, fmt.Errorf("%w in %q", err, clip(string(data), 100)))
		}
		if name == "error" && !k.Error.set {
			_ = k.Error.UnmarshalJSON(data)
		}
		if k.Error.set {
			return piece{}, insideError(k.Error)
		}
		p, err := s.take(&k)
		if err != nil || len(p.text) > 0 || p.calls || p.thinks {
			return p, err
		}
	}
	if rest := s.runes.rest(); rest != nil {
		return piece{text: rest}, nil
	}
	return piece{}, io.EOF
}

// ended says what the end of the body means. After a finish_reason the answer
// is whole, however badly its connection ends.
func (s *stream) ended(err error) (piece, error) {
	if s.finish != "" && !errors.Is(context.Cause(s.ctx), errStopped) {
		s.done = true
		return s.next()
	}
	return piece{}, network(s.ctx, err)
}

func (s *stream) take(k *chunk) (piece, error) {
	if k.Usage != nil && k.Usage.In+k.Usage.Out > 0 {
		s.usage = usage{in: k.Usage.In, out: k.Usage.Out, known: true}
	}
	var p piece
	for i := range k.Choices {
		c := &k.Choices[i]
		if c.Index != 0 {
			continue // we ask for one
		}
		s.refused = s.refused || len(c.Delta.Refusal) > 0
		p.text = s.runes.add(append(c.Delta.Content, c.Delta.Refusal...))
		p.thinks = bool(c.Delta.Reasoning || c.Delta.ReasoningContent)
		for _, part := range c.Delta.ToolCalls {
			if err := s.calls.add(part); err != nil {
				return piece{}, err
			}
			p.calls = true
		}
		if c.Finish != "" {
			s.finish = c.Finish
		}
	}
	switch {
	case s.finish != "":
		s.watch.finished()
	case len(p.text) > 0 || p.thinks || p.calls:
		s.watch.token()
	}
	return p, nil
}

// close ends the request. After a good end the few bytes that are left are
// read first, since only then can the connection be used again; that happens
// aside, so that nobody waits for it.
func (s *stream) close(wait func(func())) {
	if !s.done || s.whole != nil {
		s.watch.stop()
		_ = s.body.Close()
		return
	}
	s.watch.finished()
	s.watch.letGo()
	wait(func() {
		_, _ = io.CopyN(io.Discard, s.body, 4<<10)
		s.watch.stop()
		_ = s.body.Close()
	})
}

func insideError(w upstreamWords) error {
	if w.code == "rate_limit_exceeded" || w.code == "429" || w.kind == "rate_limit_error" {
		return fail(CodeRateLimited, w)
	}
	return fail(CodeErrorInside, w)
}

// counted bounds a body, and notes that bytes came.
type counted struct {
	r     io.Reader
	left  int
	heard *atomic.Bool
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if n > 0 {
		c.heard.Store(true)
	}
	if c.left -= n; c.left < 0 {
		return 0, fail(CodeLineTooLong, errors.New("endless answer"))
	}
	return n, err
}

// A watch cancels a request whose tokens do not come. Keep-alives do not count:
// they only decide what the failure is called.
type watch struct {
	timer  *time.Timer
	idle   time.Duration
	cancel context.CancelCauseFunc
	letGo  func() bool // stops following the run's context
	spoke  atomic.Bool // a token came
	heard  atomic.Bool // bytes came since the last token
	over   atomic.Bool // the upstream said that it is done
}

func newWatch(first, idle time.Duration, cancel context.CancelCauseFunc, letGo func() bool) *watch {
	w := &watch{idle: idle, cancel: cancel, letGo: letGo}
	w.timer = time.AfterFunc(first, w.ring)
	return w
}

func (w *watch) ring() {
	switch {
	case w.over.Load():
		w.cancel(errOver)
	case w.heard.Load():
		w.cancel(fail(CodeSilent, nil))
	case w.spoke.Load():
		w.cancel(fail(CodeStalled, nil))
	default:
		w.cancel(fail(CodeTimeout, nil))
	}
}

// errOver ends a request whose answer is whole but whose body does not end.
var errOver = errors.New("the answer was whole")

// afterFinish is how long usage and [DONE] may take after a finish_reason.
const afterFinish = 2 * time.Second

func (w *watch) token() {
	w.heard.Store(false)
	w.spoke.Store(true)
	w.timer.Reset(w.idle)
}

func (w *watch) finished() {
	if !w.over.Swap(true) {
		w.timer.Reset(min(w.idle, afterFinish))
	}
}

func (w *watch) stop() {
	w.timer.Stop()
	w.letGo()
	w.cancel(nil)
}
