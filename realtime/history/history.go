package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"

	"echotwin/realtime"
)

// A Log is where history reads what it was not handed.
type Log interface {
	Consume(ctx context.Context, after uint64, apply func(realtime.Bundle)) error
	Last() uint64
	Epoch() string
	// Continues says whether a number of that epoch is one of this log.
	Continues(epoch string) bool
}

// A Description is what is known about a property besides its values.
type Description struct {
	Type       string   // as a Thing Description says it; "" when it is not described
	Unit       string   //
	MultipleOf float64  // every number is a multiple of it; 0 when that is not known
	Names      []string // the values that a string may have
}

// Config is what a History needs from outside.
type Config struct {
	Dir string // made when absent
	Log Log

	// URL is a store outside, VictoriaMetrics or Mimir, that is used in place of
	// one in Dir. Dir then holds the place in the log and the names of values.
	URL string

	// Describe tells about a property; false when there is none with that name.
	// Nil describes nothing.
	Describe func(thing, property string) (Description, bool)

	Retention time.Duration // of samples; zero means 90 days
	MaxBytes  int64         // of samples on disk; zero means 10 GB
	// RollupRetention is how long buckets are kept, from which long ranges are
	// answered. Zero means 3 years; it is never less than Retention.
	RollupRetention time.Duration
	Late            time.Duration // how much older than the newest sample one may be; zero means 7 days

	// Begin is closed when Run may open the store and read the log, so that a
	// start is not held up by what can wait. Nil means at once.
	Begin <-chan struct{}

	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means slog.Default()
}

const (
	// handOff is how many bundles may wait. What is offered beyond is read from
	// the log again.
	handOff = 64

	// gather is how long samples wait for others to be written with them, and
	// maxBatch how many do.
	gather   = 100 * time.Millisecond
	maxBatch = 50_000

	// maxSeries bounds the series of this process; see Stats.Refused.
	maxSeries = 500_000

	// A store that failed is opened again after a pause, which grows: each time it
	// begins another file.
	reopenPause    = time.Second
	maxReopenPause = 10 * time.Second
)

// A History is safe for concurrent use.
type History struct {
	cfg    Config
	log    *slog.Logger
	engine *promql.Engine
	busy   chan struct{} // one for each query that may run at once

	bundles   chan realtime.Bundle
	latest    atomic.Uint64 // the newest bundle that was offered
	following atomic.Bool   // Run takes what is offered
	orders    chan func()   // what Run is asked to do between two commits

	seq    atomic.Uint64 // everything up to here is in the store
	caught atomic.Bool   // what the log held when the store opened is in it
	fault  atomic.Pointer[string]

	mu      sync.RWMutex // held for reading while db is used, so that it is not closed under a query
	db      *tsdb.DB     // nil while it is not open
	closing context.Context
	end     context.CancelFunc

	// deleting is held for writing while a thing is deleted, since the store marks
	// what is deleted in blocks that it hands to queries meanwhile.
	deleting sync.RWMutex

	outside *outside // nil with a store of our own
	names   *names
	rolling sync.Mutex
	rollups *rollups // set with db, as gate is
	gate    *lateGate
	arrived atomic.Int64 // when the newest sample that is stored arrived
	stats   stats
}

// New makes a History; Run opens it. The URL, when there is one, must have
// passed CheckURL.
func New(cfg Config) *History {
	if cfg.Retention <= 0 {
		cfg.Retention = 90 * 24 * time.Hour
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 10 << 30
	}
	if cfg.Late <= 0 {
		cfg.Late = 7 * 24 * time.Hour
	}
	if cfg.RollupRetention <= 0 {
		cfg.RollupRetention = 3 * 365 * 24 * time.Hour
	}
	cfg.RollupRetention = max(cfg.RollupRetention, cfg.Retention)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Describe == nil {
		cfg.Describe = func(string, string) (Description, bool) { return Description{}, false }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	h := &History{
		cfg:     cfg,
		log:     cfg.Logger,
		engine:  newEngine(),
		busy:    make(chan struct{}, maxQueries),
		bundles: make(chan realtime.Bundle, handOff),
		orders:  make(chan func()),
		names:   newNames(cfg.Dir),
	}
	if cfg.URL != "" {
		h.outside = newOutside(cfg.URL)
	}
	h.closing, h.end = context.WithCancel(context.Background())
	return h
}

// Offer hands over the next bundle of the log. It never blocks.
func (h *History) Offer(b realtime.Bundle) {
	h.latest.Store(b.Seq)
	if !h.following.Load() {
		return
	}
	select {
	case h.bundles <- b:
	default: // Run sees the gap and reads it from the log
	}
}

// Seq is the place in the log up to which everything is in history.
func (h *History) Seq() uint64 { return h.seq.Load() }

// Opening is the error of Ready while history is on its way up: nothing is
// wrong, it only is not there yet.
type Opening struct{ Seq, Last uint64 }

// Opening says that it is no fault.
func (o *Opening) Opening() bool { return true }

func (o *Opening) Error() string {
	if o.Seq == 0 {
		return "history is being opened"
	}
	return fmt.Sprintf("history reads the log: it is at %d of %d", o.Seq, o.Last)
}

// Ready says why history does not follow the log now, or nil.
func (h *History) Ready() error {
	switch why := h.fault.Load(); {
	case why != nil:
		return errors.New(*why)
	case !h.caught.Load():
		return &Opening{Seq: h.seq.Load(), Last: h.cfg.Log.Last()}
	}
	return nil
}

// Run opens the store and follows the log until ctx ends; then it returns nil.
// When the store fails, a full disk perhaps, it says so in Ready, opens it again
// and reads from the log what is missing.
func (h *History) Run(ctx context.Context) error {
	defer h.end()
	if h.cfg.Begin != nil {
		select {
		case <-h.cfg.Begin:
		case <-ctx.Done():
			return nil
		}
	}
	pause := reopenPause
	for {
		began := time.Now()
		err := h.once(ctx)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				h.log.Warn("history was not closed in order; it reads the log from where it was at the next start", "error", err)
			}
			return nil
		}
		why := err.Error()
		if old := h.fault.Swap(&why); old == nil || *old != why {
			h.log.Error("history cannot store; it tries again and reads the log from where it was", "seq", h.Seq(), "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if pause = min(2*pause, maxReopenPause); time.Since(began) > 2*maxReopenPause {
			pause = reopenPause // it worked for a while
		}
	}
}

// once is one session, in the store of this process or outside.
func (h *History) once(ctx context.Context) error {
	if h.outside != nil {
		return h.sendOn(ctx)
	}
	return h.session(ctx)
}

// unavailable is the answer while there is no store to ask.
func (h *History) unavailable() error {
	why := "history is being opened; try again in a moment"
	if f := h.fault.Load(); f != nil {
		why = "history is not available: its store failed and is being opened again"
	}
	return &realtime.Problem{Code: realtime.CodeUnavailable, Message: why}
}
