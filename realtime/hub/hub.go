package hub

import (
	"context"
	crand "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"echotwin/realtime"
	"echotwin/realtime/tree"
)

// A Hub keeps the newest state of all things and tells clients what changes.
type Hub struct {
	epoch        string
	name         string // of this process, in the ids of connections
	limits       Limits
	commander    Commander
	replayer     Replayer
	authenticate func(ctx context.Context, token string) (Viewer, error)
	archive      FactStore // nil without one
	shared       bool      // other servers tell the same log
	recallRoom   *semaphore.Weighted
	log          *slog.Logger
	begin        time.Time
	sizes        sizes
	clock        func() time.Time                  // of a hub of the past; nil for the present
	tune         func(*net.TCPConn, time.Duration) // of a new socket

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines of the hub and its connections
	ending sync.RWMutex   // guards ended
	ended  bool           // nothing more joins wg
	wake   chan struct{}  // holds a token when the open round is not empty

	shards   []*shard
	conns    atomic.Uint64 // that ever were
	draining atomic.Bool
	fault    atomic.Pointer[realtime.Fault]
	door     door
	gallery  gallery
	poller   poller
	stats    stats

	mu     sync.RWMutex // guards what follows and all things, groups and nodes
	seq    uint64       // newest published
	fed    bool         // something was published
	index  index
	count  int      // things that are not gone
	ghosts []*thing // removed things, the oldest first
	// forgot is the seq of the newest removal that is no longer remembered.
	forgot    uint64
	forgotVer uint64 // and its round
	began     uint64 // what was so before this place is from a checkpoint; see Begin
	open      *round // what changes now belongs to it
	spare     *round
	ring      ring
	asks      map[string]*ask // commands under way here, by their id
}

// New returns a running hub. Close ends it.
func New(cfg Config) *Hub { return newHub(cfg, runtime.GOMAXPROCS(0)) }

func newHub(cfg Config, shards int) *Hub {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := cfg.Limits.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hub{
		epoch: cfg.Epoch, name: strings.ToLower(crand.Text()[:6]), limits: l, commander: cfg.Commander, replayer: cfg.Replayer, authenticate: cfg.Authenticate, archive: cfg.Archive, shared: cfg.Shared, recallRoom: semaphore.NewWeighted(recallRoom), log: log, begin: time.Now(), sizes: usualSizes, tune: tune,
		ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1),
		gallery: gallery{limits: l, byUser: map[string]int{}},
		open:    &round{n: 1}, spare: &round{},
		ring: newRing(l.Facts, l.FactBytes),
		asks: map[string]*ask{},
	}
	h.door = newDoor(l, h.now)
	for i := range shards {
		h.shards = append(h.shards, newShard(h, i))
	}
	h.index.groves = map[string]*grove{"": {tree: tree.New(nil), places: map[string]*group{}}}
	if cfg.Placed > 0 {
		h.index.groves[""].began = cfg.Placed + 1
	}
	for _, s := range h.shards {
		h.wg.Go(s.run)
	}
	h.wg.Go(h.conduct)
	return h
}

// now is the time since the hub began; it never jumps.
func (h *Hub) now() time.Duration { return time.Since(h.begin) }

// Publish takes what changed. It waits for nobody; what it is given may not be
// written to afterwards. Updates must come in the order of their seq. One that
// repeats the last seq (a value grew stale) counts as being just after it.
func (h *Hub) Publish(u realtime.Update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.feed(u)
	at := u.Seq
	if u.Seq <= h.seq {
		at = h.seq + 1
	}
	h.seq = max(h.seq, u.Seq)
	h.link(u.Linked, at)
	for i := range u.Changes {
		h.change(&u.Changes[i], at)
	}
	for i := range u.Facts {
		h.fact(&u.Facts[i], u.Seq)
	}
	if len(u.Linked)+len(u.Changes)+len(u.Facts) > 0 || h.clock != nil { // in the past, time alone is news
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// feed notes where the log was when the hub began: what happened before is not
// known here, unless there is no before.
func (h *Hub) feed(u realtime.Update) {
	if h.fed {
		return
	}
	h.fed = true
	if u.Seq > 1 {
		h.ring.known, h.forgot = u.Seq, u.Seq
	}
}

func (h *Hub) change(c *realtime.Change, seq uint64) {
	t := h.index.byID[c.Thing]
	if t == nil {
		if c.Removed {
			return
		}
		if err := realtime.CheckThing(c.Thing); err != nil {
			h.log.Error("a change of no thing", "error", err)
			return
		}
		t = newThing(c.Thing, len(h.shards))
		t.joined = since{h.open.n, seq}
		h.index.addThing(t)
		h.count++
	}
	h.enter(t)
	h.open.entries[t.open].samples += c.Samples
	was := t.gone
	t.apply(c, h.open.n, seq)
	switch {
	case t.gone && !was:
		h.count--
		h.bury(t)
	case was && !t.gone:
		h.count++
		h.ghosts = remove(h.ghosts, t)
		t.joined = since{h.open.n, seq}
		for i := range t.seats {
			t.seats[i].joined = t.joined
		}
	}
}

// enter has the thing be part of the open round, before it changes.
func (h *Hub) enter(t *thing) {
	if r := h.open; t.ver != r.n {
		t.open = len(r.entries)
		r.entries = append(r.entries, entry{thing: t, prev: t.ver})
	}
}

// bury remembers a removed thing for clients that have not heard of it yet, and
// forgets the oldest one beyond the limit.
func (h *Hub) bury(t *thing) {
	h.ghosts = append(h.ghosts, t)
	for n := 0; n < 8 && len(h.ghosts) > h.sizes.ghosts; n++ { // a few at a time: each looks at all
		oldest := 0
		for i, g := range h.ghosts {
			if g.ver < h.ghosts[oldest].ver {
				oldest = i
			}
		}
		g := h.ghosts[oldest]
		if g.ver+1 >= h.open.n {
			return // a shard may not have heard of its removal yet
		}
		h.ghosts = remove(h.ghosts, g)
		h.forgot, h.forgotVer = max(h.forgot, g.seq), max(h.forgotVer, g.ver)
		h.index.dropThing(g)
	}
}

func (h *Hub) fact(f *realtime.Fact, seq uint64) {
	if f.Seq != 0 && h.clock == nil { // in the past the place in the log would pass for live
		seq = f.Seq
	}
	n, ok := newFact(f, seq)
	if !ok {
		h.log.Error("a fact whose body is no object", "type", f.Type, "thing", f.Thing)
		return
	}
	n.open = n.open && len(h.asks) <= maxAsks // beyond, an asker is not kept for more than the outcome
	h.ring.add(n)
	h.stats.facts.Add(1)
	if a := h.asks[n.cmd]; a != nil {
		a.hear(&n)
	}
}

// End closes all connections of a session, because it was ended.
func (h *Hub) End(session string) {
	if session == "" {
		return
	}
	h.each(func(s *shard, c *conn) {
		if c.viewer.Session == session {
			s.bye(c, goodbye{code: 4001, word: "session_over"})
		}
	})
}

// Renew has the connections of a session look again at what they may see, and
// tells those for which it has changed everything from scratch.
func (h *Hub) Renew(session string) {
	if session == "" {
		return
	}
	h.each(func(s *shard, c *conn) {
		if c.viewer.Session != session || c.viewer.Again == nil || c.gone || c.closing != nil {
			return
		}
		if v := c.viewer.Again(); v.Rights != c.viewer.Rights {
			s.reveal(c, v, true, nil)
		}
	})
}

// each runs f for all connections, in their shards.
func (h *Hub) each(f func(*shard, *conn)) {
	for _, s := range h.shards {
		s.post(func(s *shard) {
			for c := range s.conns {
				f(s, c)
			}
		})
	}
}

// Drain turns new clients away and says goodbye to all others, spread over the
// time that ctx leaves, so that they do not all come to the next server at
// once. It returns when they are gone or ctx ends.
func (h *Hub) Drain(ctx context.Context) {
	h.door.close()
	h.draining.Store(true)
	window := time.Duration(0)
	if end, ok := ctx.Deadline(); ok {
		window = max(0, min(time.Until(end)*3/4, 10*time.Second))
	}
	h.each(func(s *shard, c *conn) {
		c.byeAt = s.now + 1
		if window > 0 {
			c.byeAt += rand.N(window)
		}
		s.touch(c)
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for h.door.inside() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Ready is an error as soon as new clients are turned away, so that whoever
// shares them out over several servers sends them to another.
func (h *Hub) Ready() error {
	if h.draining.Load() {
		return errors.New("the server is stopping: new clients are turned away")
	}
	return nil
}

// Close ends all connections at once and returns when nothing of the hub runs
// any more.
func (h *Hub) Close() {
	h.door.close()
	h.each(func(s *shard, c *conn) { s.bye(c, restart()) })
	h.cancel()
	h.ending.Lock()
	h.ended = true
	h.ending.Unlock()
	h.wg.Wait()
}

// spawn runs f as part of the hub. It is false when the hub has ended, which a
// handler that came through the door just before may find.
func (h *Hub) spawn(f func()) bool {
	h.ending.RLock()
	defer h.ending.RUnlock()
	if !h.ended {
		h.wg.Go(f)
	}
	return !h.ended
}

// restart is the goodbye of a server that goes. The delay is spread so that all
// its clients do not come back in the same moment.
func restart() goodbye {
	return goodbye{code: 1012, word: "drain", reconnectIn: 500*time.Millisecond + rand.N(4500*time.Millisecond)}
}
