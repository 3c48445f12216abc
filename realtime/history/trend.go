package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"echotwin/realtime"
)

// The limits of Trend.
const (
	MaxBuckets     = 2000
	DefaultBuckets = 300
	MaxProperties  = 16
)

// A TrendQuery asks how properties of one thing went.
type TrendQuery struct {
	Thing      string
	Properties []string
	From, To   time.Time // both included
	Buckets    int       // at most so many of each property, give or take the first and last
}

// A Trend is the answer. Everything up to Seq of the log is in it.
type Trend struct {
	Thing  string        `json:"thing"`
	From   int64         `json:"from"` // ms since 1970, as all times here
	To     int64         `json:"to"`
	Step   int64         `json:"step"` // of buckets; 1 when every bucket is one sample
	Epoch  string        `json:"epoch"`
	Seq    uint64        `json:"seq"`
	Series []TrendSeries `json:"series"`
}

// A TrendSeries is one property. A string is its place in Names.
type TrendSeries struct {
	Property string   `json:"property"`
	Type     string   `json:"type"` // number, boolean or string
	Unit     string   `json:"unit,omitempty"`
	Names    []string `json:"names,omitempty"`
	Buckets  []Bucket `json:"buckets"`

	kind kind
}

// A Bucket is what a property was from TS on for one step, or one sample. A step
// without any sample has none.
type Bucket struct {
	TS    int64   `json:"ts"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Mean  float64 `json:"mean"`
	Last  float64 `json:"last"`
	Count uint64  `json:"count"`
}

// Trend answers a TrendQuery whose thing and names have been checked.
func (h *History) Trend(ctx context.Context, q TrendQuery) (*Trend, error) {
	ctx, done, err := h.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	t := &Trend{Thing: q.Thing, From: q.From.UnixMilli(), To: q.To.UnixMilli(), Epoch: h.cfg.Log.Epoch(), Seq: h.Seq(), Series: []TrendSeries{}}
	for _, name := range q.Properties {
		s, err := h.series(ctx, q.Thing, name)
		if err != nil {
			return nil, err
		}
		t.Series = append(t.Series, s)
	}
	return t, h.fill(ctx, t, q.Buckets)
}

// enter lets so many queries run at once and ends them when history closes.
func (h *History) enter(ctx context.Context) (context.Context, func(), error) {
	select {
	case h.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, &realtime.Problem{Code: realtime.CodeUnavailable, Message: "history is busy with other questions; try again"}
	}
	h.stats.queries.Add(1)
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	stop := context.AfterFunc(h.closing, cancel)
	return ctx, func() { stop(); cancel(); <-h.busy }, nil
}

// series finds out what a property is. It is a Problem when there is none.
func (h *History) series(ctx context.Context, thing, property string) (TrendSeries, error) {
	s := TrendSeries{Property: property, Buckets: []Bucket{}}
	d, described := h.cfg.Describe(thing, property)
	s.Unit = d.Unit
	stored, err := h.stored(ctx, thing, property)
	if err != nil {
		return s, err
	}
	k, ok := kindOfType(d.Type)
	switch {
	case !described && len(stored) == 0:
		return s, &realtime.Problem{Code: realtime.CodeNotFound, At: "?property", Message: fmt.Sprintf("%s has no property %s, and had none that is kept", thing, property)}
	case ok && (stored[k] || len(stored) == 0):
	default: // not described, or it came as something else
		for k = number; k < kinds && !stored[k]; k++ {
		}
		if k == kinds {
			k = number
		}
	}
	s.kind, s.Type = k, k.String()
	switch k {
	case text:
		s.Names = h.names.list(thing, property)
	case boolean:
		s.Names = []string{"false", "true"}
	}
	return s, nil
}

// Known is a Problem when one of the properties neither is nor was.
func (h *History) Known(ctx context.Context, thing string, properties ...string) error {
	for _, p := range properties {
		if _, err := h.series(ctx, thing, p); err != nil {
			return err
		}
	}
	return nil
}

// Value is a value of a bucket as the device wrote it.
func (s *TrendSeries) Value(v float64) json.RawMessage { return appendJSON(nil, s.kind, v, s.Names) }

// stored is the kinds of samples that there are of a property.
func (h *History) stored(ctx context.Context, thing, property string) (map[kind]bool, error) {
	found := map[kind]bool{}
	err := h.use(func(q storage.Queryable) error {
		return eachListed(ctx, q, func(l labels.Labels) error {
			found[kindOfLabel(l.Get(labelType))] = true
			return nil
		}, equal(labels.MetricName, metricName), equal(labelThing, thing), equal(labelProp, property))
	})
	return found, err
}

// fill reads the buckets: single samples where they are few enough.
func (h *History) fill(ctx context.Context, t *Trend, n int) error {
	t.Step = step(t.To-t.From, n)
	if h.outside != nil {
		return h.fillFromOutside(ctx, t, n)
	}
	if t.Step < minute {
		single, err := h.singles(ctx, t, n)
		if single || err != nil {
			return err
		}
	}
	few := true
	for i := range t.Series {
		s := &t.Series[i]
		list, err := h.gather(ctx, t, s)
		if err != nil {
			return err
		}
		s.Buckets = list
		few = few && s.samples() <= uint64(n)
	}
	if few && t.Step >= minute {
		return h.refine(ctx, t, n)
	}
	return nil
}

func (s *TrendSeries) samples() (n uint64) {
	for _, b := range s.Buckets {
		n += b.Count
	}
	return n
}

// refine shows single samples where there are so few, as long as all are kept.
func (h *History) refine(ctx context.Context, t *Trend, n int) error {
	single := *t
	single.Series = slices.Clone(t.Series)
	ok, err := h.singles(ctx, &single, n)
	for i := range t.Series {
		ok = ok && single.Series[i].samples() == t.Series[i].samples()
	}
	if ok && err == nil {
		*t = single
	}
	return err
}

// singles makes a bucket of each sample, when no property has more than n.
func (h *History) singles(ctx context.Context, t *Trend, n int) (bool, error) {
	all := make([][]Bucket, len(t.Series))
	for i, s := range t.Series {
		all[i] = []Bucket{}
		err := h.eachSample(ctx, t.Thing, s.Property, s.kind, t.From, t.To, func(ts int64, v float64) error {
			if len(all[i]) >= n {
				return errEnough
			}
			all[i] = append(all[i], Bucket{TS: ts, Min: v, Max: v, Mean: v, Last: v, Count: 1})
			return nil
		})
		if errors.Is(err, errEnough) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	for i := range all {
		t.Series[i].Buckets = all[i]
	}
	t.Step = 1
	return true, nil
}

// eachSample reads the samples of one property.
func (h *History) eachSample(ctx context.Context, thing, property string, k kind, from, to int64, f func(ts int64, v float64) error) error {
	return h.use(func(q storage.Queryable) error {
		return eachSeries(ctx, newView(q, nil), from, to, func(_ labels.Labels, it chunkenc.Iterator) error {
			for n := 1; it.Next() == chunkenc.ValFloat; n++ {
				if n%65536 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				if err := f(it.At()); err != nil {
					return err
				}
			}
			return it.Err()
		}, equal(labels.MetricName, metricName), equal(labelThing, thing), equal(labelProp, property), equal(labelType, k.label()))
	})
}

const (
	second = 1000 // ms
	minute = 60 * second
	hour   = 60 * minute
)

// step is how long a bucket is so that n of them make span. It is a whole number
// of the largest unit that it is not much longer for.
func step(span int64, n int) int64 {
	s := max((span+int64(n)-1)/int64(n), 1)
	for _, unit := range []int64{hour, 10 * minute, minute, second} {
		if s > 6*unit || unit <= minute && s > unit {
			return (s + unit - 1) / unit * unit
		}
	}
	return s
}

// A gatherer makes buckets of samples that come in the order of time.
type gatherer struct {
	step int64
	sums bool // leave the sum in Mean
	list []Bucket
	now  Bucket // its Mean is a sum
}

func (g *gatherer) add(ts int64, v float64) error {
	g.merge(Bucket{TS: ts, Min: v, Max: v, Mean: v, Last: v, Count: 1})
	return nil
}

// merge adds a bucket, with its sum as Mean, that lies within one step.
func (g *gatherer) merge(b Bucket) {
	start := floor(b.TS, g.step)
	if g.now.Count > 0 && g.now.TS != start {
		g.flush()
	}
	if g.now.Count == 0 {
		g.now = b
		g.now.TS = start
		return
	}
	n := &g.now
	n.Min, n.Max, n.Last = min(n.Min, b.Min), max(n.Max, b.Max), b.Last
	n.Mean += b.Mean
	n.Count += b.Count
}

func (g *gatherer) flush() {
	b := g.now
	if !g.sums {
		b.Mean /= float64(b.Count)
		// Rounding may put the mean of equal numbers beside them.
		b.Mean = min(max(b.Mean, b.Min), b.Max)
	}
	g.list = append(g.list, b)
	g.now = Bucket{}
}

func (g *gatherer) done() []Bucket {
	if g.now.Count > 0 {
		g.flush()
	}
	if g.list == nil {
		return []Bucket{}
	}
	return g.list
}

// floor is the multiple of step at or before ts.
func floor(ts, step int64) int64 {
	f := ts / step * step
	if f > ts {
		f -= step
	}
	return f
}
