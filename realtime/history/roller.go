package history

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"echotwin/realtime"
)

const (
	rollEvery = time.Minute
	// grace is how long after an hour its segment is made. What comes later is
	// right as well, and costs making the segment again.
	grace = 2 * minute
	// settled is how long after a day its hours become one segment.
	settled = 2 * hour
	// remakeDay is how often the segment of a day is made again for what came late.
	remakeDay = 10 * time.Minute
)

// roll makes segments until ctx ends. What fails is tried again; questions are
// answered from samples until then.
func (h *History) roll(ctx context.Context) {
	days := time.Time{}
	for {
		withDays := h.cfg.Now().Sub(days) >= remakeDay
		if withDays {
			days = h.cfg.Now()
		}
		if err := h.rollOnce(ctx, withDays); err != nil && ctx.Err() == nil {
			h.log.Warn("history's buckets were not made; it answers from samples, which takes longer", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rollEvery):
		}
	}
}

// rollOnce makes what is to be made now, one caller at a time.
func (h *History) rollOnce(ctx context.Context, withDays bool) error {
	h.rolling.Lock()
	defer h.rolling.Unlock()
	until := floor(h.arrived.Load()-grace, hour)
	oldest, err := h.oldest()
	if err != nil {
		return err
	}
	oldest = max(oldest, until-h.cfg.RollupRetention.Milliseconds())
	if oldest < until {
		h.rollups.seal(until)
		for _, start := range h.rollups.missing(oldest, until) {
			began := time.Now()
			if err := h.rollHour(ctx, start); err != nil {
				return err
			}
			// A start with months of samples makes thousands of hours: half of one
			// core at most.
			if pause(ctx, time.Since(began)); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return errors.Join(h.remake(ctx, withDays), h.rollDays(ctx, until), h.rollups.expire(until-h.cfg.RollupRetention.Milliseconds()))
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// oldest is the time of the oldest sample.
func (h *History) oldest() (t int64, err error) {
	err = h.useDB(func(db *tsdb.DB) error {
		t = db.Head().MinTime()
		for _, b := range db.Blocks() {
			t = min(t, b.MinTime())
		}
		return nil
	})
	return t, err
}

// minutes reads the buckets of the finest level from samples, with sums as Mean.
func (h *History) minutes(ctx context.Context, which Which, from, to int64, f func(key string, list []Bucket) error) error {
	return h.eachRow(ctx, which, from, to-1, func(r row, it chunkenc.Iterator) error {
		g := gatherer{step: minute, sums: true}
		for it.Next() == chunkenc.ValFloat {
			if err := g.add(it.At()); err != nil {
				return err
			}
		}
		if err := errors.Join(it.Err(), ctx.Err()); err != nil {
			return err
		}
		return f(seriesKey(r.thing, r.property, r.kind), g.done())
	})
}

// rollHour makes the segment of an hour.
func (h *History) rollHour(ctx context.Context, start int64) error {
	path := filepath.Join(h.rollups.dir, segmentName(start, start+hour))
	w, err := writeSegment(path, start, start+hour)
	if err != nil {
		return err
	}
	err = h.minutes(ctx, Which{}, start, start+hour, func(key string, list []Bucket) error {
		w.add(key, list)
		return w.err
	})
	if err != nil {
		w.abandon()
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	h.rollups.replace(w.segment)
	h.stats.segments.Add(1)
	return nil
}

// rollDays makes days of their hours.
func (h *History) rollDays(ctx context.Context, until int64) error {
	segments, m := h.rollups.snapshot()
	byDay := map[int64][]segment{}
	for _, s := range segments {
		if s.end-s.start == hour {
			byDay[floor(s.start, day)] = append(byDay[floor(s.start, day)], s)
		}
	}
	for _, start := range slices.Sorted(maps.Keys(byDay)) {
		hours := byDay[start]
		late := slices.ContainsFunc(hours, func(s segment) bool { return len(m.Late[s.start]) > 0 })
		if len(hours) < 24 || late || start+day+settled > until {
			continue
		}
		if err := h.rollDay(ctx, start, hours); err != nil {
			return err
		}
	}
	return nil
}

func (h *History) rollDay(ctx context.Context, start int64, hours []segment) error {
	files := make([]*segmentFile, 0, len(hours))
	defer func() {
		for _, f := range files {
			f.close()
		}
	}()
	keys := map[string]bool{}
	for _, s := range hours {
		f, err := s.open()
		if err != nil {
			return err
		}
		files = append(files, f)
		err = f.each(func(key string, _ entry, _ []byte) error { keys[key] = true; return ctx.Err() })
		if err != nil {
			return err
		}
	}
	w, err := writeSegment(filepath.Join(h.rollups.dir, segmentName(start, start+day)), start, start+day)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		var all []Bucket
		for _, f := range files {
			list, err := f.buckets(key, minute)
			if err = errors.Join(err, ctx.Err()); err != nil {
				w.abandon()
				return err
			}
			all = append(all, list...)
		}
		w.add(key, all)
	}
	if err := w.close(); err != nil {
		return err
	}
	h.rollups.replace(w.segment)
	return nil
}

// remake makes segments again for what came late and for what was deleted.
func (h *History) remake(ctx context.Context, withDays bool) error {
	segments, m := h.rollups.snapshot()
	left := maps.Clone(m.Gone)
	for _, s := range segments {
		if s.end-s.start > hour && !withDays {
			clear(left) // not all will have been made again
			continue
		}
		late := map[int64]map[string]int{}
		for at, keys := range m.Late {
			if at >= s.start && at < s.end {
				late[at] = keys
			}
		}
		if len(late) == 0 && !holdsGone(s, m.Gone) {
			continue
		}
		if err := h.remakeSegment(ctx, s, late, m.Gone); err != nil {
			return err
		}
		for at, keys := range late {
			if err := h.rollups.done(at, keys); err != nil {
				return err
			}
		}
	}
	for thing, before := range left {
		if err := h.rollups.forgotten(thing, before); err != nil {
			return err
		}
	}
	return nil
}

func holdsGone(s segment, gone map[string]int64) bool {
	for _, before := range gone {
		if s.start < before {
			return true
		}
	}
	return false
}

// remakeSegment writes a segment anew: the series of late from samples, without
// the things that are gone, and the others as they are.
func (h *History) remakeSegment(ctx context.Context, s segment, late map[int64]map[string]int, gone map[string]int64) error {
	old, err := s.open()
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was replaced
		}
		return err
	}
	defer old.close()
	fresh, all, err := h.freshMinutes(ctx, late)
	if err != nil {
		return err
	}
	w, err := writeSegment(s.path, s.start, s.end)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	err = old.each(func(key string, e entry, raw []byte) error {
		thing, _, _ := strings.Cut(key, "\x00")
		before := gone[thing]
		if before <= s.start {
			before = math.MinInt64
		}
		if !touched(late, key) && before == math.MinInt64 {
			w.copy(e, raw)
			return w.err
		}
		seen[key] = true
		list, err := old.buckets(key, minute)
		if err != nil {
			return err
		}
		w.add(key, patch(list, fresh[key], late, key, before))
		return w.err
	})
	for _, key := range all {
		if err == nil && !seen[key] {
			w.add(key, fresh[key])
			err = w.err
		}
	}
	if err != nil {
		w.abandon()
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	h.stats.segments.Add(1)
	h.rollups.replace(s)
	return nil
}

func touched(late map[int64]map[string]int, key string) bool {
	for _, keys := range late {
		if keys[key] > 0 || keys[wholly] > 0 {
			return true
		}
	}
	return false
}

// freshMinutes reads the late series from samples again, in the order of time.
func (h *History) freshMinutes(ctx context.Context, late map[int64]map[string]int) (fresh map[string][]Bucket, all []string, err error) {
	fresh = map[string][]Bucket{}
	for _, at := range slices.Sorted(maps.Keys(late)) {
		keys := late[at]
		which := []Which{{}}
		if keys[wholly] == 0 {
			which = nil
			for key := range keys {
				parts := strings.Split(key, "\x00")
				which = append(which, Which{Path: parts[0], Properties: parts[1:2]})
			}
		}
		got := map[string]bool{} // a property of two kinds is read twice
		for _, one := range which {
			err := h.minutes(ctx, one, at, at+hour, func(key string, list []Bucket) error {
				if (keys[key] > 0 || keys[wholly] > 0) && !got[key] {
					got[key] = true
					fresh[key] = append(fresh[key], list...)
				}
				return nil
			})
			if err != nil {
				return nil, nil, err
			}
		}
	}
	return fresh, slices.Sorted(maps.Keys(fresh)), nil
}

// patch is a list with its late hours as they are now, and without what is gone.
func patch(list, fresh []Bucket, late map[int64]map[string]int, key string, before int64) []Bucket {
	out := make([]Bucket, 0, len(list)+len(fresh))
	for _, b := range list {
		if keys := late[floor(b.TS, hour)]; keys[key] == 0 && keys[wholly] == 0 && b.TS >= before {
			out = append(out, b)
		}
	}
	out = append(out, fresh...)
	slices.SortFunc(out, func(a, b Bucket) int { return int(a.TS - b.TS) })
	return out
}

// Delete removes everything of a thing, for good. What the log still holds of it
// does not come back.
func (h *History) Delete(ctx context.Context, thing string) error {
	if h.outside != nil {
		return h.outside.remove(ctx, thing)
	}
	failed := make(chan error, 1)
	order := func() { failed <- h.delete(ctx, thing) }
	select {
	case h.orders <- order:
		return <-failed
	case <-ctx.Done():
	case <-h.closing.Done():
	}
	return &realtime.Problem{Code: realtime.CodeUnavailable, Message: "history is not open; try again"}
}

// delete is called between two commits.
func (h *History) delete(ctx context.Context, thing string) error {
	before := h.cfg.Now().UnixMilli() + ahead.Milliseconds()
	if err := h.rollups.forget(thing); err != nil {
		return err
	}
	err := h.useDB(func(db *tsdb.DB) error {
		h.deleting.Lock()
		defer h.deleting.Unlock()
		return db.Delete(ctx, math.MinInt64, before, equal("__name__", metricName), equal(labelThing, thing))
	})
	if err != nil {
		return err
	}
	h.names.forget(thing)
	return h.names.save()
}
