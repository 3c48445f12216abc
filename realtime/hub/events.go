package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/sse"
)

// ServeEvents makes the request a stream of server-sent events, or of lines of
// JSON, of v. Over plain HTTP/1.1 it returns at once and the stream goes on by
// itself; otherwise it returns when the stream ends.
func (h *Hub) ServeEvents(w http.ResponseWriter, r *http.Request, v Viewer) {
	q, status, problem := readQuery(r, &h.limits)
	switch {
	case v.User == "":
		status, problem = http.StatusUnauthorized, &realtime.Problem{Code: codeSignIn, Message: "sign in, or send a token: curl -H 'Authorization: Bearer …'"}
	case problem == nil && len(q.subs) == 0:
		status, problem = http.StatusBadRequest, &realtime.Problem{Code: realtime.CodeMalformed, At: "?path", Message: "which things? /events?path=plant/**; " + aPath}
	}
	if problem != nil {
		writeProblem(w, status, problem)
		return
	}
	address := addressOf(r, v)
	if refused := h.door.enter(v.User, address); refused != nil {
		turnBack(w, r, &q, &refused.Problem, refused.retry)
		return
	}
	if q.replay {
		if problem := h.openEvents(r.Context(), &q, v); problem != nil {
			h.door.leave(v.User, address)
			turnBack(w, r, &q, problem, 5*time.Second)
			return
		}
	} else if q.since != "" {
		q.old = h.recall(r.Context(), v, parseCursor(q.since), q.subs)
	}
	sse.SetHeaders(w.Header())
	if q.wire == lines {
		w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	}
	if r.ProtoMajor == 1 && r.TLS == nil {
		h.hijack(w, r, v, address, q)
		return
	}
	h.handle(w, r, v, address, q)
}

// turnBack answers a request for a stream that there is no room for now.
//
// Any status but 200 ends a browser's EventSource for good: a server that stopped
// would lose all that come back before it is gone. So it is told in its own words
// when to come back. Scripts, whatever they accept, get the status.
func turnBack(w http.ResponseWriter, r *http.Request, q *query, p *realtime.Problem, retry time.Duration) {
	status := statusOf(p)
	switch p.Code {
	case realtime.CodeTooMany:
		status = http.StatusTooManyRequests
	case realtime.CodeUnavailable:
		status = http.StatusServiceUnavailable
	}
	if status != statusOf(p) {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Seconds()))))
		if q.wire == eventStream && r.Header.Get("Accept") == "text/event-stream" && strings.HasPrefix(r.UserAgent(), "Mozilla/") {
			g := goodbye{word: p.Code, message: p.Message, reconnectIn: retry}
			b, _ := json.Marshal(g.frame()) // numbers and text cannot fail to be encoded
			sse.SetHeaders(w.Header())
			w.Write(sse.AppendEvent(sse.AppendRetry(nil, retry), "", "bye", b)) // who is gone misses nothing
			return
		}
	}
	writeProblem(w, status, p)
}

// openEvents opens the past that a stream begins with, so that what is wrong
// with it can still be said by the status.
func (h *Hub) openEvents(ctx context.Context, q *query, v Viewer) *realtime.Problem {
	if h.replayer == nil {
		return &realtime.Problem{Code: realtime.CodeUnavailable, Message: "this server keeps no history to replay"}
	}
	if p := h.gallery.enter(v.User); p != nil {
		return p
	}
	past := Past{See: v.See}
	for _, sub := range q.subs {
		past.Patterns = append(past.Patterns, sub.Path)
	}
	r, err := h.openReel(ctx, past, q.course)
	if err != nil {
		h.gallery.leave(v.User)
		p := *h.pastProblem(err)
		if p.At == "/from" {
			p.At = "?replay" // where this client wrote it
		}
		return &p
	}
	q.reel = r
	return nil
}

// abandonReel lets go of a past that nobody came to look at.
func (h *Hub) abandonReel(q query, v Viewer) {
	if q.reel != nil {
		q.reel.close()
		h.gallery.leave(v.User)
	}
}

// hijack takes the connection out of the HTTP server, so that an idle stream
// has no goroutine.
func (h *Hub) hijack(w http.ResponseWriter, r *http.Request, v Viewer, address string, q query) {
	nc, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		h.door.leave(v.User, address)
		h.abandonReel(q, v)
		q.old.free()
		if nc != nil {
			nc.Close()
		}
		h.log.Error("a stream could not be taken over", "error", err)
		writeProblem(w, http.StatusInternalServerError, &realtime.Problem{Code: realtime.CodeUnavailable, Message: "this server cannot stream here"})
		return
	}
	head := []byte("HTTP/1.1 200 OK\r\nConnection: close\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	for name, values := range w.Header() {
		for _, value := range values {
			head = append(head, name+": "+oneHeader.Replace(value)+"\r\n"...)
		}
	}
	c := h.newConn(q.wire, r, v, address, nc)
	c.answers = append(head, '\r', '\n')
	if !h.start(c, q) {
		q.old.free()
		h.abandon(c)
		h.abandonReel(q, v)
	}
}

// oneHeader keeps a value on its line.
var oneHeader = strings.NewReplacer("\r", " ", "\n", " ")

// handle streams through the handler, which is the only way over HTTP/2.
func (h *Hub) handle(w http.ResponseWriter, r *http.Request, v Viewer, address string, q query) {
	out, err := sse.Stream(w, h.limits.Stall)
	if err != nil {
		h.door.leave(v.User, address)
		h.abandonReel(q, v)
		q.old.free()
		return
	}
	c := h.newConn(q.wire, r, v, address, nil)
	relay := newRelay(c, func() { out.Abort() })
	c.sink = relay
	if !h.start(c, q) {
		q.old.free()
		h.abandon(c)
		h.abandonReel(q, v)
		return
	}
	relay.run(r.Context(), out.Write)
}

// start hands the stream to its shard.
func (h *Hub) start(c *conn, q query) bool {
	return c.shard.post(func(s *shard) {
		s.add(c)
		if c.wire == eventStream {
			c.answers = sse.AppendRetry(c.answers, 2*time.Second+rand.N(3*time.Second))
		}
		s.greet(c)
		if q.reel != nil {
			s.beginPast(c, q.reel, q.subs)
			return
		}
		if q.since != "" {
			s.resume(c, parseCursor(q.since), q.subs, nil, q.old)
			return
		}
		for i := range q.subs {
			s.sub(c, &q.subs[i], nil, "?")
		}
	})
}

// A query is what a request for a stream asks for.
type query struct {
	wire  wire
	subs  []subRequest
	since string
	old   *recalled // for since

	replay bool
	course course
	reel   *reel // once it is open
}

func readQuery(r *http.Request, l *Limits) (query, int, *realtime.Problem) {
	q := query{wire: eventStream, since: r.Header.Get("Last-Event-ID")}
	values := r.URL.Query()
	if since := values.Get("since"); since != "" && q.since == "" {
		q.since = since
	}
	switch format := values.Get("format"); {
	case format == "ndjson" || format == "" && wantsLines(r.Header.Get("Accept")):
		q.wire = lines
	case format != "" && format != "sse":
		return q, http.StatusBadRequest, &realtime.Problem{Code: realtime.CodeMalformed, At: "?format", Message: fmt.Sprintf("format %.20q is neither sse nor ndjson", format)}
	}
	subs, problem := subsOf(r, l)
	q.subs = subs
	if problem == nil {
		problem = q.readReplay(values)
	}
	return q, statusOf(problem), problem
}

// readReplay reads ?replay=…&to=…&speed=…. A cursor of a replay is the moment
// where it goes on.
func (q *query) readReplay(values url.Values) *realtime.Problem {
	q.replay = values.Has("replay")
	if !q.replay {
		return nil
	}
	text := func(name string) json.RawMessage {
		if values.Get(name) == "" {
			return nil
		}
		b, _ := json.Marshal(values.Get(name)) // a string can always be encoded
		return b
	}
	r := replayRequest{From: text("replay"), To: text("to")}
	if r.From == nil {
		return &realtime.Problem{Code: realtime.CodeMalformed, At: "?replay", Message: "from when? ?replay=2026-11-23T08:00:00Z&speed=10"}
	}
	if s := values.Get("speed"); s != "" {
		speed, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return &realtime.Problem{Code: realtime.CodeMalformed, At: "?speed", Message: fmt.Sprintf("speed %.20q is no number", s)}
		}
		r.Speed = &speed
	}
	var p *realtime.Problem
	if q.course, p = r.read(course{speed: 1}, time.Now(), "?"); p != nil {
		if p.At == "?from" {
			p.At = "?replay"
		}
		return p
	}
	at := parseCursor(q.since)
	q.since = ""
	if strings.HasPrefix(at.epoch, replayEpoch) && at.seq > uint64(q.course.from.UnixMilli()) && at.seq < 1e14 {
		q.course.from = time.UnixMilli(int64(at.seq)).UTC()
		if !q.course.to.IsZero() && q.course.from.After(q.course.to) {
			q.course.from = q.course.to
		}
	}
	return nil
}

func statusOf(p *realtime.Problem) int {
	switch {
	case p == nil:
		return http.StatusOK
	case p.Code == realtime.CodeOutOfRange:
		return http.StatusUnprocessableEntity
	}
	return http.StatusBadRequest
}

// wantsLines says whether lines of JSON are what the client would rather have.
func wantsLines(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		switch t, _, _ := mime.ParseMediaType(part); t {
		case "application/x-ndjson", "application/ndjson", "application/jsonl":
			return true
		case "text/event-stream", "*/*":
			return false
		}
	}
	return false
}

// subsOf reads ?path=…&fields=a,b&rate=2; path may be repeated.
func subsOf(r *http.Request, l *Limits) ([]subRequest, *realtime.Problem) {
	values := r.URL.Query()
	one := subRequest{}
	for _, f := range values["fields"] {
		for name := range strings.SplitSeq(f, ",") {
			if name != "" {
				one.Fields = append(one.Fields, name)
			}
		}
	}
	if text := values.Get("rate"); text != "" {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, &realtime.Problem{Code: realtime.CodeMalformed, At: "?rate", Message: fmt.Sprintf("rate %.20q is no number", text)}
		}
		one.Rate = &rate
	}
	paths := values["path"]
	if len(paths) > l.Subscriptions {
		most := float64(l.Subscriptions)
		return nil, &realtime.Problem{Code: realtime.CodeTooMany, At: "?path", Maximum: &most, Message: fmt.Sprintf("at most %d paths", l.Subscriptions)}
	}
	var subs []subRequest
	for _, path := range paths {
		s := one
		s.Path = path
		if p := s.check(l, "?"); p != nil {
			return nil, p
		}
		subs = append(subs, s)
	}
	return subs, nil
}

func addressOf(r *http.Request, v Viewer) string {
	if v.Address != "" {
		return v.Address
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// writeProblem answers as the rest of HTTP does.
func writeProblem(w http.ResponseWriter, status int, p *realtime.Problem) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may be gone, and that is all an error can mean here.
	_ = json.NewEncoder(w).Encode(struct {
		Error   string   `json:"error"`
		Code    string   `json:"code"`
		At      string   `json:"at,omitempty"`
		Minimum *float64 `json:"minimum,omitempty"`
		Maximum *float64 `json:"maximum,omitempty"`
	}{p.Message, p.Code, p.At, p.Minimum, p.Maximum})
}
