package ingest

import "time"

// Stats count since New, for /metrics. What waits or was lost is in none of
// the others.
type Stats struct {
	Readings uint64 // samples that are stored
	Values   uint64 // property values in them
	Facts    uint64 // events, statuses, results and own records that are stored
	Clamped  uint64 // stored samples that came from the future
	Rejected uint64 // problems that senders were told of
	Lost     uint64 // samples and facts that the log did not confirm; most senders send them again

	Bundles  uint64        // writes to the log
	Failures uint64        // writes that failed
	Bytes    uint64        // of all bundles
	Latency  time.Duration // of all bundles together, from the start of the write until it was on disk
	Queued   int64         // bytes that wait now
}

// Stats returns the counters.
func (in *Ingest) Stats() Stats {
	g := in.gather
	return Stats{
		Readings: g.readings.Load(),
		Values:   g.values.Load(),
		Facts:    g.facts.Load(),
		Clamped:  g.clamped.Load(),
		Rejected: g.rejected.Load(),
		Lost:     g.lost.Load(),
		Bundles:  g.bundles.Load(),
		Failures: g.failures.Load(),
		Bytes:    g.bytes.Load(),
		Latency:  time.Duration(g.latency.Load()),
		Queued:   g.queued.Load(),
	}
}
