package twin

import (
	"fmt"
	"math"
)

// The words for how far a value can be trusted.
const (
	Good       = "good"
	Stale      = "stale"        // older than its expected period
	OutOfRange = "out_of_range" // outside the measuring range of its description
	Unlogged   = "unlogged"     // the log cannot store now: what came last, which a restart forgets
	Bad        = "bad"          // what came last was of the wrong type; the value is the last good one
)

// A spec is what a description says about one property, as far as its readings
// are checked against it.
type spec struct {
	title, unit              string
	kind                     kind
	min, max                 float64 // infinite when not given
	minExcluded, maxExcluded bool
	period                   int64 // expected ms between readings; 0 means learn it
}

// bounded says whether values need to be read as numbers at all.
func (s *spec) bounded() bool { return !math.IsInf(s.min, -1) || !math.IsInf(s.max, 1) }

// fits says whether a value is of the described type. A number is not asked
// whether it is whole unless that matters.
func (s *spec) fits(v []byte) bool {
	switch s.kind {
	case kindAny:
		return true
	case kindNumber:
		return numeric(v)
	}
	return kindOf(v) == s.kind
}

// judge says how good value v is by this description: Good, OutOfRange or Bad.
func (s *spec) judge(v []byte) string {
	if !s.fits(v) {
		return Bad
	}
	if !s.bounded() || !numeric(v) {
		return Good
	}
	f, ok := number(v)
	switch {
	case !ok:
		return Bad
	case f < s.min, f > s.max, s.minExcluded && f == s.min, s.maxExcluded && f == s.max:
		return OutOfRange
	}
	return Good
}

// complaint says for people what is wrong with a bad value.
func (s *spec) complaint(v []byte) string {
	if !s.fits(v) {
		return fmt.Sprintf("the description says %s, got %s", s.kind, kindOf(v))
	}
	return "the number is too large"
}

// Staleness: a described period is stretched by periodFactor and never goes
// below periodFloor, so that one lost reading or a slow line is no alarm. A
// period that was learnt is a mean, so it is stretched further.
const (
	periodFactor = 3
	periodFloor  = 3_000 // ms

	learntFactor  = 5
	learntFloor   = 10_000 // ms
	learntSamples = 5      // as many gaps must have been seen
	learntWindow  = 16     // newer gaps count for about so many
)

// A pace learns how often a property comes.
type pace struct {
	mean float64 // ms between readings
	n    int64   // gaps seen, up to learntWindow
}

// learn takes one more gap into the mean.
func (p *pace) learn(gap int64) {
	g := float64(gap)
	// A long silence is a fault and not the pace. It counts only as much as
	// makes the value stale, so a pace that truly changed is learnt in a while.
	if limit := p.limit(); limit > 0 && g > float64(limit) {
		g = float64(limit)
	}
	if p.n < learntWindow {
		p.n++
	}
	p.mean += (g - p.mean) / float64(p.n)
}

// limit is the age in ms from which on a value is stale, or 0 while unknown.
func (p *pace) limit() int64 {
	if p.n < learntSamples {
		return 0
	}
	return max(int64(learntFactor*p.mean), learntFloor)
}
