// Package upstreamtest is a chat completions server that does what a test tells
// it to, over real HTTP.
//
// A script is a list of Answers, one for each request; the last one answers all
// further requests. What was asked is kept for the test to look at. Every Answer
// returns when its client leaves, so Close never hangs.
package upstreamtest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// A Request is what a client asked.
type Request struct {
	Header   http.Header     `json:"-"`
	Model    string          `json:"model"`
	Stream   bool            `json:"stream"`
	Messages []Message       `json:"messages"`
	Tools    json.RawMessage `json:"tools"`
	Choice   any             `json:"tool_choice"`
	MaxToken *int64          `json:"max_tokens"`
	Options  *struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// A Message is one turn as it went over the wire.
type Message struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCalls  []struct {
		ID       string `json:"id"`
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

// Text is the content if that is a string.
func (m Message) Text() string {
	var s string
	_ = json.Unmarshal(m.Content, &s)
	return s
}

// Server is the upstream. URL ends in /v1, as a base URL does.
type Server struct {
	URL string

	http *httptest.Server
	mu   sync.Mutex
	// guarded by mu
	script   []Answer
	requests []Request
	dials    int
	left     int
}

// Start runs a server with a script. Close it.
func Start(script ...Answer) *Server {
	s := &Server{script: script}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			s.dials++
			s.mu.Unlock()
		}
	}
	s.http.Start()
	s.URL = s.http.URL + "/v1"
	return s
}

// Close ends the server and all of its answers.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Script replaces what further requests get.
func (s *Server) Script(script ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Requests are all requests so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Dials is how many connections were made, and Left how many requests were
// given up by their client.
func (s *Server) Dials() int { s.mu.Lock(); defer s.mu.Unlock(); return s.dials }
func (s *Server) Left() int  { s.mu.Lock(); defer s.mu.Unlock(); return s.left }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/chat/completions" || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	q := Request{Header: r.Header}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, `{"error":{"message":"bad JSON"}}`, http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, q)
	answer := Say("ok")
	if len(s.script) > 0 {
		answer = s.script[0]
	}
	if len(s.script) > 1 {
		s.script = s.script[1:]
	}
	s.mu.Unlock()
	answer(&Call{Request: q, w: w, r: r})
	if r.Context().Err() != nil {
		s.mu.Lock()
		s.left++
		s.mu.Unlock()
	}
}

// An Answer answers one request.
type Answer func(*Call)

// A Call is a request that is being answered.
type Call struct {
	Request Request
	w       http.ResponseWriter
	r       *http.Request
	begun   bool
}

// Head begins a stream. Everything below does so by itself.
func (c *Call) Head() {
	if !c.begun {
		c.begun = true
		c.w.Header().Set("Content-Type", "text/event-stream")
		c.w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(c.w).Flush()
	}
}

// Raw writes bytes as they are, at once.
func (c *Call) Raw(s string) {
	c.Head()
	_, _ = c.w.Write([]byte(s))
	_ = http.NewResponseController(c.w).Flush()
}

// Delta writes one event whose delta has these members, given as JSON.
func (c *Call) Delta(members string) {
	c.Raw(`data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{` + members + `},"finish_reason":null}]}` + "\n\n")
}

// Text writes one event for each word.
func (c *Call) Text(words ...string) {
	for _, w := range words {
		b, _ := json.Marshal(w)
		c.Delta(`"content":` + string(b))
	}
}

// Finish writes a finish_reason.
func (c *Call) Finish(reason string) {
	c.Raw(fmt.Sprintf(`data: {"choices":[{"index":0,"delta":{},"finish_reason":%q}]}`, reason) + "\n\n")
}

// Usage writes what the request cost, if the client asked for that.
func (c *Call) Usage(in, out int) {
	if c.Request.Options != nil && c.Request.Options.Usage {
		c.Raw(fmt.Sprintf(`data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`, in, out, in+out) + "\n\n")
	}
}

// Done writes the end.
func (c *Call) Done() { c.Raw("data: [DONE]\n\n") }

// Wait waits for d, or until the client leaves, and reports whether it stayed.
func (c *Call) Wait(d time.Duration) bool {
	select {
	case <-c.r.Context().Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Until waits for ch, or until the client leaves.
func (c *Call) Until(ch <-chan struct{}) {
	select {
	case <-c.r.Context().Done():
	case <-ch:
	}
}

// Hang waits until the client leaves.
func (c *Call) Hang() { <-c.r.Context().Done() }

// Reset tears the connection down with a TCP reset.
func (c *Call) Reset() { c.drop(0) }

// Cut closes the connection in the middle, without the end that HTTP demands.
func (c *Call) Cut() { c.drop(-1) }

func (c *Call) drop(linger int) {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && linger == 0 {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Status answers with a status, headers ("Retry-After: 7") and a body.
func Status(code int, body string, headers ...string) Answer {
	return func(c *Call) {
		for _, h := range headers {
			k, v, _ := strings.Cut(h, ": ")
			c.w.Header().Set(k, v)
		}
		c.w.WriteHeader(code)
		_, _ = c.w.Write([]byte(body))
	}
}

// Say streams words and ends as it should, with 10 tokens in and one out for
// each word.
func Say(words ...string) Answer {
	return func(c *Call) {
		c.Text(words...)
		c.Finish("stop")
		c.Usage(10, len(words))
		c.Done()
	}
}

// Slowly streams words with a pause after each.
func Slowly(pause time.Duration, words ...string) Answer {
	return func(c *Call) {
		for _, w := range words {
			c.Text(w)
			if !c.Wait(pause) {
				return
			}
		}
		c.Finish("stop")
		c.Usage(10, len(words))
		c.Done()
	}
}

// Use asks for one tool call, with its arguments in three pieces.
func Use(name, args string) Answer {
	return func(c *Call) {
		c.Delta(fmt.Sprintf(`"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":%q,"arguments":""}}]`, name))
		for _, part := range []string{args[:len(args)/2], args[len(args)/2:]} {
			b, _ := json.Marshal(part)
			c.Delta(`"tool_calls":[{"index":0,"function":{"arguments":` + string(b) + `}}]`)
		}
		c.Finish("tool_calls")
		c.Usage(20, 5)
		c.Done()
	}
}

// Do is an Answer of the test's own.
func Do(f func(*Call)) Answer { return f }
