package history

import (
	"context"
	"errors"
	"io/fs"
)

// gather reads the buckets of one series: of long steps from the rollups where
// those are right, and from samples for the rest.
func (h *History) gather(ctx context.Context, t *Trend, s *TrendSeries) ([]Bucket, error) {
	for try := 0; ; try++ {
		g := gathering{History: h, ctx: ctx, t: t, s: s, key: seriesKey(t.Thing, s.Property, s.kind), out: gatherer{step: t.Step}, pos: t.From}
		err := g.run()
		if errors.Is(err, fs.ErrNotExist) && try < 3 {
			continue // a segment was replaced by another meanwhile
		}
		return g.out.done(), err
	}
}

type gathering struct {
	*History
	ctx context.Context
	t   *Trend
	s   *TrendSeries
	key string
	out gatherer
	pos int64 // everything before is in out
}

func (g *gathering) run() error {
	level := int64(0) // the coarsest that steps are made of
	for _, l := range levels {
		if g.t.Step%l == 0 {
			level = l
		}
	}
	if level > 0 {
		segments, late, gone := g.rollups.covering(g.t.From, g.t.To, g.t.Thing, g.key)
		for _, s := range segments {
			if err := g.segment(s, level, late, gone); err != nil {
				return err
			}
		}
	}
	return g.samples(g.t.To + 1)
}

// samples reads up to a time from samples.
func (g *gathering) samples(until int64) error {
	if g.pos >= until {
		return nil
	}
	from := g.pos
	g.pos = until
	return g.eachSample(g.ctx, g.t.Thing, g.s.Property, g.s.kind, from, until-1, g.out.add)
}

// segment reads what of a segment is wanted and right: whole minutes at the ends,
// and buckets of level between.
func (g *gathering) segment(s segment, level int64, late map[int64]bool, gone int64) error {
	from := floor(max(s.start, g.pos)+minute-1, minute)
	to := floor(min(s.end, g.t.To+1), minute)
	if from >= to {
		return nil
	}
	o, err := s.open()
	if err != nil {
		return err
	}
	defer o.close()
	for from < to {
		// One stretch: to the next hour that is late, or out of a late one.
		end := min(floor(from, hour)+hour, to)
		isLate := late[floor(from, hour)]
		for !isLate && end < to && !late[end] {
			end = min(end+hour, to)
		}
		if !isLate {
			if err := g.stretch(o, level, from, end, gone); err != nil {
				return err
			}
		}
		from = end
	}
	return nil
}

// stretch reads buckets from whole minutes to whole minutes.
func (g *gathering) stretch(o *segmentFile, level, from, to, gone int64) error {
	if err := g.samples(from); err != nil {
		return err
	}
	a, b := floor(from+level-1, level), floor(to, level)
	if a > b {
		a, b = to, to
	}
	for _, part := range []struct{ level, from, to int64 }{{minute, from, a}, {level, a, b}, {minute, b, to}} {
		if part.from >= part.to {
			continue
		}
		list, err := o.buckets(g.key, part.level)
		if err != nil {
			return err
		}
		for _, one := range list {
			if one.TS >= part.from && one.TS < part.to && one.TS >= gone {
				g.out.merge(one)
			}
		}
	}
	g.pos = to
	return nil
}
