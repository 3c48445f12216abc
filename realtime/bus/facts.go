package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"echotwin/realtime"
)

// Facts is the stream FACTS: the facts of the log once more, one message each,
// under fact.<type>.<thing with dots>, kept long, for audit and for cursors that
// are older than what a server has in memory.
//
// Every node hands over the same facts in the same order, because all apply the
// same log. A fact is written only behind the one before it, so that it is there
// once whoever writes it, and a writer that was killed goes on where it was. The
// place of a fact, epoch.seq.index, is the id of its message.
//
// What is handed over is in the log already. It is kept in memory until it is
// stored; see Wait for how nothing of it is lost.
type Facts struct {
	bus    *Bus
	stream jetstream.Stream
	since  uint64 // facts up to here came before the stream was made
	wake   chan struct{}

	gate   <-chan struct{} // closed when Run may begin
	urgent chan struct{}   // closed when it cannot wait for that
	press  sync.Once       // closes urgent

	// What may wait for a stream that does not store.
	most, mostBytes int

	seen atomic.Uint64 // the newest bundle whose facts were handed over

	mu     sync.Mutex // guards what follows
	queue  []filed
	bytes  int
	newest place // of what was handed over
	at     place // of the newest that is stored, as far as is known here
	last   uint64
	full   bool // too much waited: what came then is not in the queue

	written, races atomic.Uint64
}

// FactsConfig bounds the stream.
type FactsConfig struct {
	MaxBytes int64         // zero means 256 MB
	MaxAge   time.Duration // zero means a year; never less than the log is kept

	// Begin is closed when storing may begin, so that a start is not held up by
	// what can wait. Nil means at once.
	Begin <-chan struct{}
}

// A place orders the facts of one log.
type place struct {
	seq   uint64
	index int
}

func (p place) after(q place) bool { return p.seq > q.seq || p.seq == q.seq && p.index > q.index }

// filed is a fact on its way into the stream.
type filed struct {
	place
	fact realtime.Fact
}

const (
	factsName    = "FACTS"
	factsSubject = "fact"
	sinceKey     = "echotwin_since"

	// What one round of writing holds. Each message is synced by itself, so a
	// round is short, and the log's own commits go in between.
	factsRound = 64

	maxFacts     = 200_000
	maxFactBytes = 64 << 20

	// The answers to a fact that another node was first with.
	errWrongLast         = 10071
	errWrongLastConstant = 10164
)

// Facts opens the stream, and makes it when it is not there.
func (b *Bus) Facts(ctx context.Context, cfg FactsConfig) (*Facts, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.leave()
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 256 << 20
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 365 * 24 * time.Hour
	}
	// What the log can tell again must be known here, or it would be told twice.
	cfg.MaxAge = max(cfg.MaxAge, b.cfg.MaxAge)
	f := &Facts{bus: b, wake: make(chan struct{}, 1), gate: cfg.Begin, urgent: make(chan struct{}), most: maxFacts, mostBytes: maxFactBytes}
	if cfg.Begin == nil {
		f.hurry()
	}
	if err := f.open(ctx, cfg); err != nil {
		return nil, fmt.Errorf("bus: open the facts: %w", err)
	}
	return f, nil
}

func (f *Facts) open(ctx context.Context, cfg FactsConfig) error {
	b := f.bus
	s, err := b.js.Stream(ctx, factsName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = b.create(ctx, f.config(cfg))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was first
			s, err = b.js.Stream(ctx, factsName)
		}
	}
	if err != nil {
		return err
	}
	s = b.raise(ctx, s)
	have := s.CachedInfo().Config
	if have.Metadata[epochKey] == "" {
		return fmt.Errorf("the server has a stream %s that is not ours", factsName)
	}
	if b.Continues(have.Metadata[epochKey]) {
		f.since, _ = strconv.ParseUint(have.Metadata[sinceKey], 10, 64) // we wrote it
	}
	if want := have; want.MaxAge != cfg.MaxAge || want.MaxBytes != cfg.MaxBytes {
		want.MaxAge, want.MaxBytes = cfg.MaxAge, cfg.MaxBytes
		if changed, err := b.js.UpdateStream(ctx, want); err != nil {
			b.log.Warn("the facts keep the limits that they had", "bytes", have.MaxBytes, "age", have.MaxAge, "error", err)
		} else {
			s = changed
		}
	}
	f.stream = s
	return f.refresh(ctx)
}

// config is that of the stream. Facts from before it was made are not in it: it
// remembers where the log was then.
func (f *Facts) config(cfg FactsConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        factsName,
		Description: "events, alarms and steps of commands, one by one",
		Subjects:    []string{factsSubject + ".>"},
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardOld,
		MaxBytes:    cfg.MaxBytes,
		MaxAge:      cfg.MaxAge,
		Duplicates:  min(dedupe, cfg.MaxAge),
		DenyDelete:  true,
		Metadata:    map[string]string{epochKey: f.bus.epoch, sinceKey: strconv.FormatUint(f.bus.Last(), 10)},
	}
}

// refresh learns how far the stream is.
func (f *Facts) refresh(ctx context.Context) error {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return err
	}
	at := place{index: -1}
	if info.State.Msgs > 0 {
		m, err := f.stream.GetMsg(ctx, info.State.LastSeq)
		if err != nil {
			return err
		}
		at = f.placeOf(m.Header)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.last = at, info.State.LastSeq
	f.dropStored()
	return nil
}

// placeOf reads the place of a message; one of another log is before all.
func (f *Facts) placeOf(h nats.Header) place {
	parts := strings.Split(h.Get(jetstream.MsgIDHeader), ".")
	if len(parts) != 3 || !f.bus.Continues(parts[0]) {
		return place{index: -1}
	}
	seq, err1 := strconv.ParseUint(parts[1], 10, 64)
	index, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil {
		return place{index: -1}
	}
	return place{seq, index}
}

// dropStored takes out of the queue what is stored. mu is held.
func (f *Facts) dropStored() {
	n := 0
	for n < len(f.queue) && !f.queue[n].after(f.at) {
		f.bytes -= len(f.queue[n].fact.Body)
		f.queue[n] = filed{}
		n++
	}
	f.queue = f.queue[n:]
}

// Begin says up to which bundle the facts were handed over by an earlier
// process, before the first Add.
func (f *Facts) Begin(seq uint64) { f.seen.Store(seq) }

// Add hands the facts of a bundle over. It waits for nothing. It is called once
// for every bundle, in their order, also when there are none.
func (f *Facts) Add(seq uint64, facts []realtime.Fact) {
	if len(facts) > 0 {
		f.add(seq, facts)
	}
	f.seen.Store(seq) // only now: see Wait
}

func (f *Facts) add(seq uint64, facts []realtime.Fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq > f.newest.seq {
		f.newest = place{seq, -1}
	}
	for _, one := range facts {
		f.newest.index++
		if !f.newest.after(f.at) || f.full {
			continue // there already, written before a restart or by another node
		}
		if len(f.queue) >= f.most || f.bytes+len(one.Body) > f.mostBytes {
			f.full = true
			f.bus.log.Error("too many facts wait to be stored; the stream FACTS ends here until the next start, which fills it from the log", "seq", seq)
			continue
		}
		f.queue = append(f.queue, filed{f.newest, one})
		f.bytes += len(one.Body)
	}
	if len(f.queue) > f.most/2 || f.bytes > f.mostBytes/2 {
		f.hurry()
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Stored is the bundle up to which all facts are in the stream.
func (f *Facts) Stored() uint64 {
	seen := f.seen.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) > 0 {
		return min(seen, f.queue[0].seq-1)
	}
	if f.full {
		return min(seen, f.at.seq)
	}
	return seen
}

// Wait returns when all facts up to that bundle are stored, or with an error
// when ctx ends. A start applies the log again only behind its checkpoint, so a
// checkpoint that is older than the facts is what keeps them from being lost.
func (f *Facts) Wait(ctx context.Context, seq uint64) error {
	for f.Stored() < seq {
		f.hurry()
		if !pause(ctx, 2*time.Millisecond) {
			return fmt.Errorf("bus: the facts are stored up to %d, not %d: %w", f.Stored(), seq, ctx.Err())
		}
	}
	return nil
}

// FactsStats describe the stream.
type FactsStats struct {
	Messages, Bytes uint64 // kept
	Waiting         int    // handed over and not stored
	Written         uint64 // by this process
	Races           uint64 // that another node won
	Stored          uint64 // the bundle up to which all are stored
}

// Stats asks the stream for its size.
func (f *Facts) Stats() FactsStats {
	ctx, cancel := context.WithTimeout(f.bus.closing, time.Second)
	defer cancel()
	s := FactsStats{Written: f.written.Load(), Races: f.races.Load(), Stored: f.Stored()}
	f.mu.Lock()
	s.Waiting = len(f.queue)
	f.mu.Unlock()
	if info, err := f.stream.Info(ctx); err == nil {
		s.Messages, s.Bytes = info.State.Msgs, info.State.Bytes
	}
	return s
}

// Ready says why facts are not stored, or nil.
func (f *Facts) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return errors.New("too many facts waited to be stored; a restart fills the stream from the log")
	}
	return nil
}

// hurry has Run begin.
func (f *Facts) hurry() { f.press.Do(func() { close(f.urgent) }) }

// Run stores what is handed over until ctx ends. It begins when FactsConfig.Begin
// is closed, and before that when somebody waits for facts, or when half of
// those wait that may.
func (f *Facts) Run(ctx context.Context) error {
	if err := f.bus.enter(); err != nil {
		return err
	}
	defer f.bus.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.bus.closing, cancel)()
	select {
	case <-f.gate:
	case <-f.urgent:
	case <-ctx.Done():
	}
	failing := false
	for ctx.Err() == nil {
		if f.bus.Fault() != nil {
			pause(ctx, time.Second) // what must not be written into the log need not be tried here
			continue
		}
		round, last := f.round()
		if len(round) == 0 {
			select {
			case <-f.wake:
			case <-ctx.Done():
			}
			continue
		}
		err := f.write(ctx, round, last)
		if err == nil {
			failing = false
			continue
		}
		code := apiCode(err)
		if lost := code == errWrongLast || code == errWrongLastConstant; lost {
			// Another node writes them. It goes on doing so while this one only looks
			// now and then.
			f.races.Add(1)
			pause(ctx, 100*time.Millisecond+rand.N(400*time.Millisecond))
		} else if !failing && ctx.Err() == nil {
			failing = true
			f.bus.log.Warn("facts are not stored; they wait", "error", err)
		}
		f.bus.suspect(err)
		if err := f.refresh(ctx); err != nil {
			pause(ctx, time.Second)
		}
	}
	return nil
}

// round is what is written next, and what is to stand before it.
func (f *Facts) round() ([]filed, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(f.queue), factsRound) && bytes < 256<<10 {
		bytes += len(f.queue[n].fact.Body)
		n++
	}
	return append([]filed(nil), f.queue[:n]...), f.last
}

// write stores a round of facts, each only behind the one before it.
func (f *Facts) write(ctx context.Context, round []filed, last uint64) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	acks := make([]jetstream.PubAckFuture, 0, len(round))
	var err error
	for i, one := range round {
		var ack jetstream.PubAckFuture
		ack, err = f.bus.js.PublishMsgAsync(f.message(one), jetstream.WithExpectStream(factsName),
			jetstream.WithExpectLastSequence(last+uint64(i)), jetstream.WithRetryAttempts(0))
		if err != nil {
			break
		}
		acks = append(acks, ack)
	}
	for i, ack := range acks {
		select {
		case a := <-ack.Ok():
			if err == nil {
				f.stored(round[i].place, a.Sequence)
			}
		case e := <-ack.Err():
			err = errors.Join(err, e) // the first is the one that counts
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
	return err
}

func (f *Facts) stored(p place, seq uint64) {
	f.written.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.last = p, seq
	f.dropStored()
}

func (f *Facts) message(one filed) *nats.Msg {
	m := nats.NewMsg(factSubject(one.fact.Type, one.fact.Thing))
	m.Header.Set(jetstream.MsgIDHeader, f.bus.epoch+"."+strconv.FormatUint(one.seq, 10)+"."+strconv.Itoa(one.index))
	m.Data = one.fact.Body
	return m
}

// factSubject is where a fact is kept. A thing's segments are tokens of NATS.
func factSubject(kind, thing string) string {
	if realtime.CheckName(kind) != nil {
		kind = "other"
	}
	if realtime.CheckThing(thing) != nil {
		thing = "-"
	}
	return factsSubject + "." + kind + "." + strings.ReplaceAll(thing, "/", ".")
}
