package gpt

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"strings"
	"sync"
	"time"
)

// An Event is one step of a run.
type Event struct {
	ID   int             // from 1, without gaps
	Type string          // one of start, status, delta, tool, citation, done, failed
	Data json.RawMessage // with the type repeated inside; shared, not to be changed
	Text string          // of a delta
}

// Last reports whether no event follows.
func (e Event) Last() bool { return e.Type == "done" || e.Type == "failed" }

// A Run is one question and its answer. See the package documentation for what
// its readers can rely on.
type Run struct {
	id, user, conversation, model string
	begun                         time.Time
	grace                         time.Duration
	cancel                        context.CancelCauseFunc

	mu      sync.Mutex
	events  []Event
	bytes   int
	text    strings.Builder
	wake    chan struct{} // closed by the next event; nil when nobody waits
	readers int
	nobody  *time.Timer // runs while there is no reader
	outcome *Outcome

	// Text that waits to be gathered into one delta. A token that comes after a
	// pause goes at once, so the first is never delayed.
	gathered []byte
	gather   *time.Timer
	lastText time.Time
	first    time.Duration // until the first text; 0 while there is none
}

// gatherFor is how long tokens are gathered into one event, so that a fast
// model does not cost a write and a repaint for each.
const gatherFor = 25 * time.Millisecond

// An Outcome is how a run ended.
type Outcome struct {
	Text    string
	Finish  string   // stop, length, cancelled or tool_limit; "" when it failed
	Failure *Failure // nil unless it failed
	Usage   Usage
}

// Usage is what a run cost. Estimated says that the upstream did not tell and
// we counted: a token a chunk out, four bytes a token in.
type Usage struct {
	Input     int64 `json:"input"`
	Output    int64 `json:"output"`
	Estimated bool  `json:"estimated,omitempty"`
}

// Status is a run as GET …/runs/{id} tells it.
type Status struct {
	Run          string `json:"run"`
	Conversation string `json:"conversation,omitempty"`
	Model        string `json:"model"`
	Status       string `json:"status"` // running, done or failed
	Finish       string `json:"finish,omitempty"`
	Code         Code   `json:"code,omitempty"`
	Error        string `json:"error,omitempty"`
	Text         string `json:"text"`
	Events       int    `json:"events"` // the id of the newest
	Usage        *Usage `json:"usage,omitempty"`
}

// ID names the run; Conversation is where its next question belongs, and empty
// when the client keeps the conversation itself.
func (r *Run) ID() string           { return r.id }
func (r *Run) Conversation() string { return r.conversation }

// Model is the one that was asked first.
func (r *Run) Model() string { return r.model }

// Status also counts as reading: the run gets another Grace.
func (r *Run) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readers == 0 && r.outcome == nil {
		r.nobody.Reset(r.grace)
	}
	s := Status{Run: r.id, Conversation: r.conversation, Model: r.model, Status: "running", Text: r.text.String(), Events: len(r.events)}
	if o := r.outcome; o != nil {
		s.Status, s.Finish, s.Usage = "done", o.Finish, &o.Usage
		if o.Failure != nil {
			s.Status, s.Code, s.Error = "failed", o.Failure.Code, o.Failure.Message
		}
	}
	return s
}

// Left reports whether Events would give anything after the event of that id,
// now or later.
func (r *Run) Left(after int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcome == nil || after < len(r.events)
}

// Events gives all events after the one with id after, at each turn all that
// are there, and ends after the last. A turn without events says that nothing
// happened for beat; beat 0 never does. An id that this run never gave starts
// from the beginning. The error, which ends it, is that of ctx.
func (r *Run) Events(ctx context.Context, after int, beat time.Duration) iter.Seq2[[]Event, error] {
	return func(yield func([]Event, error) bool) {
		r.attach()
		defer r.detach()
		var beats <-chan time.Time
		if beat > 0 {
			t := time.NewTicker(beat)
			defer t.Stop()
			beats = t.C
		}
		if after < 0 || after > r.newest() {
			after = 0
		}
		for {
			news, wake := r.since(after)
			if len(news) > 0 {
				after += len(news)
				if !yield(news, nil) || news[len(news)-1].Last() {
					return
				}
				continue
			}
			if wake == nil {
				return
			}
			select {
			case <-wake:
			case <-beats:
				if !yield(nil, nil) {
					return
				}
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
		}
	}
}

// Wait reads the run to its end. The error is that of ctx.
func (r *Run) Wait(ctx context.Context) (Outcome, error) {
	for _, err := range r.Events(ctx, r.newest(), 0) {
		if err != nil {
			return Outcome{}, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.outcome, nil
}

func (r *Run) newest() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// since is what is new, or else the channel that the next event closes; with
// neither the run is over.
func (r *Run) since(after int) ([]Event, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if news := r.events[after:]; len(news) > 0 {
		return news[:len(news):len(news)], nil
	}
	if r.outcome != nil {
		return nil, nil
	}
	if r.wake == nil {
		r.wake = make(chan struct{})
	}
	return nil, r.wake
}

func (r *Run) attach() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers++
	r.nobody.Stop()
}

func (r *Run) detach() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readers--; r.readers == 0 && r.outcome == nil {
		r.nobody.Reset(r.grace)
	}
}

// say adds text to the answer.
func (r *Run) say(text []byte) {
	if len(text) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(text)
	r.gathered = append(r.gathered, text...)
	switch wait := gatherFor - time.Since(r.lastText); {
	case r.outcome != nil || len(r.gathered) > len(text): // the timer runs
	case wait <= 0:
		if r.first == 0 {
			r.first = max(time.Since(r.begun), 1)
		}
		r.flush()
	case r.gather == nil:
		r.gather = time.AfterFunc(wait, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.flush()
		})
	default:
		r.gather.Reset(wait)
	}
}

// flush turns gathered text into a delta. With mu held.
func (r *Run) flush() {
	if len(r.gathered) == 0 || r.outcome != nil {
		return
	}
	text := string(r.gathered)
	r.gathered = r.gathered[:0]
	r.lastText = time.Now()
	r.add("delta", text, struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}{"delta", text})
}

// emit adds an event that is not text. Text that came before stays before it.
func (r *Run) emit(kind string, data any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	if r.outcome == nil {
		r.add(kind, "", data)
	}
}

// end adds the last event. Only the first call counts.
func (r *Run) end(o Outcome, kind string, data any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcome != nil {
		return
	}
	r.flush()
	r.nobody.Stop()
	o.Text = r.text.String()
	r.outcome = &o
	r.add(kind, "", data)
}

// add encodes an event, once for all readers. With mu held.
func (r *Run) add(kind, text string, data any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil { // a tool's JSON that is none
		b.Reset()
		b.WriteString(`{"type":"` + kind + `"}`)
	}
	r.events = append(r.events, Event{ID: len(r.events) + 1, Type: kind, Data: bytes.TrimSuffix(b.Bytes(), []byte("\n")), Text: text})
	r.bytes += b.Len() + len(text) + 64
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}
