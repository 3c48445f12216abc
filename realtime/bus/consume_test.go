package bus

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
)

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
		if len(u.Records) == 0 {
			return // where a segment begins
		}
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
	for name := range b.row.active().stream.ConsumerNames(t.Context()).Name() {
		if err := b.row.active().stream.DeleteConsumer(t.Context(), name); err != nil {
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
	var said transcript
	b := open(t, Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&said, nil))})
	mustAppend(t, b, 1, 10)
	if err := b.row.active().stream.Purge(t.Context()); err != nil {
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
	var said transcript
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
