// Package bus keeps what the plant said: one log in one order, and small
// key-value buckets beside it. It is NATS with JetStream, inside this process
// by default, or a cluster by address.
//
// # The log
//
// Append stores one bundle and gives it its sequence number. When it returns
// without an error the bundle is on disk (on most of the disks of a cluster)
// and outlives kill -9. When it returns an error that is ErrUnsure the bundle
// may have been stored or not; with any other error it was not. Append tries
// again by itself, and never stores a bundle twice.
//
// Consume gives every bundle after a number to one function, in order, each
// once, and goes on with what is appended, until its context ends.
//
// The log keeps what fits into Config.MaxBytes and Config.MaxAge; the oldest
// bundles go first, but none that a Hold still waits for. Epoch names the log:
// it is random, made with the log, and another one after the log was wiped, so
// that a number of one log is never taken for a number of another.
//
// Inside this process the log is a row of segments, so that a start after a
// crash reads the last one only, however long the log is.
//
// # When it cannot store
//
// Before the disk is full, and when the folder cannot be written to, Append
// refuses with a *realtime.Fault; Fault tells it without an Append. Reading
// goes on, and storing does by itself, within some seconds after the cause is
// gone. When NATS itself has failed, it is started anew in place.
//
// # Buckets
//
// A Bucket maps any string to bytes. Get sees every Put that has returned, on
// whichever node it was made.
//
// # Who may use the folder
//
// One process at a time: Open of a folder that another process holds is an
// error that names it.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrClosed is the answer of a Bus that was closed.
var ErrClosed = errors.New("the bus is closed")

// Config says where the log is kept.
type Config struct {
	// Dir is the folder of the server inside this process, made when absent.
	// It is not used with URL.
	Dir string
	// URL is a NATS server or cluster outside, such as nats://a:4222,nats://b:4222.
	URL string
	// MaxBytes and MaxAge bound the log. Zero means 4 GB and 7 days. When the
	// disk has not enough room, the log keeps less, with a warning.
	MaxBytes int64
	MaxAge   time.Duration
	// Segment is how many bytes of the log a start after a crash reads at most.
	// Zero means 64 MB, or less for a small log.
	Segment int64
	// Reserve is how many bytes of the disk stay free: before, nothing more is
	// stored. Zero means 64 MB.
	Reserve int64
	// Look is how often the disk is looked at. Zero means every two seconds.
	Look time.Duration
	// Log gets the warnings of NATS and of the bus. Nil means slog.Default().
	Log *slog.Logger
}

// A Bus is an open log with its buckets. Its methods may be called by many
// goroutines at once.
type Bus struct {
	cfg    Config
	log    *slog.Logger
	opened time.Time
	lock   *os.File // embedded only
	inside *inside  // the server in this process; nil with one outside
	nc     *nats.Conn
	js     jetstream.JetStream
	row    row
	epoch  string
	before []string // the epochs that this log had before, the oldest first
	ids    ids
	last   atomic.Uint64 // the newest seq seen by this process
	holds  holds
	guard  guard
	damage atomic.Pointer[Damage]

	closing context.Context // ends with Close; everything that waits listens to it
	close   context.CancelFunc
	mu      sync.Mutex // guards closed, so that using is never added to after Close waits
	closed  bool
	using   sync.WaitGroup
}

// Open starts the server in the folder, or connects to the one outside, and
// makes the log when it is not there.
func Open(ctx context.Context, cfg Config) (*Bus, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 4 << 30
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 7 * 24 * time.Hour
	}
	if cfg.Segment == 0 {
		cfg.Segment = min(max(cfg.MaxBytes/16, minSegment), maxSegment)
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = 64 << 20
	}
	if cfg.Look == 0 {
		cfg.Look = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	b := &Bus{cfg: cfg, log: cfg.Log, opened: time.Now(), ids: newIDs()}
	b.guard.hurry = make(chan struct{}, 1)
	b.guard.reserve.Store(cfg.Reserve)
	b.closing, b.close = context.WithCancel(context.Background())
	if err := b.open(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	var name string
	var before int64
	if b.cfg.URL == "" {
		if b.lock, err = lockDir(b.cfg.Dir); err != nil {
			return err
		}
		b.blame(b.look()) // before anything is stored
		name, before = tail(b.cfg.Dir)
		if b.inside, err = startInside(b.cfg.Dir, b.log); err != nil {
			return err
		}
	}
	if b.nc, err = b.connect(ctx); err != nil {
		return err
	}
	if b.js, err = jetstream.New(b.nc); err != nil {
		return err
	}
	if b.inside == nil {
		return b.openOutside(ctx)
	}
	now, after := tail(b.cfg.Dir)
	if err = b.openRow(ctx); err != nil {
		return err
	}
	if now == name && after < before {
		if err = b.mend(ctx, Damage{Bytes: before - after}, b.Last()); err != nil {
			return err
		}
	}
	b.using.Go(b.watch)
	return nil
}

// Epoch names the log that the sequence numbers belong to.
func (b *Bus) Epoch() string { return b.epoch }

// Last is the newest sequence number of the log that this process knows of:
// what it appended, and what other nodes appended as far as Consume has read.
func (b *Bus) Last() uint64 { return b.last.Load() }

func (b *Bus) saw(seq uint64) {
	for old := b.last.Load(); seq > old && !b.last.CompareAndSwap(old, seq); {
		old = b.last.Load()
	}
}

// Ready says why the log cannot store now, or nil.
func (b *Bus) Ready() error {
	if b.closing.Err() != nil {
		return ErrClosed
	}
	if f := b.Fault(); f != nil {
		return f
	}
	ctx, cancel := context.WithTimeout(b.closing, time.Second)
	defer cancel()
	info, err := b.row.active().stream.Info(ctx)
	switch {
	case b.closing.Err() != nil:
		return ErrClosed
	case err != nil:
		return fmt.Errorf("the log does not answer: %w", err)
	default:
		return b.sameLog(info)
	}
}

// errOtherLog means that a number does not belong to the log that is there.
var errOtherLog = errors.New("this is another log")

// sameLog guards against a log that was deleted and made anew under a running
// process, whose numbers would mean something else.
func (b *Bus) sameLog(info *jetstream.StreamInfo) error {
	if got := info.Config.Metadata[epochKey]; got != b.epoch {
		return fmt.Errorf("%w: its epoch is %q and was %q at the start; restart", errOtherLog, got, b.epoch)
	}
	return nil
}

// Stats describe the log.
type Stats struct {
	Messages    uint64 // bundles that are kept
	Bytes       uint64 // on disk
	First, Last uint64 // the oldest kept and the newest sequence number
	Segments    int
	Held        uint64 // bundles that some Hold has not read yet
}

// Stats asks the log for its size. It is all zero when the log does not answer.
func (b *Bus) Stats() Stats {
	ctx, cancel := context.WithTimeout(b.closing, time.Second)
	defer cancel()
	closed := b.row.closed()
	info, err := b.row.active().stream.Info(ctx)
	if err != nil {
		return Stats{}
	}
	s := Stats{Messages: info.State.Msgs, Bytes: info.State.Bytes, First: info.State.FirstSeq, Last: b.Last(), Segments: len(closed) + 1}
	if a := b.row.active(); a.marked && s.First == a.first {
		s.Messages, s.First = s.Messages-1, s.First+1
	}
	for i := len(closed) - 1; i >= 0; i-- {
		s.Messages += closed[i].bundles
		s.Bytes += closed[i].bytes
		s.First = closed[i].oldest
	}
	s.Held = b.held(s.Last)
	return s
}

// enter keeps the server up until leave. It refuses after Close.
func (b *Bus) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.using.Add(1)
	return nil
}

func (b *Bus) leave() { b.using.Done() }

// Close ends every Consume and Watch, waits for the Appends under way, shuts
// the server down and frees the folder. Closing twice is harmless.
func (b *Bus) Close() {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	b.mu.Unlock()
	if again {
		return
	}
	b.close()
	b.using.Wait()
	if b.nc != nil {
		b.nc.Close()
	}
	if b.inside != nil {
		b.inside.stop()
	}
	if b.lock != nil {
		b.lock.Close() // the system frees the lock with the file
	}
}
