package twin

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// running starts Run and returns what ends it.
func running(t *testing.T, tw *Twins) {
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go tw.Run(ctx)
}

func TestAValueGrowsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(conveyor)
		running(t, tw)
		p.say(reading(conveyorID, time.Now(), `{"speed":60,"temperature":41}`))
		time.Sleep(2900 * time.Millisecond)
		synctest.Wait()
		if l.count() != 1 {
			t.Fatalf("before its time: %s", asText(l.last()))
		}
		time.Sleep(400 * time.Millisecond) // three periods of 1 s, and a sweep
		synctest.Wait()
		u := l.last()
		if l.count() != 2 || u.Seq != 1 || len(u.Changes) != 1 || len(u.Changes[0].Values) != 0 ||
			!reflect.DeepEqual(u.Changes[0].Marks, &realtime.Marks{Stale: []string{"speed"}}) {
			t.Fatalf("got %s", asText(u))
		}
		if got := value(tw, conveyorID, "speed"); got != "60 stale" {
			t.Errorf("got %s", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		// Of the thing it is told once that it is silent, of the value nothing again.
		if l.count() != 3 || len(l.last().Facts) != 1 {
			t.Errorf("told again: %s", asText(l.last()))
		}
		p.say(reading(conveyorID, time.Now(), `{"speed":61}`))
		if m := l.last().Changes[0].Marks; m == nil || len(m.Stale) != 0 {
			t.Errorf("a fresh value did not clear the mark: %s", asText(l.last()))
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := value(tw, conveyorID, "speed"); got != "61 stale" {
			t.Errorf("it did not grow stale a second time: %s", got)
		}
	})
}

func TestStaleComesBeforeOtherFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(conveyor)
		running(t, tw)
		p.say(reading(conveyorID, time.Now(), `{"speed":101}`))
		stale := func() {
			t.Helper()
			time.Sleep(4 * time.Second)
			synctest.Wait()
			if m := l.last().Changes[0].Marks; !reflect.DeepEqual(m, &realtime.Marks{Stale: []string{"speed"}}) {
				t.Errorf("got %+v, want an old value to be stale whatever it was", m)
			}
		}
		stale()
		p.say(reading(conveyorID, time.Now(), `{"speed":60}`))
		p.say(reading(conveyorID, time.Now(), `{"speed":"fast"}`))
		stale()
		if got := value(tw, conveyorID, "speed"); got != "60 stale" {
			t.Errorf("got %s", got)
		}
	})
}

func TestAPeriodThatIsDescribedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node()
		running(t, tw)
		p.say(reading(conveyorID, time.Now(), `{"speed":60}`))
		if err := tw.Describe([]byte(conveyor)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := value(tw, conveyorID, "speed"); got != "60 stale" {
			t.Errorf("got %s", got)
		}
	})
}

func TestAnOldReadingIsStaleWhenItArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node(conveyor)
		p.say(reading(conveyorID, time.Now().Add(-time.Minute), `{"speed":60}`))
		if m := l.last().Changes[0].Marks; m == nil || !reflect.DeepEqual(m.Stale, []string{"speed"}) {
			t.Errorf("got %s", asText(l.last()))
		}
		if got := value(tw, conveyorID, "speed"); got != "60 stale" {
			t.Errorf("got %s", got)
		}
	})
}

func TestThePaceIsLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node()
		running(t, tw)
		say := func(thing string) { p.say(reading(thing, time.Now(), `{"x":1}`)) }
		check := func(thing, want string) {
			t.Helper()
			synctest.Wait()
			if got := value(tw, thing, "x"); got != want {
				t.Errorf("%s is %s, want %s", thing, got, want)
			}
		}
		// Five readings have four gaps: too few to know.
		for range 5 {
			say("few")
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		check("few", "1 good")

		for range 6 {
			say("minute")
			time.Sleep(time.Minute)
		}
		time.Sleep(3*time.Minute + 59*time.Second)
		check("minute", "1 good")
		time.Sleep(2 * time.Second)
		check("minute", "1 stale")

		for range 100 {
			say("quick")
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(9 * time.Second)
		check("quick", "1 good")
		time.Sleep(2 * time.Second)
		check("quick", "1 stale")

		// One night of silence does not make it patient.
		time.Sleep(12 * time.Hour)
		say("quick")
		time.Sleep(11 * time.Second)
		check("quick", "1 stale")

		// A pace that changed is learnt.
		for range 40 {
			say("quick")
			time.Sleep(30 * time.Second)
		}
		check("quick", "1 good")
	})
}

func TestRestoredValuesAreAsOldAsTheyAre(t *testing.T) {
	for _, described := range []string{"before", "after"} {
		t.Run("described "+described, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { restoredWithAge(t, described == "before") })
		})
	}
}

func restoredWithAge(t *testing.T, describeFirst bool) {
	p := &plant{t: t}
	before, _ := p.node(conveyor)
	p.say(reading(conveyorID, time.Now(), `{"speed":60}`), reading("plant/pump", time.Now(), `{"x":1}`))
	for range 10 {
		time.Sleep(time.Second)
		p.say(reading("plant/pump", time.Now(), `{"x":1}`))
	}
	_, chunks := before.Checkpoint()
	tw, l := New(Config{}), &listener{}
	describe := func() {
		if err := tw.Describe([]byte(conveyor)); err != nil {
			t.Fatal(err)
		}
	}
	tw.OnChange(l.hear)
	if describeFirst {
		describe()
	}
	if _, err := tw.Restore(chunks); err != nil {
		t.Fatal(err)
	}
	if !describeFirst {
		describe()
	}
	if a, b := value(tw, conveyorID, "speed"), value(tw, "plant/pump", "x"); a != "60 stale" || b != "1 good" {
		t.Errorf("got %s and %s", a, b)
	}
	c := l.last().Changes[0]
	if c.Thing != conveyorID || c.Marks == nil || !reflect.DeepEqual(c.Marks.Stale, []string{"speed"}) {
		t.Errorf("told %s", asText(l.last()))
	}
	running(t, tw)
	time.Sleep(11 * time.Second)
	synctest.Wait()
	if got := value(tw, "plant/pump", "x"); got != "1 stale" {
		t.Errorf("what was restored fresh never grew stale: %s", got)
	}
}

// Many things with different paces: each grows stale within a sweep of its own
// time, and a sweep in between looks at none of them.
func TestManyDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tw := New(Config{})
		const n = 500
		var rs []realtime.Record
		for i := range n {
			td := fmt.Sprintf(`{"id":"t%d","title":"t","properties":{"x":{"echotwin:period":%d},"y":{"echotwin:period":%d}}}`, i, 1+i*7919%n, 1+i*104729%n)
			if err := tw.Describe([]byte(td)); err != nil {
				t.Fatal(err)
			}
			rs = append(rs, reading(fmt.Sprintf("t%d", i), time.Now(), `{"x":1,"y":2}`))
		}
		tw.Apply(realtime.Bundle{Seq: 1, Records: rs})
		began := time.Now()
		for range 1600 {
			time.Sleep(time.Second)
			tw.sweep()
			age := time.Since(began).Milliseconds()
			for _, th := range tw.things {
				for _, p := range th.props {
					if p.stale != (age >= max(3000, 3*p.spec.period)) {
						t.Fatalf("%s %s with period %d is stale: %v at age %d", th.id, p.name, p.spec.period, p.stale, age)
					}
				}
			}
		}
		if len(tw.due) != 0 {
			t.Errorf("%d things are still watched", len(tw.due))
		}
	})
}

func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tw := New(Config{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- tw.Run(ctx) }()
		time.Sleep(time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
