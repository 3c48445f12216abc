package main

import (
	"context"
	"time"

	"echotwin/realtime"
)

// fault is why nothing may be acknowledged now: the log cannot store it, or
// nobody knows what time it is.
func (s *stages) fault() *realtime.Fault {
	if f := s.bus.Fault(); f != nil {
		return f
	}
	return s.clock.Fault()
}

func (s *stages) clockReady() error {
	if f := s.clock.Fault(); f != nil {
		return f
	}
	return nil
}

// tellFaults tells the viewers of faults, and the log what history has read, until
// ctx ends.
func (s *stages) tellFaults(ctx context.Context) error {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	// History reads the log in its own time, and may be opened later.
	unread := s.bus.Hold("history", 0)
	defer unread.Release()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			s.hub.SetFault(s.fault())
			unread.Read(s.history.Seq())
		}
	}
}
