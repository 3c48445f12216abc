package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"echotwin/realtime"
)

// A gather turns what many callers hand in into few writes to the log.
type gather struct {
	log    Log
	logger *slog.Logger
	max    int // bytes of a bundle
	fault  func() *realtime.Fault

	// room counts the bytes between put and the end of their write. It is what
	// bounds the queue, and it lets the callers in by turns.
	room    *semaphore.Weighted
	closing context.Context
	stop    context.CancelFunc
	wake    chan struct{} // holds one token when there may be something to write that there was not
	ended   chan struct{}
	buffers sync.Pool

	pacer pacer

	mu     sync.Mutex
	queue  []*bundle // only the last one takes more
	closed bool

	// Counted for Stats.
	readings, values, facts, rejected, clamped, bundles, bytes, lost, failures atomic.Uint64
	latency, queued                                                            atomic.Int64
}

// A chunk is a part of a request's lines that goes into one bundle.
type chunk struct {
	end                              int // in the lines of the request
	readings, values, facts, clamped int
	caller                           uint64
}

// A bundle is one write to the log, and the place where its callers wait.
type bundle struct {
	lines   []byte
	total   chunk    // what is in it, for the counters
	callers []uint64 // whose it is
	urgent  bool     // it is not held
	done    chan struct{}
	// Set before done is closed.
	seq uint64
	err error
}

func newGather(cfg Config) *gather {
	g := &gather{
		log: cfg.Log, logger: cfg.Logger, max: cfg.MaxBundle,
		room:  semaphore.NewWeighted(int64(cfg.MaxQueue)),
		wake:  make(chan struct{}, 1),
		ended: make(chan struct{}),
		pacer: newPacer(),
	}
	if g.fault = cfg.Fault; g.fault == nil {
		g.fault = func() *realtime.Fault { return nil }
	}
	g.closing, g.stop = context.WithCancel(context.Background())
	go g.run()
	return g
}

// put adds lines to the bundle that is being gathered. It waits for room only.
func (g *gather) put(ctx context.Context, lines []byte, c chunk) (*bundle, error) {
	if f := g.fault(); f != nil {
		g.lost.Add(uint64(c.readings + c.facts))
		return nil, unstored(f)
	}
	n := int64(len(lines))
	if err := g.acquire(ctx, n); err != nil {
		return nil, err
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		g.room.Release(n)
		return nil, stopping()
	}
	b := g.open(len(lines))
	wake := len(b.lines) == 0
	if !b.urgent && g.hurries(c) {
		b.urgent, wake = true, true
	}
	b.lines = append(b.lines, lines...)
	b.callers = append(b.callers, c.caller)
	b.total.readings += c.readings
	b.total.values += c.values
	b.total.facts += c.facts
	b.total.clamped += c.clamped
	g.mu.Unlock()
	g.queued.Add(n)
	if wake {
		g.nudge()
	}
	return b, nil
}

// acquire waits for room for n bytes.
func (g *gather) acquire(ctx context.Context, n int64) error {
	if g.room.TryAcquire(n) {
		return nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.closing, cancel)()
	if g.room.Acquire(waiting, n) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("ingest: nothing was stored while waiting for room: %w", ctx.Err())
	}
	return stopping()
}

// open returns the bundle that n more bytes go into. mu is held.
func (g *gather) open(n int) *bundle {
	if k := len(g.queue); k > 0 && len(g.queue[k-1].lines)+n <= g.max {
		return g.queue[k-1]
	}
	b := &bundle{done: make(chan struct{})}
	if old, ok := g.buffers.Get().(*[]byte); ok {
		b.lines = (*old)[:0]
	}
	g.queue = append(g.queue, b)
	return b
}

func (g *gather) nudge() {
	select {
	case g.wake <- struct{}{}:
	default: // a token is there, and run looks at the whole queue
	}
}

// wait returns when the bundle is stored, cannot be, or ctx ends.
func (b *bundle) wait(ctx context.Context) (uint64, error) {
	select {
	case <-b.done:
	case <-ctx.Done():
		select {
		case <-b.done: // both: the truth is better than the news that nobody waits for it
		default:
			return 0, fmt.Errorf("ingest: nobody waited until it was stored: %w", ctx.Err())
		}
	}
	var f *realtime.Fault
	if errors.As(b.err, &f) {
		return 0, unstored(f)
	}
	if b.err != nil {
		return 0, unavailable("the log could not confirm that this is stored: send it again")
	}
	return b.seq, nil
}

// run is the one goroutine that writes to the log.
func (g *gather) run() {
	defer close(g.ended)
	failing := false
	for g.await() {
		held := g.hold()
		b := g.next()
		g.commit(b)
		g.pacer.learn(held, len(b.callers), b.total.readings)
		if failed := b.err != nil; failed != failing {
			failing = failed
			if failed { // once, not for every bundle of an outage
				g.logger.Error("the log does not store", "error", b.err)
			} else {
				g.logger.Warn("the log stores again", "seq", b.seq)
			}
		}
	}
}

// await returns when there is something to write. It is false when nothing will
// come any more.
func (g *gather) await() bool {
	for {
		g.mu.Lock()
		some, closed := len(g.queue) > 0, g.closed
		g.mu.Unlock()
		if some || closed {
			return some
		}
		<-g.wake
	}
}

// next takes the oldest bundle off the queue.
func (g *gather) next() *bundle {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.queue[0]
	g.queue[0] = nil
	g.queue = g.queue[1:]
	return b
}

// commit writes one bundle and tells its callers.
func (g *gather) commit(b *bundle) {
	n := len(b.lines)
	start := time.Now()
	// Not the context of any caller: what one hands in is not another's to stop.
	b.seq, b.err = g.log.Append(context.Background(), b.lines)
	if b.err != nil {
		g.failures.Add(1)
		g.lost.Add(uint64(b.total.readings + b.total.facts))
	} else {
		g.latency.Add(int64(time.Since(start)))
		g.bundles.Add(1)
		g.bytes.Add(uint64(n))
		g.readings.Add(uint64(b.total.readings))
		g.values.Add(uint64(b.total.values))
		g.facts.Add(uint64(b.total.facts))
		g.clamped.Add(uint64(b.total.clamped))
	}
	if cap(b.lines) <= 2*g.max {
		lines := b.lines
		g.buffers.Put(&lines)
	}
	b.lines = nil
	g.mu.Lock()
	g.pacer.back = b.callers // before they can be back
	g.mu.Unlock()
	close(b.done)
	g.queued.Add(int64(-n))
	g.room.Release(int64(n))
}

func (g *gather) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.stop()
	g.nudge()
	<-g.ended
}

func unavailable(message string) *realtime.Problem {
	return &realtime.Problem{Code: realtime.CodeUnavailable, Message: message}
}

func stopping() *realtime.Problem {
	return unavailable("the server is stopping: send it again in a moment")
}
