package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/gpt"
	"echotwin/server/auth"
)

// openAIRoutes let any OpenAI client be a client: set its base URL to …/v1 and
// its key to a token of ours. The tools are the server's own, so that the
// answers are grounded on the plant all the same.
func (s *Server) openAIRoutes(limit echo.MiddlewareFunc) {
	s.post("/v1/chat/completions", auth.Ask, limit(s.chatCompletions), s.openAIErrors)
	s.get("/v1/models", auth.Ask, s.openAIModels, s.openAIErrors)
	s.get("/v1/models/:model", auth.Ask, s.openAIModel, s.openAIErrors)
}

// An openAIError is an error in the shape that OpenAI clients read.
type openAIError struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   string `json:"param,omitempty"`
	Code    string `json:"code,omitempty"`

	status int
}

func (e *openAIError) Error() string { return e.Message }

func badParam(param, message string) error {
	return &openAIError{message, "invalid_request_error", param, "invalid_" + param, http.StatusBadRequest}
}

// openAIErrors answers every error under /v1 in OpenAI's shape.
func (s *Server) openAIErrors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err == nil || c.Response().Committed {
			return err
		}
		e := toOpenAIError(c, err)
		if e.status == http.StatusInternalServerError {
			s.log.Error("request failed", "path", clip(c.Request().URL.Path), "err", err)
		}
		return noStore(c).JSON(e.status, map[string]any{"error": e})
	}
}

// toOpenAIError translates an error and sets the headers that go with it.
func toOpenAIError(c echo.Context, err error) *openAIError {
	var e *openAIError
	var f *gpt.Failure
	switch {
	case errors.As(err, &e):
	case errors.As(err, &f):
		retryAfter(c, f)
		e = &openAIError{Message: f.Message, Code: string(f.Code), status: gptStatus(f.Code)}
	default:
		g := failureOf(err, c.Request().URL.Path)
		g.headers(c)
		e = &openAIError{Message: g.Error, Code: g.Code, Param: strings.TrimPrefix(g.At, "/"), status: g.status}
	}
	if e.Type == "" {
		e.Type = "invalid_request_error"
		if e.status >= 500 {
			e.Type = "server_error"
		}
	}
	return e
}

// A chatRequest is what of a chat completion request has a meaning here; the
// rest is ignored, as other servers do.
type chatRequest struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string      `json:"role"`
		Content chatContent `json:"content"`
	} `json:"messages"`
	Stream        bool `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Temperature         *float64          `json:"temperature"`
	TopP                *float64          `json:"top_p"`
	MaxTokens           *int64            `json:"max_tokens"`
	MaxCompletionTokens *int64            `json:"max_completion_tokens"`
	N                   *int              `json:"n"`
	Tools               []json.RawMessage `json:"tools"`
}

// chatContent is a string, or parts of which only text is understood.
type chatContent struct {
	text  string
	other string // the type of a part that is no text
}

func (t *chatContent) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		return json.Unmarshal(b, &t.text)
	}
	var parts []struct{ Type, Text string }
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		if p.Type != "text" {
			t.other = "the part type " + strconv.Quote(p.Type)
		}
		t.text += p.Text
	}
	return nil
}

// ask is the request as a question, or why it cannot be one.
func (q *chatRequest) ask(c echo.Context, model string) (gpt.Ask, error) {
	switch {
	case q.Model != "" && q.Model != model && q.Model != "echotwin":
		return gpt.Ask{}, &openAIError{"The model is " + model + "; others are not served here.", "invalid_request_error", "model", "model_not_found", http.StatusNotFound}
	case len(q.Tools) > 0:
		return gpt.Ask{}, badParam("tools", "The tools here are the server's own; leave yours out.")
	case q.N != nil && *q.N != 1:
		return gpt.Ask{}, badParam("n", "Only one answer at a time: n is 1.")
	}
	a := gpt.Ask{Asker: asker(c), Messages: []gpt.Message{}, Options: gpt.Options{Temperature: q.Temperature, TopP: q.TopP, MaxTokens: q.MaxTokens}}
	if a.Options.MaxTokens == nil {
		a.Options.MaxTokens = q.MaxCompletionTokens
	}
	for _, m := range q.Messages {
		if m.Content.other != "" {
			return gpt.Ask{}, badParam("messages", "Only text can be read here, not "+clip(m.Content.other)+".")
		}
		a.Messages = append(a.Messages, gpt.Message{Role: m.Role, Text: m.Content.text})
	}
	return a, nil
}

// chatCompletions answers POST /v1/chat/completions.
func (s *Server) chatCompletions(c echo.Context) error {
	var q chatRequest
	if err := decode(c, questionBody, &q); err != nil {
		return err
	}
	a, err := q.ask(c, s.Runs.Setup().Model)
	if err != nil {
		return err
	}
	run, err := s.Runs.Start(a)
	if err != nil {
		return err
	}
	c.Response().Header().Set("X-Run-Id", run.ID())
	head := chatHead{ID: "chatcmpl-" + run.ID(), Created: time.Now().Unix(), Model: run.Model()}
	if q.Stream {
		return s.streamChat(c, run, head, q.StreamOptions.IncludeUsage)
	}
	out, err := run.Wait(c.Request().Context())
	if err != nil {
		return s.Runs.Cancel(a.User, run.ID())
	}
	if err := unfinished(out); err != nil {
		return err
	}
	head.Object = "chat.completion"
	return noStore(c).JSON(http.StatusOK, chatAnswer{head, []chatChoice{{
		Message: &chatMessage{"assistant", out.Text}, Finish: chatFinish(out.Finish),
	}}, chatUsageOf(out.Usage)})
}

// unfinished is why an answer is not one to be had as whole.
func unfinished(out gpt.Outcome) error {
	switch {
	case out.Failure != nil:
		return out.Failure
	case out.Finish == codeCancelled:
		return &openAIError{"The answer was stopped before its end.", "invalid_request_error", "", codeCancelled, http.StatusConflict}
	}
	return nil
}

// chatFinish is a finish in OpenAI's words; the limit of look-ups is one of
// length to them.
func chatFinish(finish string) *string {
	if finish != "stop" {
		finish = "length"
	}
	return &finish
}

// openAIModels answers GET /v1/models: the one model, if there is one.
func (s *Server) openAIModels(c echo.Context) error {
	list := []any{}
	if setup := s.Runs.Setup(); setup.Configured {
		list = append(list, modelOf(setup.Model))
	}
	return noStore(c).JSON(http.StatusOK, map[string]any{"object": "list", "data": list})
}

// openAIModel answers GET /v1/models/{model}.
func (s *Server) openAIModel(c echo.Context) error {
	if setup := s.Runs.Setup(); setup.Configured && setup.Model == c.Param("model") {
		return noStore(c).JSON(http.StatusOK, modelOf(setup.Model))
	}
	return &openAIError{"There is no such model here; GET /v1/models lists those that are.", "invalid_request_error", "model", "model_not_found", http.StatusNotFound}
}

func modelOf(id string) any {
	return struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}{id, "model", 0, "echotwin"}
}
