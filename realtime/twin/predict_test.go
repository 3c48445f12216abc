package twin

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

const tub = `{"id":"plant/tub","title":"Tub","properties":{"level":{"title":"Level","type":"number","unit":"L","echotwin:alarms":{"low":10,"high":90,"highHigh":100,"predict":600}}}}`

// fill says the level each second for a while.
func (p *plant) fill(d time.Duration, level func(s float64) float64) {
	for s := range int(d.Seconds()) {
		p.say(reading("plant/tub", time.Now(), fmt.Sprintf(`{"level":%.3f}`, level(float64(s)))))
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

func TestALimitIsForeseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, l := p.node(tub)
		run(t, one)
		noise := rand.New(rand.NewPCG(1, 1))
		wild := func(v float64) float64 { // one reading in ten is off, the others scatter
			if noise.IntN(10) == 0 {
				return v + 40*(noise.Float64()-0.5)
			}
			return v + 0.3*noise.NormFloat64()
		}
		p.fill(5*time.Minute, func(float64) float64 { return min(wild(40), 89) })
		wantTold(t, l) // nothing is in sight of what only scatters
		p.fill(5*time.Minute, func(s float64) float64 { return min(wild(40+0.09*s), 89) })
		a := one.Alarms(AlarmQuery{})
		if len(a) != 1 || a[0].Rule != "predicted" || a[0].Priority != predictedPriority || *a[0].Limit != 90 || !strings.HasPrefix(a[0].Message, "Level reaches 90 L in about ") {
			t.Fatalf("got %+v", a)
		}
		// From 67 it is 23 more, which takes 256 s.
		if in := time.Until(a[0].Predicted.At); math.Abs(in.Seconds()-256) > 90 || a[0].Predicted.Limit != 90 {
			t.Errorf("it is expected in %v", in)
		}
		p.fill(5*time.Minute, func(float64) float64 { return min(wild(67), 89) })
		wantTold(t, l, "raised:predicted:active_unacked", "cleared:predicted:cleared_unacked")
		p.fill(6*time.Minute, func(s float64) float64 { return 67 + 0.09*s }) // to 99
		var last []string
		for _, a := range one.Alarms(AlarmQuery{State: "active"}) {
			last = append(last, fmt.Sprint(a.Rule, *a.Limit))
		}
		if got := strings.Join(last, " "); got != "high90 predicted100" {
			t.Errorf("the limit was reached, and the next is in sight: %s of %v", got, l.told())
		}
	})
}

// After a restart nobody knows the newest values, and the warning stays until
// they do.
func TestAForecastOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		one, _ := p.node(tub)
		ctx, kill := context.WithCancel(t.Context())
		go func() { _ = one.Run(ctx) }()
		p.fill(5*time.Minute, func(s float64) float64 { return 40 + 0.09*s })
		kill()
		_, chunks := one.Checkpoint()
		p.leave(one)
		two := New(Config{Log: p})
		if err := two.Describe([]byte(tub)); err != nil {
			t.Fatal(err)
		}
		if _, err := two.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		l := &listener{}
		two.OnChange(l.hear)
		p.join(two)
		run(t, two)
		p.fill(3*time.Minute, func(s float64) float64 { return 67 + 0.09*s })
		if a := two.Alarms(AlarmQuery{State: "active"}); len(a) != 1 || a[0].Rule != "predicted" || len(l.told()) != 0 {
			t.Errorf("got %+v, %v", a, l.told())
		}
		time.Sleep(10 * time.Minute) // nothing comes any more: nobody can foresee
		if a := two.Alarms(AlarmQuery{State: "active"}); len(a) != 0 {
			t.Errorf("got %+v", a)
		}
	})
}

func TestForecastsOfRules(t *testing.T) {
	tw := New(Config{})
	if err := tw.Describe([]byte(tub)); err != nil {
		t.Fatal(err)
	}
	rules := book(t, tw, newShelf())
	count := func() int { return len(tw.alarms.forecasts) }
	if count() != 3 {
		t.Errorf("%d of the description", count())
	}
	rules.put(t, "r", `{"thing":"plant/tub","property":"level","high":80}`) // without a forecast
	if count() != 2 || len(tw.alarms.points) != 5 {
		t.Errorf("%d forecasts of %d", count(), len(tw.alarms.points))
	}
	rules.put(t, "r", `{"thing":"plant/tub","property":"level","high":80,"predict":900,"low":false}`)
	if count() != 2 {
		t.Errorf("%d forecasts", count())
	}
	for doc, where := range map[string]string{`{"thing":"a","property":"x","stale":true,"predict":900}`: "/predict", `{"thing":"a","property":"x","high":1,"predict":5}`: "/predict"} {
		if _, _, err := rules.Put(t.Context(), "bad", []byte(doc), RuleChange{}); problem(t, err).At != where {
			t.Errorf("%s: got %v", doc, err)
		}
	}
	tw.Undescribe("plant/tub")
	if count() != 0 {
		t.Errorf("%d are left", count())
	}
}

// A hundred alarms at once are read by thing.
func TestTheSummaryGroupsByThing(t *testing.T) {
	tw := New(Config{})
	for i := range 100 {
		data := fmt.Sprintf(`{"rule":"high","priority":%d,"message":"m%d"}`, 1+i%4, i)
		tw.Apply(realtime.Bundle{Seq: uint64(i + 1), Records: []realtime.Record{{Kind: realtime.Alarm, Thing: fmt.Sprint("plant/t", i%30), TS: noon.Add(time.Duration(i) * time.Second), Name: realtime.AlarmRaised, Cmd: fmt.Sprint("a", i), Data: []byte(data)}}})
	}
	s := tw.AlarmSummary(nil)
	if len(s.Things) != maxGroups || s.MoreThings != 10 || s.Active != 100 {
		t.Fatalf("got %+v", s)
	}
	if g := s.Things[0]; g.Thing != "plant/t0" || g.Active != 4 || g.Unacked != 4 || g.Priority != 1 || g.Message != "m60" {
		t.Errorf("got %+v", g)
	}
	if s := tw.AlarmSummary(func(thing string) bool { return thing == "plant/t7" }); len(s.Things) != 1 || s.Things[0].Active != 4 {
		t.Errorf("got %+v", s)
	}
}

func BenchmarkFit(b *testing.B) {
	s := newTrend(900_000, 0)
	for i := range int64(1000) {
		s.add(i*1000, float64(i)+rand.Float64())
	}
	for b.Loop() {
		s.fit(999_000)
	}
}
