package gpt

import (
	"sync"
	"time"
)

// Stats are counters since the start, for metrics.
type Stats struct {
	Ended     map[string]uint64 // by finish, or by code when a run failed
	Refused   map[Code]uint64   // questions that did not become a run
	Running   int               // queued ones included
	TokensIn  uint64
	TokensOut uint64

	// Time from question to first text, as a cumulative histogram: FirstCount[i]
	// runs took at most FirstBounds[i] seconds.
	FirstBounds []float64
	FirstCount  []uint64
	FirstSum    float64
	FirstN      uint64
}

var firstBounds = []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40}

type stats struct {
	mu sync.Mutex
	s  Stats
}

func (s *stats) refused(c Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s.Refused == nil {
		s.s.Refused = map[Code]uint64{}
	}
	s.s.Refused[c]++
}

func (s *stats) ended(f *Failure, finish string, spent usage, first time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s.Ended == nil {
		s.s.Ended, s.s.FirstCount = map[string]uint64{}, make([]uint64, len(firstBounds))
	}
	if f != nil {
		finish = string(f.Code)
	}
	s.s.Ended[finish]++
	s.s.TokensIn += uint64(spent.in)
	s.s.TokensOut += uint64(spent.out)
	if first == 0 {
		return
	}
	s.s.FirstSum += first.Seconds()
	s.s.FirstN++
	for i, b := range firstBounds {
		if first.Seconds() <= b {
			s.s.FirstCount[i]++
		}
	}
}

// Stats is a copy of the counters now.
func (r *Runs) Stats() Stats {
	r.stats.mu.Lock()
	out := r.stats.s
	out.Ended, out.Refused = copied(out.Ended), copied(out.Refused)
	out.FirstBounds = firstBounds
	out.FirstCount = append(make([]uint64, 0, len(firstBounds)), out.FirstCount...)
	r.stats.mu.Unlock()
	if len(out.FirstCount) == 0 {
		out.FirstCount = make([]uint64, len(firstBounds))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.running {
		out.Running += n
	}
	return out
}

func copied[K comparable](m map[K]uint64) map[K]uint64 {
	out := make(map[K]uint64, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
