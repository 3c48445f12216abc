// Package ingest is the one way in. It reads what devices send, checks it,
// writes it down once as lines of the log, and says that it has it when the
// log has stored it.
//
// # What is kept
//
// A payload is read sample by sample and property by property. What is wrong
// is told by its place (a JSON pointer into the payload, "/1/speed") and its
// reason; what is right beside it is kept. A payload whose structure breaks
// (it was cut, a comma is missing) is read up to there: samples that ended
// before are kept, the one that broke is not. Values are kept as they were
// written, without the blanks: no number passes through a float.
//
// # When it is stored
//
// Telemetry and its sisters return when the log has stored what they were
// given. One goroutine appends to the log; what arrives while it does is
// gathered into the next bundle, so that a thousand devices share one write
// to the disk. While thousands of readings come each second telemetry waits up
// to 20 ms for others, so that writes stay few. With less to do nothing waits,
// nor does a sender that waits for each acknowledgement, nor anything but
// telemetry.
//
// What waits for the disk is bounded; when it is full, callers wait for room. A
// caller whose context ends stops waiting, with an error that wraps the
// context's; what it had handed in is stored nevertheless, or not: it does not
// know.
//
// # Errors
//
// An error that is a *realtime.Problem is for the one who sent: nothing in it
// was right, or the log cannot store now (CodeUnavailable), or the Ingest was
// closed (also CodeUnavailable). The only other errors wrap the context's.
package ingest

import (
	"context"
	"log/slog"
	"time"

	"echotwin/realtime"
)

// The limits of what is taken.
const (
	MaxPayload    = 1 << 20  // bytes of a payload
	MaxSamples    = 10_000   // samples in a request
	MaxProperties = 256      // properties in a sample
	MaxValue      = 64 << 10 // bytes of one value, of an event's data and of a result
	MaxNumber     = 128      // characters of a number
	MaxRejected   = 20       // problems that an Answer lists

	// maxLine bounds a record as it is written, so that a bundle of one fits
	// into a message of a NATS server that was not configured for us (1 MB).
	maxLine = 1<<20 - 4<<10
)

// Log is where everything goes. Append returns when lines are on disk, with
// their sequence number; it returns within a bounded time and does not keep
// lines.
type Log interface {
	Append(ctx context.Context, lines []byte) (uint64, error)
}

// Config says how to take things in.
type Config struct {
	Log Log
	// Now is the clock of arrival. Nil means time.Now.
	Now func() time.Time
	// MaxBundle is how many bytes one write to the log gathers at most; a
	// single larger record gets one of its own. Zero means 256 KB.
	MaxBundle int
	// MaxQueue is how many bytes wait for the log at most, over all bundles.
	// Zero means 8 MB. It is never less than a bundle and a record of 1 MB.
	MaxQueue int
	// MaxAhead is how far the clock of a device may be ahead of ours. What is
	// further in the future gets the time of its arrival. Zero means a minute.
	MaxAhead time.Duration
	// Admit says of a sample, before it is stored, what of it would not be shown
	// because there is no place for it: the values over, in rising order, or all
	// of it when over is empty. why is nil when there is a place for everything.
	// It is asked for each sample and each status; for an event only so that
	// its thing has a place, since events are shown in any case. Nil has places
	// for all.
	Admit func(thing string, values []realtime.Value) (over []int, why *realtime.Problem)
	// Fault says why nothing may be stored now; nil is no reason. It is asked at
	// every write. A nil Fault never has one.
	Fault func() *realtime.Fault
	// Unlogged is given the telemetry that could not be stored, for those who
	// look; who sent it is told that it is not stored. Nil drops it.
	Unlogged func([]realtime.Record)
	// Logger hears when the log fails and when it is back. Nil means slog.Default().
	Logger *slog.Logger
}

// An Ingest takes things in from many goroutines at once.
type Ingest struct {
	cfg    Config
	gather *gather
}

// New starts an Ingest, which runs until Close.
func New(cfg Config) *Ingest {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxBundle == 0 {
		cfg.MaxBundle = 256 << 10
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = 8 << 20
	}
	if cfg.MaxAhead == 0 {
		cfg.MaxAhead = time.Minute
	}
	if cfg.Admit == nil {
		cfg.Admit = func(string, []realtime.Value) ([]int, *realtime.Problem) { return nil, nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.MaxQueue = max(cfg.MaxQueue, cfg.MaxBundle+maxLine)
	return &Ingest{cfg: cfg, gather: newGather(cfg)}
}

// Close refuses what comes from now on, stores what is waiting and returns.
func (in *Ingest) Close() { in.gather.close() }

// An Answer says what became of the samples of a request.
type Answer struct {
	Accepted int    `json:"accepted"`          // samples that are stored
	Seq      uint64 `json:"seq,omitempty"`     // of the newest of them in the log
	Clamped  int    `json:"clamped,omitempty"` // of them, those from too far in the future, which got the time of their arrival

	// What was not stored, by place: the first MaxRejected, and how many in all.
	Rejected      []realtime.Problem `json:"rejected,omitempty"`
	RejectedTotal int                `json:"rejectedTotal,omitempty"`
}

// Telemetry takes an object {"speed":60.4,"temperature":41}, optionally with
// "ts" (RFC 3339 or milliseconds since 1970), or an array of such objects.
// The error is a Problem when nothing was right, and when the log failed: then
// Accepted says how many samples of a large request were stored before. The
// Answer lists what was wrong in any case.
func (in *Ingest) Telemetry(ctx context.Context, thing string, payload []byte) (Answer, error) {
	return in.read(ctx, payload, true, func(r *request) { r.telemetry(thing) })
}

// TelemetryNoWait is Telemetry for those who want no acknowledgement, such as
// MQTT with QoS 0. It waits for room only; Accepted samples are on their way
// to the log, and if the log fails they are lost and counted.
func (in *Ingest) TelemetryNoWait(ctx context.Context, thing string, payload []byte) (Answer, error) {
	return in.read(ctx, payload, false, func(r *request) { r.telemetry(thing) })
}

// Property takes one bare JSON value.
func (in *Ingest) Property(ctx context.Context, thing, name string, payload []byte) (Answer, error) {
	return in.read(ctx, payload, true, func(r *request) { r.property(thing, name) })
}

// Batch takes the samples of many things, {thing: object | array}.
func (in *Ingest) Batch(ctx context.Context, payload []byte) (Answer, error) {
	return in.BatchFor(ctx, payload, nil)
}

// BatchFor is Batch for a sender who may write to some things only; the others
// are rejected as forbidden. A nil may allows all.
func (in *Ingest) BatchFor(ctx context.Context, payload []byte, may func(thing string) bool) (Answer, error) {
	return in.read(ctx, payload, true, func(r *request) { r.batch(may) })
}

// read decodes a payload and stores what is right in it.
func (in *Ingest) read(ctx context.Context, payload []byte, wait bool, decode func(*request)) (Answer, error) {
	r := newRequest(in.cfg, payload)
	defer r.release()
	if p := r.fits(); p != nil {
		r.reject(*p)
	} else {
		decode(r)
	}
	in.gather.rejected.Add(uint64(r.answer.RejectedTotal))
	if len(r.lines) == 0 {
		return r.answer, r.problem()
	}
	err := in.store(ctx, r, wait)
	if err != nil {
		in.show(r.lines, err)
	}
	return r.answer, err
}

// store hands the lines of a request over, bundle by bundle, and waits for
// them. It fills in the rest of the answer.
func (in *Ingest) store(ctx context.Context, r *request, wait bool) error {
	var err error
	waiting := r.waiting[:0]
	from := 0
	for i, c := range r.chunks {
		var b *bundle
		if b, err = in.gather.put(ctx, r.lines[from:c.end], c); err != nil {
			r.chunks = r.chunks[:i]
			break
		}
		waiting = append(waiting, b)
		from = c.end
	}
	r.waiting = waiting
	for i, b := range waiting {
		if wait {
			seq, e := b.wait(ctx)
			if e != nil {
				err = e
				continue
			}
			r.answer.Seq = seq
		}
		r.answer.Accepted += r.chunks[i].readings
		r.answer.Clamped += r.chunks[i].clamped
	}
	return err
}

// Event takes the data of an event, any JSON or nothing.
func (in *Ingest) Event(ctx context.Context, thing, name string, payload []byte) error {
	return in.fact(ctx, payload, func(r *request) (realtime.Record, *realtime.Problem) {
		rec, p := r.event(thing, name)
		if p == nil {
			_, _ = in.cfg.Admit(thing, nil) // without a place it is a fact nevertheless
		}
		return rec, p
	})
}

// Status takes the word online or offline.
func (in *Ingest) Status(ctx context.Context, thing, word string) error {
	return in.fact(ctx, nil, func(*request) (realtime.Record, *realtime.Problem) {
		rec, p := status(thing, word)
		if p == nil {
			_, p = in.cfg.Admit(thing, nil)
		}
		return rec, p
	})
}

// Result takes what a device answers to a command, {"ok":true,"output":…} or
// {"ok":false,"error":"…"}.
func (in *Ingest) Result(ctx context.Context, cmd string, payload []byte) error {
	return in.fact(ctx, payload, func(r *request) (realtime.Record, *realtime.Problem) { return r.result(cmd) })
}

// fact stores one record that is not telemetry.
func (in *Ingest) fact(ctx context.Context, payload []byte, decode func(*request) (realtime.Record, *realtime.Problem)) error {
	r := newRequest(in.cfg, payload)
	defer r.release()
	p := r.fits()
	if p == nil {
		var rec realtime.Record
		if rec, p = decode(r); p == nil {
			rec.TS, rec.At = r.now, r.now
			r.fact(rec)
		}
	}
	if p != nil {
		in.gather.rejected.Add(1)
		return p
	}
	return in.store(ctx, r, true)
}

// Put stores records that the server itself makes, such as the steps of a
// command, all in one bundle, and returns its sequence number. A zero At means
// now, a zero TS means At. Records that the log could not give back are
// refused: their names must be names and their JSON must be JSON.
func (in *Ingest) Put(ctx context.Context, records ...realtime.Record) (uint64, error) {
	r := newRequest(in.cfg, nil)
	defer r.release()
	for _, rec := range records {
		if err := r.record(rec); err != nil {
			return 0, err
		}
	}
	if len(r.lines) == 0 {
		return 0, &realtime.Problem{Code: realtime.CodeInvalid, Message: "no record to store"}
	}
	if len(r.lines) > maxLine {
		return 0, tooLarge("", "these records are larger than one bundle", maxLine)
	}
	r.chunks = append(r.chunks[:0], chunk{end: len(r.lines), facts: len(records)})
	err := in.store(ctx, r, true)
	return r.answer.Seq, err
}
