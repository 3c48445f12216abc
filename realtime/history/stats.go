package history

import (
	"sync/atomic"

	"github.com/prometheus/prometheus/tsdb"
)

type stats struct {
	samples, late, tooOld, repeated, clamped, unkept, unnamed, refused, queries, segments, outsideRefused atomic.Uint64
}

// Stats count what history holds and what it did not keep.
type Stats struct {
	Seq      uint64 // place in the log
	Samples  uint64 // stored since the start
	Late     uint64 // of them, measured before the newest of their property
	TooOld   uint64 // not kept: older than Config.Late
	Repeated uint64 // not kept: the same time and value again
	Clamped  uint64 // kept with a time that was not in the future
	Unkept   uint64 // arrays, objects and null
	Unnamed  uint64 // strings beyond what a property may have, or too long
	Refused  uint64 // samples of properties beyond the limit on series
	Outside  uint64 // refused by the store outside
	Queries  uint64
	Series   uint64 // in the last hours
	Bytes    int64  // of samples on disk
	Segments uint64 // of buckets that were made since the start
}

// Stats says what is held. What the store says of itself is 0 while it is not
// open.
func (h *History) Stats() Stats {
	c := &h.stats
	s := Stats{
		Seq: h.Seq(), Samples: c.samples.Load(), Late: c.late.Load(), TooOld: c.tooOld.Load(), Repeated: c.repeated.Load(),
		Clamped: c.clamped.Load(), Unkept: c.unkept.Load(), Unnamed: c.unnamed.Load(), Refused: c.refused.Load(), Queries: c.queries.Load(), Outside: c.outsideRefused.Load(), Segments: c.segments.Load(),
	}
	_ = h.useDB(func(db *tsdb.DB) error { // while it is not open there is nothing to tell
		h.deleting.RLock()
		defer h.deleting.RUnlock()
		s.Series = db.Head().NumSeries()
		s.Bytes = db.Head().Size()
		for _, b := range db.Blocks() {
			s.Bytes += b.Size()
		}
		return nil
	})
	return s
}
