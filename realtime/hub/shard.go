package hub

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A shard is one goroutine that owns connections: it alone writes to them and
// changes them.
type shard struct {
	hub     *Hub
	i       int
	rounds  chan *round
	through chan struct{} // a token for each round it is through with

	mail  sync.Mutex // guards posts and shut
	posts []func(*shard)
	spare []func(*shard)
	shut  bool
	bell  chan struct{}

	// What follows belongs to the goroutine.
	now     time.Duration
	conns   map[*conn]struct{}
	ready   []*conn // have something to do now
	later   timetable
	wheel   wheel
	n       uint64 // newest round it has marked
	seq     uint64 // the place of the log at its end
	factEnd uint64
	turn    uint64
	made    uint32 // subscriptions that ever were

	out     []byte     // of one turn
	body    []byte     // of one frame
	things  []byte     // of one frame
	members membership // of one frame
	due     []*sub
	all     []*sub
	some    []*sub
	list    []*thing
	steps   []step

	counts counts
}

// counts is what a shard has done. Only it writes them.
type counts struct {
	frames, bytes, updates, merged, stalls, facts, resyncs, missed atomic.Uint64
	subs                                                           atomic.Int64

	waited histogram // seconds that changes waited for their update
	life   life
}

func newShard(h *Hub, i int) *shard {
	return &shard{hub: h, i: i, rounds: make(chan *round, 1), through: make(chan struct{}, 1), bell: make(chan struct{}, 1), conns: map[*conn]struct{}{}}
}

// post has f run by the shard, in the order of posting. It is false when the
// shard has ended.
func (s *shard) post(f func(*shard)) bool {
	s.mail.Lock()
	defer s.mail.Unlock()
	if s.shut {
		return false
	}
	s.posts = append(s.posts, f)
	select {
	case s.bell <- struct{}{}:
	default:
	}
	return true
}

func (s *shard) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case r := <-s.rounds:
			s.now = s.hub.now()
			s.mark(r)
			s.alarm() // what is due now as well costs no awakening of its own
			s.serveReady()
			s.through <- struct{}{}
		case <-s.bell:
			s.now = s.hub.now()
			s.read()
			s.serveReady()
		case <-timer.C:
			s.now = s.hub.now()
			s.alarm()
			s.serveReady()
		case <-s.hub.ctx.Done():
			s.end()
			return
		}
		timer.Reset(s.sleep())
	}
}

func (s *shard) read() {
	s.mail.Lock()
	posts := s.posts
	s.posts = s.spare[:0]
	s.mail.Unlock()
	for i, f := range posts {
		f(s)
		posts[i] = nil
	}
	if s.spare = posts[:0]; cap(posts) > 1024 {
		s.spare = nil // a storm is over
	}
}

// end says goodbye as far as the sockets take it and leaves nothing open.
func (s *shard) end() {
	s.now = s.hub.now()
	s.read()
	s.serveReady()
	s.mail.Lock()
	s.shut = true
	posts := s.posts
	s.posts = nil
	s.mail.Unlock()
	for _, f := range posts {
		f(s)
	}
	s.serveReady()
	for c := range s.conns {
		s.drop(c, "1012")
	}
}

// serveReady gives each connection that has something to do its turns. One
// with much to say is put back behind the others after each turn.
func (s *shard) serveReady() {
	for i := 0; i < len(s.ready); i++ {
		c := s.ready[i]
		s.ready[i] = nil
		c.queued = false
		if !c.gone {
			s.serve(c)
		}
	}
	s.ready = s.ready[:0]
}

// touch gives the connection a turn.
func (s *shard) touch(c *conn) {
	if !c.queued && !c.gone {
		c.queued = true
		s.ready = append(s.ready, c)
	}
}

// add makes a connection the shard's own.
func (s *shard) add(c *conn) {
	s.conns[c] = struct{}{}
	c.bucket = -1
	c.lastSent, c.pinged, c.took = s.now, s.now, s.now
	c.heard.CompareAndSwap(0, int64(s.now))
	if s.hub.draining.Load() { // it came through the door just before
		c.byeAt = s.now + 1
	}
	s.wheel.put(c, s.now, s.check(c))
	s.touch(c)
}

// serve gives a connection one turn: what it is due goes into one write.
func (s *shard) serve(c *conn) {
	if c.byeAt > 0 && s.now >= c.byeAt {
		s.bye(c, restart())
	}
	if s.now < c.retryAt {
		s.schedule(c, c.retryAt)
		return
	}
	if len(c.tail) > 0 && !s.writeTail(c) {
		return
	}
	said := c.frames
	t := s.compose(c)
	if len(t.out) > 0 {
		n, err := c.sink.offer(t.out)
		if err != nil {
			s.fail(c, err)
			return
		}
		if n == 0 {
			c.frames = said
			s.full(c) // nothing was said, so the next turn says it newer
			return
		}
		s.took(c, n)
		s.commit(c, &t)
		if n < len(t.out) {
			c.tail = append([]byte(nil), t.out[n:]...)
			s.full(c)
			return
		}
	} else {
		s.commit(c, &t)
	}
	c.took, c.backoff = s.now, 0
	switch {
	case c.closing != nil && !c.flushed:
		s.goodbyeSaid(c)
	case t.more:
		s.touch(c)
	default:
		s.schedule(c, t.next)
	}
}

func (s *shard) writeTail(c *conn) bool {
	n, err := c.sink.offer(c.tail)
	if err != nil {
		s.fail(c, err)
		return false
	}
	if n > 0 {
		s.took(c, n)
		c.backoff = 0
	}
	if n < len(c.tail) {
		c.tail = c.tail[n:]
		s.full(c)
		return false
	}
	c.tail = nil
	return true
}

func (s *shard) took(c *conn, n int) {
	c.took, c.lastSent = s.now, s.now
	c.bytes += uint64(n)
	s.counts.bytes.Add(uint64(n))
	s.counts.frames.Add(c.frames - c.tally.counted)
	c.tally.counted = c.frames
}

// full puts a connection aside whose socket takes nothing more now. It is asked
// again after a while that grows, until it has been silent for too long.
func (s *shard) full(c *conn) {
	s.counts.stalls.Add(1)
	c.stalls++
	limit := s.hub.limits.Stall
	if s.now-c.took >= limit {
		s.drop(c, "stalled")
		return
	}
	if c.closing != nil && s.now >= c.deadline {
		s.drop(c, c.closing.label())
		return
	}
	c.backoff = min(max(5*time.Millisecond, 2*c.backoff), 80*time.Millisecond)
	c.retryAt = s.now + c.backoff
	s.schedule(c, c.retryAt)
}

// drained tells that a sink which takes one write at a time is free again.
func (s *shard) drained(c *conn) {
	c.took, c.retryAt, c.backoff = s.now, 0, 0
	s.touch(c)
}

func (s *shard) fail(c *conn, err error) {
	if c.closing != nil {
		s.drop(c, c.closing.label())
		return
	}
	if err != syscall.EPIPE && err != syscall.ECONNRESET {
		s.hub.log.Debug("a connection broke", "user", c.viewer.User, "error", err)
	}
	s.drop(c, brokenLabel(err))
}

// brokenLabel says how a connection broke. The kernel gives up a peer that
// takes nothing after the same time as a shard does, and may be first.
func brokenLabel(err error) string {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return "stalled"
	}
	return "1006"
}

// drop ends a connection at once.
func (s *shard) drop(c *conn, label string) {
	if c.gone {
		return
	}
	c.gone = true
	for len(c.subs) > 0 {
		s.leave(c, c.subs[0])
	}
	s.leavePast(c)
	s.forgetAsks(c)
	s.counts.life.observe(c, s.now)
	c.holdOld(nil)
	s.wheel.take(c)
	delete(s.conns, c)
	s.hub.poller.forget(c)
	c.sink.close(c.flushed)
	s.hub.stats.ended(c.wire, label)
	s.hub.door.leave(c.viewer.User, c.address)
	c.tail, c.answers, c.pending = nil, nil, nil
}
