package twin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// keepCommands is how many commands are remembered.
const keepCommands = 1000

// maxError bounds what a device's error says to people.
const maxError = 500

// maxEvidence bounds what a step quotes, in bytes.
const maxEvidence = 300

// A command is one step of a command as the log has it: what everybody sees,
// and what a restart needs. It is never changed, only replaced by its next step.
type command struct {
	realtime.Invoked
	Key      string            `json:"key,omitempty"`
	Group    string            `json:"group,omitempty"`    // of this thing's commands only the newest counts; "" is its own
	Deadline int64             `json:"deadline"`           // for the result, ms since 1970
	VerifyBy int64             `json:"verifyBy,omitempty"` // for the reported value, ms; set by the result
	Problem  *realtime.Problem `json:"problem,omitempty"`  // why it was rejected
	Late     bool              `json:"late,omitempty"`     // a result came after the end, and was noted
	Unsent   bool              `json:"unsent,omitempty"`   // it ended before anything was sent, and nothing was

	// Steps are made by put, the same on every node, and so are in checkpoints
	// and not in the log. There are at most seven.
	Steps []realtime.Step `json:"steps,omitempty"`
}

// began is when it was accepted, ms.
func (c *command) began() int64 {
	if len(c.Steps) > 0 {
		return c.Steps[0].TS.UnixMilli()
	}
	return c.TS.UnixMilli()
}

// next is a copy of c in a new state, which is one more of its steps.
func (c *command) next(status string, ts time.Time, g realtime.Ground) *command {
	n := *c
	g.Evidence = clipTo(g.Evidence, maxEvidence)
	n.Status, n.TS, n.Ground = status, ts, g
	n.Steps = append(slices.Clip(c.Steps), realtime.Step{Status: status, TS: ts, Ground: g})
	return &n
}

// owner is what an idempotency key belongs to.
func (c command) owner() string { return c.User + "\x00" + c.Key }

// left is the time until the deadline.
func (c command) left(now time.Time) time.Duration { return stamp(c.Deadline).Sub(now) }

func (c command) rejected(p *realtime.Problem) command {
	c.Status, c.Problem, c.Ground = realtime.Rejected, p, realtime.Ground{}
	c.Trouble = realtime.Trouble{Error: p.Message, ErrorCode: p.Code, ErrorReason: p.Reason, ErrorArgs: p.Args}
	return c
}

func (c command) timedOut(now time.Time) command {
	c.TS = stamp(now.UnixMilli())
	c.Trouble = realtime.Trouble{ErrorCode: realtime.TroubleNoResult, Error: "the device took the command and gave no result in time: whether it ran is unknown"}
	if c.Status == realtime.Accepted {
		c.Trouble = realtime.Trouble{ErrorCode: realtime.TroubleNoWord, Error: "there is no evidence that the device got the command, and no result: whether it ran is unknown"}
	}
	c.Status, c.Ground = realtime.TimedOut, realtime.Ground{}
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
	c.Status, c.Trouble = realtime.Rejected, realtime.Trouble{Error: "not sent: " + err.Error(), ErrorCode: realtime.TroubleUnstored}
	return c.Invoked, err
}

// commands are the newest commands, in the order in which the log has them.
type commands struct {
	byID  map[string]*command
	order []string
	keys  map[string]string // owner of a key → the command that was first
	spent spent             // keys of commands that are not remembered any more
	moved chan struct{}     // closed when a command may have moved

	// verifying are the commands whose effect is waited for, by their thing.
	verifying map[string][]string
}

func newCommands() commands {
	return commands{byID: map[string]*command{}, keys: map[string]string{}, moved: make(chan struct{}), verifying: map[string][]string{}}
}

// set replaces a command by its next step.
func (cs *commands) set(c *command) {
	old := cs.byID[c.ID]
	was, is := old != nil && old.Verifying(), c.Verifying()
	cs.byID[c.ID] = c
	switch {
	case is && !was:
		cs.verifying[c.Thing] = append(slices.Clip(cs.verifying[c.Thing]), c.ID)
		slices.Sort(cs.verifying[c.Thing]) // the same on every node, however it came to know them
	case was && !is:
		cs.unwatch(c)
	}
}

func (cs *commands) unwatch(c *command) {
	left := slices.DeleteFunc(slices.Clone(cs.verifying[c.Thing]), func(id string) bool { return id == c.ID })
	if cs.verifying[c.Thing] = left; len(left) == 0 {
		delete(cs.verifying, c.Thing)
	}
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

// put takes a command's next step and returns what changed by it: the command
// as it is then, and those that it supersedes. It is nothing when the step does
// not count: a status only moves forward, and only the first command with a key
// is one. Who asked for what stays as the first step had it.
func (cs *commands) put(c command) []*command {
	if old := cs.byID[c.ID]; old != nil {
		next := old.moved(c)
		if next == nil {
			return nil
		}
		cs.set(next)
		return []*command{next}
	}
	// The key of a command that was rejected before it was accepted stays free.
	if c.Key != "" && c.Status != realtime.Rejected {
		if cs.holder(c) != nil {
			return nil
		}
		if _, spent := cs.spent.find(c, c.TS.UnixMilli()); spent {
			return nil
		}
		cs.keys[c.owner()] = c.ID
	}
	c.Steps = []realtime.Step{{Status: c.Status, TS: c.TS, Ground: c.Ground}}
	changed := []*command{&c}
	if c.Status == realtime.Accepted {
		changed = append(changed, cs.supersede(&c)...)
	}
	cs.order = append(cs.order, c.ID)
	cs.set(&c)
	cs.forget(c.TS.UnixMilli())
	return changed
}

// moved is c after the step that a record of the log tells, or nil when that
// does not count.
func (c *command) moved(to command) *command {
	switch {
	case to.Unsent && !c.Unsent && (c.Status == realtime.Superseded || c.Status == realtime.Cancelled):
		n := c.next(c.Status, to.TS, realtime.Ground{Evidence: "nothing was sent", EvidenceCode: realtime.BecauseUnsent})
		n.Unsent, n.Trouble = true, to.Trouble
		return n
	case c.Verifying() && to.Status == realtime.Done && (to.Reached != nil || to.By != ""):
		n := c.next(realtime.Done, to.TS, to.Ground)
		if to.Reached != nil && *to.Reached {
			n = c.next(realtime.Verified, to.TS, to.Ground)
		}
		n.Reached, n.Reported, n.By = to.Reached, to.Reported, to.By
		return n
	case c.Ended() || to.Status == realtime.Accepted || to.Status == c.Status:
		return nil
	}
	n := c.next(to.Status, to.TS, to.Ground)
	n.Output, n.Trouble, n.Problem, n.By = to.Output, to.Trouble, to.Problem, to.By
	return n
}

// supersede ends what is under way in by's place and returns it. It looks at
// all commands in their order, so that every node tells the same.
func (cs *commands) supersede(by *command) (ended []*command) {
	if by.Group == "" {
		return nil
	}
	for _, id := range cs.order {
		c := cs.byID[id]
		if c.Thing != by.Thing || c.Group != by.Group || c.Ended() && !c.Verifying() {
			continue
		}
		status, why := realtime.Superseded, "whether the device got it is unknown"
		switch c.Status {
		case realtime.Sent:
			why = "the device had taken it and may have run it"
		case realtime.Done:
			status, why = realtime.Done, "nobody looks any more for what it had to reach"
		}
		n := c.next(status, by.TS, realtime.Ground{
			Evidence: fmt.Sprintf("%s of %s took its place", by.ID, by.User), EvidenceCode: realtime.BecauseReplaced, EvidenceArgs: realtime.Said("cmd", by.ID, "by", by.User),
		})
		n.SupersededBy = by.ID
		if status == realtime.Superseded {
			n.Trouble = realtime.Trouble{
				Error: fmt.Sprintf("superseded by a newer command of %s: %s", by.User, why), ErrorCode: realtime.BecauseReplaced, ErrorArgs: realtime.Said("cmd", by.ID, "by", by.User, "was", c.Status),
			}
		}
		cs.set(n)
		ended = append(ended, n)
	}
	return ended
}

// forget keeps the list bounded. The oldest ended command goes first; its key is
// spent for a while yet.
func (cs *commands) forget(now int64) {
	for len(cs.order) > keepCommands {
		at := max(slices.IndexFunc(cs.order, cs.ended), 0)
		c := cs.byID[cs.order[at]]
		cs.order = slices.Delete(cs.order, at, at+1)
		delete(cs.byID, c.ID)
		if c.Verifying() {
			cs.unwatch(c)
		}
		if cs.keys[c.owner()] == c.ID {
			delete(cs.keys, c.owner())
			cs.spent.add(spentKey{c.User, c.Key, c.ID, c.Status, c.began()}, now)
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
	for _, next := range a.commands.put(c) {
		a.tellCommand(next)
	}
}

// result applies what a device answered. A result is its own evidence, so it
// needs no further step in the log, and it counts even when it is there before
// the step "sent". What it says about a command that has ended changes nothing
// and is noted once: whoever asked was told an outcome and may have acted on it.
func (a *applying) result(r *realtime.Record) {
	old := a.commands.byID[r.Cmd]
	if old == nil {
		return
	}
	answer := readAnswer(r.Data)
	at := stamp(r.At.UnixMilli())
	said := clipTo(string(r.Data), maxEvidence)
	evidence := realtime.Ground{Evidence: "result " + said, EvidenceCode: realtime.BecauseResult, EvidenceArgs: realtime.Said("answer", said)}
	if old.Ended() {
		code, note := old.contradicted(answer)
		if old.Late || note == "" {
			return
		}
		n := old.next(old.Status, at, evidence)
		n.Late, n.Output = true, answer.output
		n.Trouble = realtime.Trouble{Error: strings.TrimPrefix(old.Error+"; "+note, "; "), ErrorCode: code}
		if answer.status == realtime.Failed {
			n.ErrorArgs = realtime.Said("failed", answer.err)
		}
		a.commands.set(n)
		a.tellCommand(n)
		return
	}
	n := old.next(answer.status, at, evidence)
	n.Output, n.Trouble = answer.output, realtime.Trouble{Error: answer.err}
	if answer.err != "" {
		n.ErrorCode = realtime.TroubleDevice
	}
	if n.Verifying() {
		n.VerifyBy = at.UnixMilli() + int64(1000*n.Feedback.Within)
	}
	a.commands.set(n)
	a.tellCommand(n)
	a.alreadyThere(n)
}

// contradicted is what is to be noted of an answer that comes after the end, with
// its code, or "" when it says nothing new.
func (c *command) contradicted(answer answer) (code, note string) {
	switch c.Status {
	case realtime.TimedOut, realtime.Superseded, realtime.Cancelled, realtime.Rejected:
		return realtime.TroubleLate, "a late result says: " + answer.String()
	case realtime.Failed:
		if answer.status == realtime.Failed {
			return "", ""
		}
	default:
		if answer.status == realtime.Done {
			return "", ""
		}
	}
	return realtime.TroubleAgain, "the device answered again, and differently: " + answer.String()
}

// tellCommand tells a command's step as the wire's cmd frame has it.
func (a *applying) tellCommand(c *command) {
	a.desire(c)
	body, err := realtime.Marshal(c.Invoked)
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
	return answer{status: realtime.Failed, output: r.Output, err: clipTo(text, maxError)}
}

// clipTo keeps a text of a device or a user short, and valid UTF-8.
func clipTo(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// Command is how far a command came; false when it is not known, or no more.
func (t *Twins) Command(id string) (realtime.Invoked, bool) {
	i, _, ok := t.CommandSteps(id)
	return i, ok
}

// CommandSteps is how far a command came, and its way there, the first step
// first; false when it is not known, or no more.
func (t *Twins) CommandSteps(id string) (realtime.Invoked, []realtime.Step, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := t.commands.byID[id]
	if c == nil {
		return realtime.Invoked{}, nil, false
	}
	return c.Invoked, slices.Clone(c.Steps), true
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
