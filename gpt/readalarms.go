package gpt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Alarms is what read_alarms needs of the twins.
type Alarms interface {
	// ReadAlarms returns the alarms that stand, the most urgent first, at most
	// q.Limit. None is no error.
	ReadAlarms(ctx context.Context, q AlarmQuery) ([]Alarm, error)
}

// An AlarmQuery asks for the alarms of things by path or pattern.
type AlarmQuery struct {
	Path  string
	Limit int
	See   func(thing string) bool // nil means all; things it refuses do not count to Limit
}

// An Alarm is one that stands, and what people said about it.
type Alarm struct {
	ID, Thing, Property, Rule, Severity, State, Message string

	Raised            time.Time
	Count             int
	AckedBy, Comment  string
	ShelvedBy, Reason string
	Suppressed        bool
}

const maxAlarms = 50 // of one result

// ReadAlarms is the tool by which the model sees what stands.
func ReadAlarms(a Alarms) Tool { return readAlarms{a} }

type readAlarms struct{ alarms Alarms }

func (readAlarms) Name() string { return "read_alarms" }

func (readAlarms) Description() string {
	return "Read the alarms that stand now, the most urgent first: what, since when, whether the cause is still there, who looks after it. " +
		"Path is a thing's id or a pattern: * stands for one segment, a last ** for one or more."
}

func (readAlarms) Schema() map[string]any {
	return map[string]any{
		"type":                 "object",
		"properties":           map[string]any{"path": map[string]any{"type": "string", "description": `for example "plant/line1/**"; all when left out`}},
		"additionalProperties": false,
	}
}

type alarmOut struct {
	Thing      string `json:"thing"`
	Property   string `json:"property,omitempty"`
	Rule       string `json:"rule"`
	Severity   string `json:"severity"`
	State      string `json:"state"`
	Message    string `json:"message"`
	Raised     string `json:"raised"`
	Count      int    `json:"count,omitempty"`
	AckedBy    string `json:"acked_by,omitempty"`
	Comment    string `json:"comment,omitempty"`
	ShelvedBy  string `json:"shelved_by,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Suppressed bool   `json:"suppressed,omitempty"`
}

func (t readAlarms) Call(ctx context.Context, who Asker, args json.RawMessage) (Result, error) {
	var in struct {
		Path string `json:"path"`
	}
	if err := json.Unmarshal(args, &in); err != nil || len(in.Path) > 512 {
		return Result{}, errors.New(`arguments are {"path": string}, of at most 512 characters`)
	}
	found, err := t.alarms.ReadAlarms(ctx, AlarmQuery{Path: or(strings.Trim(in.Path, "/ "), "**"), Limit: maxAlarms + 1, See: who.See})
	if err != nil {
		return Result{}, err
	}
	out := struct {
		Alarms []alarmOut `json:"alarms"`
		Note   string     `json:"note,omitempty"`
	}{Alarms: []alarmOut{}}
	var res Result
	size := 0
	for _, a := range found {
		if !who.Sees(a.Thing) { // so that an Alarms that forgets to is not a leak
			continue
		}
		o := alarmOut{
			Thing: a.Thing, Property: a.Property, Rule: a.Rule, Severity: a.Severity, State: a.State, Message: oneLine(a.Message, maxValueRunes),
			Raised: a.Raised.Format(time.RFC3339), Count: a.Count, AckedBy: oneLine(a.AckedBy, 80), Comment: oneLine(a.Comment, maxValueRunes),
			ShelvedBy: oneLine(a.ShelvedBy, 80), Reason: oneLine(a.Reason, maxValueRunes), Suppressed: a.Suppressed,
		}
		b, _ := json.Marshal(o)
		if size += len(b) + 1; size > maxResult-512 || len(out.Alarms) == maxAlarms {
			out.Note = fmt.Sprintf("only the %d most urgent; there are more, ask for a narrower path", len(out.Alarms))
			break
		}
		out.Alarms = append(out.Alarms, o)
		res.Citations = append(res.Citations, Citation{Kind: "alarm", Title: or(o.Message, a.Thing), Ref: a.ID, Quote: o.Severity + " · " + o.State + " · " + a.Thing, At: a.Raised})
	}
	res.Data, res.Summary = out, fmt.Sprintf("%d alarms", len(out.Alarms))
	return res, nil
}
