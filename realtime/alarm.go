package realtime

import (
	"encoding/json"
	"time"
)

// The states of an alarm: its cause is there or not, and somebody has said that
// they look after it or not.
const (
	ActiveUnacked  = "active_unacked"
	ActiveAcked    = "active_acked"
	ClearedUnacked = "cleared_unacked"
	ClearedAcked   = "cleared_acked" // it stands no more
)

// The steps of an alarm.
const (
	AlarmRaised       = "raised"
	AlarmCleared      = "cleared"
	AlarmAcked        = "acked"
	AlarmShelved      = "shelved"
	AlarmUnshelved    = "unshelved" // by a person, or because its time was over
	AlarmSuppressed   = "suppressed"
	AlarmUnsuppressed = "unsuppressed"
	AlarmChanged      = "changed" // its rule says another limit, priority or message now
)

// The codes of an AlarmState's Reason. Facts that are older than the codes have none.
const (
	ClearedLimit       = "limit_changed" // limit is the new one
	ClearedRule        = "rule_removed"
	ClearedOff         = "rule_off"
	ClearedElsewhere   = "rule_elsewhere"   // it does not look at it any more
	ClearedTaken       = "rule_takes"       // a rule wants that there is no such alarm
	ClearedUndescribed = "rule_undescribed" // it went from the description
	ClearedDescription = "description_removed"
	ClearedThing       = "thing_removed"
)

// An AlarmState is how an alarm stands: the body of an alarm frame and the
// answer of the API. Its id is that of its rule, so a rule has one alarm at most.
type AlarmState struct {
	ID       string `json:"id"`
	Thing    string `json:"thing"`
	Property string `json:"property,omitempty"`
	Event    string `json:"event,omitempty"`  // its name, of the rule event
	Rule     string `json:"rule"`             // highHigh, high, low, lowLow, rate, stale, offline, event, promql or predicted
	RuleID   string `json:"ruleId,omitempty"` // the rule by the API; "" is the description
	Severity string `json:"severity"`
	Priority int    `json:"priority"` // 1 to 4; 1 is the most urgent
	State    string `json:"state"`
	Message  string `json:"message"`
	// MessageCode is that of a message by this server, which is its rule; a
	// message that people wrote has none.
	MessageCode string          `json:"messageCode,omitempty"`
	Value       json.RawMessage `json:"value,omitempty"` // when it was raised
	Limit       *float64        `json:"limit,omitempty"`
	Unit        string          `json:"unit,omitempty"`
	Predicted   *AlarmForecast  `json:"predicted,omitempty"` // of the rule predicted
	Raised      time.Time       `json:"raised"`              // the last time
	Cleared     time.Time       `json:"cleared,omitzero"`
	Reason      string          `json:"reason,omitempty"` // why it was cleared, when not because its cause went
	ReasonCode  string          `json:"reasonCode,omitempty"`
	ReasonArgs  Args            `json:"reasonArgs,omitempty"`
	Count       int             `json:"count"` // how often it was raised since it was acknowledged
	Acked       *AlarmAck       `json:"acked,omitempty"`
	Shelved     *AlarmShelf     `json:"shelved,omitempty"`
	Suppressed  bool            `json:"suppressed,omitempty"` // by the condition of its rule
	TS          time.Time       `json:"ts"`                   // of the last step
	Step        string          `json:"step"`                 // the last one
	// Seq is the place of that step in the log: of two accounts of an alarm, the
	// one with more is the newer. In a frame it is the frame's own.
	Seq uint64 `json:"seq,omitempty"`
}

// An AlarmForecast is when a value is expected to reach a limit.
type AlarmForecast struct {
	At    time.Time `json:"at"`
	Limit float64   `json:"limit"`
}

// An AlarmAck is who looks after an alarm.
type AlarmAck struct {
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Comment string    `json:"comment,omitempty"`
}

// An AlarmShelf is why an alarm was put aside, and for how long.
type AlarmShelf struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

// Active says whether the cause of an alarm is there.
func (a AlarmState) Active() bool { return a.State == ActiveUnacked || a.State == ActiveAcked }

// Unacked says whether nobody has said that they look after it.
func (a AlarmState) Unacked() bool { return a.State == ActiveUnacked || a.State == ClearedUnacked }

// Stands says whether there is still something to do about it.
func (a AlarmState) Stands() bool { return a.State != ClearedAcked }

// Quiet says whether it was put aside, or its condition says that it is to be
// expected.
func (a AlarmState) Quiet() bool { return a.Shelved != nil || a.Suppressed }

// AlarmSeverity is the word for a priority.
func AlarmSeverity(priority int) string {
	switch priority {
	case 1:
		return "critical"
	case 2:
		return "high"
	case 3:
		return "medium"
	}
	return "low"
}
