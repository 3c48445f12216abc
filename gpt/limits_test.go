package gpt

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"echotwin/gpt/upstreamtest"
)

func TestS17NoKeySaysWhatToSet(t *testing.T) {
	r := newRuns(t, Config{})
	_, err := r.Start(Ask{Question: "Hello?"})
	if err == nil || err.Error() != "Missing OPENAI_API_KEY" {
		t.Fatalf("got %v", err)
	}
	var f *Failure
	errors.As(err, &f)
	var names []string
	for _, h := range f.How {
		names = append(names, h.For)
		if len(h.Lines) == 0 {
			t.Errorf("%s: no lines", h.For)
		}
	}
	if f.Code != CodeMissingKey || !slices.Equal(names, []string{"OpenAI", "Ollama", "llama.cpp"}) {
		t.Errorf("got %+v", f)
	}
	if s := r.Setup(); s.Configured || len(s.How) != 3 || s.MaxQuestion != 1000 {
		t.Errorf("setup %+v", s)
	}
	if s := newRuns(t, Config{BaseURL: "http://127.0.0.1:1/v1", Model: "qwen3"}).Setup(); !s.Configured || s.Model != "qwen3" || s.How != nil {
		t.Errorf("a local server needs no key: %+v", s)
	}
	if newRuns(t, Config{BaseURL: "https://api.openai.com/v1"}).Setup().Configured {
		t.Error("OpenAI itself needs a key")
	}
}

func TestQuestionsThatAreRefused(t *testing.T) {
	up := upstreamFor(t)
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{MaxMessages: 100, BannedWords: []string{"Bom", "phá hoại", " "}}})
	for _, c := range []struct {
		ask  Ask
		want Code
	}{
		{Ask{}, CodeEmpty},
		{Ask{Question: " \n\t "}, CodeEmpty},
		{Ask{Question: strings.Repeat("ờ", 1001)}, CodeTooLong},
		{Ask{Question: strings.Repeat("ờ", 1000)}, ""},
		{Ask{Question: "How to build a BOM?"}, CodeBannedWord},
		{Ask{Question: "cách “phá\n hoại” máy"}, CodeBannedWord},
		{Ask{Question: "the bomb is a bombardier"}, ""},
		{Ask{Question: "x", Conversation: "../x"}, CodeMalformed},
		{Ask{Question: "x", Conversation: strings.Repeat("x", 65)}, CodeMalformed},
		{Ask{Messages: []Message{}}, CodeEmpty},
		{Ask{Messages: []Message{{"user", "hi"}, {"assistant", "yes"}}}, CodeEmpty},
		{Ask{Messages: []Message{{"tool", "hi"}}}, CodeMalformed},
		{Ask{Messages: []Message{{"user", strings.Repeat("x", 101)}}}, CodeTooLong},
		{Ask{Messages: []Message{{"user", "bom"}, {"user", "hi"}}}, CodeBannedWord},
		{Ask{Messages: []Message{{"system", "bom"}, {"user", "hi"}}}, ""},
	} {
		run, err := r.Start(c.ask)
		if code(err) != c.want {
			t.Errorf("%.60q %v: got %v, want %q", c.ask.Question, c.ask.Messages, err, c.want)
		}
		if run != nil {
			wait(t, run)
		}
	}
	if n := len(up.Requests()); n != 3 {
		t.Errorf("%d questions reached the upstream, want 3", n)
	}
}

func TestRunsAtOnce(t *testing.T) {
	go1 := make(chan struct{})
	up := upstreamFor(t, func(c *upstreamtest.Call) { c.Until(go1); upstreamtest.Say("ok")(c) })
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{MaxRunsPerUser: 2, MaxRuns: 2, MaxQueued: 1}})
	first, second := start(t, r, "ana", "1"), start(t, r, "ana", "2")
	if _, err := r.Start(Ask{Asker: Asker{User: "ana"}, Question: "3"}); code(err) != CodeTooManyRuns {
		t.Errorf("third of ana: %v", err)
	}
	eventually(t, "both are asked", func() bool { return len(up.Requests()) == 2 })
	queued := start(t, r, "bob", "1")
	if _, err := r.Start(Ask{Asker: Asker{User: "cho"}, Question: "1"}); code(err) != CodeBusy {
		t.Errorf("beyond the queue: %v", err)
	}
	if s := r.Stats(); s.Running != 3 || s.Refused[CodeBusy] != 1 || s.Refused[CodeTooManyRuns] != 1 {
		t.Errorf("stats %+v", s)
	}
	close(go1)
	for _, run := range []*Run{first, second, queued} {
		if out := wait(t, run); out.Text != "ok" {
			t.Errorf("outcome %+v", out)
		}
	}
	if es := all(t, queued); !strings.Contains(string(es[1].Data), "queued") {
		t.Errorf("bob was not told that he waits: %s", es[1].Data)
	}
	ask(t, r, "room again?")
}

// Whoever has read the end of one run may at once begin the next.
func TestTheNextQuestionAtOnce(t *testing.T) {
	up := upstreamFor(t)
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{MaxRunsPerUser: 1}})
	for range 200 {
		ask(t, r, "Next?")
	}
}

func TestAQueuedRunCanBeStopped(t *testing.T) {
	up := upstreamFor(t, (*upstreamtest.Call).Hang)
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{MaxRuns: 1}})
	start(t, r, "ana", "1")
	eventually(t, "it is asked", func() bool { return len(up.Requests()) == 1 })
	queued := start(t, r, "bob", "1")
	if err := r.Cancel("bob", queued.ID()); err != nil {
		t.Fatal(err)
	}
	if out := wait(t, queued); out.Finish != "cancelled" {
		t.Errorf("outcome %+v", out)
	}
}

func TestTokensADay(t *testing.T) {
	up := upstreamFor(t, upstreamtest.Say("a", "b"))
	day := time.Date(2026, 11, 23, 23, 0, 0, 0, time.UTC)
	r := newRuns(t, Config{BaseURL: up.URL, Now: func() time.Time { return day }, Limits: Limits{TokensPerDay: 20}})
	ask(t, r, "1") // 12 tokens
	ask(t, r, "2")
	if _, err := r.Start(Ask{Asker: Asker{User: "ana"}, Question: "3"}); code(err) != CodeTokensPerDay {
		t.Errorf("beyond the limit: %v", err)
	}
	wait(t, start(t, r, "bob", "his own count"))
	day = day.Add(2 * time.Hour)
	ask(t, r, "a new day")
}

func TestARunMayNotTakeForEver(t *testing.T) {
	up := upstreamFor(t, func(c *upstreamtest.Call) {
		for c.Wait(5 * time.Millisecond) {
			c.Delta(`"reasoning_content":"hmm"`)
		}
	})
	r := newRuns(t, Config{BaseURL: up.URL, Limits: Limits{MaxRun: 100 * time.Millisecond}})
	if _, out := ask(t, r, "Think"); out.Failure == nil || out.Failure.Code != CodeRunTooLong {
		t.Errorf("outcome %+v", out)
	}
}

func TestStatsCountEnds(t *testing.T) {
	up := upstreamFor(t, upstreamtest.Say("a", "b"), upstreamtest.Status(401, ``))
	r := newRuns(t, Config{BaseURL: up.URL})
	ask(t, r, "1")
	ask(t, r, "2")
	s := r.Stats()
	if s.Ended["stop"] != 1 || s.Ended[string(CodeKeyRefused)] != 1 || s.TokensIn != 10 || s.TokensOut != 2 || s.FirstN != 1 || s.FirstCount[len(s.FirstCount)-1] != 1 || s.Running != 0 {
		t.Errorf("stats %+v", s)
	}
}
