package twin

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// keepCommands is how many commands are remembered.
const keepCommands = 1000

// maxError bounds what a device's error says to people.
const maxError = 500

// A command is one step of a command as the log has it: what everybody sees,
// and what a restart needs. It is never changed, only replaced by its next step.
type command struct {
	realtime.Invoked
	Key      string            `json:"key,omitempty"`
	Deadline int64             `json:"deadline"`          // for the result, ms since 1970
	Problem  *realtime.Problem `json:"problem,omitempty"` // why it was rejected
	Late     bool              `json:"late,omitempty"`    // a result came after the time-out
}

// owner is what an idempotency key belongs to.
func (c command) owner() string { return c.User + "\x00" + c.Key }

// left is the time until the deadline.
func (c command) left(now time.Time) time.Duration { return stamp(c.Deadline).Sub(now) }

func (c command) rejected(p *realtime.Problem) command {
	c.Status, c.Problem, c.Error = realtime.Rejected, p, p.Message
	return c
}

func (c command) timedOut(now time.Time) command {
	c.TS = stamp(now.UnixMilli())
	why := "the device took the command and gave no result in time"
	if c.Status == realtime.Accepted {
		why = "there is no evidence that the device got the command, and no result"
	}
	c.Status, c.Error = realtime.TimedOut, why+": whether it ran is unknown"
	return c
}

// outcome is what Invoke answers for an ended command.
func (c command) outcome() (realtime.Invoked, error) {
	if c.Problem != nil {
		return c.Invoked, c.Problem
	}
	return c.Invoked, nil
}

// unsent is the outcome of a command that could not be stored and so was not
// sent.
func (c command) unsent(err error) (realtime.Invoked, error) {
	err = unavailable(err)
	c.Status, c.Error = realtime.Rejected, "not sent: "+err.Error()
	return c.Invoked, err
}

// commands are the newest commands, in the order in which the log has them.
type commands struct {
	byID  map[string]*command
	order []string
	keys  map[string]string // owner of a key → the command that was first
	moved chan struct{}     // closed when a command may have moved
}

func newCommands() commands {
	return commands{byID: map[string]*command{}, keys: map[string]string{}, moved: make(chan struct{})}
}

// wake lets everybody look again who waits for a command.
func (cs *commands) wake() {
	close(cs.moved)
	cs.moved = make(chan struct{})
}

func (cs *commands) open() (n int) {
	for _, c := range cs.byID {
		if !c.Ended() {
			n++
		}
	}
	return n
}

// ended says whether a command cannot move any more. One that was forgotten
// cannot.
func (cs *commands) ended(id string) bool {
	c := cs.byID[id]
	return c == nil || c.Ended()
}

// holder is the command that holds c's key, or nil.
func (cs *commands) holder(c command) *command {
	if c.Key == "" {
		return nil
	}
	return cs.byID[cs.keys[c.owner()]]
}

// put takes a command's next step and returns the command as it is then, or nil
// when the step does not count: a status only moves forward, and only the first
// command with a key is one. Who asked for what stays as the first step had it.
func (cs *commands) put(c command) *command {
	if old := cs.byID[c.ID]; old != nil {
		if old.Ended() || c.Status == realtime.Accepted || c.Status == old.Status {
			return nil
		}
		next := *old
		next.Status, next.TS, next.Output, next.Error, next.Problem = c.Status, c.TS, c.Output, c.Error, c.Problem
		cs.byID[c.ID] = &next
		return &next
	}
	// The key of a command that was rejected before it was accepted stays free.
	if c.Key != "" && c.Status != realtime.Rejected {
		if cs.holder(c) != nil {
			return nil
		}
		cs.keys[c.owner()] = c.ID
	}
	cs.byID[c.ID] = &c
	cs.order = append(cs.order, c.ID)
	cs.forget()
	return &c
}

// forget keeps the list bounded. The oldest ended command goes first.
func (cs *commands) forget() {
	for len(cs.order) > keepCommands {
		at := max(slices.IndexFunc(cs.order, cs.ended), 0)
		c := cs.byID[cs.order[at]]
		cs.order = slices.Delete(cs.order, at, at+1)
		delete(cs.byID, c.ID)
		if cs.keys[c.owner()] == c.ID {
			delete(cs.keys, c.owner())
		}
	}
}

// command applies a command's step from the log.
func (a *applying) command(r *realtime.Record) {
	var c command
	if err := json.Unmarshal(r.Data, &c); err != nil || r.Cmd == "" || c.Status == "" {
		a.stats.Unreadable++
		return
	}
	c.ID, c.Thing = r.Cmd, r.Thing
	if next := a.commands.put(c); next != nil {
		a.tellCommand(next)
	}
}

// result applies what a device answered. A result is its own evidence, so it
// needs no further step in the log, and it counts even when it is there before
// the step "sent".
func (a *applying) result(r *realtime.Record) {
	old := a.commands.byID[r.Cmd]
	if old == nil || old.Ended() && (old.Status != realtime.TimedOut || old.Late) {
		return
	}
	c := *old
	answer := readAnswer(r.Data)
	c.TS, c.Output = stamp(r.At.UnixMilli()), answer.output
	if old.Ended() {
		// The status stays: whoever asked was told that nobody knows, and may
		// have acted on it.
		c.Late = true
		c.Error += "; a late result says: " + answer.String()
	} else {
		c.Status, c.Error = answer.status, answer.err
	}
	a.commands.byID[c.ID] = &c
	a.tellCommand(&c)
}

// tellCommand tells a command's step as the wire's cmd frame has it.
func (a *applying) tellCommand(c *command) {
	body, err := json.Marshal(c.Invoked)
	if err != nil {
		a.stats.Unreadable++
		return
	}
	a.fact("cmd", c.Thing, body)
}

// An answer is a device's result.
type answer struct {
	status string
	output json.RawMessage
	err    string
}

func (a answer) String() string {
	if a.err != "" {
		return "it failed, " + a.err
	}
	return "it was done"
}

// readAnswer reads {"ok":true,"output":…} or {"ok":false,"error":"…"}.
func readAnswer(data []byte) answer {
	var r struct {
		OK     *bool           `json:"ok"`
		Output json.RawMessage `json:"output"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &r); err != nil || r.OK == nil {
		return answer{status: realtime.Failed, err: `the device's result has no "ok" that is true or false`}
	}
	if *r.OK {
		return answer{status: realtime.Done, output: r.Output}
	}
	var text string
	if json.Unmarshal(r.Error, &text) != nil {
		text = string(r.Error)
	}
	if text == "" {
		text = "the device gave no reason"
	}
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return answer{status: realtime.Failed, output: r.Output, err: text}
}

// Command is how far a command came; false when it is not known, or no more.
func (t *Twins) Command(id string) (realtime.Invoked, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := t.commands.byID[id]
	if c == nil {
		return realtime.Invoked{}, false
	}
	return c.Invoked, true
}

// Commands are the newest commands with an id below before ("" means all), the
// newest first, at most limit.
func (t *Twins) Commands(limit int, before string) []realtime.Invoked {
	t.mu.RLock()
	out := make([]realtime.Invoked, 0, len(t.commands.byID))
	for id, c := range t.commands.byID {
		if before == "" || id < before {
			out = append(out, c.Invoked)
		}
	}
	t.mu.RUnlock()
	slices.SortFunc(out, func(a, b realtime.Invoked) int { return strings.Compare(b.ID, a.ID) })
	return out[:min(max(limit, 0), len(out))]
}
