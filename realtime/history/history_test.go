package history

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func TestWhatWasSaidIsThereAfterARestart(t *testing.T) {
	p := newPlant(t)
	p.say(said("plant/pump", base, "speed", 60.4, "on", true, "mode", "auto"), said("plant/pump", base+100, "speed", 60.5, "on", false, "mode", "hand"))
	p.say(said("plant/pump", base+200, "speed", math.Copysign(0, -1), "mode", "auto", "list", []int{1}, "none", nil))
	for range 2 {
		p.settle()
		same(t, "speed", p.raw("plant/pump", "speed"), []string{"0=60.4", "100=60.5", "200=0"})
		same(t, "on", p.raw("plant/pump", "on"), []string{"0=true", "100=false"})
		same(t, "mode", p.raw("plant/pump", "mode"), []string{`0="auto"`, `100="hand"`, `200="auto"`})
		tr := p.trend("plant/pump", 0, 1000, 10, "mode")
		same(t, "names", tr.Series[0].Names, []string{"auto", "hand"})
		p.restart()
	}
	if s := p.Stats(); s.Unkept != 0 || s.Samples != 0 {
		t.Errorf("a restart stores again: %+v", s)
	}
}

// Two values of one millisecond, as of a script that sends faster than clocks
// count, were one sample for the store, and the second was lost.
func TestSamplesOfTheSameMomentAreAllKept(t *testing.T) {
	p := newPlant(t)
	p.say(said("plant/pump", base, "n", 1), said("plant/pump", base, "n", 2), said("plant/pump", base, "n", 3))
	p.say(said("plant/pump", base+1, "n", 4))
	p.say(said("plant/pump", base+10, "n", 5))
	p.say(said("plant/pump", base+10, "n", 5)) // sent twice
	p.settle()
	want := []string{"0=1", "1=2", "2=3", "3=4", "10=5"}
	same(t, "n", p.raw("plant/pump", "n"), want)
	p.restart()
	p.say(said("plant/pump", base+10, "n", 5)) // and again
	p.say(said("plant/pump", base+10, "n", 6))
	p.settle()
	same(t, "n", p.raw("plant/pump", "n"), append(want, "11=6"))
}

// A clock that was set back gave a sample the time of another, and the store
// kept one of them.
func TestAClockThatIsSetBackLosesNothing(t *testing.T) {
	p := newPlant(t)
	for i, ts := range []int64{0, 5, 6, 5, 6, 0, 5, 7, 3, 7} {
		p.say(said("plant/pump", base+ts, "n", i))
	}
	p.settle()
	same(t, "samples", len(p.raw("plant/pump", "n")), 10)
	p.restart()
	p.say(said("plant/pump", base+5, "n", 1)) // sent twice
	p.say(said("plant/pump", base+5, "n", 77))
	p.settle()
	got := p.raw("plant/pump", "n")
	values := map[string]int{}
	for _, s := range got {
		_, v, _ := strings.Cut(s, "=")
		values[v]++
	}
	if len(got) != 11 || len(values) != 11 {
		t.Errorf("got %v", got)
	}
}

func TestLateSamplesFindTheirPlace(t *testing.T) {
	p := newPlant(t, func(c *Config) { c.Late = 3 * time.Hour })
	late := func(ts int64, n int) {
		r := said("plant/pump", base+ts, "n", n)
		r.At = time.UnixMilli(base + 10*hour)
		p.say(r)
	}
	late(10*hour, 10)
	late(8*hour, 8)
	late(9*hour, 9)
	late(8*hour, 8) // sent twice
	late(6*hour, 6) // too late
	p.settle()
	if got := p.Stats().TooOld; got != 1 {
		t.Errorf("%d were too old", got)
	}
	for range 2 {
		same(t, "n", p.raw("plant/pump", "n"), []string{fmt.Sprint(8*hour, "=8"), fmt.Sprint(9*hour, "=9"), fmt.Sprint(10*hour, "=10")})
		p.restart()
	}
}

// A sample of tomorrow made the store take every other for a late one.
func TestASampleFromTheFutureSpoilsNothing(t *testing.T) {
	now := time.UnixMilli(base)
	p := newPlant(t, func(c *Config) { c.Now = func() time.Time { return now }; c.Late = time.Minute })
	future := said("plant/clock", base+100*hour, "n", 1)
	future.At = now
	p.say(future)
	p.say(said("plant/pump", base, "n", 1))
	p.settle()
	same(t, "n", p.raw("plant/pump", "n"), []string{"0=1"})
	same(t, "clamped", p.raw("plant/clock", "n"), []string{fmt.Sprint(ahead.Milliseconds(), "=1")})
	if s := p.Stats(); s.Clamped != 1 || s.TooOld != 0 {
		t.Errorf("%+v", s)
	}
}

func TestMultiplesAreKeptExactly(t *testing.T) {
	step := 0.01
	p := newPlant(t, func(c *Config) {
		c.Describe = func(string, string) (Description, bool) {
			return Description{Type: "number", Unit: "%", MultipleOf: step}, true
		}
	})
	values := []float64{60.41, 0.07, -3.3, 1e6 + 0.29}
	for i, v := range values {
		p.say(said("plant/pump", base+int64(i), "n", v))
	}
	p.settle()
	step = 0.1 // described anew
	p.restart()
	p.say(said("plant/pump", base+4, "n", 7.3))
	p.say(said("plant/pump", base+5, "n", 7.31)) // no multiple
	p.say(said("plant/pump", base+6, "n", 7.4))
	p.settle()
	same(t, "n", p.raw("plant/pump", "n"), []string{"0=60.41", "1=0.07", "2=-3.3", "3=1000000.29", "4=7.3", "5=7.31", "6=7.4"})
	tr := p.trend("plant/pump", 0, 100, 100, "n")
	same(t, "one series", []any{len(tr.Series[0].Buckets), tr.Series[0].Unit, tr.Series[0].Buckets[0].Min}, []any{7, "%", 60.41})
	status, body := p.prom("query", "query", `count(echotwin_value)`, "time", fmt.Sprint((base+6)/1000+1))
	if status != 200 || !contains(body, `"1"`) {
		t.Errorf("%d %s", status, body)
	}
	if s, body := p.prom("labels"); s != 200 || contains(body, "__scale__") {
		t.Errorf("%d %s", s, body)
	}
}

func TestWhatWasNotHandedOverIsReadFromTheLog(t *testing.T) {
	p := newPlant(t)
	for i := range 500 {
		b := p.log.append(said("plant/pump", base+int64(i), "n", i))
		if i%7 == 0 || i == 499 {
			p.Offer(b)
		}
	}
	p.settle()
	if got := p.raw("plant/pump", "n"); len(got) != 500 || got[499] != "499=499" {
		t.Errorf("%d samples, the last is %s", len(got), got[len(got)-1])
	}
}

func TestAnotherLogIsReadFromItsBeginning(t *testing.T) {
	p := newPlant(t)
	p.say(said("plant/pump", base, "n", 1))
	p.say(said("plant/pump", base+1, "n", 2))
	p.settle()
	p.stop()
	p.log = newLog()
	p.log.epoch = "e2"
	p.cfg.Log = p.log
	p.log.append(said("plant/pump", base+2, "n", 3))
	p.start()
	same(t, "n", p.raw("plant/pump", "n"), []string{"0=1", "1=2", "2=3"})
}

// A log whose end was lost goes on under another epoch. What history has of the
// epoch before is not read again: what is made of it must not be told twice.
func TestAMendedLogIsNotReadFromItsBeginning(t *testing.T) {
	p := newPlant(t)
	p.say(said("plant/pump", base, "n", 1))
	p.say(said("plant/pump", base+1, "n", 2))
	p.settle()
	p.stop()
	p.log.before, p.log.epoch = "e1", "e2"
	p.log.bundles[0] = realtime.Bundle{Seq: 1, Records: []realtime.Record{said("plant/pump", base+7, "n", 7)}} // would be seen
	p.log.append(said("plant/pump", base+2, "n", 3))
	p.start()
	same(t, "n", p.raw("plant/pump", "n"), []string{"0=1", "1=2", "2=3"})
	p.restart()
	p.say(said("plant/pump", base+3, "n", 4))
	p.settle()
	same(t, "n", p.raw("plant/pump", "n"), []string{"0=1", "1=2", "2=3", "3=4"})
}

// A name that was given a number keeps it, whatever is cut off at a kill.
func TestNamesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	n := newNames(dir)
	n.number("a", "mode", "off", []string{"off", "on"})
	n.number("a/b", "mode", "x", nil)
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	n.number("a", "mode", "third", nil)
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	cut(t, n.path, 5)
	n = newNames(dir)
	if err := n.load(); err != nil {
		t.Fatal(err)
	}
	same(t, "names", n.list("a", "mode"), []string{"off", "on"})
	if v, ok := n.number("a", "mode", "fourth", nil); v != 2 || !ok {
		t.Errorf("%v %v", v, ok)
	}
	n.forget("a")
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	n = newNames(dir)
	if err := n.load(); err != nil {
		t.Fatal(err)
	}
	same(t, "forgotten", len(n.list("a", "mode")), 0)
	same(t, "kept", n.list("a/b", "mode"), []string{"x"})
}

func TestFreeTextIsNoState(t *testing.T) {
	n := newNames(t.TempDir())
	for i := range maxNames + 5 {
		if _, ok := n.number("a", "serial", fmt.Sprint(i), nil); ok != (i < maxNames) {
			t.Fatalf("name %d: %v", i, ok)
		}
	}
	if _, ok := n.number("a", "text", string(make([]byte, maxName+1)), nil); ok {
		t.Error("a long one has a number")
	}
}

func TestBuckets(t *testing.T) {
	p := newPlant(t)
	for i := range int64(600) {
		if i < 200 || i >= 400 {
			p.say(said("plant/pump", base+i*second, "n", i%10))
		}
	}
	p.settle()
	tr := p.trend("plant/pump", 0, 600*second-1, 10, "n")
	same(t, "step", tr.Step, minute)
	var starts []int64
	for _, b := range tr.Series[0].Buckets {
		starts = append(starts, (b.TS-base)/minute)
	}
	same(t, "a gap is a gap", starts, []int64{0, 1, 2, 3, 6, 7, 8, 9})
	same(t, "a bucket", tr.Series[0].Buckets[0], Bucket{TS: base, Min: 0, Max: 9, Mean: 4.5, Last: 9, Count: 60})
	same(t, "half a bucket", tr.Series[0].Buckets[3], Bucket{TS: base + 3*minute, Min: 0, Max: 9, Mean: 4.5, Last: 9, Count: 20})
	tr = p.trend("plant/pump", 100*second+1, 110*second, 10, "n")
	same(t, "single samples", []any{tr.Step, tr.Series[0].Buckets[0]}, []any{1, Bucket{TS: base + 101*second, Min: 1, Max: 1, Mean: 1, Last: 1, Count: 1}})
	if tr.Seq != p.log.Last() || tr.Epoch != "e1" {
		t.Errorf("seq %d of %s", tr.Seq, tr.Epoch)
	}
}

func TestStepsAreRoundAndFewEnough(t *testing.T) {
	for _, span := range []int64{1, 999, minute, hour, 5 * hour, 24 * hour, 30 * 24 * hour, 365 * 24 * hour} {
		for _, n := range []int{1, 7, 300, 2000} {
			s := step(span, n)
			if s < 1 || s*int64(n) < span {
				t.Errorf("step(%d, %d) = %d: too many buckets", span, n, s)
			}
			if s > minute && s%minute != 0 || s > 6*hour && s%hour != 0 {
				t.Errorf("step(%d, %d) = %d is not round", span, n, s)
			}
			if exact := span / int64(n); exact >= hour && s > exact*12/10+minute {
				t.Errorf("step(%d, %d) = %d is too long", span, n, s)
			}
		}
	}
}

func TestStateAtAMoment(t *testing.T) {
	p := newPlant(t)
	p.say(said("plant/pump", base, "n", 1, "mode", "auto"), said("plant/fan", base+minute, "n", 5))
	p.say(said("plant/pump", base+hour, "n", 2))
	p.settle()
	at := func(which Which, ms int64) []string {
		all, err := p.At(t.Context(), which, time.UnixMilli(base+ms))
		if err != nil {
			t.Fatal(err)
		}
		out := []string{}
		for _, s := range all {
			out = append(out, fmt.Sprintf("%s.%s=%s", s.Thing, s.Property, s.JSON))
		}
		return out
	}
	same(t, "before", at(Which{}, -1), []string{})
	same(t, "first", at(Which{}, 0), []string{`plant/pump.mode="auto"`, "plant/pump.n=1"})
	same(t, "later", at(Which{}, hour-1), []string{"plant/fan.n=5", `plant/pump.mode="auto"`, "plant/pump.n=1"})
	same(t, "newest", at(Which{}, 23*hour), []string{"plant/fan.n=5", `plant/pump.mode="auto"`, "plant/pump.n=2"})
	same(t, "by path", at(Which{Path: "plant/f*"}, hour), []string{})
	same(t, "by pattern", at(Which{Path: "*/fan"}, hour), []string{"plant/fan.n=5"})
	same(t, "in scope", at(Which{Scope: Scope{{"plant/pump", "other/**"}, {"plant/*"}}}, hour), []string{`plant/pump.mode="auto"`, "plant/pump.n=2"})
}

// Samples comes in the order of time, over windows that grow and shrink.
func TestSamplesInOrder(t *testing.T) {
	p := newPlant(t)
	var batch []realtime.Record
	for i := range int64(30_000) {
		batch = append(batch, said("plant/pump", base+i, "n", i))
	}
	p.say(batch...)
	for i := range int64(50) {
		p.say(said("plant/fan", base+i*10*minute, "n", i))
	}
	p.settle()
	last, n := int64(math.MinInt64), 0
	for s, err := range p.Samples(t.Context(), Which{}, time.UnixMilli(base), time.UnixMilli(base+24*hour)) {
		if err != nil || s.TS < last {
			t.Fatalf("%v after %d: %v", s, last, err)
		}
		last, n = s.TS, n+1
	}
	same(t, "samples", n, 30_050)
}

func TestBeforeItIsOpenHistorySaysSo(t *testing.T) {
	h := New(Config{Dir: t.TempDir(), Log: newLog()})
	if _, err := h.Trend(t.Context(), TrendQuery{Thing: "a", Properties: []string{"b"}, From: time.Now().Add(-time.Hour), To: time.Now(), Buckets: 10}); code(err) != realtime.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if err := h.Ready(); err == nil {
		t.Error("ready")
	}
	if status, body := h.Prometheus(t.Context(), "query", "", map[string][]string{"query": {"1"}}, nil); status != 503 || !contains(string(body), "opened") {
		t.Errorf("%d %s", status, body)
	}
}

func TestAnUnknownPropertyIsNamed(t *testing.T) {
	p := newPlant(t)
	_, err := p.Trend(t.Context(), TrendQuery{Thing: "plant/pump", Properties: []string{"speeed"}, From: time.Now().Add(-time.Hour), To: time.Now(), Buckets: 10})
	if code(err) != realtime.CodeNotFound || !contains(err.Error(), "speeed") {
		t.Errorf("got %v", err)
	}
}

func TestScaleOf(t *testing.T) {
	for m, want := range map[float64]float64{0: 1, 0.01: 100, 0.1: 10, 0.05: 20, 0.001: 1000, 1: 1, 5: 1, 0.3: 1, -1: 1, 1e-12: 1} {
		if got := scaleOf(m); got != want {
			t.Errorf("scaleOf(%v) = %v, want %v", m, got, want)
		}
	}
	if !slices.Equal(kindNames[:], []string{"number", "boolean", "string"}) {
		t.Error("the words of the API changed")
	}
}
