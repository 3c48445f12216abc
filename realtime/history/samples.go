package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// A Sample is one value that a property had.
type Sample struct {
	TS       int64 // ms since 1970
	Thing    string
	Property string
	JSON     json.RawMessage // as the device wrote it, but for the spelling of numbers
}

// Which says of which properties samples are wanted.
type Which struct {
	Scope      Scope
	Path       string   // a pattern of things; "" means all
	Properties []string // none means all
}

func (w Which) matchers() []*labels.Matcher {
	ms := append(w.Scope.matchers(), equal(labels.MetricName, metricName))
	if w.Path != "" {
		ms = append(ms, Scope{{w.Path}}.matchers()...)
	}
	if len(w.Properties) > 0 { // names need no escaping
		ms = append(ms, labels.MustNewMatcher(labels.MatchRegexp, labelProp, strings.Join(w.Properties, "|")))
	}
	return ms
}

const (
	// maxWindow bounds the samples that Samples holds at once.
	maxWindow   = 20_000
	firstWindow = 10 * time.Second
	widest      = 24 * time.Hour
)

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// Samples gives every sample from one moment to another, both included, in the
// order of time, without holding more than a little of it in memory. It reads
// as it goes: what is stored meanwhile is in it. After an error nothing follows.
func (h *History) Samples(ctx context.Context, which Which, from, to time.Time) iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		window := firstWindow.Milliseconds()
		for start, last := from.UnixMilli(), to.UnixMilli(); start <= last; {
			end := min(start+window-1, last)
			batch, err := h.window(ctx, which, start, end)
			if err != nil && !errors.Is(err, errEnough) {
				yield(Sample{}, err)
				return
			}
			if err != nil && window > 1 {
				window = max(window/4, 1)
				continue
			}
			for _, s := range batch {
				if !yield(s, nil) {
					return
				}
			}
			start = end + 1
			if len(batch) < maxWindow/4 {
				window = min(2*window, widest.Milliseconds())
			}
		}
	}
}

// window is all samples of a short time. It is errEnough when they are many and
// a shorter time would do.
func (h *History) window(ctx context.Context, which Which, from, to int64) ([]Sample, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var batch []Sample
	err := h.eachRow(ctx, which, from, to, func(r row, it chunkenc.Iterator) error {
		for it.Next() == chunkenc.ValFloat {
			t, v := it.At()
			if len(batch) >= maxWindow && to > from {
				return errEnough
			}
			batch = append(batch, r.sample(t, v))
		}
		return it.Err()
	})
	slices.SortStableFunc(batch, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(a.TS, b.TS), cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Property, b.Property))
	})
	return batch, err
}

// A row is one series, as samples are made of it.
type row struct {
	thing, property string
	kind            kind
	names           []string
}

func (r row) sample(t int64, v float64) Sample {
	return Sample{TS: t, Thing: r.thing, Property: r.property, JSON: appendJSON(nil, r.kind, v, r.names)}
}

// eachRow reads series as they are shown.
func (h *History) eachRow(ctx context.Context, which Which, from, to int64, f func(row, chunkenc.Iterator) error) error {
	return h.use(func(q storage.Queryable) error {
		return eachSeries(ctx, newView(q, nil), from, to, func(l labels.Labels, it chunkenc.Iterator) error {
			r := row{thing: l.Get(labelThing), property: l.Get(labelProp), kind: kindOfLabel(l.Get(labelType))}
			if r.kind == text {
				r.names = h.names.list(r.thing, r.property)
			}
			return f(r, it)
		}, which.matchers()...)
	})
}

// lookBack is how far At looks for the last value before a moment, shorter times
// first, since most properties come often.
var lookBack = []time.Duration{2 * time.Minute, time.Hour, 24 * time.Hour}

// At is the last sample of each property at a moment, by thing and property. A
// property that had not come for a day has none.
func (h *History) At(ctx context.Context, which Which, t time.Time) ([]Sample, error) {
	type column struct{ thing, property string }
	found := map[column]Sample{}
	end := t.UnixMilli()
	for _, back := range lookBack {
		start := end - back.Milliseconds() + 1
		now := map[column]Sample{}
		err := h.eachRow(ctx, which, start, t.UnixMilli(), func(r row, it chunkenc.Iterator) error {
			c := column{r.thing, r.property}
			if _, ok := found[c]; ok {
				return nil
			}
			last, value := int64(math.MinInt64), 0.0
			for it.Next() == chunkenc.ValFloat {
				last, value = it.At()
			}
			if old, ok := now[c]; last != math.MinInt64 && (!ok || last >= old.TS) { // of two kinds the newer
				now[c] = r.sample(last, value)
			}
			return it.Err()
		})
		if err != nil {
			return nil, err
		}
		for c, s := range now {
			found[c] = s
		}
	}
	all := make([]Sample, 0, len(found))
	for _, s := range found {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Property, b.Property))
	})
	return all, nil
}
