package ingest

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"echotwin/realtime"
)

const (
	// jump is how far the clock may move between two looks beside what has
	// passed. A clock that is disciplined moves by milliseconds.
	jump = 5 * time.Second
	// settled is how long a clock that has jumped must then run as it should before
	// its time is believed: it may be set back, or right only now.
	settled = 30 * time.Second
)

// A Clock notices when the clock of the machine is set, by one that only runs. A
// reading with a wrong time of arrival is wrong for good, in the twin and in
// history, so nothing is stored until the clock is back, or has run on for a while
// from where it jumped to.
type Clock struct {
	wall    func() time.Time
	running func() time.Duration
	log     *slog.Logger

	mu     sync.Mutex
	offset time.Duration // between the two, as believed
	fault  *realtime.Fault
	to     time.Duration // the offset that it jumped to
	since  time.Duration
}

// NewClock watches the clock of this machine.
func NewClock(log *slog.Logger) *Clock {
	begin := time.Now()
	return newClock(time.Now, func() time.Duration { return time.Since(begin) }, log)
}

func newClock(wall func() time.Time, running func() time.Duration, log *slog.Logger) *Clock {
	c := &Clock{wall: wall, running: running, log: log}
	c.offset = c.measure()
	return c
}

func (c *Clock) measure() time.Duration {
	return time.Duration(c.wall().UnixNano()) - c.running()
}

// Fault is why the time is not believed now, or nil.
func (c *Clock) Fault() *realtime.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	running, offset := c.running(), c.measure()
	by := offset - c.offset
	switch {
	case by.Abs() <= jump:
		if c.fault != nil {
			c.log.Warn("the clock is right again")
		}
		c.fault, c.offset = nil, offset
	case c.fault == nil || (offset-c.to).Abs() > jump:
		way := "ahead"
		if by < 0 {
			way = "back"
		}
		c.to, c.since = offset, running
		c.fault = &realtime.Fault{Code: realtime.FaultClock, Since: c.wall(),
			Message: fmt.Sprintf("the clock of the server has jumped %s by %v; its time is believed when it has run on for %v", way, by.Abs().Round(time.Second), settled)}
		c.log.Error("the clock has jumped: nothing is acknowledged", "by", by.Round(time.Millisecond))
	case running-c.since >= settled:
		c.log.Warn("the new time is believed", "by", by.Round(time.Millisecond))
		c.fault, c.offset = nil, offset
	}
	return c.fault
}
