package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// small is a log of many segments.
func small(dir string) Config {
	return Config{Dir: dir, MaxBytes: 4 << 20, Segment: 64 << 10, Look: 20 * time.Millisecond}
}

// fill appends n bundles of about 16 KB, with the numbers from from on.
func fill(t *testing.T, b *Bus, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		lines := realtime.AppendRecord(nil, realtime.Record{Kind: realtime.Event, Thing: "plant/pump", Name: fmt.Sprint(i),
			Data: fmt.Appendf(nil, "%q", strings.Repeat("x", 16<<10))})
		if _, err := b.Append(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(from, n int) string {
	var all []string
	for i := from; i < from+n; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return strings.Join(all, " ")
}

func TestTheLogIsOneRowOfSegments(t *testing.T) {
	dir := t.TempDir()
	b := open(t, small(dir))
	names, stop := follow(t, b)
	fill(t, b, 1, 40)
	expect(t, names, 1, 40)
	stop()
	if s := b.Stats(); s.Segments < 8 || s.Messages != 40 || s.First != 1 || s.Last != b.Last() {
		t.Errorf("%+v", s)
	}
	epoch, last := b.Epoch(), b.Last()
	b.Close()

	b = open(t, small(dir))
	if b.Epoch() != epoch || b.Last() != last {
		t.Errorf("epoch %s, was %s; last %d, was %d", b.Epoch(), epoch, b.Last(), last)
	}
	fill(t, b, 41, 10)
	got, seqs := read(t, b, 0, 50)
	if strings.Join(got, " ") != numbers(1, 50) {
		t.Errorf("got %v", got)
	}
	for i := 1; i < len(seqs); i++ {
		if seqs[i] <= seqs[i-1] {
			t.Fatalf("bundle %d has the number %d after %d", i, seqs[i], seqs[i-1])
		}
	}
	if got, _ := read(t, b, seqs[24], 25); strings.Join(got, " ") != numbers(26, 25) {
		t.Errorf("from the middle: %v", got)
	}
}

// After kill -9 only the last segment is read. What NATS says when it has to
// read one is the evidence.
func TestAStartAfterAKillReadsTheLastSegmentOnly(t *testing.T) {
	dir, killed := t.TempDir(), filepath.Join(t.TempDir(), "nats")
	b := open(t, small(dir))
	fill(t, b, 1, 40)
	if s := b.Stats(); s.Segments < 8 {
		t.Fatalf("%+v", s)
	}
	// What a kill leaves is what is on the disk now.
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	last := b.Last()
	b.Close()

	var said transcript
	cfg := small(killed)
	cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
	b = open(t, cfg)
	if b.Last() != last {
		t.Errorf("it ends at %d, want %d", b.Last(), last)
	}
	// The first segment has no marker to purge, and the last one is written to.
	stale := 0
	for _, s := range b.row.closed() {
		if s.marked {
			if _, err := os.Stat(filepath.Join(killed, "jetstream", "$G", "streams", s.name, "msgs", "index.db")); err != nil {
				t.Errorf("the closed segment %s has to be read: %v", s.name, err)
			}
		}
	}
	stale = strings.Count(said.String(), "outdated") + strings.Count(said.String(), "rebuild")
	if stale > 2 {
		t.Errorf("%d segments were read again:\n%s", stale, said.String())
	}
	if got, _ := read(t, b, 0, 40); strings.Join(got, " ") != numbers(1, 40) {
		t.Errorf("got %v", got)
	}
}

// A folder of version 1 has one stream, which becomes the first segment.
func TestALogOfOneStreamGoesOnAsARow(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir, Segment: 1 << 30, MaxBytes: 1 << 30})
	fill(t, b, 1, 20)
	epoch := b.Epoch()
	if s := b.Stats(); s.Segments != 1 {
		t.Fatalf("%+v", s)
	}
	b.Close()
	b = open(t, small(dir))
	fill(t, b, 21, 10)
	if got, _ := read(t, b, 0, 30); strings.Join(got, " ") != numbers(1, 30) {
		t.Errorf("got %v", got)
	}
	if s := b.Stats(); s.Segments < 3 || b.Epoch() != epoch {
		t.Errorf("%+v, epoch %s", s, b.Epoch())
	}
}

func retain(t *testing.T, b *Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Retain(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("it never came about that %s", what)
}

func TestTheLogKeepsItsSize(t *testing.T) {
	cfg := small(t.TempDir())
	cfg.MaxBytes = 300 << 10
	b := open(t, cfg)
	retain(t, b)
	fill(t, b, 1, 60)
	eventually(t, "the log is small again", func() bool { return b.Stats().Bytes <= 300<<10 })
	s := b.Stats()
	if s.First < 30 || s.Last != b.Last() || s.Messages < 5 || s.Messages > s.Last-s.First+1 {
		t.Errorf("got %+v, want 300 KB of the newest", s)
	}
	names, seqs := read(t, b, 0, int(s.Messages))
	if names[len(names)-1] != "60" || seqs[0] != s.First {
		t.Errorf("got %v with %v", names, seqs)
	}
	fill(t, b, 61, 1)
}

func TestNothingIsDeletedBeforeItIsRead(t *testing.T) {
	cfg := small(t.TempDir())
	cfg.MaxBytes = 200 << 10
	var said transcript
	cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
	b := open(t, cfg)
	h := b.Hold("history", 0)
	retain(t, b)
	fill(t, b, 1, 60)
	eventually(t, "it is said that history is behind", func() bool { return strings.Contains(said.String(), "by=history") })
	if s := b.Stats(); s.First != 1 || s.Messages != 60 || s.Held != s.Last {
		t.Fatalf("%+v", s)
	}
	names, seqs := read(t, b, 0, 60)
	if strings.Join(names, " ") != numbers(1, 60) {
		t.Errorf("got %v", names)
	}
	h.Read(seqs[29])
	eventually(t, "what is read goes", func() bool { s := b.Stats(); return s.First > 1 })
	if s := b.Stats(); s.First > seqs[29] {
		t.Errorf("%+v, but only up to %d was read", s, seqs[29])
	}
	h.Release()
	h.Release()
	eventually(t, "the log is small", func() bool { return b.Stats().Bytes <= 200<<10 })
}

func TestOldSegmentsGoByAge(t *testing.T) {
	cfg := small(t.TempDir())
	b := open(t, cfg)
	fill(t, b, 1, 12)
	if s := b.Stats(); s.First != 1 {
		t.Fatalf("%+v", s)
	}
	b.cfg.MaxAge = time.Nanosecond
	retain(t, b)
	eventually(t, "all is gone but what may still grow", func() bool { s := b.Stats(); return s.Segments == 1 && s.Messages == 0 })
	fill(t, b, 13, 1)
}

// A clock that jumps ahead a year while the process runs deletes nothing: age is
// counted by a clock that only runs.
func TestAgeIsNotMeasuredByAClockThatJumps(t *testing.T) {
	b := open(t, small(t.TempDir()))
	jumped := time.Now().AddDate(1, 0, 0)
	if now := b.now(); now.After(jumped.AddDate(0, -11, 0)) || time.Since(now) > time.Minute {
		t.Errorf("now is %v", now)
	}
}
