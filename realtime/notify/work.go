package notify

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"echotwin/realtime"
)

const (
	// takeAtOnce bounds what is read of the facts for one message.
	takeAtOnce = 20_000
	// goodbye is how long an attempt may go on when the process stops.
	goodbye = 3 * time.Second
	// storeTime bounds what the stores may take.
	storeTime = 20 * time.Second
)

// A worker does what is to be done for one channel on this node.
type worker struct {
	n    *Notify
	key  string
	wake chan struct{}
	stop context.CancelFunc // when the channel is gone

	// Read is how far the facts were looked through behind the cursor of the
	// record. It is in memory only: looking again finds the same.
	base, read string

	waiting atomic.Int64 // deliveries that are not over, when it looked last
}

func newWorker(n *Notify, key string) *worker {
	return &worker{n: n, key: key, wake: make(chan struct{}, 1)}
}

func (w *worker) look() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) run(ctx context.Context) {
	failing := false
	for {
		wait, err := w.step(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				w.n.log.Warn("notifications are not delivered; they wait", "channel", w.key, "error", err)
			}
			wait = time.Second
		}
		failing = err != nil
		timer := time.NewTimer(min(wait, w.n.cfg.Sweep))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-w.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// step does what is due, which is one attempt at most, and says for how long
// there is nothing more to do.
func (w *worker) step(ctx context.Context) (time.Duration, error) {
	k := w.n.channel(w.key)
	if k == nil {
		return w.n.cfg.Sweep, nil
	}
	m, wait, err := w.begin(ctx, k)
	if w.n.lost(err) {
		return rand.N(20 * time.Millisecond), nil // another node was first, or a test was noted
	}
	if err != nil || m == nil {
		return wait, err
	}
	r := w.attempt(ctx, k, m)
	w.n.counts.attempt(k.Kind, r)
	// What came of it is noted also when the process is stopping.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	if err := w.end(after, m, r); err != nil {
		return 0, err
	}
	if r.disable {
		return 0, w.n.disable(after, w.key, r.err)
	}
	return 0, nil
}

// begin takes what came and claims what is to be sent next, in one write.
func (w *worker) begin(ctx context.Context, k *kept) (*open, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	s, revision, err := w.n.state(ctx, w.key)
	if err != nil {
		return nil, 0, err
	}
	if revision == 0 { // a removed channel has no record, and gets none
		if there, err := w.n.there(ctx, w.key); err != nil || !there {
			return nil, w.n.cfg.Sweep, err
		}
	}
	w.waiting.Store(int64(len(s.Open)))
	now := w.n.now()
	if !k.Enabled {
		if !s.disable(now) {
			return nil, w.n.cfg.Sweep, nil
		}
		return nil, 0, w.n.save(ctx, w.key, s, revision)
	}
	if s.claimed(w.n.cfg.Node, now) {
		return nil, s.Until.Sub(now) + rand.N(time.Second), nil
	}
	got, err := w.take(ctx, k, s, now)
	if err != nil {
		return nil, 0, err
	}
	m, next := s.due(now)
	if m != nil {
		s.begin(m, w.n.cfg.Node, now, w.n.claim)
		got.moved = true
	} else if !next.IsZero() {
		got.wait = min(got.wait, next.Sub(now))
	}
	if got.moved {
		if err = w.n.save(ctx, w.key, s, revision); err == nil {
			w.n.counts.took(got)
		}
	}
	return m, got.wait, err
}

// news is what take made of what came.
type news struct {
	moved               bool          // the record is worth a write
	wait                time.Duration // until there may be more to do
	steps, folded, lost int           // told, of them those that came together in one message, and gaps
}

// take makes messages of what came since the cursor.
func (w *worker) take(ctx context.Context, k *kept, s *state, now time.Time) (got news, err error) {
	if s.Cursor == "" { // enabled again: from now on
		s.Cursor, err = w.n.cfg.Facts.End(ctx)
		s.Moved = now
		return news{moved: true}, err
	}
	free, next := s.slots(k.PerMinute, now)
	room := maxWaiting - len(s.Open)
	if free == 0 {
		return news{wait: next.Sub(now)}, nil
	}
	if room <= 0 {
		return news{wait: w.n.cfg.Sweep}, nil // there is room when a delivery is over
	}
	if w.base != s.Cursor {
		w.base, w.read = s.Cursor, s.Cursor
	}
	p, few, end, missed, err := w.gather(ctx, k, min(free, room))
	if err != nil {
		return news{}, err
	}
	if missed != 0 {
		got.lost = 1
		s.add(lost(end, missed, s.Moved, now, w.n.cfg.Public), now)
	}
	switch {
	case p.n == 0:
		w.read = end
		if missed == 0 && (end == s.Cursor || now.Sub(s.Moved) < w.n.cfg.Sweep) {
			return news{wait: w.n.cfg.Sweep}, nil
		}
	case free == 1 && k.PerMinute > 1 && missed == 0 && now.Sub(p.first) < w.n.cfg.Gather:
		return news{wait: min(p.first.Add(w.n.cfg.Gather).Sub(now), w.n.cfg.Gather)}, nil
	case few != nil:
		for _, t := range few {
			s.add(single(t, w.n.cfg.Public), now)
		}
	default:
		s.add(p.many(w.n.cfg.Public), now)
		got.folded = p.n
	}
	got.steps, got.moved = p.n, true
	s.Cursor, s.Moved = end, now
	return got, nil
}

// gather reads what came. Few are the steps by themselves, when there are no
// more than so many.
func (w *worker) gather(ctx context.Context, k *kept, most int) (p pile, few []taken, end string, missed int64, err error) {
	end, missed, err = w.n.cfg.Facts.After(ctx, "alarm", w.read, func(cursor string, at time.Time, f realtime.Fact) bool {
		t := taken{cursor: cursor, fact: f}
		if json.Unmarshal(f.Body, &t.alarm) != nil || !k.wants(&t.alarm) {
			return true
		}
		p.put(t, at)
		if p.n <= most {
			few = append(few, t)
		}
		return p.n < takeAtOnce
	})
	if p.n > most {
		few = nil
	}
	return p, few, end, missed, err
}

// attempt sends once. It goes on for a moment when ctx ends.
func (w *worker) attempt(ctx context.Context, k *kept, m *open) result {
	send := w.n.senders[k.Kind]
	if send == nil { // of an e-mail, since the server was started without a mail server
		return result{err: noMail}
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.n.patience(k))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(goodbye, cancel)
	})
	defer stop()
	r := send(sending, k, m)
	if !r.ok && ctx.Err() != nil && errors.Is(sending.Err(), context.Canceled) {
		return result{stopped: true, err: "the server was stopped meanwhile", boxes: r.boxes}
	}
	return r
}

// end writes what came of an attempt.
func (w *worker) end(ctx context.Context, m *open, r result) error {
	for {
		s, revision, err := w.n.state(ctx, w.key)
		if err != nil {
			return err
		}
		now := w.n.now()
		if !s.end(m.ID, w.n.cfg.Node, r, now, w.n.delay(m.Attempts), w.n.cfg.GiveUp) {
			return nil // the channel was disabled, or another node took over
		}
		err = w.n.save(ctx, w.key, s, revision)
		if !w.n.lost(err) {
			if err == nil && len(s.Done) > 0 && s.Done[len(s.Done)-1].ID == m.ID {
				w.n.counts.over(s.Done[len(s.Done)-1].Status)
			}
			return err
		}
	}
}

// delay is how long to wait after so many attempts, with jitter.
func (n *Notify) delay(attempts int) time.Duration {
	d := n.cfg.Backoff[min(max(attempts, 1), len(n.cfg.Backoff))-1]
	return d - d/5 + rand.N(d/5*2+1)
}

// state reads the record of a channel. One that is not there is that of a
// channel that has told nothing yet.
func (n *Notify) state(ctx context.Context, key string) (*state, uint64, error) {
	value, revision, err := n.cfg.States.GetRevision(ctx, key)
	if errors.Is(err, n.cfg.Missing) {
		return &state{}, 0, nil
	}
	s := &state{}
	if err == nil && len(value) > 0 {
		err = json.Unmarshal(value, s)
	}
	return s, revision, err
}

// save writes a record on top of the one that was read.
func (n *Notify) save(ctx context.Context, key string, s *state, revision uint64) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if revision == 0 {
		if _, err = n.cfg.States.Create(ctx, key, value); errors.Is(err, n.cfg.Exists) {
			err = n.cfg.Changed
		}
		return err
	}
	_, err = n.cfg.States.Update(ctx, key, value, revision)
	return err
}

// disable turns a channel off, because its receiver wants no more.
func (n *Notify) disable(ctx context.Context, key, why string) error {
	_, err := n.edit(ctx, key, func(k *kept) error {
		k.Enabled, k.Off = false, &Off{At: n.now(), Why: why}
		return nil
	})
	n.counts.disabled.Add(1)
	n.log.Warn("a channel of notifications was disabled", "channel", key, "why", why)
	return err
}
