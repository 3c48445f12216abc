package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"echotwin/realtime"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("BUS_TEST_APPENDER"); dir != "" {
		appender(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, cfg Config) *Bus {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	b, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// line is one record that carries a number.
func line(n int) []byte {
	return realtime.AppendRecord(nil, realtime.Record{Kind: realtime.Event, Thing: "plant/pump", Name: fmt.Sprint(n)})
}

func mustAppend(t *testing.T, b *Bus, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if _, err := b.Append(t.Context(), line(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the names of all records after the given number, as soon as
// want bundles have come.
func read(t *testing.T, b *Bus, after uint64, want int) (names []string, seqs []uint64) {
	t.Helper()
	if want == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := b.Consume(ctx, after, func(u realtime.Bundle) {
		seqs = append(seqs, u.Seq)
		for _, r := range u.Records {
			names = append(names, r.Name)
		}
		if len(seqs) == want {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seqs) < want {
		t.Fatalf("%d bundles came, want %d", len(seqs), want)
	}
	return names, seqs
}

func TestConsumeGivesEveryBundleInOrder(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, b, 1, 20)

	names, seqs := read(t, b, 0, 20)
	for i := range 20 {
		if names[i] != fmt.Sprint(i+1) || seqs[i] != uint64(i+1) {
			t.Fatalf("got %v with %v", names, seqs)
		}
	}
	if names, _ := read(t, b, 15, 5); strings.Join(names, " ") != "16 17 18 19 20" {
		t.Errorf("after 15: got %v", names)
	}
	if b.Last() != 20 {
		t.Errorf("Last() = %d, want 20", b.Last())
	}
}

func TestConsumeGoesOnWithWhatIsAppended(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, b, 1, 3)
	appended := make(chan error, 1)
	go func() {
		var err error
		for n := 4; n <= 10 && err == nil; n++ {
			_, err = b.Append(t.Context(), line(n))
		}
		appended <- err
	}()
	names, _ := read(t, b, 2, 8)
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	if strings.Join(names, " ") != "3 4 5 6 7 8 9 10" {
		t.Errorf("got %v", names)
	}
}

func TestConsumeSurvivesALostConsumer(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	got := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- b.Consume(ctx, 0, func(u realtime.Bundle) { got <- u.Records[0].Name })
	}()
	mustAppend(t, b, 1, 1)
	<-got
	for name := range b.stream.ConsumerNames(t.Context()).Name() {
		if err := b.stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, b, 2, 3)
	for want := 2; want <= 3; want++ {
		select {
		case name := <-got:
			if name != fmt.Sprint(want) {
				t.Errorf("got %s, want %d", name, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing came after the consumer was deleted")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Consume returned %v at the end of its context", err)
	}
}

// A slow reader must not hold up Append, nor lose or grow.
func TestASlowReaderHoldsNobodyUp(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	gate := make(chan struct{})
	var mu sync.Mutex
	n := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		done <- b.Consume(ctx, 0, func(u realtime.Bundle) {
			<-gate
			mu.Lock()
			defer mu.Unlock()
			if n++; u.Seq != uint64(n) {
				t.Errorf("bundle %d came as number %d", u.Seq, n)
			}
			if n == 100 {
				cancel()
			}
		})
	}()
	big := append(line(1)[:0:0], []byte(strings.Repeat(string(line(1)), 3000))...)
	for range 100 { // 25 MB, more than is read ahead
		if _, err := b.Append(t.Context(), big); err != nil {
			t.Fatal(err)
		}
	}
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestConsumeBeginsWithTheOldestThatIsKept(t *testing.T) {
	var said strings.Builder
	b := open(t, Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&said, nil))})
	mustAppend(t, b, 1, 10)
	if err := b.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, b, 11, 12)
	names, seqs := read(t, b, 4, 2)
	if strings.Join(names, " ") != "11 12" || seqs[0] != 11 {
		t.Errorf("got %v with %v", names, seqs)
	}
	if !strings.Contains(said.String(), "from=5 to=10") {
		t.Errorf("the gap is not reported: %s", said.String())
	}
}

func TestConsumeRefusesANumberOfAnotherLog(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, b, 1, 3)
	err := b.Consume(t.Context(), 4, func(realtime.Bundle) {})
	if err == nil || !strings.Contains(err.Error(), "ends at 3, before 4") {
		t.Errorf("got %v", err)
	}
}

func TestABundleThatCannotBeReadWholeIsReadInPart(t *testing.T) {
	var said strings.Builder
	b := open(t, Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&said, nil))})
	lines := append(line(1), "{oops\n\x00\n"...)
	lines = append(lines, line(2)...)
	if _, err := b.Append(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, b, 3, 3)
	names, _ := read(t, b, 0, 2)
	if strings.Join(names, " ") != "1 2 3" {
		t.Errorf("got %v", names)
	}
	if !strings.Contains(said.String(), "line 2") {
		t.Errorf("the line is not reported: %s", said.String())
	}
}

func TestReopenKeepsTheLogAndItsEpoch(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	epoch := b.Epoch()
	mustAppend(t, b, 1, 5)
	b.Close()

	b = open(t, Config{Dir: dir, MaxAge: time.Hour, MaxBytes: 1 << 30})
	if b.Epoch() != epoch || len(epoch) != 8 {
		t.Errorf("the epoch was %q and is %q", epoch, b.Epoch())
	}
	if b.Last() != 5 {
		t.Errorf("Last() = %d, want 5", b.Last())
	}
	if cfg := b.stream.CachedInfo().Config; cfg.MaxAge != time.Hour || cfg.MaxBytes != 1<<30 {
		t.Errorf("the new limits are not taken: %v, %d", cfg.MaxAge, cfg.MaxBytes)
	}
	names, _ := read(t, b, 0, 5)
	if strings.Join(names, " ") != "1 2 3 4 5" {
		t.Errorf("got %v", names)
	}
	b.Close()

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	b = open(t, Config{Dir: dir})
	if b.Epoch() == epoch || b.Last() != 0 {
		t.Errorf("a wiped log has the epoch %q of the old one, or Last() = %d", b.Epoch(), b.Last())
	}
}

func TestTheLogKeepsItsSize(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir(), MaxBytes: 1 << 20})
	big := []byte(strings.Repeat(string(line(1)), 1000))
	for range 40 {
		if _, err := b.Append(t.Context(), big); err != nil {
			t.Fatal(err)
		}
	}
	s := b.Stats()
	if s.Bytes > 1<<20 || s.Last != 40 || s.First < 2 || s.Messages != s.Last-s.First+1 {
		t.Errorf("got %+v, want at most 1 MB of the newest", s)
	}
}

func TestADiskSmallerThanTheLog(t *testing.T) {
	dir := t.TempDir()
	var said strings.Builder
	cfg := Config{Dir: dir, MaxBytes: 1 << 60, Log: slog.New(slog.NewTextHandler(&said, nil))}
	b := open(t, cfg)
	mustAppend(t, b, 1, 1)
	if got := b.stream.CachedInfo().Config.MaxBytes; got >= 1<<60 || got < minBytes {
		t.Errorf("the log may grow to %d", got)
	}
	if !strings.Contains(said.String(), "too small") {
		t.Errorf("nobody is told: %s", said.String())
	}
	b.Close()
	mustAppend(t, open(t, cfg), 2, 2)
}

func TestAfterClose(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	k, err := b.Bucket(t.Context(), "things")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(); err != nil {
		t.Errorf("Ready() = %v", err)
	}
	consumed := make(chan error)
	go func() { consumed <- b.Consume(t.Context(), 0, func(realtime.Bundle) {}) }()
	watched := make(chan error)
	go func() { watched <- k.Watch(t.Context(), func(string, []byte) {}) }()
	time.Sleep(50 * time.Millisecond)
	b.Close()
	b.Close()
	if err := <-consumed; err != ErrClosed {
		t.Errorf("a running Consume: %v", err)
	}
	if err := <-watched; err != ErrClosed {
		t.Errorf("a running Watch: %v", err)
	}
	_, appendErr := b.Append(t.Context(), line(1))
	_, bucketErr := b.Bucket(t.Context(), "x")
	_, getErr := k.Get(t.Context(), "x")
	_, keysErr := k.Keys(t.Context())
	for what, err := range map[string]error{
		"Append": appendErr, "Bucket": bucketErr, "Get": getErr, "Keys": keysErr, "Ready": b.Ready(),
		"Consume": b.Consume(t.Context(), 0, func(realtime.Bundle) {}),
		"Put":     k.Put(t.Context(), "x", nil), "Watch": k.Watch(t.Context(), func(string, []byte) {}),
	} {
		if err != ErrClosed {
			t.Errorf("%s: got %v, want ErrClosed", what, err)
		}
	}
	if s := b.Stats(); s != (Stats{}) {
		t.Errorf("Stats() = %+v", s)
	}
}

func TestOneProcessAFolder(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	mustAppend(t, b, 1, 1)
	out, err := exec.Command("env", "BUS_TEST_APPENDER="+dir, os.Args[0]).CombinedOutput()
	want := fmt.Sprintf("the folder %s is in use by process %d", dir, os.Getpid())
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("got %v: %s, want %q", err, out, want)
	}
	mustAppend(t, b, 2, 2)
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("Open without a folder and an address")
	}
}

func TestAStoreThatCannotStartIsAnErrorNotAnExit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), []byte("a file, not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Open(t.Context(), Config{Dir: dir}); err == nil {
		b.Close()
		t.Error("a folder that cannot be used was opened")
	} else if !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("%v does not say why", err)
	}
}
