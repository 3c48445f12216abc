package twin

import (
	"math"
	"slices"
)

// A forecast says that a value will reach its limit, by the straight line that
// its newest values follow. It is an alarm of its own, so that it can be
// acknowledged and shelved, and goes when the limit is reached or not in sight.
const (
	predictedPriority = 4
	predictedOn       = 10_000 // ms for which the limit has to be in sight
	predictedOff      = 30_000 // ms for which it has to be out of sight
	predictedAgain    = 5000   // ms between two fits of one line
	predictedTurn     = 300    // lines that are fitted in one look, about 5 ms
	predictedFar      = 1.5    // an early warning goes when the limit is so much further away than it may be
	predictedNoise    = 3      // a line rises by so many times what the values scatter, or it is none
)

// trendLeast is how many samples make a line.
const trendLeast = 12

// A trend is the line that the newest values of a property follow.
type trend struct {
	samples
	window int64 // ms
	born   int64 // when it began, ms

	fitted int64   // when, ms
	ok     bool    // whether there is a line
	slope  float64 // a ms
	level  float64 // of the line at the newest value
	until  int64   // when that was, ms
}

func newTrend(within, now int64) *trend {
	return &trend{window: min(max(within/4, 60_000), 3_600_000), born: now}
}

// add takes a value that is not older than the newest one.
func (s *trend) add(ts int64, v float64) {
	if s.n == 0 || ts >= s.ts[s.at(s.n-1)] {
		s.keep(ts, v, s.window)
	}
}

// fit draws the line by Theil and Sen: the median of the slopes between all
// pairs, which a few wild values do not move.
func (s *trend) fit(now int64) {
	s.fitted, s.ok = now, false
	if s.n < trendLeast {
		return
	}
	newest, oldest := s.ts[s.at(s.n-1)], s.ts[s.first]
	span := newest - oldest
	if span < s.window/2 || now-newest > s.window/4 {
		return
	}
	var room [maxSamples * (maxSamples - 1) / 2]float64
	slopes := room[:0]
	for i := range s.n {
		for j := i + 1; j < s.n; j++ {
			if dt := s.ts[s.at(j)] - s.ts[s.at(i)]; dt > 0 {
				slopes = append(slopes, (s.v[s.at(j)]-s.v[s.at(i)])/float64(dt))
			}
		}
	}
	s.slope = median(slopes)
	rest := room[:0]
	for i := range s.n {
		rest = append(rest, s.v[s.at(i)]-s.slope*float64(s.ts[s.at(i)]-newest))
	}
	s.level = median(rest)
	for i := range rest {
		rest[i] = math.Abs(rest[i] - s.level)
	}
	s.until = newest
	s.ok = math.Abs(s.slope)*float64(span) > predictedNoise*1.4826*median(rest) && s.slope != 0
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// reaches says when the line reaches a limit from below, or from above.
func (s *trend) reaches(limit float64, rising bool) (at int64, ok bool) {
	if !s.ok || rising != (s.slope > 0) || rising == (s.level >= limit) {
		return 0, false
	}
	ms := (limit - s.level) / s.slope
	if ms > 1e12 || math.IsNaN(ms) {
		return 0, false
	}
	return s.until + int64(ms), true
}

// expects gives a property what its early warnings need, or takes it away.
func (t *Twins) expects(p *property) {
	within := int64(0)
	for _, pt := range p.points {
		within = max(within, pt.within)
	}
	switch {
	case within == 0:
		p.trend = nil
	case p.trend == nil || p.trend.window != newTrend(within, 0).window:
		p.trend = newTrend(within, t.cfg.Now().UnixMilli())
	}
}

// foresee looks which limits are in sight.
func (t *Twins) foresee(now int64) {
	fits := 0
	for _, pt := range t.alarms.forecasts {
		p := pt.th.props[pt.name]
		if p == nil || p.trend == nil {
			continue
		}
		s := p.trend
		if now-s.fitted >= predictedAgain || now < s.fitted {
			if fits++; fits > predictedTurn {
				continue
			}
			s.fit(now)
		}
		at, ok := s.reaches(pt.limit, pt.toward == ruleHigh || pt.toward == ruleHighHigh)
		ok = ok && !p.nearer(pt)
		if !s.ok && now-s.born < s.window && s.n > 0 {
			continue // since a start nobody can know yet
		}
		within := pt.within
		if pt.want {
			within = int64(predictedFar * float64(within))
		}
		if pt.at = at; !ok {
			pt.at = 0
		}
		t.alarms.cause(pt, ok && at-now <= within, now)
	}
}

// nearer says whether a limit lies before that of a forecast, not reached yet: then
// the warning is about that one.
func (p *property) nearer(than *point) bool {
	for _, pt := range p.points {
		switch {
		case than.toward == ruleHighHigh && pt.toward == ruleHigh && p.trend.level < pt.limit,
			than.toward == ruleLowLow && pt.toward == ruleLow && p.trend.level > pt.limit:
			return true
		}
	}
	return false
}
