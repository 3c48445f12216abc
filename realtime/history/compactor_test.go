package history

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// The store's noting of late chunks goes from series to series. Whatever filled
// a chunk behind it meanwhile was in no block and was then forgotten: of a day
// that devices sent late, 32 samples of a property were gone in one of six runs.
func TestWhatIsLateWhileTheStoreNotesWhatIsLate(t *testing.T) {
	p := newPlant(t)
	const things, rounds, some, many = 100, 20, 5, 33
	say := func(from int64, kind string, count int) (rs []realtime.Record) {
		for i := range things {
			for n := range count {
				rs = append(rs, said(fmt.Sprintf("%s%d", kind, i), from+int64(n)*second, "v", n))
			}
		}
		return rs
	}
	p.say(say(base+day, "first", 1)...)
	p.say(say(base+day, "second", 1)...)
	var done atomic.Bool
	copied := make(chan error, 1)
	go func() {
		var err error
		for ; err == nil && !done.Load(); time.Sleep(5 * time.Millisecond) {
			err = p.useDB(p.blockLate)
		}
		copied <- err
	}()
	for round := range rounds {
		at := base + int64(round)*minute
		p.say(append(say(at, "second", some), say(at, "first", many)...)...)
		p.settle()
	}
	done.Store(true)
	if err := <-copied; err != nil {
		t.Fatal(err)
	}
	for i := range things {
		for kind, want := range map[string]int{"first": 1 + rounds*many, "second": 1 + rounds*some} {
			thing := fmt.Sprintf("%s%d", kind, i)
			if got := len(p.raw(thing, "v")); got != want {
				t.Errorf("%s has %d samples, want %d", thing, got, want)
			}
		}
	}
}

// A commit that brings something late waits for the store's noting, and the
// noting for a commit that has begun; two that note do not wait for each other.
func TestTheGateForWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLateGate()
		g.hold()
		g.hold()
		passed := make(chan bool, 1)
		go func() { _ = g.pass(func() error { passed <- true; time.Sleep(time.Second); return nil }) }()
		g.let()
		select {
		case <-passed:
			t.Fatal("stored while the store was noting")
		case <-time.After(time.Minute):
		}
		g.let()
		<-passed
		began := time.Now()
		g.hold()
		if time.Since(began) != time.Second {
			t.Error("did not wait for the one who was storing")
		}
		g.let()
	})
}
