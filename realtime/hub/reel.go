package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"echotwin/realtime"
)

// A reel plays the past for one connection. Behind it is a hub of its own that
// holds only what this client follows, so a replay is the same as live: the
// same frames, the same merging for a slow line, the same claims of a cursor.
// Its seqs are milliseconds since 1970, so that a cursor is also the moment.
//
// Two goroutines: one reads ahead, a little; run shows what is due.
type reel struct {
	hub     *Hub  // of the past
	inner   *conn // what it is shown to; set before it plays
	course  course
	ctx     context.Context
	cancel  context.CancelFunc
	moments chan exposure
	err     error // why moments is closed; nil at the end

	touched chan struct{} // the clock was changed

	mu     sync.Mutex // guards what follows
	speed  float64
	paused bool
	stands bool      // it has not begun, waits for the history, or has come to its end
	past   time.Time // what the clock showed at real
	real   time.Time
	ended  bool
}

// An exposure is a moment on its way to be shown.
type exposure struct {
	Moment
	shown chan struct{} // closed then; nil when nobody waits for it
}

// openReel reads the first moment. The caller runs it, or closes it.
func (h *Hub) openReel(ctx context.Context, p Past, c course) (*reel, error) {
	p.From, p.To = c.from, c.to
	p.Patterns, _ = h.scope(p.Patterns, p.See)
	r := &reel{course: c, moments: make(chan exposure, lookAhead), touched: make(chan struct{}, 1), speed: c.speed, paused: c.paused, stands: true, past: c.from}
	r.ctx, r.cancel = context.WithCancel(h.ctx)
	unhook := context.AfterFunc(ctx, r.cancel)
	if !h.spawn(func() { r.read(h.replayer, p) }) { // a request may come this far when the hub has ended
		unhook()
		r.cancel()
		return nil, context.Canceled // and nobody reads, so nobody would close moments
	}
	first, ok := <-r.moments
	if !unhook() || !ok {
		r.cancel()
		for range r.moments { // until the reader has gone
		}
		if r.err == nil {
			r.err = context.Cause(ctx)
		}
		return nil, r.err
	}
	l := h.limits
	l.Facts, l.FactBytes = pastFacts, pastFactBytes
	l.Stall = 24 * time.Hour // the connection itself is watched where it lives
	r.hub = newHub(Config{Epoch: replayEpoch + strings.ToLower(rand.Text()[:8]), Limits: l, Log: h.log}, 1)
	r.hub.clock = r.now
	r.hub.standAs(h)
	r.show(first.Moment)
	first.done()
	for !r.ask(func(s *shard) bool { return !s.behind() }) {
		time.Sleep(time.Millisecond)
	}
	return r, nil
}

// ask runs f in the shard of the past.
func (r *reel) ask(f func(*shard) bool) bool {
	answer := make(chan bool, 1)
	return r.hub.shards[0].post(func(s *shard) { answer <- f(s) }) && <-answer
}

// pastFacts bound how many facts a client of the past may be behind.
const (
	pastFacts     = 512
	pastFactBytes = 1 << 20
)

func (r *reel) read(from Replayer, p Past) {
	defer close(r.moments)
	for m, err := range from.Replay(r.ctx, p) {
		if err != nil {
			r.err = err
			return
		}
		e := exposure{Moment: m}
		if len(m.Changes)+len(m.Facts) == 0 {
			e.shown = make(chan struct{})
		}
		if !r.expose(e) {
			r.err = r.ctx.Err()
			return
		}
	}
}

// expose hands a moment on. It waits for an empty one to be shown: what comes
// after it may not be known before.
func (r *reel) expose(e exposure) bool {
	select {
	case r.moments <- e:
	case <-r.ctx.Done():
		return false
	}
	if e.shown == nil {
		return true
	}
	select {
	case <-e.shown:
		return true
	case <-r.ctx.Done():
		return false
	}
}

func (e *exposure) done() {
	if e.shown != nil {
		close(e.shown)
	}
}

// close lets go of everything. The caller is the one who opened it.
func (r *reel) close() {
	r.cancel()
	for range r.moments {
	}
	r.hub.cancel()
	r.hub.wg.Wait()
}

func (r *reel) show(m Moment) {
	r.hub.Publish(realtime.Update{Seq: uint64(m.At.UnixMilli()), Changes: m.Changes, Facts: m.Facts})
}

// now is the moment that is shown.
func (r *reel) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock()
}

// clock is now for who holds mu.
func (r *reel) clock() time.Time {
	if r.paused || r.stands {
		return r.past
	}
	t := r.past.Add(time.Duration(float64(time.Since(r.real)) * r.speed))
	if !r.course.to.IsZero() && t.After(r.course.to) {
		t = r.course.to
	}
	return t.Truncate(time.Millisecond)
}

// set changes how the clock runs from now on.
func (r *reel) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = r.clock()
	r.real = time.Now()
	f()
	select {
	case r.touched <- struct{}{}:
	default:
	}
}

// steer is what a client may change without a new reel.
func (r *reel) steer(speed float64, paused bool) {
	r.set(func() { r.speed, r.paused = speed, paused })
}

// state is the course from where the clock is.
func (r *reel) state() course {
	r.mu.Lock()
	defer r.mu.Unlock()
	return course{from: r.clock(), to: r.course.to, speed: r.speed, paused: r.paused || r.ended}
}

// play runs the reel, says that it has ended and stands still until ctx ends.
func (r *reel) play() {
	r.run()
	r.until(r.sayEnd)
	<-r.ctx.Done()
}

// until returns when what is asked in the shard of the past is so, or ctx ends.
func (r *reel) until(is func(*shard) bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for r.ctx.Err() == nil && !r.ask(is) {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
		}
	}
}

// shown says whether the client has all of its snapshots.
func (r *reel) shown(*shard) bool {
	return !slices.ContainsFunc(r.inner.subs, func(n *sub) bool { return !n.facts })
}

// sayEnd follows when the client has been told everything else.
func (r *reel) sayEnd(s *shard) bool {
	c := r.inner
	if s.behind() || c.facts > 0 || c.vague || c.paging() || len(c.answers) > 0 {
		return false
	}
	for _, n := range c.subs {
		if n.dirty {
			return false
		}
	}
	s.say(c, "replayed", r.end())
	if c.wire == lines { // a script waits for the end of its input
		s.bye(c, goodbye{code: 1000})
	}
	return true
}

// behind says whether something was published that the shard has not marked.
func (s *shard) behind() bool {
	h := s.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	return s.seq != h.seq || len(h.open.entries) > 0 || s.factEnd != h.ring.end
}

// run shows each moment when its time has come. It returns when there are no
// more, or when ctx has ended.
func (r *reel) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	last := r.course.from
	r.set(func() { r.stands = false })
	for {
		m, ok := r.take()
		if ok && !m.At.After(r.course.from) {
			// A snapshot claims all that happened up to its moment, so these facts
			// would not be told before it.
			r.set(func() { r.stands = true })
			r.until(r.shown)
			r.set(func() { r.stands = false })
		}
		if !ok || !r.await(m.At, timer) {
			break
		}
		r.show(m.Moment)
		m.done()
		last = m.At
	}
	r.set(func() { r.past, r.stands, r.ended = last, true, true })
}

// take is the next moment. While the history has to be waited for, the clock
// stands, so that no time passes of which nothing was shown.
func (r *reel) take() (exposure, bool) {
	select {
	case m, ok := <-r.moments:
		return m, ok
	default:
	}
	r.set(func() { r.stands = true })
	m, ok := <-r.moments // ends with ctx
	r.set(func() { r.stands = false })
	return m, ok
}

// await returns at a moment of the past; false when ctx ends before.
func (r *reel) await(at time.Time, timer *time.Timer) bool {
	for {
		r.mu.Lock()
		left := at.Sub(r.clock())
		wait := time.Hour
		if !r.paused {
			wait = time.Duration(float64(left)/r.speed) + 1
		}
		r.mu.Unlock()
		if left <= 0 {
			return r.ctx.Err() == nil
		}
		timer.Reset(max(wait, time.Millisecond))
		select {
		case <-timer.C:
		case <-r.touched:
		case <-r.ctx.Done():
			return false
		}
	}
}

// replayed ends a replay, which then stands still.
type replayed struct {
	Type    string `json:"type"`
	Replay  bool   `json:"replay"`
	At      string `json:"at"`
	Reason  string `json:"reason"` // end, present or failed
	Message string `json:"message,omitempty"`
}

// end is what is said when run has returned.
func (r *reel) end() replayed {
	f := replayed{Type: "replayed", Replay: true, At: realtime.Stamp(r.now()), Reason: "present"}
	var p *realtime.Problem
	switch {
	case errors.As(r.err, &p):
		f.Reason, f.Message = "failed", p.Message
	case r.err != nil:
		f.Reason, f.Message = "failed", "the history could not be read further"
	case !r.course.to.IsZero():
		f.Reason = "end"
	}
	return f
}
