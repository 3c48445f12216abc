package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"echotwin/realtime"
)

// readFacts is how many facts are asked for at once.
const readFacts = 500

// errOverlap is the answer to patterns of which one covers the other: then all
// facts are read, and looked at here.
const errOverlap = 10138

// Read calls yield with the facts that one of the patterns covers, of the
// bundles after one and up to another, in their order. Facts up to since may be
// missing, because they are not kept any more or never were. Ask for no more
// than Stored.
func (f *Facts) Read(ctx context.Context, patterns []string, after, upTo uint64, yield func(realtime.Fact)) (since uint64, err error) {
	if err := f.bus.enter(); err != nil {
		return 0, err
	}
	defer f.bus.leave()
	k, err := f.keep(ctx)
	if err != nil {
		return 0, fmt.Errorf("bus: read the facts: %w", err)
	}
	begin, err := f.search(ctx, k, after)
	if err == nil && begin <= k.last {
		err = f.scan(ctx, begin, k.last, "", patterns, func(one found) bool {
			if one.seq <= upTo {
				yield(one.fact)
			}
			return one.seq <= upTo
		})
	}
	if err != nil {
		return 0, fmt.Errorf("bus: read the facts: %w", err)
	}
	return k.since, nil
}

// Newest are the newest facts of the bundles up to one, at most so many of
// them, in their order. All facts after since are among them.
func (f *Facts) Newest(ctx context.Context, upTo uint64, most int) (facts []realtime.Fact, since uint64, err error) {
	if err := f.bus.enter(); err != nil {
		return nil, 0, err
	}
	defer f.bus.leave()
	k, err := f.keep(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("bus: read the facts: %w", err)
	}
	end, err := f.search(ctx, k, upTo)
	begin := max(k.first, end-min(end, uint64(most)))
	since = k.since
	if err == nil && begin > k.first {
		var before place
		if before, err = f.placeAt(ctx, begin-1); err == nil {
			since = max(since, before.seq)
		}
	}
	if err == nil && begin < end {
		err = f.scan(ctx, begin, end-1, "", nil, func(one found) bool {
			if one.seq > 0 { // of this log
				facts = append(facts, one.fact)
			}
			return true
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("bus: read the facts: %w", err)
	}
	return facts, since, nil
}

// Between calls yield with the facts that one of the patterns covers and that
// were stored in a span of time, both ends included, in their order, until it
// says no. Those that are not kept any more are not among them.
func (f *Facts) Between(ctx context.Context, patterns []string, from, to time.Time, yield func(at time.Time, fact realtime.Fact) bool) error {
	return f.BetweenOf(ctx, "", patterns, from, to, yield)
}

// BetweenOf is Between for facts of one type; "" is all.
func (f *Facts) BetweenOf(ctx context.Context, kind string, patterns []string, from, to time.Time, yield func(at time.Time, fact realtime.Fact) bool) error {
	if err := f.bus.enter(); err != nil {
		return err
	}
	defer f.bus.leave()
	info, err := f.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("bus: read the facts: %w", err)
	}
	first, last := max(1, info.State.FirstSeq), info.State.LastSeq
	if first > last || info.State.LastTime.Before(from) || info.State.FirstTime.After(to) {
		return nil
	}
	n := sort.Search(int(last+1-first), func(i int) bool {
		m, failed := f.stream.GetMsg(ctx, first+uint64(i))
		if failed != nil && !errors.Is(failed, jetstream.ErrMsgNotFound) {
			err = failed
		}
		return failed == nil && !m.Time.Before(from) // one that just went was before
	})
	if begin := first + uint64(n); err == nil && begin <= last {
		err = f.scan(ctx, begin, last, kind, patterns, func(one found) bool {
			return !one.at.After(to) && (one.at.Before(from) || yield(one.at, one.fact))
		})
	}
	if err != nil {
		return fmt.Errorf("bus: read the facts: %w", err)
	}
	return nil
}

// kept is what the stream has now.
type kept struct {
	first, last uint64 // by the stream's own numbers; last is before first when there is nothing
	since       uint64 // see Read
}

func (f *Facts) keep(ctx context.Context) (kept, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return kept{}, err
	}
	k := kept{first: max(1, info.State.FirstSeq), last: info.State.LastSeq, since: f.since}
	if k.first == 1 {
		return k, nil
	}
	if k.first > k.last { // all of it went
		k.since = max(k.since, f.Stored())
		return k, nil
	}
	p, err := f.placeAt(ctx, k.first)
	k.since = max(k.since, p.seq) // those with the same number may have gone in part
	return k, err
}

func (f *Facts) placeAt(ctx context.Context, n uint64) (place, error) {
	m, err := f.stream.GetMsg(ctx, n)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return place{index: -1}, nil // it went a moment ago
	}
	if err != nil {
		return place{}, err
	}
	return f.placeOf(m.Header), nil
}

// search finds the first fact of a bundle after that one, by the stream's number.
func (f *Facts) search(ctx context.Context, k kept, after uint64) (uint64, error) {
	return f.searchBehind(ctx, k, place{after, math.MaxInt})
}

// searchBehind finds the first fact behind a place.
func (f *Facts) searchBehind(ctx context.Context, k kept, after place) (uint64, error) {
	var failed error
	n := sort.Search(int(k.last+1-k.first), func(i int) bool {
		p, err := f.placeAt(ctx, k.first+uint64(i))
		if err != nil {
			failed = err
		}
		return p.after(after)
	})
	return k.first + uint64(n), failed
}

// found is a fact of the stream.
type found struct {
	place
	number uint64    // the stream's own
	at     time.Time // when it was stored
	fact   realtime.Fact
}

// scan reads the stream from one of its numbers to another: facts of one type,
// or with "" all.
func (f *Facts) scan(ctx context.Context, from, to uint64, kind string, patterns []string, yield func(found) bool) error {
	cfg := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	}
	typ := "*"
	if kind != "" {
		typ = kind
		if patterns == nil {
			cfg.FilterSubjects = []string{factsSubject + "." + kind + ".>"}
		}
	}
	for _, p := range patterns {
		cfg.FilterSubjects = append(cfg.FilterSubjects, factsSubject+"."+typ+"."+strings.ReplaceAll(strings.ReplaceAll(p, "**", ">"), "/", "."))
	}
	c, err := f.stream.CreateConsumer(ctx, cfg)
	if apiCode(err) == errOverlap {
		cfg.FilterSubjects = nil
		c, err = f.stream.CreateConsumer(ctx, cfg)
	}
	if err != nil {
		return err
	}
	info := c.CachedInfo()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = f.stream.DeleteConsumer(ctx, info.Name) // or it goes by itself after a minute
	}()
	covered := func(thing, k string) bool {
		if kind != "" && k != kind {
			return false
		}
		for _, p := range patterns {
			if realtime.Match(p, thing) {
				return true
			}
		}
		return len(patterns) == 0
	}
	for left, next := info.NumPending, uint64(1); left > 0; {
		batch, err := c.Fetch(int(min(left, readFacts)), jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		got := 0
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Consumer != next {
				return fmt.Errorf("fact %d is missing on the way", next)
			}
			got, next, left = got+1, next+1, left-1
			thing, kind := factOf(m.Subject())
			p := f.placeOf(m.Headers())
			if meta.Sequence.Stream > to {
				return nil
			}
			fact := realtime.Fact{Seq: p.seq, Type: kind, Thing: thing, Body: m.Data()}
			if covered(thing, kind) && !yield(found{p, meta.Sequence.Stream, meta.Timestamp, fact}) {
				return nil
			}
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if got == 0 {
			return errors.Join(ctx.Err(), errors.New("the stream sent nothing"))
		}
	}
	return nil
}

// factOf is the thing and the type of a fact, from its subject.
func factOf(subject string) (thing, kind string) {
	_, rest, _ := strings.Cut(subject, ".")
	kind, thing, _ = strings.Cut(rest, ".")
	return strings.ReplaceAll(thing, ".", "/"), kind
}
