package history

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// A Scope is which things somebody may see: lists of patterns, of which each
// must have one that covers the thing. None limits nothing.
type Scope [][]string

// matchers says the same in the words of the query engine.
func (s Scope) matchers() []*labels.Matcher {
	var ms []*labels.Matcher
	for _, patterns := range s {
		alternatives := make([]string, len(patterns))
		for i, p := range patterns {
			alternatives[i] = expression(p)
		}
		ms = append(ms, labels.MustNewMatcher(labels.MatchRegexp, labelThing, strings.Join(alternatives, "|")))
	}
	return ms
}

// expression is a pattern, which has been checked, as a regular expression.
func expression(pattern string) string {
	segs := strings.Split(pattern, "/")
	for i, g := range segs {
		switch g {
		case "*":
			segs[i] = "[^/]+"
		case "**":
			segs[i] = ".+"
		default:
			segs[i] = regexp.QuoteMeta(g)
		}
	}
	return strings.Join(segs, "/")
}

// A view is the store as somebody may see it: numbers as they were sent, without
// what is ours.
type view struct {
	storage.Queryable
	always []*labels.Matcher
}

func newView(q storage.Queryable, scope Scope) view {
	return view{q, append(scope.matchers(), labels.MustNewMatcher(labels.MatchNotEqual, labels.MetricName, markerName))}
}

func (v view) Querier(from, to int64) (storage.Querier, error) {
	q, err := v.Queryable.Querier(from, to)
	if err != nil {
		return nil, err
	}
	return viewQuerier{q, v.always}, nil
}

type viewQuerier struct {
	storage.Querier
	always []*labels.Matcher
}

func (q viewQuerier) all(ms []*labels.Matcher) []*labels.Matcher {
	return append(slices.Clip(ms), q.always...)
}

func (q viewQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	names, w, err := q.Querier.LabelNames(ctx, hints, q.all(ms)...)
	return slices.DeleteFunc(names, func(n string) bool { return n == labelScale }), w, err
}

func (q viewQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if name == labelScale {
		return nil, nil, nil
	}
	return q.Querier.LabelValues(ctx, name, hints, q.all(ms)...)
}

// Select puts the series together that differ in their scale only: a property
// that was described anew has one of each.
func (q viewQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := q.Querier.Select(ctx, true, hints, q.all(ms)...)
	var list []storage.Series
	for set.Next() {
		list = append(list, unscale(set.At()))
	}
	if err := set.Err(); err != nil {
		return storage.ErrSeriesSet(err)
	}
	slices.SortStableFunc(list, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &seriesSet{list: list, warnings: set.Warnings()}
}

type seriesSet struct {
	list     []storage.Series
	at       storage.Series
	warnings annotations.Annotations
}

func (s *seriesSet) Next() bool {
	if len(s.list) == 0 {
		return false
	}
	n := 1
	for n < len(s.list) && labels.Equal(s.list[0].Labels(), s.list[n].Labels()) {
		n++
	}
	if n == 1 {
		s.at = s.list[0]
	} else {
		s.at = storage.ChainedSeriesMerge(s.list[:n]...)
	}
	s.list = s.list[n:]
	return true
}

func (s *seriesSet) At() storage.Series                { return s.at }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return s.warnings }

// unscale shows a series as its numbers were sent.
func unscale(s storage.Series) storage.Series {
	text := s.Labels().Get(labelScale)
	if text == "" {
		return s
	}
	scale, err := strconv.ParseFloat(text, 64)
	if err != nil || scale == 0 {
		return s
	}
	return &unscaled{Series: s, labels: labels.NewBuilder(s.Labels()).Del(labelScale).Labels(), scale: scale}
}

type unscaled struct {
	storage.Series
	labels labels.Labels
	scale  float64
}

func (u *unscaled) Labels() labels.Labels { return u.labels }

func (u *unscaled) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if old, ok := it.(*unscaledIterator); ok {
		it = old.Iterator
	}
	return &unscaledIterator{u.Series.Iterator(it), u.scale}
}

type unscaledIterator struct {
	chunkenc.Iterator
	scale float64
}

func (i *unscaledIterator) At() (int64, float64) {
	t, v := i.Iterator.At()
	return t, v / i.scale
}
