package server

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"echotwin/gpt"
	"echotwin/realtime/sse"
)

type chatHead struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
}

type chatAnswer struct {
	chatHead
	Choices []chatChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage,omitempty"`
}

type chatChoice struct {
	Index   int          `json:"index"`
	Message *chatMessage `json:"message,omitempty"`
	Delta   *chatDelta   `json:"delta,omitempty"`
	Finish  *string      `json:"finish_reason"`
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatUsage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Total      int64 `json:"total_tokens"`
}

func chatUsageOf(u gpt.Usage) *chatUsage { return &chatUsage{u.Input, u.Output, u.Input + u.Output} }

// A chatStream writes a run as chunks of a chat completion.
type chatStream struct {
	c     echo.Context
	head  chatHead
	out   *sse.Writer // nil until something is to be said
	buf   []byte
	usage bool
}

// streamChat streams a run. Nothing is sent until the first word, or the first
// heartbeat: a failure before it still has a status of its own, which clients
// act on. After it a failure is an error object and a cut, and never [DONE].
func (s *Server) streamChat(c echo.Context, run *gpt.Run, head chatHead, usage bool) error {
	head.Object = "chat.completion.chunk"
	w := &chatStream{c: c, head: head, usage: usage}
	for news, err := range run.Events(c.Request().Context(), 0, heartbeat) {
		if err != nil {
			return nil // the reader left
		}
		for _, e := range news {
			if text := e.Text; text != "" {
				w.chunk(chatChoice{Delta: &chatDelta{Content: &text}})
			}
		}
		if len(news) == 0 {
			w.buf = sse.AppendComment(w.buf, "hb")
		}
		if w.flush() != nil {
			return nil
		}
	}
	out, err := run.Wait(c.Request().Context())
	if err != nil {
		return nil
	}
	return w.end(out)
}

// end finishes the stream, or answers an error when nothing was sent yet.
func (w *chatStream) end(out gpt.Outcome) error {
	if err := unfinished(out); err != nil {
		if w.out == nil {
			return err
		}
		b, _ := json.Marshal(map[string]any{"error": toOpenAIError(w.c, err)})
		w.buf = sse.AppendEvent(w.buf, "", "", b)
		_ = w.flush()
		panic(http.ErrAbortHandler) // so that the cut is seen as one
	}
	w.chunk(chatChoice{Delta: &chatDelta{}, Finish: chatFinish(out.Finish)})
	if w.usage {
		w.event(chatAnswer{w.head, []chatChoice{}, chatUsageOf(out.Usage)})
	}
	w.buf = sse.AppendEvent(w.buf, "", "", []byte("[DONE]"))
	_ = w.flush()
	return nil
}

func (w *chatStream) chunk(choice chatChoice) { w.event(chatAnswer{w.head, []chatChoice{choice}, nil}) }

func (w *chatStream) event(v any) {
	b, _ := json.Marshal(v)
	w.buf = sse.AppendEvent(w.buf, "", "", b)
}

// flush sends what was appended, with the headers and the opening chunk before
// the first of it.
func (w *chatStream) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	if w.out == nil {
		first := w.buf
		w.buf = nil
		empty := ""
		w.chunk(chatChoice{Delta: &chatDelta{Role: "assistant", Content: &empty}})
		w.buf = append(w.buf, first...)
		var err error
		if w.out, err = sse.Open(w.c.Response(), 0); err != nil {
			return err
		}
	}
	err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}
