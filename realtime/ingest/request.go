package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"echotwin/realtime"
)

// A request is what one call brought, on its way from a payload to lines of
// the log. Requests are used again, so nothing may point into one after
// release.
type request struct {
	cfg Config
	now time.Time
	sc  scanner

	samples int              // seen, right or wrong
	values  []realtime.Value // of the sample being read; they point into the payload or into compact
	before  []realtime.Value // of the sample before it
	compact bytes.Buffer

	lines   []byte
	chunks  []chunk // the bundles that lines will go into
	waiting []*bundle
	answer  Answer
}

var requests = sync.Pool{New: func() any { return new(request) }}

func newRequest(cfg Config, payload []byte) *request {
	r := requests.Get().(*request)
	r.cfg, r.now = cfg, cfg.Now()
	r.sc = scanner{b: payload, path: r.sc.path[:0]}
	r.samples, r.answer = 0, Answer{}
	r.lines, r.chunks = r.lines[:0], r.chunks[:0]
	return r
}

func (r *request) release() {
	const most = 1 << 20 // so that one large request does not hold its memory for ever
	if cap(r.lines) > most || r.compact.Cap() > most || cap(r.values)+cap(r.before) > 4*MaxProperties {
		return
	}
	clear(r.values[:cap(r.values)])
	clear(r.before[:cap(r.before)])
	r.values, r.before = r.values[:0], r.before[:0]
	clear(r.waiting)
	clear(r.sc.path[:cap(r.sc.path)])
	r.sc = scanner{path: r.sc.path}
	r.cfg, r.answer = Config{}, Answer{}
	requests.Put(r)
}

// fits refuses a payload that is too large to be looked at.
func (r *request) fits() *realtime.Problem {
	if len(r.sc.b) > MaxPayload {
		return tooLarge("", fmt.Sprintf("a payload of %d bytes", len(r.sc.b)), MaxPayload)
	}
	r.sc.s = string(r.sc.b)
	return nil
}

// reject notes what is wrong. Only the first few are listed.
func (r *request) reject(p realtime.Problem) {
	r.answer.RejectedTotal++
	if len(r.answer.Rejected) < MaxRejected {
		r.answer.Rejected = append(r.answer.Rejected, p)
	}
}

// rejectAt notes what is wrong at a place.
func (r *request) rejectAt(at place, code, message string) {
	if len(r.answer.Rejected) >= MaxRejected {
		r.answer.RejectedTotal++ // and save the words
		return
	}
	r.reject(realtime.Problem{Code: code, Message: message, At: at.String()})
}

// rejectFlaw notes the flaw of the value that was just read at a place.
func (r *request) rejectFlaw(at place) {
	p := *r.sc.flaw
	p.At = at.String() + p.At
	r.reject(p)
}

func plural(n int) string {
	if n == 1 {
		return "problem"
	}
	return "problems"
}

// problem is the error of a request in which nothing was right.
func (r *request) problem() error {
	p := r.answer.Rejected[0]
	if n := r.answer.RejectedTotal - 1; n > 0 {
		p.Message = fmt.Sprintf("%s (and %d more %s)", p.Message, n, plural(n))
	}
	return &p
}

func tooLarge(at, what string, most int) *realtime.Problem {
	limit := float64(most)
	return &realtime.Problem{Code: realtime.CodeTooLarge, At: at, Maximum: &limit,
		Message: fmt.Sprintf("%s; at most %d bytes are allowed", what, most)}
}

// A place is where something stands in a payload. It becomes a JSON pointer
// only when something is wrong there.
type place struct {
	thing    string
	member   string
	index    int  // -1 when it is not in an array
	ofThing  bool // it is below thing
	ofMember bool // it is below member
}

var whole = place{index: -1}

func (p place) in(thing string) place {
	p.thing, p.ofThing = thing, true
	return p
}

func (p place) of(member string) place {
	p.member, p.ofMember = member, true
	return p
}

func (p place) String() string {
	var s string
	if p.ofThing {
		s = "/" + pointer(p.thing)
	}
	if p.index >= 0 {
		s += "/" + strconv.Itoa(p.index)
	}
	if p.ofMember {
		s += "/" + pointer(p.member)
	}
	return s
}

// written returns the value that was just read, without its blanks. It is
// valid until the next request.
func (r *request) written(raw string) json.RawMessage {
	if !r.sc.spaced {
		return r.sc.b[r.sc.i-len(raw) : r.sc.i]
	}
	from := r.compact.Len()
	if err := json.Compact(&r.compact, r.sc.b[r.sc.i-len(raw):r.sc.i]); err != nil {
		// The scanner has found it right. Were the two ever to disagree, the
		// line must still be one that can be read.
		return json.RawMessage("null")
	}
	return r.compact.Bytes()[from:]
}

// telemetryLine writes the sample in r.values down and closes the chunk before
// it when that is full.
func (r *request) telemetryLine(at place, thing string, ts time.Time, clamped bool) {
	start := len(r.lines)
	r.lines = realtime.AppendRecord(r.lines, realtime.Record{Kind: realtime.Telemetry, Thing: thing, TS: ts, At: r.now, Values: r.values})
	if n := len(r.lines) - start; n > maxLine {
		r.lines = r.lines[:start]
		r.reject(*tooLarge(at.String(), fmt.Sprintf("a sample of %d bytes", n), maxLine))
		return
	}
	begin := 0
	if k := len(r.chunks); k > 1 {
		begin = r.chunks[k-2].end
	}
	if len(r.chunks) == 0 || len(r.lines)-begin > r.cfg.MaxBundle {
		r.chunks = append(r.chunks, chunk{caller: callerOf(thing)})
	}
	c := &r.chunks[len(r.chunks)-1]
	c.end = len(r.lines)
	c.readings++
	c.values += len(r.values)
	if clamped {
		c.clamped++
	}
}
