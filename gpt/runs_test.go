package gpt

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"echotwin/gpt/upstreamtest"
)

// quick are limits that let a test see every time-out.
var quick = Limits{TimeoutFirst: 1500 * time.Millisecond, Idle: 500 * time.Millisecond, MaxLine: 1 << 20}

func newRuns(t *testing.T, cfg Config) *Runs {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	r := New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func upstreamFor(t *testing.T, script ...upstreamtest.Answer) *upstreamtest.Server {
	t.Helper()
	s := upstreamtest.Start(script...)
	t.Cleanup(s.Close)
	return s
}

// ask runs a question to its end.
func ask(t *testing.T, r *Runs, question string) (*Run, Outcome) {
	t.Helper()
	run, err := r.Start(Ask{Asker: Asker{User: "ana"}, Question: question})
	if err != nil {
		t.Fatal(err)
	}
	return run, wait(t, run)
}

func wait(t *testing.T, run *Run) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := run.Wait(ctx)
	if err != nil {
		t.Fatalf("run hangs: %v", err)
	}
	return out
}

func all(t *testing.T, run *Run) []Event {
	t.Helper()
	wait(t, run)
	var out []Event
	for es := range run.Events(context.Background(), 0, 0) {
		out = append(out, es...)
	}
	return out
}

func kinds(es []Event) string {
	var out []string
	for _, e := range es {
		out = append(out, e.Type)
	}
	return strings.Join(out, " ")
}

func TestEveryFaultEndsInItsOwnCode(t *testing.T) {
	want := map[string]Code{
		"401": CodeKeyRefused, "403 as text": CodeKeyRefused, "404 model": CodeUnknownModel, "400": CodeRejected,
		"429": CodeRateLimited, "429 quota": CodeQuota, "500 empty": CodeServerError, "503 HTML": CodeServerError,
		"stall before headers": CodeTimeout, "stall after headers": CodeTimeout, "stall after role": CodeSilent,
		"stall between tokens": CodeStalled, "keep-alives before tokens": CodeSilent, "keep-alives between tokens": CodeSilent,
		"empty deltas for ever": CodeSilent, "clean cut": CodeCut, "clean cut before tokens": CodeCut, "empty body": CodeCut,
		"cut within chunked coding": CodeCut, "reset": CodeReset, "reset before headers": CodeReset,
		"garbage": CodeGarbage, "JSON of another kind": CodeGarbage, "cut within an event": CodeGarbage,
		"HTML with 200": CodeNotAStream, "text with 200": CodeNotAStream, "JSON without choices": CodeNotAStream, "broken JSON with 200": CodeGarbage,
		"event: error": CodeErrorInside, "error: line": CodeErrorInside, "error object in a stream": CodeErrorInside,
		"bare error object": CodeErrorInside, "error object with 200": CodeErrorInside, "error object as stream": CodeErrorInside,
		"over-long line": CodeLineTooLong, "over-long event": CodeLineTooLong, "endless tool arguments": CodeLineTooLong, "too many tool calls": CodeLineTooLong,
		"content filter": CodeFiltered, "no text": CodeNoText,
	}
	faults := upstreamtest.Faults()
	if len(faults) != len(want) {
		t.Errorf("%d faults, %d expectations", len(faults), len(want))
	}
	for _, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			up := upstreamFor(t, f.Answer)
			_, out := ask(t, newRuns(t, Config{BaseURL: up.URL, APIKey: "sk-test", Limits: quick}), "How is the pump?")
			if out.Failure == nil {
				t.Fatalf("ended well (finish %q, text %q)", out.Finish, out.Text)
			}
			if out.Failure.Code != want[f.Name] {
				t.Errorf("code %q, want %q (%v)", out.Failure.Code, want[f.Name], out.Failure.cause)
			}
			if out.Failure.Message == "" {
				t.Error("nothing for people to read")
			}
		})
	}
}

func TestFaultsOfTheWayThere(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := upstreamFor(t)
	noDNS := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server")
		},
	}}).DialContext}}
	for name, c := range map[string]struct {
		cfg  Config
		want Code
	}{
		"nobody listens": {Config{BaseURL: "http://" + closed.Addr().String() + "/v1"}, CodeRefused},
		"no such name":   {Config{BaseURL: "http://model.invalid/v1", Client: noDNS}, CodeUnknownHost},
		"no TLS there":   {Config{BaseURL: strings.Replace(plain.URL, "http:", "https:", 1)}, CodeTLS},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Limits = Limits{TimeoutFirst: 5 * time.Second}
			_, out := ask(t, newRuns(t, c.cfg), "Anyone?")
			if out.Failure == nil || out.Failure.Code != c.want {
				t.Errorf("got %+v, want %s", out.Failure, c.want)
			}
		})
	}
}

// What looks odd but is whole must not fail.
func TestHarmlessOddities(t *testing.T) {
	choice := func(delta string) string { return `{"choices":[{"index":0,"delta":` + delta + `}]}` }
	const end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	raw := func(s string) upstreamtest.Answer { return func(c *upstreamtest.Call) { c.Raw(s) } }
	for name, c := range map[string]struct {
		answer upstreamtest.Answer
		want   string
	}{
		"error is null":             {raw("data: {\"error\":null,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"}}]}\n\n" + end), "ok"},
		"CRLF":                      {raw(strings.ReplaceAll("data: "+choice(`{"content":"ok"}`)+"\n\n"+end, "\n", "\r\n")), "ok"},
		"BOM":                       {raw("\ufeffdata: " + choice(`{"content":"ok"}`) + "\n\n" + end), "ok"},
		"no space after the colon":  {raw("data:" + choice(`{"content":"ok"}`) + "\n\n" + end), "ok"},
		"no blank line at the end":  {raw("data: " + choice(`{"content":"ok"}`) + "\n\ndata: [DONE]"), "ok"},
		"no newline after finish":   {raw(`data: {"choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop"}]}`), "ok"},
		"data on several lines":     {raw("data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"ok\"}}]}\n\n" + end), "ok"},
		"keep-alives between":       {raw(": hi\n\ndata: " + choice(`{"content":"o"}`) + "\n\n: hi\n\ndata: " + choice(`{"content":"k"}`) + "\n\n" + end), "ok"},
		"named events and ids":      {raw("event: message\nid: 7\nretry: 10\ndata: " + choice(`{"content":"ok"}`) + "\n\n" + end), "ok"},
		"null content":              {raw("data: " + choice(`{"role":"assistant","content":null}`) + "\n\ndata: " + choice(`{"content":"ok"}`) + "\n\n" + end), "ok"},
		"content in parts":          {raw("data: " + choice(`{"content":[{"type":"text","text":"o"},{"type":"text","text":"k"}]}`) + "\n\n" + end), "ok"},
		"thoughts are not the text": {raw("data: " + choice(`{"reasoning_content":"hmm"}`) + "\n\ndata: " + choice(`{"reasoning":"so"}`) + "\n\ndata: " + choice(`{"content":"ok"}`) + "\n\n" + end), "ok"},
		"a refusal is text":         {raw("data: " + choice(`{"refusal":"no"}`) + "\n\n" + end), "no"},
		"other choices":             {raw("data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}},{\"index\":0,\"delta\":{\"content\":\"ok\"}}]}\n\n" + end), "ok"},
		"no [DONE]":                 {func(c *upstreamtest.Call) { c.Text("ok"); c.Finish("stop") }, "ok"},
		"no finish_reason":          {func(c *upstreamtest.Call) { c.Text("ok"); c.Done() }, "ok"},
		"never closes":              {func(c *upstreamtest.Call) { c.Text("ok"); c.Finish("stop"); c.Hang() }, "ok"},
		"reset after the finish":    {func(c *upstreamtest.Call) { c.Text("ok"); c.Finish("stop"); c.Reset() }, "ok"},
		"does not stream":           {upstreamtest.Status(200, `{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`, "Content-Type: application/json"), "ok"},
		"split rune as bytes":       {raw("data: " + choice("{\"content\":\"b\xc6\"}") + "\n\ndata: " + choice("{\"content\":\"\xa1m \xe1\xbb\"}") + "\n\ndata: " + choice("{\"content\":\"\xa7\"}") + "\n\n" + end), "b\u01a1m \u1ee7"},
		"split surrogate pair":      {raw("data: " + choice(`{"content":"a\ud83d"}`) + "\n\ndata: " + choice(`{"content":"\ude00b"}`) + "\n\n" + end), "a😀b"},
		"half a rune at the end":    {raw("data: " + choice("{\"content\":\"a\xe1\xbb\"}") + "\n\n" + end), "a\ufffd"},
		"escapes":                   {raw("data: " + choice(`{"content":"\u00e1\n\t\"\\\/<b>\ud83d\ude00"}`) + "\n\n" + end), "á\n\t\"\\/<b>😀"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := upstreamFor(t, c.answer)
			run, out := ask(t, newRuns(t, Config{BaseURL: up.URL, Limits: quick}), "Well?")
			if out.Failure != nil || out.Text != c.want || out.Finish != "stop" {
				t.Errorf("got %q, finish %q, failure %v; want %q", out.Text, out.Finish, out.Failure, c.want)
			}
			var told strings.Builder
			for _, e := range all(t, run) {
				told.WriteString(e.Text)
			}
			if told.String() != c.want {
				t.Errorf("deltas say %q, want %q", told.String(), c.want)
			}
		})
	}
}

func TestEventsAreTheTableOfTheDesign(t *testing.T) {
	up := upstreamFor(t, upstreamtest.Say("Xin ", "chào"))
	run, out := ask(t, newRuns(t, Config{BaseURL: up.URL, Model: "m1"}), "Chào?")
	if out.Text != "Xin chào" || out.Usage != (Usage{Input: 10, Output: 2}) {
		t.Errorf("outcome %+v", out)
	}
	es := all(t, run)
	if es[0].Type != "start" || es[1].Type != "status" || es[2].Type != "delta" || es[2].Text != "Xin " || !es[len(es)-1].Last() {
		t.Errorf("events: %s", kinds(es))
	}
	for i, e := range es {
		var inside struct {
			Type, Run, Conversation, Model, Finish string
			Usage                                  Usage
		}
		if err := json.Unmarshal(e.Data, &inside); err != nil || inside.Type != e.Type || e.ID != i+1 {
			t.Errorf("event %d: id %d, %s", i+1, e.ID, e.Data)
		}
		switch e.Type {
		case "start":
			if inside.Run != run.ID() || inside.Conversation != run.Conversation() || inside.Model != "m1" {
				t.Errorf("start: %s", e.Data)
			}
		case "done":
			if inside.Finish != "stop" || inside.Usage.Input != 10 {
				t.Errorf("done: %s", e.Data)
			}
		}
	}
}

func TestFinishLengthIsTold(t *testing.T) {
	up := upstreamFor(t, func(c *upstreamtest.Call) { c.Text("half"); c.Finish("length"); c.Done() })
	if _, out := ask(t, newRuns(t, Config{BaseURL: up.URL}), "Tell me all"); out.Finish != "length" || out.Text != "half" {
		t.Errorf("upstream's limit: %+v", out)
	}
	up.Script(func(c *upstreamtest.Call) {
		for c.Wait(0) {
			c.Text(strings.Repeat("x", 100))
		}
	})
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{MaxAnswer: 1000}})
	if _, out := ask(t, r, "Tell me all"); out.Finish != "length" || len(out.Text) != 1000 {
		t.Errorf("our limit: finish %q, %d bytes", out.Finish, len(out.Text))
	}
}
