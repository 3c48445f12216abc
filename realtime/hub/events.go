package hub

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
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
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(refused.retry.Seconds()))))
		status := http.StatusTooManyRequests
		if refused.Code == realtime.CodeUnavailable {
			status = http.StatusServiceUnavailable
		}
		writeProblem(w, status, &refused.Problem)
		return
	}
	sse.SetHeaders(w.Header())
	if q.wire == lines {
		w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	}
	if r.ProtoMajor == 1 && r.TLS == nil {
		h.hijack(w, v, address, q)
		return
	}
	h.handle(w, r, v, address, q)
}

// hijack takes the connection out of the HTTP server, so that an idle stream
// has no goroutine.
func (h *Hub) hijack(w http.ResponseWriter, v Viewer, address string, q query) {
	nc, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		h.door.leave(v.User, address)
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
	c := h.newConn(q.wire, v, address, nc)
	c.answers = append(head, '\r', '\n')
	if !h.start(c, q) {
		h.abandon(c)
	}
}

// oneHeader keeps a value on its line.
var oneHeader = strings.NewReplacer("\r", " ", "\n", " ")

// handle streams through the handler, which is the only way over HTTP/2.
func (h *Hub) handle(w http.ResponseWriter, r *http.Request, v Viewer, address string, q query) {
	out, err := sse.Stream(w, h.limits.Stall)
	if err != nil {
		h.door.leave(v.User, address)
		return
	}
	c := h.newConn(q.wire, v, address, nil)
	relay := newRelay(c, func() { out.Abort() })
	c.sink = relay
	if !h.start(c, q) {
		h.abandon(c)
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
		if q.since != "" {
			s.resume(c, parseCursor(q.since), q.subs, nil)
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
	return q, statusOf(problem), problem
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
