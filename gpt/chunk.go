package gpt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A chunk is one event of a streamed answer, or a whole answer that was not
// streamed; the same names serve for both.
type chunk struct {
	Choices []struct {
		Index   int     `json:"index"`
		Delta   message `json:"delta"`
		Message message `json:"message"`
		Finish  string  `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		In  int64 `json:"prompt_tokens"`
		Out int64 `json:"completion_tokens"`
	} `json:"usage"`
	Error upstreamWords `json:"error"`
}

type message struct {
	Content          text       `json:"content"`
	Refusal          text       `json:"refusal"`
	Reasoning        given      `json:"reasoning"`
	ReasoningContent given      `json:"reasoning_content"`
	ToolCalls        []callPart `json:"tool_calls"`
}

// A callPart is a piece of one tool call; arguments come in as many as the
// upstream likes.
type callPart struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string    `json:"name"`
		Arguments arguments `json:"arguments"`
	} `json:"function"`
}

// given is true when a member is there and says something.
type given bool

func (g *given) UnmarshalJSON(b []byte) error {
	*g = given(len(b) > 2 && !bytes.Equal(b, []byte("null")))
	return nil
}

// arguments are text that holds JSON, or the JSON itself, as Ollama once sent.
type arguments text

func (a *arguments) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		*a = appendUnquoted(nil, b[1:len(b)-1])
	case '{':
		*a = append((*a)[:0], b...)
	}
	return nil
}

// upstreamWords is an error in any of the shapes that servers give it: a
// string, or an object with some of message, type and code.
type upstreamWords struct {
	set                 bool
	message, kind, code string
}

func (w *upstreamWords) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil // harmless: several servers send it with every chunk
	}
	w.set = true
	if json.Unmarshal(b, &w.message) == nil {
		return nil
	}
	var o struct {
		Message, Detail any
		Type, Code      any
	}
	if json.Unmarshal(b, &o) != nil {
		w.message = string(b)
		return nil
	}
	word := func(vs ...any) string {
		for _, v := range vs {
			if v != nil {
				return fmt.Sprint(v)
			}
		}
		return ""
	}
	w.message, w.kind, w.code = word(o.Message, o.Detail), word(o.Type), word(o.Code)
	return nil
}

func (w upstreamWords) Error() string {
	return clip(strings.Join(strings.Fields(w.message+" "+w.kind+" "+w.code), " "), 300)
}

// clip cuts s to at most n runes and says so.
func clip(s string, n int) string {
	i := 0
	for at := range s {
		if i++; i > n {
			return s[:at] + "…"
		}
	}
	return s
}

// A call is one tool call, whole when its stream is.
type call struct{ id, name, args string }

// calls puts tool calls together from their parts.
type calls struct {
	list    []call
	maxArgs int
	max     int
}

// add takes one part in. Parts belong together by index; without one, or when a
// server gives all of them index 0, a new id begins a new call.
func (c *calls) add(p callPart) error {
	i := len(c.list) - 1
	switch {
	case p.Index != nil && *p.Index >= 0 && *p.Index < len(c.list):
		i = *p.Index
		if p.ID != "" && c.list[i].id != "" && c.list[i].id != p.ID {
			i = c.find(p.ID)
		}
	case p.Index != nil, i < 0:
		i = len(c.list)
	case p.ID != "" && c.list[i].id != p.ID:
		i = c.find(p.ID)
	case p.ID == "" && p.Function.Name != "" && c.list[i].name != "" && json.Valid([]byte(c.list[i].args)):
		i = len(c.list) // neither index nor id: a name after whole arguments begins the next call
	}
	if i == len(c.list) {
		if i >= c.max {
			return fail(CodeLineTooLong, fmt.Errorf("more than %d tool calls in one answer", c.max))
		}
		c.list = append(c.list, call{})
	}
	at := &c.list[i]
	at.id = or(at.id, p.ID)
	if p.Function.Name != at.name { // some repeat it with every part
		at.name += p.Function.Name
	}
	if len(at.args)+len(p.Function.Arguments) > c.maxArgs || len(at.name) > 256 {
		return fail(CodeLineTooLong, fmt.Errorf("tool call %q is longer than %d bytes", clip(at.name, 64), c.maxArgs))
	}
	at.args += string(p.Function.Arguments)
	return nil
}

// find is the place of the call with this id, or of the next new one.
func (c *calls) find(id string) int {
	for i := range c.list {
		if c.list[i].id == id {
			return i
		}
	}
	return len(c.list)
}

// whole are the calls with an id each, which answers to them must carry.
func (c *calls) whole(round int) []call {
	for i := range c.list {
		at := &c.list[i]
		at.id = or(at.id, fmt.Sprintf("call_%d_%d", round, i+1))
		at.args = strings.ToValidUTF8(or(at.args, "{}"), "\uFFFD")
	}
	return c.list
}
