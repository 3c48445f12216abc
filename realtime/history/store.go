package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/compression"
)

// The names of what is in the store. Labels and series beginning with __ are
// ours and no query sees them.
const (
	metricName  = "echotwin_value"
	markerName  = "__log_seq__" // the place in the log, one series for each epoch
	labelThing  = "thing"
	labelProp   = "property"
	labelSite   = "site"
	labelType   = "type"
	labelScale  = "__scale__"
	labelEpoch  = "epoch"
	recentScan  = 2 * time.Minute
	behind      = 31 * 24 * time.Hour // as far history may be behind the log
	segmentSize = 16 << 20
)

func (h *History) dir() string { return filepath.Join(h.cfg.Dir, "samples") }

// options are those of a small machine: the store is to take little memory
// beside everything else that runs here.
func (h *History) options(gate *lateGate) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = h.cfg.Retention.Milliseconds()
	o.MaxBytes = h.cfg.MaxBytes
	o.MaxBlockDuration = max(o.MinBlockDuration, min(h.cfg.Retention/10, 31*24*time.Hour).Milliseconds())
	// What is too late is decided by when it arrived. It may be read from the log
	// long after that.
	o.OutOfOrderTimeWindow = (h.cfg.Late + behind).Milliseconds()
	o.WALSegmentSize = segmentSize
	o.WALCompression = compression.Snappy
	o.StripeSize = 1 << 10
	o.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	o.HeadChunksWriteQueueSize = 0
	o.NewCompactorFunc = newCompactor(h.dir(), gate)
	return o
}

// open opens the store and finds out how far it is.
func (h *History) open() (*session, error) {
	if err := os.MkdirAll(h.dir(), 0o700); err != nil {
		return nil, err
	}
	if err := h.names.load(); err != nil {
		return nil, err
	}
	rollups, err := openRollups(filepath.Join(h.cfg.Dir, "rollups"), h.log)
	if err != nil {
		return nil, err
	}
	gate := newLateGate()
	db, err := tsdb.Open(h.dir(), warnings(h.log), nil, h.options(gate), nil)
	if err != nil {
		return nil, fmt.Errorf("opening history: %w", err)
	}
	s := &session{History: h, db: db, epoch: labels.FromStrings(labels.MetricName, markerName, labelEpoch, h.cfg.Log.Epoch())}
	after, at, err := marker(db, h.cfg.Log)
	if err == nil {
		s.columns, err = h.loadColumns(h.closing, db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if last := h.cfg.Log.Last(); after > last {
		h.log.Warn("history holds more than the log, which has lost its end", "history", after, "log", last)
		after = last
	}
	s.next, s.marked = after+1, at
	h.seq.Store(after)
	h.arrived.Store(at)
	h.mu.Lock()
	h.db, h.rollups, h.gate = db, rollups, gate
	h.mu.Unlock()
	return s, nil
}

// close waits for the queries that are running; closing has told them to stop.
func (h *History) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	db := h.db
	h.db = nil
	if db == nil {
		return nil
	}
	return db.Close()
}

// use calls f with the open store, in this process or outside.
func (h *History) use(f func(q storage.Queryable) error) error {
	if h.outside != nil {
		return f(h.outside)
	}
	return h.useDB(func(db *tsdb.DB) error { return f(steady{db, &h.deleting}) })
}

// A steady store begins no query while something is deleted.
type steady struct {
	db       *tsdb.DB
	deleting *sync.RWMutex
}

func (s steady) Querier(from, to int64) (storage.Querier, error) {
	s.deleting.RLock()
	defer s.deleting.RUnlock()
	return s.db.Querier(from, to)
}

// useDB calls f with the open store of this process.
func (h *History) useDB(f func(db *tsdb.DB) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.db == nil {
		return h.unavailable()
	}
	return f(h.db)
}

// warnings leaves out what the store says about its daily work.
func warnings(l *slog.Logger) *slog.Logger {
	return slog.New(quiet{l.Handler()}).With("part", "history")
}

type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}
func (q quiet) WithAttrs(as []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(as)} }
func (q quiet) WithGroup(name string) slog.Handler    { return quiet{q.Handler.WithGroup(name)} }

// marker reads the place in the log that the store holds, and when it was
// written. It looks at what is newest first: the marker is part of every commit.
// A log that was mended goes on under another epoch, and not from its beginning.
func marker(db *tsdb.DB, log Log) (seq uint64, at int64, err error) {
	newest, oldest := db.Head().MaxTime(), db.Head().MinTime()
	for _, b := range db.Blocks() {
		newest, oldest = max(newest, b.MaxTime()), min(oldest, b.MinTime())
	}
	if newest == math.MinInt64 {
		return 0, 0, nil // empty
	}
	for _, back := range []int64{newest - time.Hour.Milliseconds(), oldest} {
		err := eachSeries(context.Background(), db, back, math.MaxInt64, func(l labels.Labels, it chunkenc.Iterator) error {
			if !log.Continues(l.Get(labelEpoch)) {
				return nil
			}
			for it.Next() == chunkenc.ValFloat {
				ts, v := it.At()
				at, seq = max(at, ts), max(seq, uint64(v))
			}
			return it.Err()
		}, equal(labels.MetricName, markerName))
		if seq > 0 || err != nil {
			return seq, at, err
		}
	}
	return 0, 0, nil
}

func equal(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

// eachSeries reads series as they are stored.
func eachSeries(ctx context.Context, q storage.Queryable, from, to int64, f func(labels.Labels, chunkenc.Iterator) error, ms ...*labels.Matcher) error {
	querier, err := q.Querier(from, to)
	if err != nil {
		return err
	}
	defer querier.Close()
	set := querier.Select(ctx, false, nil, ms...)
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		if err := f(s.Labels(), it); err != nil {
			return err
		}
	}
	return set.Err()
}

// eachListed is the labels of series of all times.
func eachListed(ctx context.Context, q storage.Queryable, f func(labels.Labels) error, ms ...*labels.Matcher) error {
	querier, err := q.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return err
	}
	defer querier.Close()
	set := querier.Select(ctx, false, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, Func: "series"}, ms...)
	for set.Next() {
		if err := f(set.At().Labels()); err != nil {
			return err
		}
	}
	return set.Err()
}

// syncLate brings to disk what was stored late. It is in another file than what
// was stored in order, the marker among it, and must not be behind.
func (h *History) syncLate() error {
	files, err := filepath.Glob(filepath.Join(h.dir(), "wbl", "*"))
	if err != nil || len(files) == 0 {
		return err
	}
	f, err := os.OpenFile(files[len(files)-1], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
