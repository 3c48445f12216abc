package history

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// checkTrends compares what is told with what the samples say, over many ranges.
func (p *plant) checkTrends(what string, rnd *rand.Rand, thing, property string, span int64) {
	p.t.Helper()
	for range 60 {
		from := rnd.Int64N(span)
		to := from + 1 + rnd.Int64N(span-from)
		n := []int{1, 5, 24, 300, 2000}[rnd.IntN(5)]
		tr := p.trend(thing, from, to, n, property)
		s := tr.Series[0]
		want := gatherer{step: tr.Step}
		if err := p.eachSample(p.t.Context(), thing, property, s.kind, tr.From, tr.To, want.add); err != nil {
			p.t.Fatal(err)
		}
		list := want.done()
		if tr.Step == 1 {
			continue // single samples
		}
		if len(s.Buckets) != len(list) {
			p.t.Fatalf("%s: %s from %d to %d step %d: %d buckets, want %d", what, property, from, to, tr.Step, len(s.Buckets), len(list))
		}
		for i, b := range s.Buckets {
			w := list[i]
			if math.Abs(b.Mean-w.Mean) < 1e-9*max(1, math.Abs(w.Mean)) {
				b.Mean = w.Mean // sums of sums round otherwise
			}
			if b != w {
				p.t.Fatalf("%s: %s from %d to %d step %d: bucket %d is %+v, want %+v", what, property, from, to, tr.Step, i, b, w)
			}
		}
	}
}

// fill says something every few seconds.
func (p *plant) fillHours(rnd *rand.Rand, from, to int64) {
	for ts := from; ts < to; ts += 1000 + rnd.Int64N(20_000) {
		r := said("plant/pump", base+ts, "speed", math.Round(rnd.NormFloat64()*1000)/100, "on", rnd.IntN(2) == 0)
		if ts%(3*hour) > hour { // with gaps
			r.Values = append(r.Values, said("", 0, "mode", fmt.Sprint("m", rnd.IntN(3))).Values...)
		}
		p.say(r)
	}
	p.settle()
}

func (p *plant) rollNow() {
	p.t.Helper()
	if err := p.rollOnce(p.t.Context(), true); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) rolls() (names []string) {
	files, err := filepath.Glob(filepath.Join(p.cfg.Dir, "rollups", "*.roll"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	return names
}

// Whatever comes late, is deleted or killed: buckets tell what the samples tell.
func TestBucketsTellWhatTheSamplesTell(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const span = 40 * hour
	p := newPlant(t)
	p.fillHours(rnd, 0, span)
	check := func(what string) {
		t.Helper()
		for _, property := range []string{"speed", "on", "mode"} {
			p.checkTrends(what, rnd, "plant/pump", property, span)
		}
	}
	p.rollNow()
	if n := len(p.rolls()); n < 15 { // one day has become one
		t.Fatalf("there are %d segments: %v", n, p.rolls())
	}
	check("rolled")

	late := func(ts int64, v float64) {
		r := said("plant/pump", base+ts, "speed", v)
		r.At = time.UnixMilli(base + span)
		p.say(r)
	}
	late(5*hour+17, 500)      // in a day
	late(36*hour+5, -500)     // in an hour
	late(30*hour+hour/2, 700) // in another
	p.settle()
	check("late")
	p.restart()
	check("late, after a restart")
	p.rollNow()
	if _, m := p.rollups.snapshot(); len(m.Late) > 0 {
		t.Errorf("marks stay: %v", m.Late)
	}
	check("late and rolled again")
	if b := p.trend("plant/pump", 0, span, 1, "speed").Series[0].Buckets; b[0].Max != 700 && b[len(b)-1].Max != 700 {
		t.Errorf("the late sample is not in it: %+v", b)
	}

	broken := filepath.Join(p.cfg.Dir, "rollups", p.rolls()[0])
	p.stop()
	cut(t, broken, 3)
	p.start()
	check("with a broken file")
	p.rollNow()
	check("with a broken file made again")

	if err := p.Delete(t.Context(), "plant/pump"); err != nil {
		t.Fatal(err)
	}
	p.say(said("plant/pump", base+span+hour/2, "speed", 1))
	p.settle()
	gone := func(what string) {
		t.Helper()
		if b := p.trend("plant/pump", 0, span+hour, 5, "speed").Series[0].Buckets; len(b) != 1 || b[0].Count != 1 {
			t.Errorf("%s: %+v", what, b)
		}
	}
	gone("deleted")
	p.restart()
	gone("deleted, after a restart")
	p.rollNow()
	gone("deleted and rolled again")
	if _, m := p.rollups.snapshot(); len(m.Gone) > 0 {
		t.Errorf("marks stay: %v", m.Gone)
	}
}

// Buckets outlive the samples that they were made of.
func TestBucketsAreKeptLonger(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	p := newPlant(t)
	p.fillHours(rnd, 0, 10*hour)
	p.rollNow()
	before := p.trend("plant/pump", 0, 9*hour-1, 9, "speed").Series[0].Buckets
	p.stop()
	if err := os.RemoveAll(filepath.Join(p.cfg.Dir, "samples")); err != nil {
		t.Fatal(err)
	}
	p.log = newLog()
	p.log.epoch = "e2"
	p.cfg.Log = p.log
	p.cfg.Describe = func(string, string) (Description, bool) { return Description{Type: "number"}, true }
	p.start()
	same(t, "buckets", p.trend("plant/pump", 0, 9*hour-1, 9, "speed").Series[0].Buckets, before)
	if len(before) != 9 {
		t.Errorf("%d buckets", len(before))
	}
}

// A segment is read as it was written, and never as something else.
func TestSegments(t *testing.T) {
	start := floor(base, day)
	path := filepath.Join(t.TempDir(), "x.roll")
	w, err := writeSegment(path, start, start+day)
	if err != nil {
		t.Fatal(err)
	}
	lists := map[string][]Bucket{}
	for i := range 8 {
		var list []Bucket
		for m := range int64(1440) {
			if (m+int64(i))%7 > 0 {
				v := float64(m) / 3
				list = append(list, Bucket{TS: start + m*minute, Min: v, Max: v + float64(i%3), Mean: v * 4, Last: v, Count: 4})
			}
		}
		key := seriesKey(fmt.Sprint("plant/", i), "n", number)
		lists[key] = list
		w.add(key, list)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	o, err := segment{path: path}.open()
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	if o.start != start || o.end != start+day {
		t.Errorf("from %d to %d", o.start, o.end)
	}
	for key, list := range lists {
		for _, level := range levels {
			got, err := o.buckets(key, level)
			if err != nil {
				t.Fatal(err)
			}
			same(t, strings.ReplaceAll(key, "\x00", " "), got, coarser(list, level))
		}
	}
	if got, err := o.buckets("none", hour); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key := seriesKey("plant/0", "n", number)
	for i := 0; i < len(whole); i += 1 + len(whole)/150 {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 0x55
		name := filepath.Join(t.TempDir(), "bad.roll")
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := segment{path: name}.open()
		if err != nil {
			continue
		}
		got, err := o.buckets(key, minute)
		if err == nil && len(got) > 0 && fmt.Sprint(got) != fmt.Sprint(lists[key]) {
			t.Errorf("byte %d is wrong and nobody noticed", i)
		}
		o.close()
	}
}

// Many late samples make few marks.
func TestMarksAreBounded(t *testing.T) {
	r, err := openRollups(t.TempDir(), New(Config{Log: newLog()}).log)
	if err != nil {
		t.Fatal(err)
	}
	r.seal(base + day)
	var batch []sample
	for i := range 3 * maxMarks {
		batch = append(batch, sample{stream: &stream{name: fmt.Sprint(i)}, ts: base + int64(i%5)*hour})
	}
	if err := r.keep(func() error { return nil }, batch); err != nil {
		t.Fatal(err)
	}
	_, m := r.snapshot()
	n := 0
	for _, keys := range m.Late {
		n += len(keys)
	}
	if n > maxMarks+5 || m.Late[base][wholly] == 0 {
		t.Errorf("%d marks", n)
	}
	if _, late, _ := r.covering(base, base+day, "x", "anything"); len(late) != 5 {
		t.Errorf("late hours: %v", late)
	}
}

func TestLateForAnHourThatIsBeingMade(t *testing.T) {
	p := newPlant(t)
	p.fillHours(rand.New(rand.NewPCG(5, 6)), 0, 2*hour)
	p.rollups.seal(base + 2*hour) // it has begun to read
	r := said("plant/pump", base+hour+1, "speed", 900.0)
	r.At = time.UnixMilli(base + 2*hour)
	p.say(r)
	p.settle()
	if _, m := p.rollups.snapshot(); m.Late[base+hour][seriesKey("plant/pump", "speed", number)] != 1 {
		t.Errorf("no mark: %v", m.Late)
	}
}

// A copy that is made while history goes on is a history of its own: late
// samples and buckets are in it, too.
func TestASnapshotIsWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	p := newPlant(t)
	p.fillHours(rnd, 0, 5*hour)
	p.rollNow()
	r := said("plant/pump", base+hour+7, "speed", 999.5, "mode", "rare")
	r.At = time.UnixMilli(base + 5*hour)
	p.say(r)
	p.settle()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := p.Snapshot(dir); err != nil {
		t.Fatal(err)
	}
	q := &plant{t: t, log: p.log, cfg: p.cfg}
	q.cfg.Dir = dir
	q.start()
	for _, property := range []string{"speed", "on", "mode"} {
		same(t, property, q.raw("plant/pump", property), p.raw("plant/pump", property))
		q.checkTrends("copy", rnd, "plant/pump", property, 5*hour)
	}
	if got, want := q.rolls(), p.rolls(); len(got) == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("segments %v, want %v", got, want)
	}
	if s := q.Stats(); s.Samples != 0 {
		t.Errorf("the copy read %d samples from the log again", s.Samples)
	}
}
