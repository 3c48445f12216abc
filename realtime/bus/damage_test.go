package bus

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// leave is a folder as a kill leaves it, with ten bundles of which five are in
// the last segment, and damage done to the end of its last block.
func leave(t *testing.T, harm func([]byte) []byte) (dir, epoch string, last uint64) {
	t.Helper()
	from := t.TempDir()
	dir = filepath.Join(t.TempDir(), "nats")
	b := open(t, small(from))
	fill(t, b, 1, 5)
	mustAppend(t, b, 6, 10)
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", b.row.active().name, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatal("no blocks", err)
	}
	slices.Sort(blocks)
	name := blocks[len(blocks)-1]
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, harm(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, b.Epoch(), b.Last()
}

func TestADamagedEndIsSaidAndNeverCountedAgain(t *testing.T) {
	for what, harm := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-10] },
		"garbled": func(b []byte) []byte { copy(b[len(b)-100:], "garbage garbage garbage"); return b },
		"zeroed":  func(b []byte) []byte { clear(b[len(b)-200:]); return b },
		"torn":    func(b []byte) []byte { return append(b, "half a record"...) },
	} {
		t.Run(what, func(t *testing.T) {
			dir, epoch, last := leave(t, harm)
			var said transcript
			cfg := small(dir)
			cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
			b := open(t, cfg)
			if err := b.Damage(); err == nil || !strings.Contains(said.String(), "could not be read") {
				t.Errorf("damage %v; said %s", err, said.String())
			}
			if b.Epoch() == epoch || !b.Continues(epoch) || !b.Continues(b.Epoch()) || b.Continues("other") {
				t.Errorf("the epoch was %s and is %s", epoch, b.Epoch())
			}
			if b.Ready() != nil || b.Fault() != nil {
				t.Error(b.Ready(), b.Fault())
			}
			seq, err := b.Append(t.Context(), line(11))
			if err != nil || seq < last+ahead/2 {
				t.Errorf("the number %d could have been given before, up to %d: %v", seq, last, err)
			}
			names, _ := read(t, b, 0, 9)
			if got := strings.Join(names[:8], " "); got != numbers(1, 8) && !strings.HasPrefix(got, numbers(1, 7)) {
				t.Errorf("got %v", names)
			}
			b.Close()
			b = open(t, small(dir))
			if b.Damage() != nil || !b.Continues(epoch) || b.Last() != seq {
				t.Errorf("later: %v, last %d, want %d", b.Damage(), b.Last(), seq)
			}
		})
	}
}

// The checkpoint knows of bundles that are not there.
func TestALogThatEndsBeforeItsCheckpoint(t *testing.T) {
	b := open(t, small(t.TempDir()))
	mustAppend(t, b, 1, 5)
	epoch := b.Epoch()
	if err := b.Beyond(t.Context(), 5); err != nil || b.Epoch() != epoch || b.Damage() != nil {
		t.Errorf("nothing is missing: %v, %v", err, b.Damage())
	}
	if err := b.Beyond(t.Context(), 8); err != nil || b.Epoch() == epoch || !b.Continues(epoch) {
		t.Errorf("%v", err)
	}
	if err := b.Damage(); err == nil || !strings.Contains(err.Error(), "6 to 8 are lost") {
		t.Errorf("got %v", err)
	}
	mustAppend(t, b, 9, 9)
	names, seqs := read(t, b, 0, 6)
	if names[5] != "9" || seqs[5] < 8+ahead {
		t.Errorf("got %v with %v", names, seqs)
	}
	// A reader that had got to 8 goes on from there.
	if names, _ := read(t, b, 8, 1); names[0] != "9" {
		t.Errorf("got %v", names)
	}
}
