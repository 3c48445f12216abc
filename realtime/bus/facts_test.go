package bus

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"echotwin/realtime"
)

// openFacts opens the stream and stores what is handed over until the test ends.
func openFacts(t *testing.T, b *Bus, cfg FactsConfig) *Facts {
	t.Helper()
	f, err := b.Facts(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return f
}

func event(thing, name string) realtime.Fact {
	return realtime.Fact{Type: "event", Thing: thing, Body: fmt.Appendf(nil, `{"name":%q}`, name)}
}

func stored(t *testing.T, f *Facts, seq uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := f.Wait(ctx, seq); err != nil {
		t.Fatal(err)
	}
}

// told is what Read gives, as seq:thing:body.
func told(t *testing.T, f *Facts, patterns []string, after, upTo uint64) (all []string, since uint64) {
	t.Helper()
	since, err := f.Read(t.Context(), patterns, after, upTo, func(one realtime.Fact) {
		all = append(all, fmt.Sprintf("%d:%s:%s:%s", one.Seq, one.Type, one.Thing, one.Body))
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, since
}

func TestFactsAreKeptAndFoundBySeqAndThing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	f := openFacts(t, b, FactsConfig{})
	f.Add(3, []realtime.Fact{event("a/1", "x"), event("a/2", "y"), event("a/1", "z")})
	f.Add(4, nil)
	f.Add(9, []realtime.Fact{event("b/1", "w")})
	f.Add(12, []realtime.Fact{{Type: "cmd", Thing: "a/1", Body: []byte(`{"cmd":"c"}`)}})
	stored(t, f, 12)
	all := []string{`3:event:a/1:{"name":"x"}`, `3:event:a/2:{"name":"y"}`, `3:event:a/1:{"name":"z"}`, `9:event:b/1:{"name":"w"}`, `12:cmd:a/1:{"cmd":"c"}`}
	for _, c := range []struct {
		patterns    []string
		after, upTo uint64
		want        []string
	}{
		{[]string{"**"}, 0, 12, all},
		{[]string{"**"}, 3, 12, all[3:]},
		{[]string{"**"}, 0, 9, all[:4]},
		{[]string{"**"}, 12, 20, nil},
		{[]string{"a/*"}, 0, 12, []string{all[0], all[1], all[2], all[4]}},
		{[]string{"a/1", "b/**"}, 0, 12, []string{all[0], all[2], all[3], all[4]}},
		{[]string{"a/1", "a/**"}, 3, 12, all[4:]}, // they overlap
		{[]string{"c/**"}, 0, 12, nil},
	} {
		got, since := told(t, f, c.patterns, c.after, c.upTo)
		if !slices.Equal(got, c.want) || since != 0 {
			t.Errorf("%v after %d up to %d: got %v since %d, want %v", c.patterns, c.after, c.upTo, got, since, c.want)
		}
	}
	newest, since, err := f.Newest(t.Context(), 9, 2)
	if err != nil || len(newest) != 2 || newest[0].Seq != 3 || newest[1].Seq != 9 || since != 3 {
		t.Errorf("the newest two up to 9: %v since %d, %v", newest, since, err)
	}
	if newest, since, err = f.Newest(t.Context(), 100, 100); err != nil || len(newest) != 5 || since != 0 {
		t.Errorf("all of them: %v since %d, %v", newest, since, err)
	}
}

// What is handed over again after a restart is not written again, and what was
// not written is.
func TestFactsGoOnWhereTheyWere(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	f := openFacts(t, b, FactsConfig{})
	f.Add(1, []realtime.Fact{event("a/1", "1"), event("a/1", "2")})
	stored(t, f, 1)
	b.Close()

	b = open(t, Config{Dir: dir})
	f = openFacts(t, b, FactsConfig{})
	f.Begin(0)
	f.Add(1, []realtime.Fact{event("a/1", "1"), event("a/1", "2"), event("a/1", "3")})
	f.Add(2, []realtime.Fact{event("a/1", "4")})
	stored(t, f, 2)
	got, _ := told(t, f, []string{"**"}, 0, 2)
	want := []string{`1:event:a/1:{"name":"1"}`, `1:event:a/1:{"name":"2"}`, `1:event:a/1:{"name":"3"}`, `2:event:a/1:{"name":"4"}`}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// A stream that had to forget says since when it knows all.
func TestFactsSaySinceWhenTheyKnow(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	for n := range 7 { // a log that is older than the stream
		if _, err := b.Append(t.Context(), line(n)); err != nil {
			t.Fatal(err)
		}
	}
	f := openFacts(t, b, FactsConfig{MaxBytes: 64 << 10})
	f.Begin(7)
	if _, since := told(t, f, []string{"**"}, 2, 7); since != 7 {
		t.Errorf("facts up to %d may be missing, want 7", since)
	}
	big := strings.Repeat("x", 1000)
	for seq := uint64(8); seq < 208; seq++ {
		f.Add(seq, []realtime.Fact{event("a/1", big)})
	}
	stored(t, f, 207)
	got, since := told(t, f, []string{"a/1"}, 10, 207)
	if since < 100 || since > 200 {
		t.Fatalf("facts up to %d may be missing", since)
	}
	if want := fmt.Sprintf("%d:", since); len(got) != int(207-since)+1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("%d facts since %d", len(got), since)
	}
}

// When too much waits, the stream ends without a hole: nothing behind the first
// fact that found no room is written, and a start fills it from the log.
func TestTooManyFactsLeaveNoHole(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Dir: dir})
	f, err := b.Facts(t.Context(), FactsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	f.most = 3
	for seq := uint64(1); seq <= 6; seq++ {
		f.Add(seq, []realtime.Fact{event("a/1", fmt.Sprint(seq))})
	}
	if f.Ready() == nil {
		t.Error("nothing is said of it")
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.Run(ctx) })
	stored(t, f, 3)
	f.Add(7, []realtime.Fact{event("a/1", "7")})
	if got := f.Stored(); got != 3 {
		t.Errorf("stored up to %d, want 3", got)
	}
	cancel()
	wg.Wait()
	b.Close()

	f = openFacts(t, open(t, Config{Dir: dir}), FactsConfig{})
	for seq := uint64(1); seq <= 7; seq++ {
		f.Add(seq, []realtime.Fact{event("a/1", fmt.Sprint(seq))})
	}
	stored(t, f, 7)
	if got, _ := told(t, f, []string{"**"}, 0, 7); len(got) != 7 || !strings.HasPrefix(got[3], "4:") {
		t.Errorf("got %v", got)
	}
}

// A start does not write facts before it serves. Whoever waits for them, and
// what would be too many, does not wait for that.
func TestFactsBeginWhenTheyMayOrMust(t *testing.T) {
	for name, must := range map[string]func(f *Facts, begin chan struct{}){
		"it may":           func(f *Facts, begin chan struct{}) { close(begin) },
		"somebody waits":   func(f *Facts, _ chan struct{}) { stored(t, f, 1) },
		"many wait":        func(f *Facts, _ chan struct{}) { f.Add(2, []realtime.Fact{event("a/1", "2"), event("a/1", "3")}) },
		"large ones wait":  func(f *Facts, _ chan struct{}) { f.Add(2, []realtime.Fact{event("a/1", strings.Repeat("x", 600))}) },
		"it is never open": nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{Dir: t.TempDir()})
			begin := make(chan struct{})
			f, err := b.Facts(t.Context(), FactsConfig{Begin: begin})
			if err != nil {
				t.Fatal(err)
			}
			f.most, f.mostBytes = 4, 1000
			f.Add(1, []realtime.Fact{event("a/1", "1")})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); _ = f.Run(ctx) }()
			if got := f.Stored(); got != 0 {
				t.Errorf("facts are stored up to %d before they may be", got)
			}
			if must != nil {
				must(f, begin)
				for f.Stats().Waiting > 0 {
					time.Sleep(time.Millisecond)
				}
				if got := f.Stored(); got == 0 || f.Stats().Written == 0 {
					t.Errorf("stored up to %d, %d written", got, f.Stats().Written)
				}
			}
			cancel()
			<-ended
			if must == nil && f.Stats().Written != 0 {
				t.Error("facts were written")
			}
		})
	}
}

// Two nodes hand over the same facts, and each is there once.
func TestTwoNodesWriteEachFactOnce(t *testing.T) {
	s := outside(t, server.Options{StoreDir: t.TempDir()})
	quiet := slog.New(slog.DiscardHandler)
	one := openFacts(t, open(t, Config{URL: s.ClientURL(), Log: quiet}), FactsConfig{})
	two := openFacts(t, open(t, Config{URL: s.ClientURL(), Log: quiet}), FactsConfig{})
	var want []string
	var wg sync.WaitGroup
	const bundles = 300
	for seq := range uint64(bundles) {
		want = append(want, fmt.Sprintf(`%d:event:a/1:{"name":"%d"}`, seq+1, seq+1), fmt.Sprintf(`%d:event:a/2:{"name":"%d"}`, seq+1, seq+1))
	}
	for _, f := range []*Facts{one, two} {
		wg.Go(func() {
			for seq := uint64(1); seq <= bundles; seq++ {
				f.Add(seq, []realtime.Fact{event("a/1", fmt.Sprint(seq)), event("a/2", fmt.Sprint(seq))})
				if seq%20 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	stored(t, one, bundles)
	stored(t, two, bundles)
	if got, _ := told(t, two, []string{"**"}, 0, bundles); !slices.Equal(got, want) {
		t.Errorf("%d facts, want %d; from %v", len(got), len(want), got[:min(len(got), 4)])
	}
	if got := one.Stats().Written + two.Stats().Written; got > uint64(len(want)) {
		t.Errorf("the nodes say they wrote %d of %d", got, len(want))
	}
}

// historian is the other process: it appends to the log and files a fact for
// every bundle, from the beginning of the log, as after a start without a
// checkpoint. It says what is stored in both.
func historian(dir string) {
	ctx := context.Background()
	b, err := Open(ctx, Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	f, err := b.Facts(ctx, FactsConfig{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go f.Run(ctx)
	go b.Consume(ctx, 0, func(bundle realtime.Bundle) {
		facts := make([]realtime.Fact, 0, len(bundle.Records))
		for _, r := range bundle.Records {
			facts = append(facts, event(r.Thing, r.Name), event("a/second", r.Name))
		}
		f.Add(bundle.Seq, facts)
	})
	for n := int(b.Last()) + 1; ; n++ {
		if _, err := b.Append(ctx, line(n)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("stored", n, f.Stored())
	}
}

func TestKillNeitherLosesNorDoublesAFact(t *testing.T) {
	dir := t.TempDir()
	filed := uint64(0)
	for range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "BUS_TEST_HISTORIAN="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var n int
		var seq, begin uint64
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, err := fmt.Sscanf(lines.Text(), "stored %d %d", &n, &seq); err != nil {
				t.Errorf("the process said %q", lines.Text())
			}
			if begin == 0 && seq > 0 {
				begin = seq
			}
			if begin > 0 && seq > max(begin, filed)+60 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		filed = max(filed, seq)
	}
	b := open(t, Config{Dir: dir})
	f := openFacts(t, b, FactsConfig{})
	var bundles []string
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := b.Consume(ctx, 0, func(bundle realtime.Bundle) {
		for _, r := range bundle.Records {
			bundles = append(bundles, fmt.Sprintf(`%d:event:%s:{"name":%q}`, bundle.Seq, r.Thing, r.Name), fmt.Sprintf(`%d:event:a/second:{"name":%q}`, bundle.Seq, r.Name))
		}
		f.Add(bundle.Seq, []realtime.Fact{event(bundle.Records[0].Thing, bundle.Records[0].Name), event("a/second", bundle.Records[0].Name)})
		if bundle.Seq == b.Last() {
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if filed < 200 {
		t.Errorf("only %d facts were filed: the test did not test", filed)
	}
	stored(t, f, b.Last())
	if got, _ := told(t, f, []string{"**"}, 0, b.Last()); !slices.Equal(got, bundles) {
		t.Errorf("%d facts are there, the log has %d", len(got), len(bundles))
		for i := range got {
			if i >= len(bundles) || got[i] != bundles[i] {
				t.Fatalf("the fact at %d is %s, want %s", i, got[i], bundles[min(i, len(bundles)-1)])
			}
		}
	}
}

// A replay asks for the facts of a time and not of a place in the log.
func TestFactsAreFoundByTime(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	f := openFacts(t, b, FactsConfig{})
	between := func(from, to time.Time, patterns ...string) (names []string) {
		t.Helper()
		err := f.Between(t.Context(), patterns, from, to, func(at time.Time, one realtime.Fact) bool {
			if at.Before(from) || at.After(to) {
				t.Errorf("%s was stored at %v", one.Body, at)
			}
			names = append(names, string(one.Body))
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	begin := time.Now()
	if got := between(begin.Add(-time.Hour), begin); len(got) != 0 {
		t.Errorf("an empty stream has %v", got)
	}
	var marks []time.Time // before each fact
	for i := range 6 {
		marks = append(marks, time.Now())
		f.Add(uint64(i+1), []realtime.Fact{event([]string{"plant/a", "plant/b"}[i%2], fmt.Sprint(i))})
		stored(t, f, uint64(i+1))
		time.Sleep(2 * time.Millisecond) // so that no two share a time
	}
	end := time.Now()
	for _, tt := range []struct {
		from, to time.Time
		pattern  string
		want     string
	}{
		{begin, end, "plant/*", `[{"name":"0"} {"name":"1"} {"name":"2"} {"name":"3"} {"name":"4"} {"name":"5"}]`},
		{marks[2], marks[4], "plant/*", `[{"name":"2"} {"name":"3"}]`},
		{marks[1], end, "plant/a", `[{"name":"2"} {"name":"4"}]`},
		{begin.Add(-time.Hour), begin.Add(-time.Minute), "**", "[]"},
		{end, end.Add(time.Hour), "**", "[]"},
	} {
		if got := fmt.Sprint(between(tt.from, tt.to, tt.pattern)); got != tt.want {
			t.Errorf("%s from %v to %v: %s, want %s", tt.pattern, tt.from.Sub(begin), tt.to.Sub(begin), got, tt.want)
		}
	}
	for kind, want := range map[string]int{"event": 6, "cmd": 0} {
		n := 0
		for _, patterns := range [][]string{nil, {"**"}} {
			if err := f.BetweenOf(t.Context(), kind, patterns, begin, end, func(_ time.Time, one realtime.Fact) bool { n++; return one.Type == kind }); err != nil {
				t.Error(err)
			}
		}
		if n != 2*want {
			t.Errorf("%d of the type %s, want %d", n, kind, 2*want)
		}
	}
	n := 0
	if err := f.Between(t.Context(), []string{"**"}, begin, end, func(time.Time, realtime.Fact) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("after no it went on to %d: %v", n, err)
	}
}
