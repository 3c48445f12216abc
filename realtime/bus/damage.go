package bus

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// ahead is how far the numbers of a mended log go beyond what was ever given
// out: further than any log grows between two checkpoints.
const ahead = 1 << 20

// A Damage is what was stored once and is not there any more.
type Damage struct {
	From, To uint64 // the bundles; zero when it is not known which
	Bytes    int64  // that could not be read at the end
}

func (d Damage) Error() string {
	if d.To == 0 {
		return fmt.Sprintf("the end of the log was damaged: its last %d bytes could not be read and are gone", d.Bytes)
	}
	return fmt.Sprintf("the end of the log was damaged: the bundles %d to %d are lost", d.From, d.To)
}

// tail is how large the newest segment is on the disk. NATS cuts off, without a
// word, what it cannot read from the first damaged byte on.
func tail(dir string) (name string, bytes int64) {
	found, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", logName+"*"))
	if err != nil {
		return "", 0
	}
	for _, f := range found {
		if one := filepath.Base(f); segmentNamed(one) != nil && (name == "" || firstOf(one) > firstOf(name)) {
			name = one
		}
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", name, "msgs", "*.blk"))
	if err != nil || name == "" {
		return "", 0
	}
	for _, f := range blocks {
		if info, err := os.Stat(f); err == nil {
			bytes += info.Size()
		}
	}
	return name, bytes
}

// Damage says what was found damaged at the start, or nil.
func (b *Bus) Damage() error {
	if d := b.damage.Load(); d != nil {
		return *d
	}
	return nil
}

// Continues says whether a number of that epoch is one of this log, which may
// have been given another epoch when it was mended.
func (b *Bus) Continues(epoch string) bool {
	return epoch == b.epoch || slices.Contains(b.before, epoch)
}

// Beyond is told the newest number that somebody has read of the log before. A
// log that ends earlier has lost its end: then it goes on with numbers that
// nobody was ever given, under a new epoch, so that no cursor leads into what is
// gone. It is for the start, before anything is appended.
func (b *Bus) Beyond(ctx context.Context, seq uint64) error {
	if b.inside == nil || seq <= b.Last() {
		return nil
	}
	return b.mend(ctx, Damage{From: b.Last() + 1, To: seq}, seq)
}

// mend goes on after damage.
func (b *Bus) mend(ctx context.Context, d Damage, seq uint64) error {
	b.damage.Store(&d)
	b.log.Error("the log goes on under a new epoch", "why", d.Error())
	b.row.turn.Lock()
	defer b.row.turn.Unlock()
	cur := b.row.active()
	b.before = append(b.before, b.epoch)
	b.epoch = rand.Text()[:8]
	if n := len(b.before); n > 16 {
		b.before = b.before[n-16:]
	}
	end, err := b.putMark(ctx, cur)
	if err == nil {
		err = cur.stream.DeleteMsg(ctx, end)
	}
	if err != nil {
		return fmt.Errorf("mend the log: %w", err)
	}
	info, err := cur.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("mend the log: %w", err)
	}
	next, err := b.newSegment(ctx, max(end, seq)+ahead)
	if err != nil {
		return fmt.Errorf("mend the log: %w", err)
	}
	b.row.mu.Lock()
	defer b.row.mu.Unlock()
	cur.close(info.State)
	b.row.list = append(b.row.list, next)
	b.row.tell()
	return nil
}
