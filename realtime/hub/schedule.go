package hub

import "time"

// A timetable holds the connections that wait, for their rate or for a socket
// that was full, by the moment of their next turn. An entry that its connection
// no longer means is skipped.
type timetable struct {
	slots [256][]*conn // by tick
	tick  int64        // the newest one that was turned
	count int          // entries
}

// grain is how finely turns are told apart: what falls together costs one
// awakening. It is as fine as rounds are.
const grain = gather

// put enters the connection at a tick that it returns as a time.
func (l *timetable) put(c *conn, now, at time.Duration) time.Duration {
	if l.count == 0 {
		l.tick = int64(now / grain)
	}
	tick := int64((at + grain - 1) / grain)
	tick = min(max(tick, l.tick+1), l.tick+int64(len(l.slots))-1)
	slot := &l.slots[tick%int64(len(l.slots))]
	*slot = append(*slot, c)
	l.count++
	return time.Duration(tick) * grain
}

// turn gives wake the entries up to now.
func (l *timetable) turn(now time.Duration, wake func(c *conn, at time.Duration)) {
	for l.count > 0 && l.tick < int64(now/grain) {
		l.tick++
		slot := &l.slots[l.tick%int64(len(l.slots))]
		for _, c := range *slot {
			wake(c, time.Duration(l.tick)*grain)
		}
		l.count -= len(*slot)
		clear(*slot)
		*slot = (*slot)[:0]
	}
}

// next is the time of the earliest entry; false when there is none.
func (l *timetable) next() (time.Duration, bool) {
	if l.count == 0 {
		return 0, false
	}
	tick := l.tick + 1
	for len(l.slots[tick%int64(len(l.slots))]) == 0 {
		tick++
	}
	return time.Duration(tick) * grain, true
}

// schedule gives the connection a turn at that time, when it has none earlier.
// Zero means never.
func (s *shard) schedule(c *conn, at time.Duration) {
	if c.byeAt > 0 && (at == 0 || c.byeAt < at) {
		at = c.byeAt
	}
	if at == 0 || c.gone {
		return
	}
	// A long wait goes by steps, so that a connection that has left is not kept
	// in memory for it.
	at = min(at, s.now+time.Second)
	if c.wakeAt > s.now && c.wakeAt <= at {
		return
	}
	c.wakeAt = s.later.put(c, s.now, at)
}

// alarm touches the connections whose time has come.
func (s *shard) alarm() {
	s.later.turn(s.now, func(c *conn, at time.Duration) {
		if c.wakeAt == at && !c.gone {
			c.wakeAt = 0
			s.touch(c)
		}
	})
	s.wheel.turn(s.now, func(c *conn) { s.tend(c) })
}

func (s *shard) sleep() time.Duration {
	d := time.Hour
	if at, ok := s.later.next(); ok {
		d = at - s.hub.now()
	}
	if len(s.conns) > 0 {
		d = min(d, s.wheel.next()-s.hub.now())
	}
	return max(0, d)
}

// tend looks after a connection now and then: its session, its heartbeat, and
// whether its client is still there.
func (s *shard) tend(c *conn) {
	switch {
	case c.closing != nil && s.now >= c.deadline:
		s.drop(c, c.closing.label())
		return
	case c.closing != nil:
	case c.expires > 0 && s.now >= c.expires:
		s.bye(c, goodbye{code: 4001, word: "session_over"})
	case c.signBy > 0 && s.now >= c.signBy:
		s.bye(c, goodbye{code: 4500, word: "not_signed_in"})
	case c.wire != webSocket && c.sink.left(): // a WebSocket has a reader, who sees it
		s.drop(c, "1006")
		return
	case c.wire == webSocket && s.hub.clock == nil && s.silent(c): // no hub of the past: a pipe has nobody to ask
		s.drop(c, "silent")
		return
	case c.replay != nil: // it has a heartbeat of its own
	case s.now >= s.pingDue(c):
		s.ping(c)
	}
	s.wheel.put(c, s.now, s.check(c))
}

// silent says whether a client that was asked has not answered for too long. It
// asks, with WebSocket's own ping, one that has said nothing for a while: every
// client answers that by itself, unless nobody is there. A slow line makes the
// answer late, so a client whose socket is full then is asked again.
func (s *shard) silent(c *conn) bool {
	heard := time.Duration(c.heard.Load())
	switch {
	case heard >= c.probedAt:
		c.probedAt = 0
	case c.probedAt > 0 && s.now-c.probedAt >= 2*s.hub.limits.Stall:
		if !s.blocked(c) {
			return true
		}
		c.probedAt = 0
	}
	if c.probedAt == 0 && s.now-heard >= pingSocket-time.Second && !s.blocked(c) {
		c.probedAt = s.now
		c.answers = appendHeader(c.answers, opPing, 0)
		s.touch(c)
	}
	return false
}

// check is when the connection is to be tended next.
func (s *shard) check(c *conn) time.Duration {
	at := s.pingDue(c)
	if c.probedAt > 0 {
		at = min(at, c.probedAt+2*s.hub.limits.Stall)
	}
	for _, t := range []time.Duration{c.expires, c.signBy} {
		if t > 0 {
			at = min(at, t)
		}
	}
	if c.closing != nil {
		at = c.deadline
	}
	return at
}

// pingDue is when the next heartbeat is due: over WebSocket after silence,
// elsewhere always, because a browser's watchdog hears only events by name.
// Wheels turn by the second, so it may be one early and is never late.
func (s *shard) pingDue(c *conn) time.Duration {
	if c.wire == webSocket {
		return (c.lastSent + pingSocket).Truncate(time.Second)
	}
	return (c.pinged + pingEvents).Truncate(time.Second)
}

// A wheel holds all connections of a shard by the second in which they are to
// be tended, so that an idle one costs nothing in between.
type wheel struct {
	buckets [64][]*conn
	second  int64 // the newest one that was turned
}

func (w *wheel) put(c *conn, now, at time.Duration) {
	w.take(c)
	if c.gone {
		return
	}
	second := int64((at + time.Second - 1) / time.Second)
	second = min(max(second, w.second+1), w.second+int64(len(w.buckets))-1)
	b := &w.buckets[second%int64(len(w.buckets))]
	c.bucket, c.slot = int(second%int64(len(w.buckets))), len(*b)
	*b = append(*b, c)
}

func (w *wheel) take(c *conn) {
	if c.bucket < 0 {
		return
	}
	b := w.buckets[c.bucket]
	last := b[len(b)-1]
	b[c.slot], last.slot = last, c.slot
	b[len(b)-1] = nil
	w.buckets[c.bucket] = b[:len(b)-1]
	c.bucket = -1
}

// turn takes out what is due up to now and gives it to tend.
func (w *wheel) turn(now time.Duration, tend func(*conn)) {
	for w.second < int64(now/time.Second) {
		w.second++
		b := &w.buckets[w.second%int64(len(w.buckets))]
		for len(*b) > 0 {
			c := (*b)[len(*b)-1]
			w.take(c)
			tend(c)
		}
	}
}

func (w *wheel) next() time.Duration { return time.Duration(w.second+1) * time.Second }
