package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrOutside says that what is asked for is that of NATS outside.
var ErrOutside = errors.New("the data is kept by the NATS server outside (NATS_URL): use its own tools, nats account backup")

const (
	snapshotPart = 256 << 10
	snapshotIdle = 30 * time.Second
)

// Snapshot gives a copy of everything that is kept while it goes on being used:
// first the buckets and the facts, then the log, which is never behind what was
// made from it. Each stream begins with its
// name and a description for Restoring.Stream, and comes in parts of at most
// 256 KB, which put must not keep.
func (b *Bus) Snapshot(ctx context.Context, put func(stream string, description, part []byte) error) error {
	if b.inside == nil {
		return ErrOutside
	}
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	h := b.Hold("backup", 0)
	defer h.Release()
	var others []string
	all := b.js.StreamNames(ctx)
	for name := range all.Name() {
		if segmentNamed(name) == nil {
			others = append(others, name)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("bus: backup: %w", err)
	}
	slices.Sort(others)
	for _, name := range others {
		if err := b.snapshot(ctx, name, put); err != nil {
			return err
		}
	}
	// What is in a closed segment stays as it is.
	if err := b.roll(ctx, 0); err != nil {
		return fmt.Errorf("bus: backup: %w", err)
	}
	for _, s := range b.row.closed() {
		if err := b.snapshot(ctx, s.name, put); err != nil {
			return err
		}
	}
	return nil
}

// snapshot asks NATS for one stream and takes it as it comes.
func (b *Bus) snapshot(ctx context.Context, name string, put func(string, []byte, []byte) error) error {
	inbox := b.nc.NewInbox()
	parts := make(chan *nats.Msg, 64)
	sub, err := b.nc.ChanSubscribe(inbox, parts)
	if err != nil {
		return fmt.Errorf("bus: backup of %s: %w", name, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // NATS stops when nobody listens
	answer, err := b.request(ctx, "$JS.API.STREAM.SNAPSHOT."+name, map[string]any{
		"deliver_subject": inbox, "no_consumers": true, "chunk_size": snapshotPart, "window_size": 4 << 20,
	})
	if err != nil {
		return fmt.Errorf("bus: backup of %s: %w", name, err)
	}
	first := true
	for {
		select {
		case m := <-parts:
			if len(m.Data) == 0 {
				if status := m.Header.Get("Status"); status != "" && status != "204" {
					return fmt.Errorf("bus: backup of %s: %s %s", name, status, m.Header.Get("Description"))
				}
				if first {
					return fmt.Errorf("bus: backup of %s: it is empty", name)
				}
				return nil
			}
			description := answer
			if !first {
				description = nil
			}
			first = false
			if err := put(name, description, m.Data); err != nil {
				return err
			}
			if m.Reply != "" {
				if err := m.Respond(nil); err != nil {
					return fmt.Errorf("bus: backup of %s: %w", name, err)
				}
			}
		case <-time.After(snapshotIdle):
			return fmt.Errorf("bus: backup of %s: NATS said nothing for %v", name, snapshotIdle)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// request calls the API of JetStream.
func (b *Bus) request(ctx context.Context, subject string, body any) ([]byte, error) {
	return request(ctx, b.nc, subject, body)
}

func request(ctx context.Context, nc *nats.Conn, subject string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	m, err := nc.RequestWithContext(ctx, subject, text)
	if err != nil {
		return nil, err
	}
	return m.Data, apiError(m.Data)
}

// apiError is the error in an answer of the API.
func apiError(answer []byte) error {
	var a struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	if a.Error != nil {
		return a.Error
	}
	return nil
}

// Restoring is a folder that is made from a backup. Nothing else may use it.
type Restoring struct {
	inside *inside
	nc     *nats.Conn
}

// Restore begins to make the folder dir, which must not hold any log.
func Restore(dir string, log *slog.Logger) (*Restoring, error) {
	if found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*")); err != nil || len(found) > 0 {
		return nil, fmt.Errorf("bus: %s holds a log already", dir)
	}
	in, err := startInside(dir, log)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	nc, err := nats.Connect("", nats.InProcessServer(in))
	if err != nil {
		in.stop()
		return nil, fmt.Errorf("bus: %w", err)
	}
	return &Restoring{inside: in, nc: nc}, nil
}

// Stream makes one stream from what Snapshot gave. Next returns part after part
// and nothing at the end.
func (r *Restoring) Stream(ctx context.Context, name string, description []byte, next func() ([]byte, error)) error {
	if strings.ContainsAny(name, " .*>/\\\t\r\n") || name == "" {
		return fmt.Errorf("bus: restore: %q is not the name of a stream", name)
	}
	var what struct {
		Config json.RawMessage `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	if err := json.Unmarshal(description, &what); err != nil {
		return fmt.Errorf("bus: restore of the backup of %s: %w", name, err)
	}
	answer, err := request(ctx, r.nc, "$JS.API.STREAM.RESTORE."+name, what)
	if err != nil {
		return fmt.Errorf("bus: restore of the backup of %s: %w", name, err)
	}
	var to struct {
		Subject string `json:"deliver_subject"`
	}
	if err := json.Unmarshal(answer, &to); err != nil || to.Subject == "" {
		return fmt.Errorf("bus: restore of the backup of %s: NATS does not say where to: %w", name, err)
	}
	for {
		part, err := next()
		if err != nil {
			r.giveUp(ctx, to.Subject)
			return err
		}
		m, err := r.nc.RequestWithContext(ctx, to.Subject, part)
		if err != nil {
			return fmt.Errorf("bus: restore of the backup of %s: %w", name, err)
		}
		if len(m.Data) > 0 {
			if err := apiError(m.Data); err != nil {
				return fmt.Errorf("bus: restore of the backup of %s: %w", name, err)
			}
		}
		if len(part) == 0 {
			return nil
		}
	}
}

// giveUp ends a restore in the middle, and waits until NATS has ended it too: it
// reads what its shutdown takes away, without a lock.
func (r *Restoring) giveUp(ctx context.Context, subject string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = r.nc.RequestWithContext(ctx, subject, nil) // that it is not whole is known
}

// Close ends the restoring; the folder can then be opened.
func (r *Restoring) Close() {
	r.nc.Close()
	r.inside.stop()
}
