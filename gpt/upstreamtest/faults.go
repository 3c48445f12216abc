package upstreamtest

import (
	"strings"
	"time"
)

// A Fault is one way in which an upstream fails.
type Fault struct {
	Name   string
	Answer Answer
}

// Faults are all of them that happen after the connection stands. Those that
// stall or are silent do so until the client leaves.
func Faults() []Fault {
	half := func(then func(*Call)) Answer {
		return func(c *Call) {
			c.Text("The pump ", "runs")
			then(c)
		}
	}
	return []Fault{
		{"401", Status(401, `{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}`)},
		{"403 as text", Status(403, `forbidden`)},
		{"404 model", Status(404, `{"error":"model 'x' not found, try pulling it first"}`)},
		{"400", Status(400, `{"object":"error","message":"context length exceeded","code":400}`)},
		{"429", Status(429, `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`, "Retry-After: 7")},
		{"429 quota", Status(429, `{"error":{"message":"You exceeded your quota","type":"insufficient_quota"}}`, "Retry-After: 60")},
		{"500 empty", Status(500, ``, "Retry-After: 9")},
		{"503 HTML", Status(503, `<html>busy</html>`, "Retry-After: 9")},
		{"stall before headers", (*Call).Hang},
		{"stall after headers", func(c *Call) { c.Head(); c.Hang() }},
		{"stall after role", func(c *Call) { c.Delta(`"role":"assistant","content":""`); c.Hang() }},
		{"stall between tokens", half((*Call).Hang)},
		{"keep-alives before tokens", func(c *Call) { keepAlive(c) }},
		{"keep-alives between tokens", half(keepAlive)},
		{"empty deltas for ever", half(func(c *Call) {
			for c.Wait(pause) {
				c.Delta(`"content":""`)
			}
		})},
		{"clean cut", half(func(*Call) {})},
		{"clean cut before tokens", func(c *Call) { c.Head() }},
		{"empty body", Status(200, ``)},
		{"cut within chunked coding", half((*Call).Cut)},
		{"reset", half((*Call).Reset)},
		{"reset before headers", (*Call).Reset},
		{"garbage", half(func(c *Call) { c.Raw("data: {oops\n\n"); c.Finish("stop"); c.Done() })},
		{"JSON of another kind", half(func(c *Call) { c.Raw("data: [1,2]\n\n"); c.Done() })},
		{"cut within an event", half(func(c *Call) { c.Raw(`data: {"choices":[{"index":0,"del`) })},
		{"HTML with 200", Status(200, "<!doctype html><title>Sign in</title>", "Content-Type: text/html")},
		{"text with 200", Status(200, "Hello from a proxy", "Content-Type: text/plain")},
		{"JSON without choices", Status(200, `{"hello":"world"}`, "Content-Type: application/json")},
		{"broken JSON with 200", Status(200, `{"choices":[{"mess`, "Content-Type: application/json")},
		{"event: error", half(func(c *Call) { c.Raw("event: error\ndata: {\"message\":\"engine crashed\"}\n\n"); c.Done() })},
		{"error: line", half(func(c *Call) { c.Raw("error: {\"code\":500,\"message\":\"slot lost\"}\n\n") })},
		{"error object in a stream", half(func(c *Call) {
			c.Raw("data: {\"error\":{\"message\":\"engine crashed\",\"code\":\"x\"}}\n\n")
			c.Done()
		})},
		{"bare error object", half(func(c *Call) { c.Raw("{\"error\":\"engine crashed\"}\n") })},
		{"error object with 200", Status(200, `{"error":{"message":"no such engine","code":404}}`, "Content-Type: application/json")},
		{"error object as stream", func(c *Call) { c.Raw(`{"error":{"message":"no"}}`) }},
		{"over-long line", half(func(c *Call) { c.Raw("data: " + strings.Repeat("x", 3<<20)); c.Hang() })},
		{"over-long event", half(func(c *Call) {
			for range 64 {
				c.Raw("data: " + strings.Repeat("x", 60<<10) + "\n")
			}
			c.Hang()
		})},
		{"endless tool arguments", func(c *Call) {
			for range 200 {
				c.Delta(`"tool_calls":[{"index":0,"id":"a","function":{"name":"read_state","arguments":"` + strings.Repeat("y", 1000) + `"}}]`)
			}
			c.Hang()
		}},
		{"too many tool calls", func(c *Call) {
			for range 100 {
				c.Delta(`"tool_calls":[{"index":999,"function":{"name":"read_state","arguments":"{}"}}]`)
			}
			c.Hang()
		}},
		{"content filter", half(func(c *Call) { c.Finish("content_filter"); c.Done() })},
		{"no text", func(c *Call) { c.Finish("stop"); c.Done() }},
	}
}

const pause = 5 * time.Millisecond

func keepAlive(c *Call) {
	for c.Wait(pause) {
		c.Raw(": keep-alive\n\n")
	}
}
