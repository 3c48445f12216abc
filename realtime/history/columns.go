package history

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"echotwin/realtime"
)

// recheck is how often a description is asked for again, since things can be
// described anew.
const recheck = 5 * time.Minute

// A column is one property of one thing. Only Run touches it.
type column struct {
	usual *stream   // that came last
	all   []*stream // one for each kind and scale that came
	rough bool      // a number was no multiple of what is described
	place int       // in the row
	desc  Description
	thing string
	name  string
}

// A stream is one series of the store.
type stream struct {
	// Every sample looks at these, so they are close together in memory.
	kind    kind
	scale   float64
	certain int64   // what is newer than this and last is in order for the store, too
	last    int64   // time of the newest sample
	orig    int64   // the time that it came with
	value   float64 // as it is stored
	batch   uint64  // scratch of together, as count is: good for the batch that is written
	count   int
	row     []float64 // what the store had from millisecond to millisecond, up to last; nil when something newer came

	ref    storage.SeriesRef
	name   string // thing, property and kind, as rollups know it
	labels labels.Labels
}

// columns are all that came since the store was opened.
type columns struct {
	h       *History
	db      *tsdb.DB
	of      map[string]*columnRow // by thing
	streams int
	recent  map[uint64]*stream // newest samples by the hash of the labels, as the store had them
	since   int64              // recent has all that are newer
}

// loadColumns reads how far each series is, as far as that is not long ago:
// where the newest sample is older, everything that comes is newer or late.
func (h *History) loadColumns(ctx context.Context, db *tsdb.DB) (*columns, error) {
	c := &columns{h: h, db: db, of: map[string]*columnRow{}, recent: map[uint64]*stream{}}
	c.since = max(db.Head().MaxTime(), 0) - recentScan.Milliseconds()
	err := eachSeries(ctx, db, c.since, 1<<62, func(l labels.Labels, it chunkenc.Iterator) error {
		s := &stream{}
		for it.Next() == chunkenc.ValFloat {
			s.found(it.At())
		}
		c.recent[l.Hash()] = s
		return it.Err()
	}, equal(labels.MetricName, metricName))
	return c, err
}

// A columnRow is the columns of one thing. Devices repeat the order of their
// properties, so the next is nearly always the one after the last.
type columnRow struct {
	thing  string
	names  []string // of all, which are looked at without the columns
	all    []*column
	next   int
	byName map[string]*column
	asked  time.Time // for the descriptions
}

// row finds the columns of a thing, or makes them.
func (c *columns) row(thing string, now time.Time) *columnRow {
	r := c.of[thing]
	if r == nil {
		r = &columnRow{thing: strings.Clone(thing), byName: map[string]*column{}, asked: now}
		c.of[r.thing] = r
	}
	if now.Sub(r.asked) > recheck || now.Before(r.asked) {
		r.asked = now
		for _, col := range r.all {
			col.desc, _ = c.h.cfg.Describe(thing, col.name)
		}
	}
	return r
}

// column finds the column of a property, or makes it.
func (c *columns) column(r *columnRow, name string) *column {
	if r.next == len(r.all) {
		r.next = 0
	}
	if len(r.all) > 0 && r.names[r.next] == name {
		r.next++
		return r.all[r.next-1]
	}
	col := r.byName[name]
	if col == nil {
		name = strings.Clone(name) // it is a part of a line of the log
		col = &column{thing: r.thing, name: name, place: len(r.all)}
		col.desc, _ = c.h.cfg.Describe(r.thing, name)
		r.byName[name], r.names, r.all = col, append(r.names, name), append(r.all, col)
	}
	r.next = col.place + 1
	return col
}

// place turns a value into a sample of a stream. The stream is nil for what is
// not kept.
func (c *columns) place(col *column, v realtime.Value, ts int64) (*stream, float64) {
	k, f, s, ok := read(v.JSON)
	if !ok {
		c.h.stats.unkept.Add(1)
		return nil, 0
	}
	scale := 1.0
	switch k {
	case number:
		if scale = scaleOf(col.desc.MultipleOf); scale > 1 && c.db != nil {
			n, exact := scaled(f, scale)
			if col.rough = col.rough || !exact; col.rough {
				scale = 1
			} else {
				f = n
			}
		} else {
			scale = 1 // others read what is outside, too
		}
	case text:
		if f, ok = c.h.names.number(col.thing, col.name, s, col.desc.Names); !ok {
			c.h.stats.unnamed.Add(1)
			return nil, 0
		}
	}
	return c.stream(col, k, scale, ts), f
}

// stream finds the stream of a column, or makes it for a sample of ts. It is nil
// when there are too many.
func (c *columns) stream(col *column, k kind, scale float64, ts int64) *stream {
	if s := col.usual; s != nil && s.kind == k && s.scale == scale {
		return s
	}
	for _, s := range col.all {
		if s.kind == k && s.scale == scale {
			col.usual = s
			return s
		}
	}
	if c.streams >= maxSeries {
		c.h.stats.refused.Add(1)
		return nil
	}
	c.streams++
	s := &stream{kind: k, scale: scale, name: seriesKey(col.thing, col.name, k), labels: seriesLabels(col.thing, col.name, k, scale), certain: c.since, last: math.MinInt64, orig: math.MinInt64}
	old := c.recent[s.labels.Hash()]
	if old == nil && ts <= c.since {
		old = c.newest(s.labels, ts-maxShift)
	}
	if old != nil {
		s.last, s.orig, s.value, s.row = old.last, old.last, old.value, old.row
	}
	delete(c.recent, s.labels.Hash())
	col.usual, col.all = s, append(col.all, s)
	return s
}

func seriesLabels(thing, property string, k kind, scale float64) labels.Labels {
	site, _, _ := strings.Cut(thing, "/")
	ls := []string{labels.MetricName, metricName, labelThing, thing, labelProp, property, labelSite, site}
	if k != number {
		ls = append(ls, labelType, k.label())
	}
	if scale > 1 {
		ls = append(ls, labelScale, strconv.FormatFloat(scale, 'f', -1, 64))
	}
	return labels.FromStrings(ls...)
}

// found notes a sample that the store has already. The newest ones that stand
// millisecond by millisecond may have moved to where they are, which nothing
// tells any more.
func (s *stream) found(ts int64, v float64) {
	if ts != s.last+1 {
		s.row = s.row[:0]
	} else if len(s.row) == maxShift {
		s.row = s.row[1:] // moving the others each time would cost a start of 1 kHz dearly
	}
	s.last, s.value, s.row = ts, v, append(s.row, v)
}

// maxShift bounds how far a sample moves to find a free millisecond.
const maxShift = 1000 // ms

// admit decides where in time a sample of s goes, or that it goes nowhere
// because it is there already. late says that the store may not take it as one
// in order.
func (s *stream) admit(ts int64, v float64) (at int64, late, keep bool) {
	switch {
	case ts > s.last:
		at, late, s.row = ts, ts <= s.certain, nil
	case ts < s.orig && ts <= s.last-int64(len(s.row)):
		return ts, true, true
	case ts < s.orig && s.row[int64(len(s.row))-1-(s.last-ts)] == v:
		return 0, false, false // it is there
	case v == s.value && (ts == s.orig || ts == s.last):
		return 0, false, false // sent twice
	case s.last+1-ts > maxShift:
		return 0, false, false
	default: // another of the same moment
		at, late = s.last+1, s.last < s.certain
		if s.row != nil {
			s.row = append(s.row, v)
		}
	}
	s.last, s.orig, s.value = at, ts, v
	return at, late, true
}
