package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrUnsure means that nobody said whether the bundle was stored.
var ErrUnsure = errors.New("the log did not say in time whether it stored the bundle")

const (
	// appendTimeout bounds an Append, appendTry one try of it. A cluster that
	// lost a server needs some seconds to agree on another.
	appendTimeout = 10 * time.Second
	appendTry     = 3 * time.Second
	retryPause    = 100 * time.Millisecond
)

// ids gives each bundle an id that no other bundle of any process has, so that
// the log can tell a second try from a second bundle.
type ids struct {
	prefix string
	n      *atomic.Uint64
}

func newIDs() ids { return ids{prefix: rand.Text()[:12] + "-", n: new(atomic.Uint64)} }

func (i ids) next() string { return i.prefix + strconv.FormatUint(i.n.Add(1), 36) }

// Append stores one bundle of lines and returns its sequence number. It does
// not keep lines. It ends within some seconds whatever happens; see the
// package for what its errors mean.
func (b *Bus) Append(ctx context.Context, lines []byte) (uint64, error) {
	if len(lines) == 0 {
		return 0, errors.New("bus: an empty bundle")
	}
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	if f := b.Fault(); f != nil {
		return 0, f
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	// A segment is not closed under a bundle that may be tried again.
	b.row.turn.RLock()
	seq, err := b.store(ctx, b.row.active(), b.ids.next(), lines)
	if err == nil {
		b.saw(seq)
	}
	b.row.turn.RUnlock()
	if err != nil {
		b.suspect(err)
		return 0, fmt.Errorf("bus: %w", err)
	}
	b.grown(len(lines))
	return seq, nil
}

// store tries until the log has said yes or no, or the time is over. unsure
// remembers that a try went out and was never answered: after that, only a yes
// is certain, since a no may be the answer to the second try alone.
func (b *Bus) store(ctx context.Context, seg *segment, id string, lines []byte) (uint64, error) {
	unsure := false
	for {
		try, cancel := context.WithTimeout(ctx, appendTry)
		ack, err := b.js.Publish(try, seg.subject, lines,
			jetstream.WithMsgID(id), jetstream.WithExpectStream(seg.name), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			return ack.Sequence, nil // of the first try, if that was the one that was stored
		}
		again := true
		switch {
		case apiCode(err) == errInProcess: // the first try is about to be stored
		case apiCode(err) == errStoreFailed:
			unsure, again = true, false // written perhaps, and only the sync failed
		case apiCode(err) != 0, errors.Is(err, nats.ErrMaxPayload):
			again = false // the log said no
		case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrReconnectBufExceeded):
			// Nobody took it: the cluster is electing, or the connection is down.
			// A server of our own that takes nothing has stopped for good.
			again = b.inside == nil
		default:
			unsure = true
		}
		if again && !b.nc.IsClosed() && pause(ctx, retryPause) {
			continue
		}
		if unsure {
			return 0, fmt.Errorf("%w: %w", ErrUnsure, err)
		}
		return 0, err
	}
}

// pause waits, and says whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
