package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"echotwin/realtime"
)

const (
	// readAhead bounds what is on its way from the server, handOff how many
	// bundles wait for apply. Both hold the server back, never lose.
	readAhead = 4 << 20
	handOff   = 16

	// A consumer that the server has forgotten is noticed within two beats.
	beat = 2 * time.Second
)

// Consume calls apply with every bundle after the given number, in order and
// each once (a few have no records), from the goroutine that called Consume, until ctx ends; then it
// returns nil. It follows the log over lost connections. If the log no longer
// has the bundle after that number, it begins with the oldest it has, and says
// so in the log of the process. A bundle that cannot be read is reported there
// too, and what can be read of it is applied.
func (b *Bus) Consume(ctx context.Context, after uint64, apply func(realtime.Bundle)) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.closing, cancel)()

	r := reader{bus: b, next: after + 1, apply: apply}
	for {
		err := r.follow(ctx)
		switch {
		case b.closing.Err() != nil:
			return ErrClosed
		case ctx.Err() != nil:
			return nil
		case !r.began, errors.Is(err, errOtherLog):
			return fmt.Errorf("bus: read the log: %w", err)
		}
		b.log.Warn("reading of the log is interrupted", "next", r.next, "error", err)
		pause(ctx, time.Second)
	}
}

// A reader is the state of one Consume.
type reader struct {
	bus   *Bus
	next  uint64 // the number that apply has not had
	began bool
	apply func(realtime.Bundle)
}

// follow reads segment after segment until ctx ends or the consumer is beyond
// repair.
func (r *reader) follow(ctx context.Context) error {
	for {
		seg := r.bus.row.find(r.next)
		if err := r.check(ctx, seg); err != nil {
			return err
		}
		if err := r.read(ctx, seg); err != nil {
			return err
		}
	}
}

// read reads one segment. It returns nil when there is nothing left in it.
func (r *reader) read(ctx context.Context, seg *segment) error {
	if seg.marked && r.next <= seg.first {
		r.skip(seg.first)
		r.give(realtime.Bundle{Seq: seg.first})
	}
	c, err := r.bus.js.OrderedConsumer(ctx, seg.name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   max(r.next, seg.first),
	})
	if err != nil {
		return err
	}
	// The subscriber hands off only: whatever it did would hold up the
	// acknowledgements of Append, which come over the same connection.
	msgs := make(chan jetstream.Msg, handOff)
	stop := make(chan struct{})
	sub, err := c.Consume(
		func(m jetstream.Msg) {
			select {
			case msgs <- m:
			case <-stop:
			}
		},
		jetstream.PullMaxBytes(readAhead),
		jetstream.PullHeartbeat(beat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			r.bus.log.Warn("the reader of the log", "error", err)
		}),
	)
	if err != nil {
		return err
	}
	ended := sub.Closed()
	defer func() {
		close(stop)
		sub.Stop()
		<-ended
	}()
	r.began = true
	for {
		then, changed := r.bus.row.state(seg, r.next)
		if then > 0 {
			r.next = max(r.next, then)
			return nil
		}
		select {
		case m := <-msgs:
			if err := r.take(m); err != nil {
				return err
			}
		case <-changed:
		case <-ended:
			return errors.New("the subscription ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check makes sure that this is the log that next is a number of.
func (r *reader) check(ctx context.Context, seg *segment) error {
	if r.bus.row.isClosed(seg) {
		return nil // it has the bundle, or a later one
	}
	info, err := seg.stream.Info(ctx)
	if err != nil {
		return err
	}
	if err := r.bus.sameLog(info); err != nil {
		return err
	}
	r.bus.saw(info.State.LastSeq)
	if r.next > info.State.LastSeq+1 {
		return fmt.Errorf("%w: it ends at %d, before %d", errOtherLog, info.State.LastSeq, r.next-1)
	}
	return nil
}

// take applies one message.
func (r *reader) take(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	seq := meta.Sequence.Stream
	if seq < r.next {
		return nil // seen before the consumer was made anew
	}
	r.skip(seq)
	r.give(realtime.Bundle{Seq: seq, Records: r.bus.records(seq, m.Data())})
	return nil
}

// skip says what is missing before the number.
func (r *reader) skip(seq uint64) {
	if seq > r.next {
		r.bus.log.Warn("the log no longer has some bundles", "from", r.next, "to", seq-1)
	}
}

func (r *reader) give(b realtime.Bundle) {
	r.apply(b)
	r.next = b.Seq + 1
	r.bus.saw(b.Seq)
}

// records reads the lines of a bundle. Lines that cannot be read, written by
// another version perhaps, must not hide the others.
func (b *Bus) records(seq uint64, lines []byte) []realtime.Record {
	rs, err := realtime.ParseRecords(lines)
	if err == nil {
		return rs
	}
	b.log.Error("a bundle of the log cannot be read whole", "seq", seq, "error", err)
	rs = nil
	for line := range bytes.Lines(lines) {
		if one, err := realtime.ParseRecords(line); err == nil {
			rs = append(rs, one...)
		}
	}
	return rs
}
