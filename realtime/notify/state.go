package notify

import (
	"encoding/json"
	"time"
)

// What a channel may have waiting, and what is remembered of it.
const (
	maxWaiting = 16
	maxDone    = 50
)

// The kinds of deliveries.
const (
	kindAlarm  = "alarm"  // one step
	kindAlarms = "alarms" // many steps at once
	kindLost   = "lost"   // steps that cannot be told any more
	kindTest   = "test"
)

// What becomes of a delivery.
const (
	Waiting   = "waiting"   // for its first attempt, or the next
	Sending   = "sending"   // under way, or whoever sent it was cut off
	Delivered = "delivered" // the receiver said yes
	Failed    = "failed"    // for good
	Dropped   = "dropped"   // the channel was disabled before
)

// A Delivery is one message on its way to a channel.
type Delivery struct {
	// ID stays the same over all attempts: webhook-id, and in the Message-ID.
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Status   string    `json:"status"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next,omitzero"`   // of the next attempt
	Code     int       `json:"code,omitempty"`  // what the receiver answered last: of HTTP, or of SMTP
	Error    string    `json:"error,omitempty"` // why not, in the last attempt
	Count    int       `json:"count"`           // steps in it
	// The step, or of many the most urgent one.
	Thing    string `json:"thing,omitempty"`
	Step     string `json:"step,omitempty"`
	Priority int    `json:"priority,omitempty"`
	Message  string `json:"message,omitempty"`
	// Mailboxes are the addresses that are through with it: "" when the mail was
	// taken, or why it was refused.
	Mailboxes map[string]string `json:"mailboxes,omitempty"`
}

// open is a delivery that is not over, with what is sent.
type open struct {
	Delivery
	Body json.RawMessage `json:"body"`
}

// A state is all that is known of a channel's deliveries.
type state struct {
	Cursor string     `json:"cursor,omitempty"` // in the facts; "" while the channel is disabled
	Moved  time.Time  `json:"moved,omitzero"`   // when it was
	Sent   []int64    `json:"sent,omitempty"`   // when messages were made, of the last minute, ms
	Open   []*open    `json:"open,omitempty"`   // in their order
	Done   []Delivery `json:"done,omitempty"`
	// The claim of the node that is sending now. It protects one attempt.
	Owner string    `json:"owner,omitempty"`
	Until time.Time `json:"until,omitzero"`
	// Hold is until when the receiver wants to be left alone.
	Hold time.Time `json:"hold,omitzero"`
}

const (
	perMinute = time.Minute      // of Channel.PerMinute
	maxClaim  = 10 * time.Minute // a longer one was made by a clock that was wrong
)

// slots is how many messages may be made now, and when there is the next one.
func (s *state) slots(limit int, now time.Time) (free int, next time.Time) {
	begin := now.Add(-perMinute).UnixMilli()
	n := 0
	for n < len(s.Sent) && (s.Sent[n] <= begin || s.Sent[n] > now.UnixMilli()) {
		n++ // past, or from before the clock was set back
	}
	s.Sent = s.Sent[n:]
	if free = limit - len(s.Sent); free > 0 {
		return free, now
	}
	return 0, time.UnixMilli(s.Sent[len(s.Sent)-limit]).Add(perMinute)
}

// add puts a message at the end of what waits.
func (s *state) add(m *open, now time.Time) {
	m.Status, m.Created, m.Updated, m.Next = Waiting, now, now, now
	s.Open = append(s.Open, m)
	s.Sent = append(s.Sent, now.UnixMilli())
}

// due is what is to be sent first: of what may be sent now the oldest. Without
// any it says when the next one may.
func (s *state) due(now time.Time) (m *open, next time.Time) {
	if len(s.Open) > 0 && s.Hold.After(now) {
		return nil, s.Hold
	}
	for _, o := range s.Open {
		if !o.Next.After(now) {
			return o, now
		}
		if next.IsZero() || o.Next.Before(next) {
			next = o.Next
		}
	}
	return nil, next
}

// claimed says whether another node is sending. A claim that lies further ahead
// than any is made was made by a clock that was wrong.
func (s *state) claimed(me string, now time.Time) bool {
	return s.Owner != "" && s.Owner != me && s.Until.After(now) && !s.Until.After(now.Add(maxClaim))
}

// begin notes that m is being sent.
func (s *state) begin(m *open, me string, now time.Time, length time.Duration) {
	m.Status, m.Updated = Sending, now
	m.Attempts++
	s.Owner, s.Until = me, now.Add(length)
}

// A result is what came of one attempt.
type result struct {
	ok      bool
	final   bool          // trying again is of no use
	disable bool          // and of none for others either
	code    int           // of HTTP or SMTP
	err     string        // why not
	after   time.Duration // the receiver wants to be left alone for so long
	stopped bool          // it was not an attempt: the process is stopping
	boxes   map[string]string
}

// end notes what came of the attempt for the delivery with that id: the next one
// is in a while, unless it has been tried for too long. It says false when the
// delivery is no longer here to be noted.
func (s *state) end(id, me string, r result, now time.Time, wait, giveUp time.Duration) bool {
	i := s.find(id)
	if i < 0 || s.Owner != me || s.Open[i].Status != Sending {
		return false
	}
	m := s.Open[i]
	s.Owner, s.Until = "", time.Time{}
	m.Updated, m.Code, m.Error = now, r.code, r.err
	if len(r.boxes) > 0 {
		m.Mailboxes = r.boxes
	}
	next := now.Add(max(wait, r.after))
	if r.after > 0 {
		s.Hold = now.Add(r.after)
	}
	switch {
	case r.ok:
		s.Hold = time.Time{}
		s.over(i, Delivered)
		for _, o := range s.Open { // the receiver is back
			o.Next = now
		}
	case r.stopped:
		m.Status, m.Next = Waiting, now
		m.Attempts--
	case r.final || next.After(m.Created.Add(giveUp)):
		s.over(i, Failed)
	default:
		m.Status, m.Next = Waiting, next
	}
	return true
}

func (s *state) find(id string) int {
	for i, o := range s.Open {
		if o.ID == id {
			return i
		}
	}
	return -1
}

// over moves a delivery to those that are over.
func (s *state) over(i int, status string) {
	d := s.Open[i].Delivery
	d.Status, d.Next = status, time.Time{}
	s.Open = append(s.Open[:i], s.Open[i+1:]...)
	s.note(d)
}

// note remembers a delivery that is over.
func (s *state) note(d Delivery) {
	s.Done = append(s.Done, d)
	if n := len(s.Done) - maxDone; n > 0 {
		s.Done = s.Done[n:]
	}
}

// disable drops what waits: somebody who enables a channel again wants to know
// what is, not what was. It says whether there was anything to do.
func (s *state) disable(now time.Time) bool {
	if s.Cursor == "" && len(s.Open) == 0 {
		return false
	}
	for len(s.Open) > 0 {
		s.Open[0].Updated = now
		s.over(0, Dropped)
	}
	s.Cursor, s.Owner, s.Until, s.Hold, s.Moved = "", "", time.Time{}, time.Time{}, now
	return true
}

// list is what GET …/deliveries answers, the newest first.
func (s *state) list() []Delivery {
	out := make([]Delivery, 0, len(s.Open)+len(s.Done))
	for i := len(s.Open) - 1; i >= 0; i-- {
		out = append(out, s.Open[i].Delivery)
	}
	for i := len(s.Done) - 1; i >= 0; i-- {
		out = append(out, s.Done[i])
	}
	return out
}
