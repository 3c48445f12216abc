package hub

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stats counts what belongs to no shard.
type stats struct {
	facts, rounds, recalled atomic.Uint64

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
	descConns    = desc("connections", "Open connections.", "transport")
	descClosed   = desc("closed_total", "Connections that ended, by close code; stalled ones took no byte for too long.", "code")
	descRefused  = desc("refused_total", "Connections that were not let in, by the limit that they met.", "reason")
	descSubs     = desc("subscriptions", "Open subscriptions.")
	descThings   = desc("things", "Things with a state.")
	descReplays  = desc("replays", "Replays of the past under way, or about to begin.")
	descRounds   = desc("rounds_total", "Rounds of fan-out.")
	descFrames   = desc("frames_total", "Frames written.")
	descBytes    = desc("bytes_total", "Bytes written.")
	descUpdates  = desc("updates_total", "Thing-updates delivered.")
	descMerged   = desc("merged_total", "Samples that were merged into a newer one before they were delivered.")
	descStalls   = desc("stalls_total", "Writes that a full socket did not take at once.")
	descFacts    = desc("facts_total", "Facts that came in.")
	descSent     = desc("facts_sent_total", "Facts delivered.")
	descResyncs  = desc("resyncs_total", "Times that a client was told of facts it missed.")
	descRecalled = desc("facts_recalled_total", "Facts that a resume had to have read from disk.")
	descMissed   = desc("facts_missed_total", "Facts that clients were told they missed.")
	descWaited   = desc("update_wait_seconds", "How long the oldest change in an update had waited for its connection's turn.")

	descLagTime  = desc("lag_seconds", "How far open connections are behind what they follow: of the median, of 99 in 100 and of the worst.", "quantile")
	descLagSeq   = desc("lag_seq", "The same in places of the log.", "quantile")
	descSlow     = desc("stalled_connections", "Connections whose socket takes nothing now.")
	descFollowed = desc("followed_things", "Things that some subscription covers.")
	descViewers  = prometheus.NewDesc("echotwin_thing_viewers", "Connections that follow a thing; only the things with the most.", []string{"thing"}, nil)

	descLifeTime   = desc("connection_seconds", "How long connections were open, counted at their end.")
	descLifeBytes  = desc("connection_bytes", "Bytes that a connection was sent in all, counted at its end.")
	descLifeMerged = desc("connection_merged", "Samples that were merged for a connection in all, counted at its end.")
)

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descConns, descClosed, descRefused, descSubs, descThings, descReplays, descRounds, descFrames, descBytes, descUpdates, descMerged, descStalls, descFacts, descSent, descResyncs, descMissed, descRecalled,
		descWaited, descLagTime, descLagSeq, descSlow, descFollowed, descViewers, descLifeTime, descLifeBytes, descLifeMerged} {
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
	c.collectConnections(ch, gauge) // first: what the shards have in hand is counted then
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
	gauge(descReplays, float64(h.gallery.inside()))
	count(descRounds, h.stats.rounds.Load())
	count(descFacts, h.stats.facts.Load())
	count(descRecalled, h.stats.recalled.Load())
	count(descFrames, sum(func(c *counts) uint64 { return c.frames.Load() }))
	count(descBytes, sum(func(c *counts) uint64 { return c.bytes.Load() }))
	count(descUpdates, sum(func(c *counts) uint64 { return c.updates.Load() }))
	count(descMerged, sum(func(c *counts) uint64 { return c.merged.Load() }))
	count(descStalls, sum(func(c *counts) uint64 { return c.stalls.Load() }))
	count(descSent, sum(func(c *counts) uint64 { return c.facts.Load() }))
	count(descResyncs, sum(func(c *counts) uint64 { return c.resyncs.Load() }))
	count(descMissed, sum(func(c *counts) uint64 { return c.missed.Load() }))
	audience := h.audience(mostViewed)
	gauge(descFollowed, float64(audience.followed))
	for _, v := range audience.most {
		gauge(descViewers, float64(v.Viewers), v.Thing)
	}
}

const (
	// mostViewed bounds the things that are a series of their own.
	mostViewed = 100

	// surveyWait is how long the figures wait for the shards.
	surveyWait = 2 * time.Second
)

// collectConnections tells about connections without a series for each.
func (c collector) collectConnections(ch chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string)) {
	h := c.hub
	hist := func(d *prometheus.Desc, bounds []float64, of func(*counts) *histogram) {
		all := make([]*histogram, len(h.shards))
		for i, s := range h.shards {
			all[i] = of(&s.counts)
		}
		ch <- sumHistograms(d, bounds, all)
	}
	hist(descWaited, waitBounds, func(c *counts) *histogram { return &c.waited })
	hist(descLifeTime, lifeBounds, func(c *counts) *histogram { return &c.life.seconds })
	hist(descLifeBytes, bytesBounds, func(c *counts) *histogram { return &c.life.bytes })
	hist(descLifeMerged, mergedBounds, func(c *counts) *histogram { return &c.life.merged })

	type lags struct {
		all     []Lag
		stalled int
	}
	ctx, cancel := context.WithTimeout(h.ctx, surveyWait)
	defer cancel()
	shards, err := survey(ctx, h, func(s *shard) (l lags) {
		h.mu.RLock()
		defer h.mu.RUnlock()
		for c := range s.conns {
			l.all = append(l.all, s.lag(c))
			if s.blocked(c) {
				l.stalled++
			}
		}
		return l
	})
	if err != nil {
		return // the hub has ended, or has better things to do
	}
	var ms, seqs []float64
	stalled := 0
	for _, l := range shards {
		stalled += l.stalled
		for _, one := range l.all {
			ms, seqs = append(ms, float64(one.MS)/1000), append(seqs, float64(one.Seq))
		}
	}
	gauge(descSlow, float64(stalled))
	quantiles(gauge, descLagTime, ms)
	quantiles(gauge, descLagSeq, seqs)
}

// quantiles tells the median, the 99th percentile and the greatest; 0 of none.
func quantiles(gauge func(*prometheus.Desc, float64, ...string), d *prometheus.Desc, vs []float64) {
	slices.Sort(vs)
	for _, q := range []struct {
		name string
		at   float64
	}{{"0.5", .5}, {"0.99", .99}, {"1", 1}} {
		v := 0.0
		if len(vs) > 0 {
			v = vs[int(q.at*float64(len(vs)-1)+.5)]
		}
		gauge(d, v, q.name)
	}
}
