package twin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"echotwin/realtime"
)

// maxShelf is how long an alarm may be put aside at once.
const maxShelf = 7 * 24 * time.Hour

// AckAlarms notes that somebody looks after alarms, and returns them as they are
// then. One that is acknowledged already stays as it is. With an error nothing
// was noted.
func (t *Twins) AckAlarms(ctx context.Context, user, comment string, ids ...string) ([]realtime.AlarmState, error) {
	if err := checkText("comment", comment); err != nil {
		return nil, err
	}
	return t.askAlarms(ctx, realtime.AlarmAcked, alarmStep{User: user, Text: strings.TrimSpace(comment)}, ids...)
}

// ShelveAlarm puts an alarm aside for a while, with a reason. Shelving it again
// sets a new end.
func (t *Twins) ShelveAlarm(ctx context.Context, id, user, reason string, d time.Duration) (realtime.AlarmState, error) {
	if d < time.Second || d > maxShelf {
		lo, hi := 1.0, maxShelf.Seconds()
		return realtime.AlarmState{}, &realtime.Problem{Code: realtime.CodeOutOfRange, At: "/seconds", Minimum: &lo, Maximum: &hi, Message: fmt.Sprintf("an alarm is shelved for 1 to %v seconds", hi)}
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return realtime.AlarmState{}, realtime.Wrong("shelve_why", "say why the alarm is shelved").Of(realtime.CodeReason).In("/reason")
	}
	if err := checkText("reason", reason); err != nil {
		return realtime.AlarmState{}, err
	}
	if al, ok := t.AlarmState(id); ok && !al.Stands() {
		return al, realtime.Wrong("alarm_over", "the alarm does not stand any more").Of(realtime.CodeConflict)
	}
	return one(t.askAlarms(ctx, realtime.AlarmShelved, alarmStep{User: user, Text: reason, Until: t.cfg.Now().Add(d).UnixMilli()}, id))
}

// UnshelveAlarm ends that before its time. One that is not shelved stays as it is.
func (t *Twins) UnshelveAlarm(ctx context.Context, id, user string) (realtime.AlarmState, error) {
	return one(t.askAlarms(ctx, realtime.AlarmUnshelved, alarmStep{User: user}, id))
}

func one(list []realtime.AlarmState, err error) (realtime.AlarmState, error) {
	if err != nil {
		return realtime.AlarmState{}, err
	}
	return list[0], nil
}

func checkText(name, text string) error {
	if len(text) > maxComment {
		return realtime.Wrong("comment_long", "the {what} has more than {max} bytes", "what", name, "max", maxComment).In("/" + name)
	}
	return nil
}

// askAlarms writes a step that a person takes, and waits until it is seen.
func (t *Twins) askAlarms(ctx context.Context, step string, s alarmStep, ids ...string) ([]realtime.AlarmState, error) {
	if t.cfg.Log == nil {
		return nil, &realtime.Problem{Code: realtime.CodeUnavailable, Message: "nothing can be stored here"}
	}
	ts := stamp(t.cfg.Now().UnixMilli())
	steps := make([]realtime.Record, len(ids))
	for i, id := range ids {
		al, ok := t.AlarmState(id)
		if !ok {
			return nil, unknownAlarm(id)
		}
		steps[i], _ = alarmRecord(al.Thing, id, step, &s, ts)
	}
	if err := t.store(ctx, steps...); err != nil {
		return nil, unavailable(err)
	}
	out := make([]realtime.AlarmState, len(ids))
	for i, id := range ids {
		al, ok := t.AlarmState(id)
		if !ok {
			return nil, unknownAlarm(id)
		}
		out[i] = al
	}
	return out, nil
}

func unknownAlarm(id string) *realtime.Problem {
	return &realtime.Problem{Code: realtime.CodeNotFound, Message: fmt.Sprintf("no alarm %s is known", clip(id))}
}
