package history

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

// Since is the oldest moment of which anything is kept, and zero while there is
// nothing. A store outside does not say: there it is what is to be kept.
func (h *History) Since() (since time.Time, err error) {
	if h.outside != nil {
		return h.cfg.Now().Add(-h.cfg.Retention), nil
	}
	err = h.useDB(func(db *tsdb.DB) error {
		oldest := int64(math.MaxInt64)
		if head := db.Head(); head.NumSeries() > 0 {
			oldest = head.MinTime()
		}
		for _, b := range db.Blocks() {
			oldest = min(oldest, b.MinTime())
		}
		if oldest != math.MaxInt64 {
			since = time.UnixMilli(oldest).UTC()
		}
		return nil
	})
	return since, err
}
