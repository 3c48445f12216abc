package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	logName  = "LOG"
	subject  = "log"
	epochKey = "echotwin_epoch"

	// dedupe is how long the log knows the ids of its bundles. Append gives up
	// well before, so no second try can come too late to be recognised.
	dedupe = 20 * time.Second

	// replicas are made when the cluster has the servers for them.
	replicas = 3

	// makeTimeout bounds the making of a stream inside of this process, which
	// waits for the disk: the library's 5 s were too few for a busy machine, and
	// the server did not start. A server outside may be away, and is asked no longer.
	makeTimeout = 30 * time.Second

	// The smallest log that is still worth having.
	minBytes = 64 << 20
)

// The errors of the JetStream API that decide what is done next. The library
// has no names for them.
const (
	errNoPeers      = 10005 // fewer servers than replicas
	errNoResources  = 10023
	errNoStorage    = 10047 // the disk is smaller than the log may become
	errNotClustered = 10074
	errStoreFailed  = 10077
	errInProcess    = 10158 // a message with this id is being stored
)

func apiCode(err error) int {
	var e *jetstream.APIError
	if errors.As(err, &e) {
		return int(e.ErrorCode)
	}
	return 0
}

// openOutside finds the log on a server outside, or makes it with a new epoch.
// There it is one stream, and how it starts after a crash is that server's affair.
func (b *Bus) openOutside(ctx context.Context) error {
	s, err := b.js.Stream(ctx, logName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = b.create(ctx, b.logConfig(rand.Text()[:8]))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was first
			s, err = b.js.Stream(ctx, logName)
		}
	}
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	s = b.raise(ctx, s)
	info := s.CachedInfo()
	if info.Config.Metadata[epochKey] == "" {
		return fmt.Errorf("the server has a stream %s that is not ours", logName)
	}
	b.epoch = info.Config.Metadata[epochKey]
	b.saw(info.State.LastSeq)
	if s, err = b.adjust(ctx, s); err != nil {
		return err
	}
	b.row.set([]*segment{{name: logName, subject: subject, first: 1, stream: s}})
	return nil
}

func (b *Bus) logConfig(epoch string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        logName,
		Description: "everything that changes the twin, in order",
		Subjects:    []string{subject},
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardOld,
		MaxBytes:    b.cfg.MaxBytes,
		MaxAge:      b.cfg.MaxAge,
		Duplicates:  min(dedupe, b.cfg.MaxAge),
		Metadata:    map[string]string{epochKey: epoch},
	}
}

// create makes a stream with three replicas if the cluster has them, and a
// log no larger than the disk.
func (b *Bus) create(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Replicas = 1
	if b.inside == nil {
		cfg.Replicas = replicas
	} else {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, makeTimeout)
		defer cancel()
	}
	for {
		s, err := b.js.CreateStream(ctx, cfg)
		switch code := apiCode(err); {
		case cfg.Replicas > 1 && (code == errNoPeers || code == errNotClustered):
			b.log.Warn("nats has fewer than three servers with JetStream: the stream has one replica", "stream", cfg.Name)
			cfg.Replicas = 1
		case cfg.MaxBytes > minBytes && (code == errNoStorage || code == errNoResources || code == errNoPeers):
			cfg.MaxBytes /= 2
			b.log.Warn("the disk is too small for the log: it keeps less", "stream", cfg.Name, "bytes", cfg.MaxBytes)
		default:
			return s, err
		}
	}
}

// raise gives a stream that was made before the cluster was whole its replicas.
// It stays as it is when the cluster is still not.
func (b *Bus) raise(ctx context.Context, s jetstream.Stream) jetstream.Stream {
	cfg := s.CachedInfo().Config
	if b.inside != nil || cfg.Replicas >= replicas {
		return s
	}
	cfg.Replicas = replicas
	if raised, err := b.js.UpdateStream(ctx, cfg); err == nil {
		return raised
	}
	return s
}

// adjust brings the limits of a log that was made earlier to the configured
// ones. A log that had to be made smaller stays so.
func (b *Bus) adjust(ctx context.Context, s jetstream.Stream) (jetstream.Stream, error) {
	have := s.CachedInfo().Config
	want := have
	want.MaxAge = b.cfg.MaxAge
	want.Duplicates = min(dedupe, b.cfg.MaxAge)
	want.MaxBytes = b.cfg.MaxBytes
	if want.MaxAge == have.MaxAge && want.MaxBytes == have.MaxBytes && want.Duplicates == have.Duplicates {
		return s, nil
	}
	s, err := b.js.UpdateStream(ctx, want)
	if code := apiCode(err); code == errNoStorage || code == errNoResources {
		b.log.Warn("the disk is too small for the configured log: it keeps its size", "bytes", have.MaxBytes)
		want.MaxBytes = have.MaxBytes
		s, err = b.js.UpdateStream(ctx, want)
	}
	if err != nil {
		return nil, fmt.Errorf("change the limits of the log: %w", err)
	}
	return s, nil
}
