package twin

import (
	"context"
	"errors"
	"fmt"

	"echotwin/realtime"
)

// A Cancellation is somebody's wish that a command is waited for no more.
type Cancellation struct {
	ID        string
	User, Via string
}

// Cancelled is what became of it.
type Cancelled struct {
	realtime.Invoked
	// Stop is the command that asked the device to stop, when the description
	// names one; StopError is why that did not go well.
	Stop      *realtime.Invoked `json:"stop,omitempty"`
	StopError string            `json:"stopError,omitempty"`
}

// Cancel ends a command for everybody who waits for it, or ends the wait for its
// effect. It cannot take back what the device has got, and says so: only an
// action that the description names as echotwin:cancel is sent there, and it
// runs as any command of that user.
//
// What has ended already is a conflict.
func (t *Twins) Cancel(ctx context.Context, w Cancellation) (Cancelled, error) {
	t.mu.RLock()
	was := t.commands.byID[w.ID]
	t.mu.RUnlock()
	switch {
	case was == nil:
		return Cancelled{}, &realtime.Problem{Code: realtime.CodeNotFound, Message: fmt.Sprintf("no command %s is known", clip(w.ID))}
	case t.cfg.Log == nil:
		return Cancelled{}, &realtime.Problem{Code: realtime.CodeUnavailable, Message: "nothing can be stored here"}
	case was.Ended() && !was.Verifying():
		return Cancelled{Invoked: was.Invoked}, tooLate(was)
	}
	to := *was
	to.By, to.TS = w.User, stamp(t.cfg.Now().UnixMilli())
	to.Ground = realtime.Ground{Evidence: fmt.Sprintf("%s cancelled it (%s)", w.User, w.Via), EvidenceCode: realtime.BecauseCancel, EvidenceArgs: realtime.Said("by", w.User, "via", w.Via)}
	trouble := realtime.Trouble{ErrorCode: realtime.BecauseCancel, ErrorArgs: realtime.Said("by", w.User, "was", was.Status)}
	switch was.Status {
	case realtime.Accepted:
		trouble.Error = "cancelled by " + w.User + ": whether the device got it is unknown"
		to.Status, to.Trouble = realtime.Cancelled, trouble
	case realtime.Sent:
		trouble.Error = "cancelled by " + w.User + ": the device had taken it and may run it"
		to.Status, to.Trouble = realtime.Cancelled, trouble
	}
	if err := t.record(ctx, to); err != nil {
		return Cancelled{Invoked: was.Invoked}, unavailable(err)
	}
	t.mu.RLock()
	now := t.commands.byID[w.ID]
	t.mu.RUnlock()
	switch {
	case now == nil:
		return Cancelled{Invoked: to.Invoked}, nil
	case now.By != w.User:
		return Cancelled{Invoked: now.Invoked}, tooLate(now)
	}
	out := Cancelled{Invoked: now.Invoked}
	t.stop(ctx, w, &out)
	return out, nil
}

func tooLate(c *command) *realtime.Problem {
	return realtime.Wrong("command_ended", "command {cmd} has ended already: {status}", "cmd", c.ID, "status", c.Status).Of(realtime.CodeConflict)
}

// stop asks the device to stop, when its description says how.
func (t *Twins) stop(ctx context.Context, w Cancellation, out *Cancelled) {
	act, problem := t.action(out.Thing, out.Action)
	if problem != nil || act.cancel == "" {
		return
	}
	stop, err := t.Invoke(ctx, realtime.Invocation{
		Thing: out.Thing, Action: act.cancel, User: w.User, Via: w.Via,
		Confirm: true, Reason: "cancels " + out.ID,
	})
	if stop.ID != "" {
		out.Stop = &stop
	}
	var p *realtime.Problem
	switch {
	case errors.As(err, &p):
		out.StopError = p.Message
	case err != nil:
		out.StopError = "whether the device stopped is not known here"
	case stop.Status != realtime.Done && stop.Status != realtime.Verified:
		out.StopError = stop.Error
	}
}
