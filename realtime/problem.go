package realtime

import "time"

// A Problem is what was wrong with something that was sent to us, for the one
// who sent it: what, where and what was allowed. It is an error whose text may
// be shown; every other error is ours and its text stays in the log.
type Problem struct {
	Code    string   `json:"code"`    // a word for programs, from the list below
	Message string   `json:"message"` // a sentence for people
	At      string   `json:"at,omitempty"`
	Minimum *float64 `json:"minimum,omitempty"`
	Maximum *float64 `json:"maximum,omitempty"`
	// Reason says which sentence Message is, and Args what it fills in, for programs
	// that say it in another language. Many problems that only programs meet have none.
	Reason string `json:"reason,omitempty"`
	Args   Args   `json:"args,omitempty"`
	// Others is what else is wrong, in the order of the places; Message says how much.
	Others []Problem `json:"others,omitempty"`
}

// The codes that more than one stage uses. server knows the HTTP status of each.
const (
	CodeMalformed   = "malformed"    // 400: not JSON, not a path, not a frame
	CodeForbidden   = "forbidden"    // 403
	CodeNotFound    = "not_found"    // 404: no such thing, action, command or page
	CodeConflict    = "conflict"     // 409
	CodeChanged     = "changed"      // 412: it is no longer what the client took it for
	CodeTooLarge    = "too_large"    // 413
	CodeInvalid     = "invalid"      // 422: well-formed but of the wrong type or shape
	CodeOutOfRange  = "out_of_range" // 422: a number beyond its limit
	CodeOffline     = "offline"      // 409: the device is not connected; commands are never queued
	CodeTooMany     = "too_many"     // 429
	CodeUnavailable = "unavailable"  // 503: the log cannot store now, or we are stopping
	CodeUnknownType = "unknown_type" // of a frame
	CodeInterlock   = "interlock"    // 409: a condition that must hold does not, or nobody knows
	CodeConfirm     = "confirm"      // 422: this action wants it said that a person looked
	CodeReason      = "reason"       // 422: this action wants a reason
)

func (p *Problem) Error() string {
	if p.At != "" {
		return p.At + ": " + p.Message
	}
	return p.Message
}

// A Fault is why nothing can be stored now. Its text may be shown. What was
// refused for it has to be sent again.
type Fault struct {
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// The codes of a Fault.
const (
	FaultDisk     = "disk_full"
	FaultReadOnly = "read_only"
	FaultClock    = "clock_jump"
	FaultFailing  = "log_failing" // the log does not store, for another reason
)

func (f *Fault) Error() string { return f.Message }
