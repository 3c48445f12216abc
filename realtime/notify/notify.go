package notify

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"echotwin/realtime"
)

// A Store keeps records by their key, on disk and for all nodes.
type Store interface {
	GetRevision(ctx context.Context, key string) ([]byte, uint64, error)
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string) error
	All(ctx context.Context) (map[string][]byte, error)
	Watch(ctx context.Context, fn func(key string, value []byte)) error
}

// Facts are the steps of alarms, as they are kept on disk.
type Facts interface {
	// End is the cursor behind all that is stored.
	End(ctx context.Context) (string, error)
	// After gives the facts of one type behind a cursor until yield says no. It
	// returns the cursor behind what it has read, and how many facts went unread,
	// or -1 when nobody knows.
	After(ctx context.Context, kind, cursor string, yield func(cursor string, at time.Time, f realtime.Fact) bool) (next string, missed int64, err error)
	// Wait returns when the facts up to a bundle of the log are stored.
	Wait(ctx context.Context, seq uint64) error
}

// Config is what Notify needs. What has no default is required.
type Config struct {
	Channels Store // what is configured
	States   Store // what became of it
	Facts    Facts
	Changed  error // what Update answers when another was first
	Exists   error // what Create answers
	Missing  error // what GetRevision answers

	// Node names this process among those that share the stores; the same over
	// restarts for one that shares them with nobody, so that it takes up at once what
	// it was cut off from.
	Node string
	// Public is where people open this server, for links; "" makes none.
	Public string
	Mail   *Mailer // nil means that there is no e-mail

	// How long it takes: zero means the defaults.
	Backoff []time.Duration // between attempts; the last one again and again
	GiveUp  time.Duration   // when a delivery has failed for good: a day
	Timeout time.Duration   // of one attempt: 15 s
	Gather  time.Duration   // before the last message of a minute is used up: 10 s
	Sweep   time.Duration   // at most between looks at a channel: a minute

	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means slog.Default()
}

// backoff is short at first and then often enough that a receiver which is back
// does not wait for long.
var backoff = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute}

// A sender carries a message out. It is called by one goroutine of a channel.
type sender func(ctx context.Context, k *kept, m *open) result

// Notify tells the outside of alarms. Its methods may be called by many
// goroutines at once.
type Notify struct {
	cfg     Config
	log     *slog.Logger
	claim   time.Duration
	senders map[string]sender
	counts  counts

	seq    atomic.Uint64 // the newest bundle with a step of an alarm
	wake   chan struct{}
	change sync.Mutex // one who writes a channel at a time

	mu      sync.Mutex
	all     map[string]*kept
	workers map[string]*worker
	running context.Context // nil until Run, and after it
	using   sync.WaitGroup
}

// New returns a Notify that does nothing until Run.
func New(cfg Config) *Notify {
	if cfg.Backoff == nil {
		cfg.Backoff = backoff
	}
	if cfg.GiveUp == 0 {
		cfg.GiveUp = 24 * time.Hour
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	if cfg.Gather == 0 {
		cfg.Gather = 10 * time.Second
	}
	if cfg.Sweep == 0 {
		cfg.Sweep = time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	n := &Notify{cfg: cfg, log: cfg.Logger, claim: 4 * cfg.Timeout, wake: make(chan struct{}, 1), all: map[string]*kept{}, workers: map[string]*worker{}}
	n.senders = map[string]sender{Webhook: newHooks(cfg.Timeout).send}
	if cfg.Mail != nil {
		n.senders[Email] = cfg.Mail.send
	}
	return n
}

// Alarmed says that a bundle of the log has a step of an alarm. It waits for
// nothing.
func (n *Notify) Alarmed(seq uint64) {
	for old := n.seq.Load(); seq > old && !n.seq.CompareAndSwap(old, seq); {
		old = n.seq.Load()
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends. What is being sent then has a moment to come to
// its end.
func (n *Notify) Run(ctx context.Context) error {
	n.mu.Lock()
	n.running = ctx
	n.mu.Unlock()
	n.using.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-n.wake:
			case <-ctx.Done():
				return
			}
			// A step is read where it is stored, not where it is told.
			if n.cfg.Facts.Wait(ctx, n.seq.Load()) == nil {
				n.look()
			}
		}
	})
	err := n.cfg.Channels.Watch(ctx, n.changed)
	n.mu.Lock()
	n.running = nil
	for key, w := range n.workers {
		w.stop()
		delete(n.workers, key)
	}
	n.mu.Unlock()
	n.using.Wait()
	return err
}

// look lets every channel look whether there is something to do.
func (n *Notify) look() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.workers {
		w.look()
	}
}

// changed takes a channel as the store has it; nothing means that it is gone.
func (n *Notify) changed(key string, value []byte) {
	if len(value) == 0 {
		n.take(key, nil)
		return
	}
	k := &kept{}
	if err := json.Unmarshal(value, k); err != nil || k.ID != key {
		n.log.Error("a channel of notifications cannot be read", "channel", key, "error", err)
		return
	}
	n.take(key, k)
}

// take makes k what is known of a channel and sees to it that it is worked.
func (n *Notify) take(key string, k *kept) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.workers[key]
	if k == nil {
		delete(n.all, key)
		delete(n.workers, key)
		if w != nil {
			w.stop()
		}
		return
	}
	if old := n.all[key]; old != nil && old.Changed.After(k.Changed) {
		return // a watch may be behind what was written here
	}
	n.all[key] = k
	if w == nil && n.running != nil {
		w = newWorker(n, key)
		n.workers[key] = w
		var ctx context.Context
		ctx, w.stop = context.WithCancel(n.running)
		n.using.Go(func() { w.run(ctx) })
	}
	if w != nil {
		w.look()
	}
}

func (n *Notify) channel(key string) *kept {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[key]
}

// Deliveries are the last ones of a channel, the newest first.
func (n *Notify) Deliveries(ctx context.Context, key string) ([]Delivery, error) {
	if _, _, err := n.read(ctx, key); err != nil {
		return nil, err
	}
	s, _, err := n.state(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.list(), nil
}

// Test sends a message to a channel now, once, and says what came of it. It also
// goes to a channel that is disabled.
func (n *Notify) Test(ctx context.Context, key string) (Delivery, error) {
	k, _, err := n.read(ctx, key)
	if err == nil {
		err = n.can(k)
	}
	if err != nil {
		return Delivery{}, err
	}
	m := probe(k, n.now(), n.cfg.Public)
	sending, cancel := context.WithTimeout(ctx, n.patience(k))
	defer cancel()
	r := n.senders[k.Kind](sending, k, m)
	n.counts.attempt(k.Kind, r)
	m.Status, m.Attempts, m.Updated, m.Code, m.Error, m.Mailboxes = Failed, 1, n.now(), r.code, r.err, r.boxes
	if r.ok {
		m.Status = Delivered
	}
	return m.Delivery, n.note(ctx, key, m.Delivery)
}

// patience is how long an attempt may take. A mail server is asked once for each
// mailbox, and slow on purpose where it does not know who asks.
func (n *Notify) patience(k *kept) time.Duration {
	if k.Kind == Email {
		return 2 * n.cfg.Timeout
	}
	return n.cfg.Timeout
}

// note adds a delivery to those of a channel.
func (n *Notify) note(ctx context.Context, key string, d Delivery) error {
	err := realtime.PastRivals(ctx, n.lost, func() error {
		s, revision, err := n.state(ctx, key)
		if err != nil || revision == 0 { // removed meanwhile
			return err
		}
		s.note(d)
		return n.save(ctx, key, s, revision)
	})
	if n.lost(err) {
		return nil // it was sent; that the list lacks it is no reason to say otherwise
	}
	return err
}

// now is in milliseconds, so that what was written is equal to what is read.
func (n *Notify) now() time.Time { return n.cfg.Now().UTC().Truncate(time.Millisecond) }
