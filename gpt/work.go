package gpt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/openai/openai-go/v3"
)

// A job is a run while it is being worked on.
type job struct {
	*Runs
	run      *Run
	messages []openai.ChatCompletionMessageParamUnion
	asker    Asker
	extra    string // system prompt of an OpenAI client
	options  Options
	up       int // which upstream
	calls    int // tool calls so far
	cited    int
	quotes   map[string]bool
	spent    usage
}

// work takes a run from its question to its end.
func (r *Runs) work(ctx context.Context, run *Run, ask Ask) {
	defer run.cancel(nil)
	j := &job{Runs: r, run: run, asker: ask.Asker, options: ask.Options, quotes: map[string]bool{}, spent: usage{known: true}}
	finish, err := j.answer(ctx, ask)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	run.mu.Lock()
	text, first := run.text.String(), run.first
	run.mu.Unlock()
	total := time.Since(run.begun)
	spent := Usage{Input: j.spent.in, Output: j.spent.out, Estimated: !j.spent.known}

	var f *Failure
	reason := ""
	switch {
	case errors.Is(err, errStopped), errors.Is(err, errNobody):
		finish, reason = "cancelled", err.Error()
	case err != nil && !errors.As(err, &f):
		f = fail(CodeInternal, err)
	}
	if f != nil {
		r.cfg.Log.Warn("assistant: run failed", "run", run.id, "user", run.user, "code", f.Code, "upstream", r.upstreams[j.up].host, "cause", j.redact(f.cause))
	} else if ask.Messages == nil && text != "" {
		r.conversations.add(run.user, run.conversation, ask.Question, text)
	}
	r.over(run, j.spent)
	r.stats.ended(f, finish, j.spent, first)
	if f != nil {
		run.end(Outcome{Failure: f, Usage: spent}, "failed", failedEvent{"failed", f.Code, f.Message, f.Retryable, f.RetryAfter.Seconds()})
		return
	}
	run.end(Outcome{Finish: finish, Usage: spent}, "done", doneEvent{"done", finish, reason, spent, first.Milliseconds(), total.Milliseconds()})
}

type failedEvent struct {
	Type       string  `json:"type"`
	Code       Code    `json:"code"`
	Message    string  `json:"message"`
	Retryable  bool    `json:"retryable"`
	RetryAfter float64 `json:"retry_after,omitempty"` // seconds
}

type doneEvent struct {
	Type   string `json:"type"`
	Finish string `json:"finish"`
	Reason string `json:"reason,omitempty"` // of cancelled
	Usage  Usage  `json:"usage"`
	First  int64  `json:"ttft_ms"`
	Total  int64  `json:"total_ms"`
}

func (j *job) status(status string) {
	j.run.emit("status", statusEvent{Type: "status", Status: status})
}

type statusEvent struct {
	Type   string `json:"type"`
	Status string `json:"status"`          // queued, thinking or retrying
	Model  string `json:"model,omitempty"` // of retrying: who answers now
}

// answer asks, calls the tools that the model wants, and asks again, until the
// model has answered in words.
func (j *job) answer(ctx context.Context, ask Ask) (finish string, err error) {
	defer func() {
		if p := recover(); p != nil { // a tool of ours; its run fails, the server does not
			j.cfg.Log.Error("assistant: panic", "run", j.run.id, "panic", p, "stack", string(debug.Stack()))
			err = fail(CodeInternal, fmt.Errorf("panic: %v", p))
		}
	}()
	select {
	case j.slots <- struct{}{}:
	default:
		j.status("queued")
		select {
		case j.slots <- struct{}{}:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	defer func() { <-j.slots }()
	ctx, cancel := context.WithTimeoutCause(ctx, j.limits.MaxRun, errRunTime)
	defer cancel()
	defer func() { // told here, where the run's own limit is known
		if cause := context.Cause(ctx); cause != nil && err != nil {
			err = cause
		}
	}()

	j.messages, j.extra = j.prompt(ask)
	for round := 1; ; round++ {
		force := round >= j.limits.MaxRounds || j.calls >= j.limits.MaxCalls
		out, err := j.round(ctx, round, force)
		if err != nil {
			return "", err
		}
		switch {
		case out.finish == "length", out.finish == "max_tokens":
			return "length", nil
		case out.finish == "content_filter":
			return "", fail(CodeFiltered, nil)
		case len(out.calls) > 0 && force && !j.run.started():
			return "", failf(CodeToolLoop, "The assistant asked for data %d times without answering.", j.calls)
		case len(out.calls) > 0 && force:
			return "tool_limit", nil
		case len(out.calls) > 0:
			j.callTools(ctx, out)
			if err := context.Cause(ctx); err != nil {
				return "", err
			}
			continue
		case out.text == "":
			return "", fail(CodeNoText, fmt.Errorf("finish_reason %q", out.finish))
		case force:
			return "tool_limit", nil
		}
		return "stop", nil
	}
}

// A reply is what the model said in one round.
type reply struct {
	text   string
	calls  []call
	finish string
}

// round asks once, or twice when the first upstream fails before its first
// token and there is a second.
func (j *job) round(ctx context.Context, round int, force bool) (reply, error) {
	j.status("thinking")
	for {
		out, err := j.ask(ctx, round, force)
		if err == nil || ctx.Err() != nil || out.text != "" || j.run.started() || j.up+1 >= len(j.upstreams) {
			return out, err
		}
		var f *Failure
		errors.As(err, &f)
		j.cfg.Log.Warn("assistant: using the fallback", "run", j.run.id, "upstream", j.upstreams[j.up].host, "code", f.Code, "cause", j.redact(f.cause))
		j.up++
		j.run.emit("status", statusEvent{"status", "retrying", j.upstreams[j.up].model})
	}
}

func (j *job) ask(ctx context.Context, round int, force bool) (reply, error) {
	up := j.upstreams[j.up]
	s, err := up.open(ctx, request{system: j.system, messages: j.messages, tools: j.toolParams, force: force, options: j.options})
	if err != nil {
		return reply{}, err
	}
	defer s.close(j.working.Go)
	var out reply
	var text []byte
	chunks := int64(0)
	for {
		var p piece
		if p, err = s.next(); err != nil {
			break
		}
		chunks++
		if len(text)+len(p.text) > j.limits.MaxAnswer {
			s.finish, err = "length", io.EOF
			break
		}
		if len(text) == 0 && len(p.text) > 0 && j.run.started() {
			j.run.say([]byte("\n\n")) // what was said before a look-up is a paragraph of its own
		}
		text = append(text, p.text...)
		j.run.say(p.text)
	}
	out.text, out.calls, out.finish = string(text), s.calls.whole(round), s.finish
	j.spent.add(s.spent(chunks, len(j.system(true))+sizeOf(j.messages)))
	if err == io.EOF {
		err = nil
	}
	return out, err
}

// spent is the usage of one request, counted here when the upstream, or the
// reader who left, did not let it be told.
func (s *stream) spent(chunks int64, sent int) usage {
	if s.usage.known {
		return s.usage
	}
	return usage{in: int64(sent / 4), out: chunks}
}

// started reports whether a reader may have seen text.
func (r *Run) started() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Len() > 0
}
