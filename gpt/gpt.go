// Package gpt answers questions about the plant with a language model.
//
// # Runs
//
// A question becomes a Run, which lives apart from any connection: it starts at
// once, numbers its events from 1, keeps all of them, and any reader may attach
// at any place, leave, and come back. Two readers see the same events, byte for
// byte. Event 1 is always start; the last is always done or failed, and a run
// that was not told in full never ends in done with finish "stop".
//
// Whoever leaves does not go on paying: a run that nobody reads for
// Limits.Grace is cancelled and its upstream request with it. Asking for its
// Status counts as reading, so a script may also start a question and poll.
//
// A run belongs to the user who asked. To everyone else it does not exist.
//
// # Upstream
//
// Any server that speaks chat completions: OpenAI, Ollama, llama.cpp, vLLM, LM
// Studio. Every way in which one can fail ends the run with a Failure that has
// its own Code, within the limits of time and size in Limits. Before the first
// token a second upstream may take over; after it nobody can, since two models
// would be speaking in one sentence.
//
// # What the model may do
//
// It calls Tools, which only read. What devices wrote reaches it as quoted JSON
// and is named as data in the prompt. Nothing in this package can command a
// machine.
//
// # What is kept
//
// Conversations and finished runs are kept in memory, bounded in number, size
// and time; a restart forgets them.
package gpt

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// DefaultModel answers when a key is given and no model is named.
const DefaultModel = "gpt-4o-mini"

// Config is what Runs needs. Zero fields take the value named at each.
type Config struct {
	// BaseURL is where the upstream's API begins, up to and with "/v1". Empty
	// means OpenAI's own, which needs APIKey. A server that is named here may
	// do without a key, as local ones do.
	BaseURL string
	APIKey  string
	Model   string // DefaultModel

	// Fallback is asked when the first upstream fails before its first token.
	// With neither a base URL nor a key there is none; without a model it is asked
	// for the first one's.
	Fallback Upstream

	// Things names what there is, for the prompt; who asks is told only of what
	// they may see. Nil names nothing; the model then has to look with its tools.
	Things func() []Thing

	// Site says in a sentence what this plant is, for the prompt.
	Site string

	Tools  []Tool
	Limits Limits

	// Client carries the requests. Nil means one of our own, which keeps its
	// connections between questions: a new one costs 14 ms of handshakes.
	Client *http.Client

	Now func() time.Time // time.Now; stamps prompts, days and ages
	Log *slog.Logger     // slog.Default; the upstream's own words go only here
}

// An Upstream is a chat completions server.
type Upstream struct {
	BaseURL, APIKey, Model string
}

// usable reports whether a question could be sent there at all.
func (u Upstream) usable() bool {
	if u.APIKey != "" {
		return true
	}
	at, err := url.Parse(u.BaseURL)
	return err == nil && at.Host != "" && at.Hostname() != "api.openai.com"
}

// An Asker is who a question comes from. See says which things they may see,
// since a token may be limited to some; nil means all.
type Asker struct {
	User string
	See  func(thing string) bool
}

// Sees reports whether the asker may see a thing.
func (a Asker) Sees(thing string) bool { return a.See == nil || a.See(thing) }

// A Thing is named in the prompt so that the model knows what it may ask for.
type Thing struct{ ID, Title string }

// Limits bound everything that a user, a model or an upstream could make large.
type Limits struct {
	TimeoutFirst time.Duration // to the first token of each request; 20 s
	Idle         time.Duration // from token to token, keep-alives not counted; 30 s
	MaxRun       time.Duration // a whole run; 5 min
	Grace        time.Duration // without a reader, then cancelled; 30 s

	MaxQuestion int // runes; 1000
	MaxMessages int // bytes of a conversation that the client brings itself; 64 KB
	MaxAnswer   int // bytes of text; beyond it the run ends with finish "length"; 256 KB
	MaxLine     int // bytes of one event of the upstream; 1 MB
	MaxStream   int // bytes of one upstream answer, tokens or not; 16 MB
	MaxArgs     int // bytes of one tool call's arguments; 16 KB
	MaxRounds   int // requests to the upstream in one run; 6
	MaxCalls    int // tool calls in one run; 16

	MaxRunsPerUser int   // at once; 4
	MaxRuns        int   // at once; further ones are queued; 64
	MaxQueued      int   // then refused; 256
	TokensPerDay   int64 // of one user, a day of UTC; 0 is without limit

	// BannedWords are words or phrases that a question must not contain,
	// whatever their case. They match whole words, so "hack" lets "hackathon" be.
	BannedWords []string

	KeepFor   time.Duration // finished runs, to be resumed; 10 min
	KeepRuns  int           // finished runs; 1000
	KeepBytes int           // of all finished runs together; 64 MB
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (l Limits) withDefaults() Limits {
	l.TimeoutFirst = or(l.TimeoutFirst, 20*time.Second)
	l.Idle = or(l.Idle, 30*time.Second)
	l.MaxRun = or(l.MaxRun, 5*time.Minute)
	l.Grace = or(l.Grace, 30*time.Second)
	l.MaxQuestion = or(l.MaxQuestion, 1000)
	l.MaxMessages = or(l.MaxMessages, 64<<10)
	l.MaxAnswer = or(l.MaxAnswer, 256<<10)
	l.MaxLine = or(l.MaxLine, 1<<20)
	l.MaxStream = or(l.MaxStream, 16<<20)
	l.MaxArgs = or(l.MaxArgs, 16<<10)
	l.MaxRounds = or(l.MaxRounds, 6)
	l.MaxCalls = or(l.MaxCalls, 16)
	l.MaxRunsPerUser = or(l.MaxRunsPerUser, 4)
	l.MaxRuns = or(l.MaxRuns, 64)
	l.MaxQueued = or(l.MaxQueued, 256)
	l.KeepFor = or(l.KeepFor, 10*time.Minute)
	l.KeepRuns = or(l.KeepRuns, 1000)
	l.KeepBytes = or(l.KeepBytes, 64<<20)
	return l
}
