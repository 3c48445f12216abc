package server

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"echotwin/gpt"
	"echotwin/gpt/upstreamtest"
)

// scriptToken turns the site's client, who is signed in, into a script without
// a cookie, and returns the script's token.
func (s *site) scriptToken(things ...string) string {
	s.Helper()
	body, _ := json.Marshal(map[string]any{"name": "script", "scopes": []string{"read"}, "things": things})
	a := s.do("POST", "/api/tokens", string(body))
	a.want(s.T, 201, "")
	s.client = newClient()
	return a.json(s.T)["token"].(string)
}

func TestAnyOpenAIClientIsAClient(t *testing.T) {
	s, up := withModel(t, gpt.Config{}, upstreamtest.Say("Xin ", "chào"))
	token := s.scriptToken()
	client := openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(token))
	ask := openai.ChatCompletionNewParams{Model: "m1", Messages: []openai.ChatCompletionMessageParamUnion{
		openai.SystemMessage("Be brief."), openai.UserMessage("Một"), openai.AssistantMessage("Hai"), openai.UserMessage("Ba?"),
	}}
	whole, err := client.Chat.Completions.New(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if c := whole.Choices[0]; c.Message.Content != "Xin chào" || c.FinishReason != "stop" || whole.Usage.TotalTokens != 12 || whole.Model != "m1" {
		t.Errorf("got %s", whole.RawJSON())
	}
	ms := up.Requests()[0].Messages
	if len(ms) != 4 || ms[3].Text() != "Ba?" || !strings.Contains(ms[0].Text(), "Echotwin") || !strings.HasSuffix(ms[0].Text(), "Be brief.") {
		t.Errorf("the upstream was asked %+v", ms)
	}
	ask.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(t.Context(), ask)
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if c := acc.Choices[0]; c.Message.Content != "Xin chào" || c.FinishReason != "stop" || acc.Usage.TotalTokens != 12 {
		t.Errorf("stream: got %+v", acc.ChatCompletion)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "m1" {
		t.Errorf("models %+v, %v", models, err)
	}
	if m, err := client.Models.Get(t.Context(), "m1"); err != nil || m.ID != "m1" {
		t.Errorf("model %+v, %v", m, err)
	}
	_, err = client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: "gpt-9", Messages: ask.Messages})
	if e, ok := err.(*openai.Error); !ok || e.StatusCode != 404 || e.Code != "model_not_found" {
		t.Errorf("another model: %v", err)
	}
}

func TestChatStreamOnTheWire(t *testing.T) {
	s, _ := withModel(t, gpt.Config{}, upstreamtest.Say("ok"))
	res := s.open("POST", "/v1/chat/completions", `{"model":"echotwin","stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Well?"}]}]}`)
	all := frames(res.Body, -1)
	if n := len(all); n != 4 || all[n-1].data != "[DONE]" || !strings.Contains(all[0].data, `"role":"assistant"`) || !strings.Contains(all[n-2].data, `"finish_reason":"stop"`) || strings.Contains(all[1].data, "usage") {
		t.Errorf("frames %+v", all)
	}
	for _, f := range all[:len(all)-1] {
		var k struct {
			ID, Object string
			Choices    []json.RawMessage
		}
		if err := json.Unmarshal([]byte(f.data), &k); err != nil || f.event != "" || f.id != "" || !strings.HasPrefix(k.ID, "chatcmpl-run_") || k.Object != "chat.completion.chunk" {
			t.Errorf("frame %+v", f)
		}
	}
}

func TestChatErrorsAreOpenAIs(t *testing.T) {
	s, _ := withModel(t, gpt.Config{}, upstreamtest.Status(429, `{"error":{"message":"slow down"}}`, "Retry-After: 7"))
	user := `[{"role":"user","content":"?"}]`
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		`{"messages":` + user + `,"n":2}`:                                 {400, "invalid_n"},
		`{"messages":` + user + `,"tools":[{}]}`:                          {400, "invalid_tools"},
		`{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`: {400, "invalid_messages"},
		`{"messages":[]}`: {400, "empty_question"},
		`{"messages":[{"role":"tool","content":"x"}]}`:                                  {400, "malformed"},
		`{"messages":[{"role":"user","content":"` + strings.Repeat("x", 70000) + `"}]}`: {400, "question_too_long"},
		`{"messages":`:                            {400, "malformed"},
		`{"messages":` + user + `}`:               {502, "upstream_rate_limited"},
		`{"messages":` + user + `,"stream":true}`: {502, "upstream_rate_limited"},
	} {
		a := s.do("POST", "/v1/chat/completions", body)
		e, _ := a.json(t)["error"].(map[string]any)
		if a.StatusCode != want.status || e["code"] != want.code || e["message"] == "" || e["type"] == "" {
			t.Errorf("%.80s: got %d %s, want %d %s", body, a.StatusCode, a.body, want.status, want.code)
		}
		if want.status == 502 && a.Header.Get("Retry-After") != "7" {
			t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
		}
	}
	anybody := newSite(t)
	a := anybody.get("/v1/models")
	if e, _ := a.json(t)["error"].(map[string]any); a.StatusCode != 401 || e["code"] != "unauthorized" {
		t.Errorf("without a token: %d %s", a.StatusCode, a.body)
	}
	anybody.login()
	if a := anybody.get("/v1/models"); a.StatusCode != 200 || len(a.json(t)["data"].([]any)) != 0 {
		t.Errorf("without a model: %d %s", a.StatusCode, a.body)
	}
}

// A token that is limited to some things does not see others through the
// assistant.
func TestATokensLimitHoldsForTheAssistant(t *testing.T) {
	seen := make(chan gpt.Asker, 1)
	s, up := withModel(t, gpt.Config{Tools: []gpt.Tool{spy{seen}}}, upstreamtest.Use("spy", `{}`), upstreamtest.Say("ok"))
	bearer := "Authorization: Bearer " + s.scriptToken("plant/line1/**")
	a := s.do("POST", "/api/gpt", question, bearer)
	a.want(t, 200, "")
	if who := <-seen; who.User != "admin" || !who.Sees("plant/line1/pump") || who.Sees("plant/line2/pump") {
		t.Errorf("the tool was asked by %+v", who)
	}
	if n := len(up.Requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
	res := s.open("GET", "/api/gpt/runs/"+a.Header.Get("X-Run-Id")+"/events", "", bearer)
	if b, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(b), `"name":"spy"`) {
		t.Errorf("events %s, %v", b, err)
	}
}

// spy is a tool that notes who asked.
type spy struct{ seen chan gpt.Asker }

func (spy) Name() string           { return "spy" }
func (spy) Description() string    { return "notes who asks" }
func (spy) Schema() map[string]any { return map[string]any{"type": "object"} }

func (t spy) Call(_ context.Context, who gpt.Asker, _ json.RawMessage) (gpt.Result, error) {
	t.seen <- who
	return gpt.Result{Data: "noted"}, nil
}
