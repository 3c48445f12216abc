package history

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// apart is how far late samples of one series lie from each other to be looked
// up one by one.
const apart = minute

// placeLate finds a free millisecond for each late sample whose own is taken by
// another, as admit does for what comes in order. Otherwise a clock that is set
// back by a second would make two samples of one, and one of them be lost.
func (s *session) placeLate() error {
	if len(s.late) == 0 {
		return nil
	}
	byStream := map[*stream][]int{}
	for i, one := range s.late {
		byStream[one.stream] = append(byStream[one.stream], i)
	}
	taken := map[*stream]map[int64]float64{}
	for st, places := range byStream {
		t, err := s.around(st, places)
		if err != nil {
			return err
		}
		taken[st] = t
	}
	for _, one := range s.inTime {
		if t := taken[one.stream]; t != nil {
			t[one.ts] = one.v
		}
	}
	kept := s.late[:0]
	for _, one := range s.late {
		if at, ok := free(taken[one.stream], one.ts, one.v); ok {
			one.ts = at
			kept = append(kept, one)
		} else {
			s.stats.repeated.Add(1)
		}
	}
	s.late = kept
	return nil
}

// free takes the first free millisecond from ts on. ok is false when the sample
// is there already, or none is free.
func free(taken map[int64]float64, ts int64, v float64) (at int64, ok bool) {
	for at = ts; at <= ts+maxShift; at++ {
		old, there := taken[at]
		switch {
		case !there:
			taken[at] = v
			return at, true
		case old == v:
			return 0, false
		}
	}
	return 0, false
}

// around reads what a series has where late samples come.
func (s *session) around(st *stream, places []int) (map[int64]float64, error) {
	taken := map[int64]float64{}
	sorted := slices.Clone(places)
	slices.SortFunc(sorted, func(a, b int) int { return cmp.Compare(s.late[a].ts, s.late[b].ts) })
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && s.late[sorted[n]].ts-s.late[sorted[n-1]].ts < apart {
			n++
		}
		from, to := s.late[sorted[0]].ts, s.late[sorted[n-1]].ts+maxShift
		sorted = sorted[n:]
		err := s.columns.stored(st.labels, from, to, func(ts int64, v float64) { taken[ts] = v })
		if err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// stored reads the samples of exactly one series.
func (c *columns) stored(l labels.Labels, from, to int64, f func(ts int64, v float64)) error {
	ms := []*labels.Matcher{equal(labelScale, l.Get(labelScale)), equal(labelType, l.Get(labelType))}
	l.Range(func(one labels.Label) { ms = append(ms, equal(one.Name, one.Value)) })
	return eachSeries(context.Background(), c.db, from, to, func(_ labels.Labels, it chunkenc.Iterator) error {
		for it.Next() == chunkenc.ValFloat {
			f(it.At())
		}
		return it.Err()
	}, ms...)
}

// newest is the newest sample of a series from a moment on, nil when there is none.
func (c *columns) newest(l labels.Labels, from int64) *stream {
	var s *stream
	err := c.stored(l, from, math.MaxInt64, func(ts int64, v float64) {
		if s == nil {
			s = &stream{}
		}
		s.found(ts, v)
	})
	if err != nil {
		c.h.log.Warn("history does not know how far a series is", "series", l.String(), "error", err)
	}
	return s
}
