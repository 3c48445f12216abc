package hub

import (
	"context"
	"slices"
	"strings"
	"sync"

	"echotwin/realtime"
)

// A modelStore keeps the facts of one log, as the stream FACTS does: in their
// order, from some place on, and at its own pace.
type modelStore struct {
	mu    sync.Mutex
	facts []realtime.Fact
	seen  uint64 // the newest bundle that was handed over
	since uint64 // facts up to here have gone
	lazy  bool   // it is some bundles behind
}

// add keeps the facts of a bundle that it does not have yet: after a restart the
// log is told again.
func (s *modelStore) add(u realtime.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = u.Seq
	if n := len(s.facts); n == 0 || s.facts[n-1].Seq < u.Seq {
		s.facts = append(s.facts, u.Facts...)
	}
}

func (s *modelStore) Stored() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lazy {
		return s.seen - min(s.seen, 20)
	}
	return s.seen
}

func (s *modelStore) Read(_ context.Context, patterns []string, after, upTo uint64, yield func(realtime.Fact)) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.facts {
		if f.Seq > max(after, s.since) && f.Seq <= upTo && slices.ContainsFunc(patterns, func(p string) bool { return match(p, f.Thing) }) {
			yield(f)
		}
	}
	return s.since, nil
}

// newest is what a hub begins with at a place: at most so many facts up to
// there, which are all after since.
func (s *modelStore) newest(upTo uint64, most int) (facts []realtime.Fact, since uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since = s.since
	for _, f := range s.facts {
		if f.Seq > s.since && f.Seq <= upTo {
			facts = append(facts, f)
		}
	}
	if less := len(facts) - most; less > 0 {
		since = max(since, facts[less-1].Seq)
		facts = facts[less:]
	}
	return facts, since
}

// forget drops the older facts, up to a place.
func (s *modelStore) forget(upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = max(s.since, min(upTo, s.seen))
}

// begin gives a hub its past, as the server does after a restart: the facts that
// it can hold, and that the checkpoint tells all state and where it changed.
// What was removed is in no checkpoint. The caller holds the plant's lock.
func (w *world) begin(h *Hub) {
	t := w.plant.now
	if !w.past {
		return
	}
	at, most := uint64(0), h.limits.Facts
	if t.checkpoint {
		at = t.saved[0].Seq
	}
	if w.rnd.IntN(2) == 0 {
		most = 1 + w.rnd.IntN(20)
	}
	facts, since := t.store.newest(at, most)
	t.store.mu.Lock()
	t.store.seen = at
	t.store.mu.Unlock()
	w.known = since
	h.Begin(at, facts, since, t.removedThen)
}

// tooShort says how an answer to a resume falls short of what a hub with a past
// can do. The viewer is locked.
func (v *viewer) tooShort(f frame, at bookmark) string {
	w := v.w
	if !w.past || f.Epoch != v.truth.epoch {
		return ""
	}
	w.plant.mu.RLock()
	defer w.plant.mu.RUnlock()
	t := v.truth
	switch {
	case f.Type == "resumed" && !t.flat && strings.Contains(f.Reason, "is an object") && slices.ContainsFunc(v.resumes, func(s *viewerSub) bool { return covers(s.fields, "pose") }):
		return "" // its members from before are not known
	case f.Type == "resumed" && v.misplaced(f, at):
		return ""
	case f.Type == "resumed" && f.Mode == "snapshot" && v.epoch == t.epoch && at.seq >= t.removed && uint64(f.From) <= f.Seq:
		return "nothing was removed since, and the hub knows where all else changed"
	case f.Type == "resync" && w.cfg.Limits.Facts == 0 && at.seq >= w.known:
		return "this hub forgets no fact that it was given"
	case f.Type == "resync" && w.archived && v.calm && w.calm.Load() && !t.store.lazy && at.seq >= t.store.since:
		return "the store has them all"
	}
	return ""
}
