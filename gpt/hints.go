package gpt

// A Hint is one way to give the assistant a model, as lines for .env.
type Hint struct {
	For   string   `json:"for"`
	Lines []string `json:"lines"`
}

var hints = []Hint{
	{"OpenAI", []string{"OPENAI_API_KEY=sk-..."}},
	{"Ollama", []string{"OPENAI_BASE_URL=http://127.0.0.1:11434/v1", "OPENAI_MODEL=qwen3"}},
	{"llama.cpp", []string{"OPENAI_BASE_URL=http://127.0.0.1:8080/v1", "OPENAI_MODEL=local"}},
}

// A Setup is what the drawer shows before the first question.
type Setup struct {
	Configured  bool   `json:"configured"`
	Model       string `json:"model,omitempty"`
	MaxQuestion int    `json:"max_question"`
	How         []Hint `json:"how,omitempty"` // when it is not configured
}

// Setup tells whether questions can be asked and, if not, what to set.
func (r *Runs) Setup() Setup {
	if len(r.upstreams) == 0 {
		return Setup{MaxQuestion: r.limits.MaxQuestion, How: hints}
	}
	return Setup{Configured: true, Model: r.cfg.Model, MaxQuestion: r.limits.MaxQuestion}
}
