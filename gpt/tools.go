package gpt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
)

// A Tool is something the model may look at. It must only read, may be called
// by many runs at once, and shows only what who may see.
type Tool interface {
	Name() string
	Description() string    // for the model
	Schema() map[string]any // JSON Schema of the arguments

	// Call gets arguments that are a JSON object, and nothing else about them is
	// certain. The text of an error is told to the model, which may try again.
	Call(ctx context.Context, who Asker, args json.RawMessage) (Result, error)
}

// A Result is what a tool found.
type Result struct {
	Data      any    // JSON for the model; text of devices only inside its strings
	Summary   string // a line for people, of ours
	Values    []Value
	Citations []Citation
}

// A Value is one that a tool read, as it is shown beside the answer.
type Value struct {
	Thing    string          `json:"thing"`
	Property string          `json:"property"`
	Value    json.RawMessage `json:"value"`
	Unit     string          `json:"unit,omitempty"`
	Age      float64         `json:"age"` // seconds
	Quality  string          `json:"quality"`
}

// A Citation is one source of an answer.
type Citation struct {
	Kind  string    // manual, state, history or alarm
	Title string    // for people
	Ref   string    // where to look: the id of a thing, of an alarm, of a page
	Quote string    // what was read there
	At    time.Time // when it was so
}

const (
	toolTimeout  = 10 * time.Second
	maxResult    = 32 << 10 // bytes of one result that go to the model
	maxCitations = 24       // of one run
	maxValues    = 50       // of one call, to be shown
)

type toolEvent struct {
	Type    string          `json:"type"`
	Call    string          `json:"call"`
	Name    string          `json:"name"`
	Args    json.RawMessage `json:"args,omitempty"`
	State   string          `json:"state"` // running, ok or error
	Ms      int64           `json:"ms,omitempty"`
	Summary string          `json:"summary,omitempty"`
	Values  []Value         `json:"values,omitempty"`
}

type citationEvent struct {
	Type  string `json:"type"`
	N     int    `json:"n"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
	Ref   string `json:"ref"`
	Quote string `json:"quote"`
	At    string `json:"at,omitempty"`
}

// callTools does what the model asked for and appends both to the conversation.
// Every call gets an answer, since upstreams refuse a conversation in which one
// is missing.
func (j *job) callTools(ctx context.Context, out reply) {
	said := openai.ChatCompletionAssistantMessageParam{}
	if out.text != "" {
		said.Content.OfString = openai.String(out.text)
	}
	for _, c := range out.calls {
		said.ToolCalls = append(said.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{
			OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
				ID:       c.id,
				Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: c.name, Arguments: c.args},
			},
		})
	}
	j.messages = append(j.messages, openai.ChatCompletionMessageParamUnion{OfAssistant: &said})
	for _, c := range out.calls {
		answer := `{"error":"this run has used all its tool calls; answer with what you have"}`
		if j.calls < j.limits.MaxCalls && ctx.Err() == nil {
			j.calls++
			answer = j.callTool(ctx, c)
		}
		j.messages = append(j.messages, openai.ToolMessage(answer, c.id))
	}
}

func (j *job) callTool(ctx context.Context, c call) string {
	ev := toolEvent{Type: "tool", Call: c.id, Name: clip(c.name, 64), State: "running"}
	if json.Valid([]byte(c.args)) {
		ev.Args = json.RawMessage(c.args)
	}
	j.run.emit("tool", ev)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	res, err := j.find(ctx, c)
	var data []byte
	if err == nil {
		data, err = json.Marshal(res.Data)
	}
	if err == nil && len(data) > maxResult {
		err = fmt.Errorf("the result has %d bytes, more than %d; ask for less", len(data), maxResult)
	}
	ev.Ms = time.Since(begun).Milliseconds()
	if err != nil {
		ev.State, ev.Summary = "error", clip(err.Error(), 200)
		j.run.emit("tool", ev)
		data, _ = json.Marshal(map[string]string{"error": clip(err.Error(), 1000)})
		return string(data)
	}
	ev.State, ev.Summary, ev.Values = "ok", clip(res.Summary, 200), res.Values[:min(len(res.Values), maxValues)]
	j.run.emit("tool", ev)
	j.cite(res.Citations)
	return string(data)
}

func (j *job) find(ctx context.Context, c call) (Result, error) {
	t := j.tools[c.name]
	if t == nil {
		names := make([]string, 0, len(j.cfg.Tools))
		for _, t := range j.cfg.Tools {
			names = append(names, t.Name())
		}
		return Result{}, fmt.Errorf("there is no tool %q; there is %s", clip(c.name, 64), strings.Join(names, ", "))
	}
	args := json.RawMessage(strings.TrimSpace(c.args))
	if !json.Valid(args) || args[0] != '{' {
		return Result{}, errors.New("the arguments are not a JSON object")
	}
	return t.Call(ctx, j.asker, args)
}

// cite shows sources, each once, numbered through the run.
func (j *job) cite(cs []Citation) {
	for _, c := range cs {
		key := c.Kind + "\x00" + c.Ref + "\x00" + c.Quote
		if j.cited >= maxCitations || j.quotes[key] {
			continue
		}
		j.quotes[key] = true
		j.cited++
		ev := citationEvent{Type: "citation", N: j.cited, Kind: c.Kind, Title: clip(c.Title, 120), Ref: c.Ref, Quote: clip(c.Quote, 400)}
		if !c.At.IsZero() {
			ev.At = c.At.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		j.run.emit("citation", ev)
	}
}
