package hub

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A histogram counts by size. One goroutine observes; any may read.
type histogram struct {
	counts [16]atomic.Uint64 // by upper bound, and what is above all of them
	sum    atomic.Uint64     // the bits of a float64
}

func (h *histogram) observe(bounds []float64, v float64) {
	i := 0
	for i < len(bounds) && v > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Store(math.Float64bits(math.Float64frombits(h.sum.Load()) + v))
}

// sumHistograms is the metric of the same histogram of all shards.
func sumHistograms(d *prometheus.Desc, bounds []float64, all []*histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(bounds))
	count, sum := uint64(0), 0.0
	for i := range len(bounds) + 1 {
		for _, h := range all {
			count += h.counts[i].Load()
		}
		if i < len(bounds) {
			buckets[bounds[i]] = count
		}
	}
	for _, h := range all {
		sum += math.Float64frombits(h.sum.Load())
	}
	return prometheus.MustNewConstHistogram(d, count, sum, buckets)
}

var (
	waitBounds   = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	lifeBounds   = []float64{1, 10, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600}
	bytesBounds  = []float64{1 << 10, 16 << 10, 256 << 10, 1 << 20, 16 << 20, 256 << 20, 1 << 30, 16 << 30}
	mergedBounds = []float64{0, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7}
)

// life is how connections ended: each is observed once, with its end.
type life struct{ seconds, bytes, merged histogram }

func (l *life) observe(c *conn, now time.Duration) {
	l.seconds.observe(lifeBounds, (now - c.since).Seconds())
	l.bytes.observe(bytesBounds, float64(c.bytes))
	l.merged.observe(mergedBounds, float64(c.merged))
}

// waited is how long the oldest change in the turn's update has waited.
func (t *turn) waited(s *shard) time.Duration {
	at := s.now
	for _, sub := range t.subs {
		if sub.flushed == s.turn {
			at = min(at, sub.dirtyAt)
		}
	}
	return s.now - at
}
