package history

import (
	"context"
	"log/slog"
	"sync"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// A lateGate keeps what comes late out of the store while the store notes which
// late chunks it will make blocks of. It looks at one series after the other
// and then forgets all chunks up to the newest that it saw: a chunk that filled
// meanwhile in a series it had been at is older than that, in no block, and lost.
//
// Who shuts it never waits for another who does, since they wait for each other
// in the store.
type lateGate struct {
	mu      sync.Mutex
	changed *sync.Cond
	shut    int  // how many hold it
	passing bool // something late is being stored
}

func newLateGate() *lateGate {
	g := &lateGate{}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// hold returns when nothing late is being stored, and nothing will be until let.
func (g *lateGate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut++
	for g.passing {
		g.changed.Wait()
	}
}

func (g *lateGate) let() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut--
	g.changed.Broadcast()
}

// pass calls store, which stores something late.
func (g *lateGate) pass(store func() error) error {
	g.mu.Lock()
	for g.shut > 0 {
		g.changed.Wait()
	}
	g.passing = true
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.passing = false
		g.changed.Broadcast()
	}()
	return store()
}

// A compactor is the store's own and shuts the gate when it is time. The store
// turns to what came late after it made a block of what came in order, and has
// noted it when it makes the first block of it. It calls one method at a time.
type compactor struct {
	tsdb.Compactor
	dir  string
	gate *lateGate
	held bool
}

// newCompactor makes the compactor that the store would, but for the gate.
func newCompactor(dir string, gate *lateGate) tsdb.NewCompactorFunc {
	return func(ctx context.Context, r prometheus.Registerer, l *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
		c, err := tsdb.NewLeveledCompactorWithOptions(ctx, r, l, ranges, pool, tsdb.LeveledCompactorOptions{
			MaxBlockChunkSegmentSize:    o.MaxBlockChunkSegmentSize,
			EnableOverlappingCompaction: o.EnableOverlappingCompaction,
			PD:                          o.PostingsDecoderFactory,
			FloatChunkEncoding:          func() chunkenc.Encoding { return o.FloatChunkEncoding },
		})
		return &compactor{Compactor: c, dir: dir, gate: gate}, err
	}
}

func (c *compactor) hold() {
	if !c.held {
		c.held = true
		c.gate.hold()
	}
}

func (c *compactor) let() {
	if c.held {
		c.held = false
		c.gate.let()
	}
}

func (c *compactor) Write(dest string, b tsdb.BlockReader, mint, maxt int64, base *tsdb.BlockMeta) ([]ulid.ULID, error) {
	if dest != c.dir { // a snapshot, which changes nothing here
		return c.Compactor.Write(dest, b, mint, maxt, base)
	}
	c.let()
	ids, err := c.Compactor.Write(dest, b, mint, maxt, base)
	if _, inOrder := b.(*tsdb.RangeHead); inOrder && err == nil {
		c.hold()
	}
	return ids, err
}

// Plan is what the store does last, and all that it does when nothing was late.
func (c *compactor) Plan(dir string) ([]string, error) {
	c.let()
	return c.Compactor.Plan(dir)
}
