package realtime

import (
	"bytes"
	"encoding/json"
)

// Args are what a sentence for people fills in, by name, for programs that say
// it in another language.
type Args map[string]json.RawMessage

// A Ground is what a step of a command rests on: a sentence of English, and its
// code and what it fills in. Facts that are older than the codes have none.
//
//	valid           the input is right; conditions are the interlocks that hold, if there are any
//	puback          the device took it
//	result          the device answered; answer is the text of it
//	reported        property reported value, as was wanted
//	last_reported   property reported value last, within that many seconds
//	never_reported  property reported nothing
//	unsent          it ended before it was sent
//	cancelled       by cancelled it, via that
//	replaced        cmd, of by, took its place
type Ground struct {
	Evidence     string `json:"evidence,omitempty"`
	EvidenceCode string `json:"evidenceCode,omitempty"`
	EvidenceArgs Args   `json:"evidenceArgs,omitempty"`
}

// A Trouble is what went wrong with a command, in the same way. Of a rejected
// one the code, the reason and what that fills in are those of its Problem; what a device wrote has the code device
// and is in no language of ours.
//
//	no_result    the device took it and gave no result in time
//	no_evidence  nothing shows that the device got it
//	replaced     cmd, of by, took its place; was is the state that it had
//	cancelled    by cancelled it; was is the state that it had
//	unsent       it ended before it was sent; was is how
//	late_result  after the end a result came; failed is what it says went wrong, and absent when it was done
//	again        the device answered again, and differently; failed as above
//	unstored     it was not sent, since it could not be stored
type Trouble struct {
	Error       string `json:"error,omitempty"`
	ErrorCode   string `json:"errorCode,omitempty"`
	ErrorReason string `json:"errorReason,omitempty"` // of a rejected one: the Reason of its Problem
	ErrorArgs   Args   `json:"errorArgs,omitempty"`
}

// The codes of a Ground and of a Trouble.
const (
	BecauseValid    = "valid"
	BecausePuback   = "puback"
	BecauseResult   = "result"
	BecauseReported = "reported"
	BecauseLast     = "last_reported"
	BecauseNever    = "never_reported"
	BecauseUnsent   = "unsent"
	BecauseCancel   = "cancelled"
	BecauseReplaced = "replaced"

	TroubleDevice   = "device"
	TroubleNoResult = "no_result"
	TroubleNoWord   = "no_evidence"
	TroubleLate     = "late_result"
	TroubleAgain    = "again"
	TroubleUnstored = "unstored"
)

// Said makes Args of names and values, by turns; what is no JSON already is
// written as JSON. What cannot be is left out.
func Said(pairs ...any) Args {
	a := Args{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		if b, err := Marshal(pairs[i+1]); err == nil {
			a[name] = b
		}
	}
	return a
}

// Marshal is that of encoding/json, but leaves <, > and & as people read them in
// a terminal: nothing of what it writes is put into a page.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
