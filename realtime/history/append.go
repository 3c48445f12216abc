package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"echotwin/realtime"
)

// ahead is how far a sample may be ahead of its arrival. Ingest sees to it; but
// one sample of tomorrow would make the store take all others for late ones.
const ahead = 2 * time.Minute

// A session is one time that the store is open. Only Run touches it.
type session struct {
	*History
	db      *tsdb.DB
	columns *columns

	ctx    context.Context // with a store outside
	placed time.Time       // when the place in the log was saved, with a store outside

	next   uint64 // the bundle that is wanted
	inTime []sample
	late   []sample

	batch   uint64 // counts those that were put together
	sorted  []sample
	streams []*stream

	epoch  labels.Labels // of the marker
	marked int64         // time of the last one
	at     int64         // when the newest record arrived
	ref    storage.SeriesRef
}

type sample struct {
	stream *stream
	ts     int64
	v      float64
}

// session opens the store and follows the log until ctx ends or the store fails.
func (h *History) session(ctx context.Context) (err error) {
	s, err := h.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	defer h.following.Store(false)
	rolling, stop := context.WithCancel(ctx)
	rolled := make(chan struct{})
	go func() { defer close(rolled); h.roll(rolling) }()
	defer func() { stop(); <-rolled }()
	return s.run(ctx)
}

// run reads the log up to where it is, and follows it.
func (s *session) run(ctx context.Context) error {
	h := s.History
	h.drain()
	if err := s.catchUp(ctx, h.cfg.Log.Last()); err != nil {
		return err
	}
	h.fault.Store(nil)
	h.caught.Store(true)
	h.following.Store(true)
	// Nothing was taken before, so what was offered meanwhile is in the log only.
	if err := s.catchUp(ctx, h.latest.Load()); err != nil {
		return err
	}
	return s.follow(ctx)
}

// drain forgets what waits from an earlier session.
func (h *History) drain() {
	for {
		select {
		case <-h.bundles:
		default:
			return
		}
	}
}

// follow takes what is offered, and what was not from the log.
func (s *session) follow(ctx context.Context) error {
	var due <-chan time.Time // when what was gathered is written
	for {
		select {
		case <-ctx.Done():
			return errors.Join(s.commit(), ctx.Err())
		case b := <-s.bundles:
			if b.Seq > s.next {
				if err := s.catchUp(ctx, b.Seq-1); err != nil {
					return err
				}
			}
			if err := s.take(b); err != nil {
				return err
			}
			if due == nil {
				due = time.After(gather)
			}
		case <-due:
			due = nil
			if err := s.commit(); err != nil {
				return err
			}
			if len(s.bundles) == 0 { // what found no room is in the log only
				if err := s.catchUp(ctx, s.latest.Load()); err != nil {
					return err
				}
			}
		case order := <-s.orders:
			if err := s.commit(); err != nil {
				return err
			}
			order()
		}
	}
}

// catchUp reads the log up to a bundle.
func (s *session) catchUp(ctx context.Context, upTo uint64) error {
	if s.next > upTo {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	err := s.cfg.Log.Consume(ctx, s.next-1, func(b realtime.Bundle) {
		if failed == nil {
			failed = s.take(b)
		}
		if failed != nil || b.Seq >= upTo {
			cancel()
		}
	})
	if failed == nil && err == nil && s.next <= upTo {
		err = context.Cause(ctx) // stopped before it was there
	}
	return errors.Join(err, failed, s.commit())
}

// take adds the samples of one bundle to what will be written.
func (s *session) take(b realtime.Bundle) error {
	if b.Seq < s.next {
		return nil
	}
	now := s.cfg.Now()
	for i := range b.Records {
		switch r := &b.Records[i]; r.Kind {
		case realtime.Telemetry:
			s.record(r, now)
		case realtime.Removed:
			if err := s.remove(r.Thing); err != nil {
				return err
			}
		}
	}
	s.next = b.Seq + 1
	if len(s.inTime)+len(s.late) >= maxBatch {
		return s.commit()
	}
	return nil
}

// removal bounds how long an outside store may take to forget a thing.
const removal = time.Minute

// remove forgets a thing where the log says so, with what is still to be
// written of it. After a kill it is done once more, and what the log has behind
// it is written once more.
func (s *session) remove(thing string) error {
	if err := s.commit(); err != nil {
		return err
	}
	if s.outside == nil {
		return s.delete(context.Background(), thing)
	}
	ctx, cancel := context.WithTimeout(context.Background(), removal)
	defer cancel()
	return s.outside.remove(ctx, thing)
}

func (s *session) record(r *realtime.Record, now time.Time) {
	ts, arrived := r.TS.UnixMilli(), min(r.At.UnixMilli(), now.UnixMilli())
	s.at = max(s.at, arrived)
	if limit := arrived + ahead.Milliseconds(); ts > limit {
		ts = limit
		s.stats.clamped.Add(1)
	}
	if arrived-ts > s.cfg.Late.Milliseconds() {
		s.stats.tooOld.Add(uint64(len(r.Values)))
		return
	}
	row := s.columns.row(r.Thing, now)
	for _, v := range r.Values {
		st, f := s.columns.place(s.columns.column(row, v.Name), v, ts)
		if st == nil {
			continue
		}
		at, late, keep := st.admit(ts, f)
		switch {
		case !keep:
			s.stats.repeated.Add(1)
		case late:
			s.late = append(s.late, sample{st, at, f})
		default:
			s.inTime = append(s.inTime, sample{st, at, f})
		}
	}
}

// commit writes what was gathered. What came late goes first and is on disk
// before the marker is written, so that a kill in between repeats it, which
// changes nothing, and never loses it.
func (s *session) commit() error {
	seq := s.next - 1
	if seq == s.seq.Load() {
		return nil
	}
	if s.outside != nil {
		return s.send(seq)
	}
	if err := s.placeLate(); err != nil {
		return err
	}
	if err := s.names.save(); err != nil {
		return fmt.Errorf("keeping the names of values: %w", err)
	}
	s.part()
	store := func() error {
		return s.rollups.keep(func() error { return s.store(seq) }, s.late, s.inTime)
	}
	var err error
	if len(s.late) > 0 {
		err = s.gate.pass(store)
	} else {
		err = store()
	}
	if err != nil {
		return err
	}
	s.stats.late.Add(uint64(len(s.late)))
	s.stats.samples.Add(uint64(len(s.inTime) + len(s.late)))
	s.inTime, s.late = s.inTime[:0], s.late[:0]
	s.seq.Store(seq)
	s.arrived.Store(s.marked)
	return nil
}

// inOrder is how much older than the newest sample of all one may be for the
// store to take it as one in order, whatever came of its series.
const inOrder = tsdb.DefaultBlockDuration / 2

// part moves to late what is in the order of its series, and late for the store:
// what a device kept while it was away.
func (s *session) part() {
	newest := s.db.Head().MaxTime()
	for _, one := range s.inTime {
		newest = max(newest, one.ts)
	}
	kept := s.inTime[:0]
	for _, one := range s.inTime {
		if one.ts < newest-inOrder {
			s.late = append(s.late, one)
		} else {
			kept = append(kept, one)
		}
	}
	s.inTime = kept
}

// store writes what was gathered, what is late before the place in the log.
func (s *session) store(seq uint64) error {
	if len(s.late) > 0 {
		if err := errors.Join(s.write(s.late, 0), s.syncLate()); err != nil {
			return err
		}
	}
	return s.write(s.inTime, seq)
}

// together is the samples with those of one stream behind each other, in their
// order. The store comes back to a series with cold memory, so that ten samples
// one by one cost it three times as much as ten at once.
func (s *session) together(samples []sample) []sample {
	s.batch++
	s.streams = s.streams[:0]
	for i := range samples {
		st := samples[i].stream
		if st.batch != s.batch {
			st.batch, st.count = s.batch, 0
			s.streams = append(s.streams, st)
		}
		st.count++
	}
	if len(s.streams) == len(samples) {
		return samples
	}
	at := 0
	for _, st := range s.streams {
		at, st.count = at+st.count, at
	}
	s.sorted = append(s.sorted[:0], samples...)
	for _, one := range samples {
		s.sorted[one.stream.count] = one
		one.stream.count++
	}
	return s.sorted
}

// write stores samples in one commit, with the marker unless seq is 0.
func (s *session) write(batch []sample, seq uint64) error {
	app := s.db.Appender(context.Background())
	for _, one := range s.together(batch) {
		ref, err := app.Append(one.stream.ref, one.stream.labels, one.ts, one.v)
		switch {
		case err == nil:
			one.stream.ref = ref
		case errors.Is(err, storage.ErrTooOldSample):
			s.stats.tooOld.Add(1)
		case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
			s.stats.repeated.Add(1)
		default:
			return errors.Join(fmt.Errorf("storing a sample of %s: %w", one.stream.labels, err), app.Rollback())
		}
	}
	if seq > 0 {
		// Not the time of now: what is read from the log hours later would be late.
		s.marked = max(s.marked+1, s.at)
		var err error
		if s.ref, err = app.Append(s.ref, s.epoch, s.marked, float64(seq)); err != nil {
			return errors.Join(fmt.Errorf("storing the place in the log: %w", err), app.Rollback())
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("storing samples: %w", err)
	}
	return nil
}
