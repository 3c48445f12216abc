package twin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"echotwin/realtime"
)

// Limits of a command.
const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = 60 * time.Second
	maxInput       = 64 << 10
	maxKey         = 128
	maxReason      = 500
	maxOpen        = 256 // commands under way at once

	// logWait bounds how long a step of a command may take to be in the log and
	// shown.
	logWait = 10 * time.Second
)

// Invoke asks a device to do something and returns when that has ended.
//
//	accepted    the input is valid by the thing's description, the risk is
//	            confirmed as that wants it, and its interlocks hold; they are
//	            looked at once more when it is sent
//	sent        the device has confirmed that it took the command
//	done        the device's result says ok
//	failed      the device's result says no
//	rejected    by our own check, or the device is not connected; it did not run
//	timeout     no result in time: whether it ran is unknown
//	superseded  a newer command of the same group of the same thing was accepted
//	cancelled   somebody stopped waiting for it, see Cancel
//
// When the description names its feedback, a command that is done goes on
// without Invoke: it is verified when the reported value is there, or stays
// done with Reached false when it is not in time.
//
// Every step is in the log first and then told as a "cmd" fact. A command that
// was rejected, and so did not run, comes with the reason as a
// *realtime.Problem. One that failed or timed out is no error of Invoke.
//
// Once accepted, a command goes on without its caller: when ctx ends, Invoke
// returns how far it came, with ctx's error.
//
// A repeated Key of the same user returns the first outcome, after a restart
// and on another node too, for as long as the command is among the newest
// 1,000. It stays used for 24 hours at least, and then it is a conflict, as it is
// for something else; of more than 10,000 keys of one user the oldest may be used
// again before. The key of a command that was not accepted stays free.
//
// Its id is told to realtime.OnCommandID before the first step.
func (t *Twins) Invoke(ctx context.Context, i realtime.Invocation) (realtime.Invoked, error) {
	c, problem := t.understand(i)
	if problem != nil {
		return c.rejected(problem).outcome()
	}
	switch first, problem := t.first(c); {
	case problem != nil:
		return c.rejected(problem).outcome()
	case first != "":
		return t.Follow(ctx, first)
	}
	act, problem := t.action(i.Thing, i.Action)
	if problem != nil {
		return c.rejected(problem).outcome()
	}
	c.ID = newID(c.TS)
	realtime.TellCommandID(ctx, c.ID)
	if problem := t.accept(ctx, act, &c, i); problem != nil {
		c = c.rejected(problem)
		// The answer is the same whether or not its trace could be kept.
		_ = t.record(ctx, c)
		return c.outcome()
	}
	if err := t.record(ctx, c); err != nil {
		return c.unsent(err)
	}
	// Another node, or another call, may have been first with this key. The
	// order in the log has decided.
	switch first, problem := t.first(c); {
	case problem != nil:
		return c.rejected(problem).outcome()
	case first != c.ID && first != "":
		return t.Follow(ctx, first)
	}
	if i.Async && t.carryOn(c) {
		now, _ := t.Command(c.ID)
		return now, nil
	}
	return t.carry(ctx, c)
}

// carryOn carries a command for a caller who does not wait. It is false when
// Run has ended.
func (t *Twins) carryOn(c command) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.life.Err() != nil {
		return false
	}
	t.carriers.Go(func() { _, _ = t.carry(context.Background(), c) })
	return true
}

// accept says why a command must not run, or nil; then c has everything that
// its description says about it.
func (t *Twins) accept(ctx context.Context, act *action, c *command, i realtime.Invocation) *realtime.Problem {
	c.Group = act.group
	if act.risk != realtime.RiskLow {
		c.Risk = act.risk
	}
	if problem := act.check(c.Input); problem != nil {
		return problem
	}
	if problem := act.weigh(i); problem != nil {
		return problem
	}
	locks := t.interlocks(ctx, c.Thing, act)
	for i := range locks {
		if problem := locks[i].problem(i); problem != nil {
			return problem
		}
	}
	c.Feedback = act.feedback.of(c.Input)
	c.Ground = held(locks)
	return nil
}

// understand makes a command of an invocation whose form is right.
func (t *Twins) understand(i realtime.Invocation) (command, *realtime.Problem) {
	now := stamp(t.cfg.Now().UnixMilli())
	timeout := i.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	c := command{
		Invoked:  realtime.Invoked{Thing: i.Thing, Action: i.Action, Status: realtime.Accepted, User: i.User, Via: i.Via, TS: now, Reason: strings.TrimSpace(i.Reason)},
		Key:      i.Key,
		Deadline: now.Add(timeout).UnixMilli(),
	}
	if problem := limits(i); problem != nil {
		return c, problem
	}
	t.mu.RLock()
	open := t.commands.open()
	t.mu.RUnlock()
	switch {
	case t.cfg.Log == nil || t.cfg.Devices == nil:
		return c, realtime.Wrong("no_devices", "no device can be reached from here").Of(realtime.CodeUnavailable)
	case t.life.Err() != nil:
		return c, stopping()
	case open >= maxOpen:
		return c, realtime.Wrong("commands_many", "{n} commands are under way already", "n", open).Of(realtime.CodeTooMany)
	}
	var problem *realtime.Problem
	c.Input, problem = canonical(i.Input)
	return c, problem
}

// limits checks what can be checked without knowing the thing.
func limits(i realtime.Invocation) *realtime.Problem {
	var p *realtime.Problem
	if errors.As(realtime.CheckThing(i.Thing), &p) || errors.As(checkAction(i.Action), &p) {
		return p
	}
	if i.Timeout < 0 || i.Timeout > maxTimeout {
		lo, hi := 0.0, maxTimeout.Seconds()
		return &realtime.Problem{Code: realtime.CodeOutOfRange, At: "/timeout", Minimum: &lo, Maximum: &hi,
			Message: fmt.Sprintf("timeout %v is not between 0 and %v seconds", i.Timeout.Seconds(), hi)}
	}
	if len(i.Key) > maxKey {
		return &realtime.Problem{Code: realtime.CodeInvalid, At: "/key", Message: fmt.Sprintf("key has more than %d bytes", maxKey)}
	}
	if len(i.Reason) > maxReason {
		return realtime.Wrong("reason_long", "the reason has more than {max} bytes", "max", maxReason).In("/reason")
	}
	if len(i.Input) > maxInput {
		return realtime.Wrong("input_size", "the input has more than {max} bytes", "max", maxInput).Of(realtime.CodeTooLarge).In("/input")
	}
	if deep(i.Input) {
		return realtime.Wrong("input_deep", "arrays and objects of the input go deeper than {max} levels", "max", realtime.MaxDepth).Of(realtime.CodeTooLarge).In("/input")
	}
	return nil
}

// first finds the command that holds c's key, or "". It is a conflict when that
// is another wish.
func (t *Twins) first(c command) (string, *realtime.Problem) {
	if c.Key == "" {
		return "", nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	f := t.commands.holder(c)
	if f == nil {
		if spent, ok := t.commands.spent.find(c, c.TS.UnixMilli()); ok { // as the log has it
			return "", spent.conflict()
		}
		return "", nil
	}
	if f.Thing != c.Thing || f.Action != c.Action || !bytes.Equal(f.Input, c.Input) {
		return "", &realtime.Problem{Code: realtime.CodeConflict, At: "/key", Message: "this key was used for another command: " + f.ID}
	}
	return f.ID, nil
}

// carry sends an accepted command and waits for what comes of it.
func (t *Twins) carry(ctx context.Context, c command) (realtime.Invoked, error) {
	waiting, cancel := context.WithTimeout(ctx, c.left(t.cfg.Now()))
	defer cancel()
	lock := t.locked(waiting, c)
	if t.overtaken(ctx, c) {
		return t.outcome(ctx, c)
	}
	if lock != nil {
		c.TS = stamp(t.cfg.Now().UnixMilli())
		c = c.rejected(lock)
		if t.record(context.WithoutCancel(ctx), c) != nil {
			return c.outcome() // true all the same; Run ends it in the log
		}
		return t.outcome(ctx, c)
	}
	err := t.send(ctx, c)
	c.TS = stamp(t.cfg.Now().UnixMilli())
	var refused *realtime.Problem
	switch {
	case err == nil:
		c.Status, c.Ground = realtime.Sent, realtime.Ground{Evidence: "PUBACK", EvidenceCode: realtime.BecausePuback}
		// The result counts without this step too, so failing to store it only
		// takes a line out of the story.
		_ = t.record(context.WithoutCancel(ctx), c)
	case errors.As(err, &refused):
		c = c.rejected(refused)
		if t.record(context.WithoutCancel(ctx), c) != nil {
			return c.outcome() // true all the same; Run ends it in the log
		}
	}
	err = t.await(waiting, func() bool { return t.commands.ended(c.ID) })
	if err != nil && ctx.Err() == nil && t.life.Err() == nil {
		late := c.timedOut(t.cfg.Now())
		if err := t.record(context.WithoutCancel(ctx), late); err != nil {
			return late.Invoked, unavailable(err)
		}
	}
	return t.outcome(ctx, c)
}

// locked is why a command that was accepted may not be sent now, or nil. The log
// may have taken seconds to store it, and in that time somebody may have opened a
// guard; what the device does after that is its own to hold.
func (t *Twins) locked(ctx context.Context, c command) *realtime.Problem {
	var locks []InterlockState
	if act, gone := t.action(c.Thing, c.Action); gone == nil {
		locks = t.interlocks(ctx, c.Thing, act)
	} // else it was described anew since, and was in order when it was accepted
	for i := range locks {
		if problem := locks[i].problem(i); problem != nil {
			return realtime.Wrong("interlock_late", "not sent: when it was accepted this held, and now: {why}", "why", problem).Of(problem.Code).In(problem.At)
		}
	}
	return nil
}

// overtaken says whether the command has ended before it was sent, and notes
// that it was not: that is known here only.
func (t *Twins) overtaken(ctx context.Context, c command) bool {
	t.mu.RLock()
	now := t.commands.byID[c.ID]
	over := now == nil || now.Ended()
	t.mu.RUnlock()
	if over && now != nil && (now.Status == realtime.Superseded || now.Status == realtime.Cancelled) {
		c.Status, c.TS, c.Unsent = now.Status, stamp(t.cfg.Now().UnixMilli()), true
		c.Trouble = realtime.Trouble{Error: now.Status + " before it was sent: the device did not get it", ErrorCode: realtime.BecauseUnsent, ErrorArgs: realtime.Said("was", now.Status)}
		_ = t.record(context.WithoutCancel(ctx), c) // the outcome holds without this note
	}
	return over
}

// send hands the command to the device. It does not end with its caller: a
// command cut off on its way is one that nobody knows about.
func (t *Twins) send(ctx context.Context, c command) error {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.left(t.cfg.Now()))
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	in := c.Input
	if in == nil {
		in = json.RawMessage("null")
	}
	return t.cfg.Devices.Send(sending, c.Thing, c.Action, c.ID, in)
}

// Follow waits for the end of a command that somebody else carries, and returns
// how far it is, with ctx's error when that ends first. One that is not known
// ends at once.
func (t *Twins) Follow(ctx context.Context, id string) (realtime.Invoked, error) {
	realtime.TellCommandID(ctx, id)
	// How it went, or how far, is what the outcome says, whatever ended the wait.
	_ = t.await(ctx, func() bool { return t.commands.ended(id) })
	return t.outcome(ctx, command{Invoked: realtime.Invoked{ID: id}})
}

// outcome is how far the command came; c is the last that its carrier knew.
func (t *Twins) outcome(ctx context.Context, c command) (realtime.Invoked, error) {
	t.mu.RLock()
	if f := t.commands.byID[c.ID]; f != nil {
		c = *f
	}
	t.mu.RUnlock()
	if c.Ended() {
		return c.outcome()
	}
	if err := ctx.Err(); err != nil {
		return c.Invoked, err
	}
	return c.Invoked, stopping()
}

// record stores the command as it is now and returns when that was shown.
func (t *Twins) record(ctx context.Context, cs ...command) error {
	rs := make([]realtime.Record, len(cs))
	for i, c := range cs {
		c.Steps = nil
		data, err := realtime.Marshal(c)
		if err != nil {
			return fmt.Errorf("command %s: %w", c.ID, err)
		}
		rs[i] = realtime.Record{Kind: realtime.Command, Thing: c.Thing, TS: c.TS, At: c.TS, Cmd: c.ID, Data: data}
	}
	if err := t.store(ctx, rs...); err != nil {
		return fmt.Errorf("storing a command: %w", err)
	}
	return nil
}

// store puts records into the log and returns when they were applied and told.
func (t *Twins) store(ctx context.Context, rs ...realtime.Record) error {
	putting, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	seq, err := t.cfg.Log.Put(putting, rs...)
	if err != nil {
		return err
	}
	// What is stored will be shown, so its caller cannot leave any more.
	showing, cancel := context.WithTimeout(context.WithoutCancel(ctx), logWait)
	defer cancel()
	return t.await(showing, func() bool { return t.seq >= seq })
}

// await returns when done is true, which it asks under mu whenever a command or
// an alarm may have moved or a thing was removed; or with an error when ctx or
// Run ends.
func (t *Twins) await(ctx context.Context, done func() bool) error {
	for {
		t.mu.RLock()
		ok, moved := done(), t.commands.moved
		t.mu.RUnlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.life.Done():
			return stopping()
		}
	}
}

// expireGrace is what Run leaves to the one who carries a command, so that only
// commands without one are ended here.
const expireGrace = 2 * time.Second

// expire ends commands that nobody carries: after a restart, or when their
// caller has left; and decides about effects that were not seen in time. That another node does the same, or that the result is still
// to be read from the log, does no harm: what is first in the log counts.
func (t *Twins) expire(ctx context.Context) {
	if t.cfg.Log == nil {
		return
	}
	now := t.cfg.Now()
	var late []command
	t.mu.RLock()
	for _, c := range t.commands.byID {
		if c.Verifying() && now.UnixMilli() >= c.VerifyBy+verifyGrace.Milliseconds() {
			late = append(late, t.decided(c, now))
		}
		if !c.Ended() && now.UnixMilli() >= c.Deadline+expireGrace.Milliseconds() {
			late = append(late, c.timedOut(now))
		}
	}
	t.mu.RUnlock()
	if len(late) > 0 {
		// The log cannot store now: the next turn tries again.
		_ = t.record(ctx, late...)
	}
}

func stopping() *realtime.Problem {
	return realtime.Wrong("stopping", "the server is stopping").Of(realtime.CodeUnavailable)
}

// unavailable is the problem behind a failure to store.
func unavailable(err error) error {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p
	}
	return realtime.Wrong("unstorable", "the log cannot store this now").Of(realtime.CodeUnavailable)
}
