package bus

import (
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
	if dir := os.Getenv("BUS_TEST_HISTORIAN"); dir != "" {
		historian(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// transcript keeps what is logged; NATS logs from goroutines of its own.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func open(t *testing.T, cfg Config) *Bus {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
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
