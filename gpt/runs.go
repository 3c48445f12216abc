package gpt

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/openai/openai-go/v3"
)

// Runs starts runs and keeps them. It may be used by many goroutines.
type Runs struct {
	cfg           Config
	limits        Limits
	banned        []string
	tools         map[string]Tool
	toolParams    []openai.ChatCompletionToolUnionParam
	upstreams     []*upstream // the second, if any, is the fallback; none without a key
	conversations *conversations
	stats         stats

	ctx     context.Context
	stop    context.CancelCauseFunc
	working sync.WaitGroup
	slots   chan struct{} // one for each run that may ask an upstream

	mu        sync.Mutex
	stopped   bool
	runs      map[string]*Run
	finished  []kept // oldest first
	keptBytes int
	running   map[string]int // by user
	tokens    map[string]int64
	day       string // that tokens counts
}

// kept is a finished run.
type kept struct {
	id    string
	bytes int
	at    time.Time
}

// New makes a Runs. It works without a key: only Start fails then.
func New(cfg Config) *Runs {
	cfg.Model = or(cfg.Model, DefaultModel)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Log = or(cfg.Log, slog.Default())
	cfg.Client = or(cfg.Client, newClient())
	l := cfg.Limits.withDefaults()
	ctx, stop := context.WithCancelCause(context.Background())
	r := &Runs{
		cfg: cfg, limits: l, tools: map[string]Tool{}, conversations: newConversations(),
		ctx: ctx, stop: stop, slots: make(chan struct{}, l.MaxRuns),
		runs: map[string]*Run{}, running: map[string]int{}, tokens: map[string]int64{},
	}
	for _, w := range l.BannedWords {
		if w = plainWords(w); w != "" {
			r.banned = append(r.banned, " "+w+" ")
		}
	}
	for _, t := range cfg.Tools {
		r.tools[t.Name()] = t
		r.toolParams = append(r.toolParams, toolParam(t))
	}
	if first := (Upstream{cfg.BaseURL, cfg.APIKey, cfg.Model}); first.usable() {
		r.upstreams = append(r.upstreams, newUpstream(first, cfg.Client, l))
		if cfg.Fallback.usable() {
			cfg.Fallback.Model = or(cfg.Fallback.Model, cfg.Model)
			r.upstreams = append(r.upstreams, newUpstream(cfg.Fallback, cfg.Client, l))
		}
	}
	return r
}

// An Ask is what a user wants to know.
type Ask struct {
	Asker
	Question string

	// Conversation continues an earlier one of this user; one that is not known
	// any more starts anew under the same id. Empty starts a new one.
	Conversation string

	// Messages, instead of Question, are a conversation that the client keeps
	// itself, as OpenAI's clients do. The last must be the user's.
	Messages []Message
	Options  Options
}

// A Message is one turn of a conversation.
type Message struct{ Role, Text string } // system, user or assistant

// Start begins a run, or returns a *Failure that says why not. The run does not
// end with the caller: see Grace.
func (r *Runs) Start(ask Ask) (*Run, error) {
	if len(r.upstreams) == 0 {
		f := fail(CodeMissingKey, nil)
		f.How = hints
		return nil, f
	}
	if err := r.check(&ask); err != nil {
		r.stats.refused(err.Code)
		return nil, err
	}
	run, ctx, err := r.admit(&ask)
	if err != nil {
		r.stats.refused(err.Code)
		return nil, err
	}
	run.emit("start", struct {
		Type         string `json:"type"`
		Run          string `json:"run"`
		Conversation string `json:"conversation,omitempty"`
		Model        string `json:"model"`
	}{"start", run.id, run.conversation, run.model})
	go func() {
		defer r.working.Done()
		r.work(ctx, run, ask)
	}()
	return run, nil
}

// check refuses what should not reach a model.
func (r *Runs) check(ask *Ask) *Failure {
	var asked []string
	if ask.Messages == nil {
		ask.Question = strings.TrimSpace(ask.Question)
		n := utf8.RuneCountInString(ask.Question)
		switch {
		case n == 0:
			return fail(CodeEmpty, nil)
		case n > r.limits.MaxQuestion:
			return failf(CodeTooLong, "The question has %d characters; at most %d are allowed.", n, r.limits.MaxQuestion)
		case ask.Conversation != "" && !validID(ask.Conversation):
			return failf(CodeMalformed, "A conversation id is 1 to 64 letters, digits, - or _.")
		}
		asked = append(asked, ask.Question)
	}
	size := 0
	for i, m := range ask.Messages {
		size += len(m.Text)
		switch m.Role {
		case "user":
			asked = append(asked, m.Text)
		case "system", "developer", "assistant":
		default:
			return failf(CodeMalformed, "Message %d has the role %q; system, user and assistant are known.", i, clip(m.Role, 40))
		}
	}
	if n := len(ask.Messages); ask.Messages != nil && (n == 0 || ask.Messages[n-1].Role != "user" || strings.TrimSpace(ask.Messages[n-1].Text) == "") {
		return failf(CodeEmpty, "The last message must be the user's and not empty.")
	}
	if size > r.limits.MaxMessages {
		return failf(CodeTooLong, "The messages have %d bytes; at most %d are allowed.", size, r.limits.MaxMessages)
	}
	for _, q := range asked {
		q = " " + plainWords(q) + " "
		for _, w := range r.banned {
			if strings.Contains(q, w) {
				return fail(CodeBannedWord, nil)
			}
		}
	}
	return nil
}

// admit makes the run if the user and the server have room for it.
func (r *Runs) admit(ask *Ask) (*Run, context.Context, *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	r.today()
	all := 0
	for _, n := range r.running {
		all += n
	}
	switch {
	case r.stopped:
		return nil, nil, errStopping
	case r.running[ask.User] >= r.limits.MaxRunsPerUser:
		return nil, nil, fail(CodeTooManyRuns, nil)
	case all >= r.limits.MaxRuns+r.limits.MaxQueued:
		return nil, nil, fail(CodeBusy, nil)
	case r.limits.TokensPerDay > 0 && r.tokens[ask.User] >= r.limits.TokensPerDay:
		return nil, nil, fail(CodeTokensPerDay, nil)
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	run := &Run{
		id: "run_" + strings.ToLower(rand.Text()), user: ask.User, conversation: ask.Conversation, model: r.cfg.Model,
		begun: time.Now(), grace: r.limits.Grace, cancel: cancel,
	}
	if ask.Messages == nil {
		run.conversation = or(ask.Conversation, "c_"+strings.ToLower(rand.Text()))
	}
	run.nobody = time.AfterFunc(r.limits.Grace, func() { cancel(errNobody) })
	r.runs[run.id] = run
	r.running[ask.User]++
	r.working.Add(1)
	return run, ctx, nil
}

// Find is the run of that id if it belongs to user.
func (r *Runs) Find(user, id string) (*Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	if run := r.runs[id]; run != nil && run.user == user {
		return run, nil
	}
	return nil, fail(CodeNotFound, nil)
}

// Cancel stops a run of user. One that has ended stays as it is.
func (r *Runs) Cancel(user, id string) error {
	run, err := r.Find(user, id)
	if err == nil {
		run.cancel(errStopped)
	}
	return err
}

// Close ends all runs as failed (CodeStopping), lets nothing begin, and waits
// until the last has told its readers, or ctx ends.
func (r *Runs) Close(ctx context.Context) error {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.stop(errStopping)
	done := make(chan struct{})
	go func() {
		r.working.Wait()
		close(done)
	}()
	select {
	case <-done:
		r.cfg.Client.CloseIdleConnections()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over takes a run from the running to the finished. It comes before the run's
// last event, so that whoever has read that may at once ask the next question.
func (r *Runs) over(run *Run, spent usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[run.user]--; r.running[run.user] <= 0 {
		delete(r.running, run.user)
	}
	r.today()
	r.tokens[run.user] += spent.in + spent.out
	run.mu.Lock()
	k := kept{run.id, run.bytes + run.text.Len(), time.Now()}
	run.mu.Unlock()
	r.finished = append(r.finished, k)
	r.keptBytes += k.bytes
	r.forget()
}

// today begins the count of tokens anew at midnight. With mu held.
func (r *Runs) today() {
	if day := r.cfg.Now().UTC().Format(time.DateOnly); day != r.day {
		r.day = day
		clear(r.tokens)
	}
}

// forget drops finished runs that are too old or too many. With mu held.
func (r *Runs) forget() {
	now := time.Now()
	for len(r.finished) > 0 {
		k := r.finished[0]
		if len(r.finished) <= r.limits.KeepRuns && r.keptBytes <= r.limits.KeepBytes && now.Sub(k.at) < r.limits.KeepFor {
			return
		}
		r.finished = r.finished[1:]
		r.keptBytes -= k.bytes
		delete(r.runs, k.id)
	}
}

func validID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}
