package hub

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// stats counts what belongs to no shard.
type stats struct {
	facts, rounds atomic.Uint64

	mu   sync.Mutex
	open [wires]int
	ends map[string]uint64 // by close code
}

func (s *stats) began(w wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[w]++
}

func (s *stats) ended(w wire, label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[w]--
	if s.ends == nil {
		s.ends = map[string]uint64{}
	}
	if _, known := s.ends[label]; !known && len(s.ends) >= 32 {
		label = "other" // clients choose their codes
	}
	s.ends[label]++
}

// collector tells the hub's figures when it is asked.
type collector struct{ hub *Hub }

// Collector tells the hub's figures to Prometheus. Their names begin with
// echotwin_hub_.
func (h *Hub) Collector() prometheus.Collector { return collector{h} }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("echotwin_hub_"+name, help, labels, nil)
}

var (
	descConns   = desc("connections", "Open connections.", "transport")
	descClosed  = desc("closed_total", "Connections that ended, by close code; stalled ones took no byte for too long.", "code")
	descRefused = desc("refused_total", "Connections that were not let in, by the limit that they met.", "reason")
	descSubs    = desc("subscriptions", "Open subscriptions.")
	descThings  = desc("things", "Things with a state.")
	descRounds  = desc("rounds_total", "Rounds of fan-out.")
	descFrames  = desc("frames_total", "Frames written.")
	descBytes   = desc("bytes_total", "Bytes written.")
	descUpdates = desc("updates_total", "Thing-updates delivered.")
	descMerged  = desc("merged_total", "Samples that were merged into a newer one before they were delivered.")
	descStalls  = desc("stalls_total", "Writes that a full socket did not take at once.")
	descFacts   = desc("facts_total", "Facts that came in.")
	descSent    = desc("facts_sent_total", "Facts delivered.")
	descResyncs = desc("resyncs_total", "Times that a client was told of facts it missed.")
	descMissed  = desc("facts_missed_total", "Facts that clients were told they missed.")
)

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descConns, descClosed, descRefused, descSubs, descThings, descRounds, descFrames, descBytes, descUpdates, descMerged, descStalls, descFacts, descSent, descResyncs, descMissed} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	h := c.hub
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	h.stats.mu.Lock()
	for w, n := range h.stats.open {
		gauge(descConns, float64(n), wire(w).String())
	}
	for code, n := range h.stats.ends {
		count(descClosed, n, code)
	}
	h.stats.mu.Unlock()
	h.door.mu.Lock()
	for reason, n := range h.door.refused {
		count(descRefused, n, reason)
	}
	h.door.mu.Unlock()
	h.mu.RLock()
	things := h.count
	h.mu.RUnlock()
	sum := func(of func(*counts) uint64) (n uint64) {
		for _, s := range h.shards {
			n += of(&s.counts)
		}
		return n
	}
	subs := int64(0)
	for _, s := range h.shards {
		subs += s.counts.subs.Load()
	}
	gauge(descSubs, float64(subs))
	gauge(descThings, float64(things))
	count(descRounds, h.stats.rounds.Load())
	count(descFacts, h.stats.facts.Load())
	count(descFrames, sum(func(c *counts) uint64 { return c.frames.Load() }))
	count(descBytes, sum(func(c *counts) uint64 { return c.bytes.Load() }))
	count(descUpdates, sum(func(c *counts) uint64 { return c.updates.Load() }))
	count(descMerged, sum(func(c *counts) uint64 { return c.merged.Load() }))
	count(descStalls, sum(func(c *counts) uint64 { return c.stalls.Load() }))
	count(descSent, sum(func(c *counts) uint64 { return c.facts.Load() }))
	count(descResyncs, sum(func(c *counts) uint64 { return c.resyncs.Load() }))
	count(descMissed, sum(func(c *counts) uint64 { return c.missed.Load() }))
}
