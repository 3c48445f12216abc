// Package realtime holds the words that the pipeline shares: what a device
// said (Record), what the twin tells its viewers (Update), what somebody asks
// a device to do (Invocation) and what was wrong with something that was sent
// (Problem). It imports nothing of ours and runs nothing.
package realtime

import (
	"encoding/json"
	"time"
)

// A Position is a place in the log.
//
// Seq alone can lie: after the store is wiped, a new log counts from 1 again,
// and a browser that resumes "after 3" would miss the new 1, 2 and 3 without
// anyone noticing. A changed Epoch says: start over from a snapshot.
type Position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Kind says what a Record is.
type Kind string

// The kinds of records. Telemetry and Status change state, the others are facts.
const (
	Telemetry Kind = "telemetry" // from a device: property values
	Event     Kind = "event"     // from a device: something happened
	Status    Kind = "status"    // from the door: the device came or went; Name is "online" or "offline"
	Command   Kind = "command"   // from the twin: a command reached a new state; Data is its Command
	Result    Kind = "result"    // from a device: what came of a command
	Alarm     Kind = "alarm"     // from the twin: a step of an alarm; Name is the step, Cmd the alarm's id
	Removed   Kind = "removed"   // from the directory: all that the thing ever said is to be forgotten
)

// A Value is one property's value, as the device wrote it.
type Value struct {
	Name string
	JSON json.RawMessage // compact
}

// A Record is one line of the log: one thing said once by one source.
type Record struct {
	Kind  Kind
	Thing string    // empty only for a Result
	TS    time.Time // when it was measured, by the device's clock; clamped at ingest; in milliseconds
	At    time.Time // when it arrived here; in milliseconds

	Values []Value         // Telemetry
	Name   string          // Event: its name. Status: "online" or "offline". Alarm: the step
	Cmd    string          // Command and Result: the command's id. Alarm: its id
	Data   json.RawMessage // Event: its data. Command: a realtime.Invoked. Result: what the device answered. Alarm: what the step says
}

// A Bundle is one commit of the log. Its records share its Seq.
type Bundle struct {
	Seq     uint64
	Records []Record
}

// An Update is what one Bundle, or the passing of time, changed. It goes from
// the twin to the hub. Seq is the newest bundle that it includes; updates made
// by time (a value grew stale) repeat the last one.
type Update struct {
	Seq     uint64
	Changes []Change
	Facts   []Fact

	// Described are the things that came, went, or look different now in what
	// describes them, in this order.
	Described []Described

	// Linked are the things that contain others than before, or nothing any more.
	Linked []Linked
}

// Linked says what a thing contains by its links from now on.
type Linked struct {
	Thing    string
	Contains []string
}

// Described says that the Thing Description of a thing is another one now.
type Described struct {
	Thing string
	How   string // Created, Updated or Deleted

	// Diff is a JSON Merge Patch from the description before to this one, when
	// somebody wants it; see twin.WantDiffs.
	Diff json.RawMessage
}

// How a thing changes in the directory.
const (
	Created = "created"
	Updated = "updated"
	Deleted = "deleted"
)

// A Change is what changed in one thing. The hub keeps Values, so nobody may
// write into them afterwards.
type Change struct {
	Thing   string
	TS      time.Time // of the newest reading in it
	Values  []Value   // each name at most once
	Samples int       // how many readings it stands for
	Seqs    []uint64  // where each of Values changed; nil means with the update
	Marks   *Marks    // nil when they did not change
	Removed bool      // the thing is gone; everything else is empty
}

// Marks say how far the state of a thing can be trusted. They are sent whole.
type Marks struct {
	Stale   []string          // properties older than their expected period, sorted
	Quality map[string]string // properties whose value is not good though fresh: "out_of_range" or "bad"
	Online  string            // "online", "offline" or "" when the device never said

	Desired map[string]json.RawMessage // what was written to properties and is not reported yet
}

// A Fact is an event, an alarm or a step of a command: never merged, delivered
// once per cursor.
type Fact struct {
	Seq   uint64
	Type  string // the frame's type: "event", "alarm" or "cmd"
	Thing string
	Body  json.RawMessage // an object; its members join the frame's own type and seq
}

// The states of a command. Each needs evidence; see twin.Invoke. After Done a
// command may still become Verified.
const (
	Accepted   = "accepted"   // the input is valid, the user may and the interlocks hold
	Sent       = "sent"       // the device's PUBACK
	Done       = "done"       // the device's result says ok
	Verified   = "verified"   // and the property that shows it has reached what was asked for
	Rejected   = "rejected"   // this server's check or policy
	Failed     = "failed"     // the device's result says no
	TimedOut   = "timeout"    // no result in time: the outcome is unknown
	Superseded = "superseded" // a newer command took its place
	Cancelled  = "cancelled"  // somebody stopped waiting for it: whether it ran is unknown
)

// The risk classes of an action.
const (
	RiskLow     = "low"
	RiskConfirm = "confirm" // Invocation.Confirm must say that a person looked at it
	RiskHigh    = "high"    // Invocation.Reason must say why
)

// An Invocation is somebody's wish that a device does something.
type Invocation struct {
	Thing   string
	Action  string
	Input   json.RawMessage
	Timeout time.Duration // for the device's result; zero means the default
	Key     string        // idempotency key; a repeated one returns the first outcome
	User    string
	Via     string // "ui", "api", "ws" or "assistant"

	Confirm bool   // a person has reviewed exactly this
	Reason  string // why, for the audit

	// Async asks to return as soon as the command is accepted.
	Async bool
}

// Invoked is the state of a command: the data of a Command record, the body of
// a cmd frame and the answer of the API.
type Invoked struct {
	ID     string          `json:"cmd"`
	Thing  string          `json:"thing"`
	Action string          `json:"action"`
	Input  json.RawMessage `json:"input,omitempty"`
	Status string          `json:"status"`
	User   string          `json:"user,omitempty"`
	Via    string          `json:"via,omitempty"`
	Risk   string          `json:"risk,omitempty"` // absent means low
	Reason string          `json:"reason,omitempty"`
	TS     time.Time       `json:"ts"`
	Ground                 // for the newest step
	Output json.RawMessage `json:"output,omitempty"`
	Trouble

	// How its effect is seen, when the description says so, and what was seen.
	// Reached is nil until that is decided, and stays so when nobody looked to
	// the end: then By or SupersededBy say why.
	Feedback *Feedback       `json:"feedback,omitempty"`
	Reached  *bool           `json:"reached,omitempty"`
	Reported json.RawMessage `json:"reported,omitempty"` // the value that decided Reached

	By           string `json:"by,omitempty"`           // who cancelled it
	SupersededBy string `json:"supersededBy,omitempty"` // the newer command
}

// A Feedback says in which property the effect of a command is seen.
type Feedback struct {
	Property  string          `json:"property"`
	Want      json.RawMessage `json:"want"`
	Tolerance float64         `json:"tolerance,omitempty"` // of a number, to both sides
	Within    float64         `json:"within"`              // seconds from the device's result
}

// A Step is one state that a command was in.
type Step struct {
	Status string    `json:"status"`
	TS     time.Time `json:"ts"`
	Ground
}

// Ended says whether the outcome is known, as far as it ever will be. A command
// that is done may still be verified.
func (i Invoked) Ended() bool { return i.Status != Accepted && i.Status != Sent }

// Verifying says whether the effect of a command that is done is still waited for.
func (i Invoked) Verifying() bool {
	return i.Status == Done && i.Feedback != nil && i.Reached == nil && i.By == "" && i.SupersededBy == ""
}
