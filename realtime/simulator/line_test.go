package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func isClose(a, b, within float64) bool { return math.Abs(a-b) <= within }

// calm is a line on which nothing goes wrong.
func calm() *line {
	l := newLine(1)
	never := math.Inf(1)
	l.plan = plan{microstop: never, wear: never, leak: never, hose: never, freeze: never, jam: never, reel: 1e6}
	return l
}

func TestSameSeedSameLine(t *testing.T) {
	run := func(seed uint64) string {
		l, all := newLine(seed), mustSpecs(t)
		var out strings.Builder
		for i := range 600 {
			l.advance(2)
			for _, n := range names {
				out.Write(l.read(n, all[n], time.UnixMilli(int64(i))))
			}
		}
		for _, e := range l.events {
			fmt.Fprintln(&out, e.thing, e.name, string(e.data))
		}
		return out.String()
	}
	if run(7) != run(7) {
		t.Error("two lines of one seed differ")
	}
	if run(7) == run(8) {
		t.Error("lines of two seeds are the same")
	}
}

// Reading may not change what happens: noise has its own chance.
func TestReadingChangesNothing(t *testing.T) {
	a, b, all := newLine(3), newLine(3), mustSpecs(t)
	for range 400 {
		a.advance(5)
		b.advance(5)
		for _, n := range names {
			b.read(n, all[n], time.Now())
		}
	}
	if a.belts != b.belts || a.syrup != b.syrup || a.plan != b.plan {
		t.Error("a line that was looked at went another way")
	}
}

func TestSyrupIsConserved(t *testing.T) {
	l := newLine(2)
	tank, bowl := l.syrup.tank, l.syrup.bowl
	for range 3600 {
		l.advance(1)
		s := &l.syrup
		if got := tank + s.came - s.drawn; !isClose(got, s.tank, 1e-9) {
			t.Fatalf("at %.0f s the tank holds %v m³, in and out make %v", l.t, s.tank, got)
		}
		if got := bowl + 1000*s.drawn - perBottle*l.bottles.filled; !isClose(got, s.bowl, 1e-6) {
			t.Fatalf("at %.0f s the bowl holds %v L, in and out make %v", l.t, s.bowl, got)
		}
	}
	if l.syrup.came == 0 {
		t.Error("the tank was never refilled")
	}
}

func TestBottlesAreConserved(t *testing.T) {
	l := newLine(5)
	b := &l.bottles
	held := func() float64 { return b.on[0].n + b.on[1].n + b.on[2].n }
	begin := held()
	for range 3 * 3600 {
		l.advance(1)
		if got, want := held(), begin+b.swept-b.packed-b.rejected; !isClose(got, want, 1e-6) {
			t.Fatalf("at %.0f s the belts hold %v bottles, in and out make %v", l.t, got, want)
		}
		for i, o := range b.on {
			if o.n < -1e-9 || o.n > o.room+1e-9 {
				t.Fatalf("at %.0f s belt %d holds %v of %v", l.t, i+1, o.n, o.room)
			}
		}
	}
}

func TestThroughputFollowsTheSlowest(t *testing.T) {
	l := calm()
	l.advance(600)
	full := 3600 * l.throughput
	if !isClose(full, 11_890, 60) {
		t.Errorf("all is well and %.0f bottles an hour are made, want the filler's 11,890", full)
	}
	if err := l.belts[1].set(60); err != nil {
		t.Fatal(err)
	}
	l.advance(240)
	if got := 3600 * l.throughput; !isClose(got, 2.55*60*60*(1-usual), 60) {
		t.Errorf("CV-02 at 60 %% and %.0f bottles an hour, want what CV-02 carries, 9,140", got)
	}
	if l.belts[1].load < 0.5 {
		t.Errorf("CV-02 is %.0f %% full: nothing waits before the slowest", 100*l.belts[1].load)
	}
	l.advance(600)
	if f := 60 * l.bottles.filler.rate; !isClose(f, 153, 3) {
		t.Errorf("the filler still makes %.0f a minute with the belt behind it full", f)
	}
	l.belts[1].set(100)
	l.advance(900)
	if got := 3600 * l.throughput; !isClose(got, full, 60) {
		t.Errorf("%.0f bottles an hour after CV-02 is fast again, want %.0f", got, full)
	}
}

func TestSlowerIsCooler(t *testing.T) {
	l := calm()
	c := &l.belts[1]
	c.wear = 0.85
	l.advance(1800)
	hot := c.bearing
	if hot < overheatAt+5 || hot > tripAt {
		t.Fatalf("a worn bearing at 80 %% settles at %.1f °C, want above its limit and below the trip", hot)
	}
	c.set(60)
	l.advance(10)
	if !isClose(c.speed, 60, 1) {
		t.Errorf("after 10 s the belt is at %.1f %%, want 60", c.speed)
	}
	if c.bearing < hot-2 {
		t.Errorf("the bearing fell by %.1f °C in 10 s: it has mass", hot-c.bearing)
	}
	l.advance(170)
	if c.bearing > overheatAt {
		t.Errorf("after 3 min at 60 %% it is %.1f °C, want below %v", c.bearing, overheatAt)
	}
	l.advance(1800)
	if !isClose(c.bearing, c.settles(), 0.2) || c.bearing < hall+20 {
		t.Errorf("it ends at %.1f °C, want %.1f", c.bearing, c.settles())
	}
}

func TestWornBearingAtFullSpeedTrips(t *testing.T) {
	l := calm()
	c := &l.belts[1]
	c.wear = 0.85
	c.set(100)
	for range 3600 {
		if l.advance(1); c.fault != "" {
			break
		}
	}
	if c.fault != overheated {
		t.Fatalf("at %.1f °C the drive still runs", c.bearing)
	}
	if err := c.set(50); err == nil || !strings.Contains(err.Error(), "CV-02 stands") {
		t.Errorf("a tripped drive obeys: %v", err)
	}
	l.advance(25)
	if l.belts[1].speed > 1 || l.bottles.labeller.rate > 0.5 {
		t.Errorf("the belt stands at %.0f %% with %.1f bottles a second behind it", c.speed, l.bottles.labeller.rate)
	}
	for range 1200 {
		if l.advance(1); c.fault == "" {
			break
		}
	}
	if c.fault != "" || c.bearing > coolAt {
		t.Errorf("at %.1f °C it stands: %q", c.bearing, c.fault)
	}
}

func TestSpeedLimits(t *testing.T) {
	for _, tt := range []struct {
		speed float64
		ok    bool
	}{{20, true}, {100, true}, {60.5, true}, {19.9, false}, {100.1, false}, {-1, false}, {math.NaN(), false}, {math.Inf(1), false}} {
		c := conveyor{setpoint: 80}
		if err := c.set(tt.speed); (err == nil) != tt.ok {
			t.Errorf("set(%v) = %v, want ok %v", tt.speed, err, tt.ok)
		} else if !tt.ok && c.setpoint != 80 {
			t.Errorf("a refused speed of %v is the setpoint", tt.speed)
		}
	}
}

// What a newcomer sees in the first ten minutes, whatever the seed.
func TestFirstTenMinutes(t *testing.T) {
	for seed := range uint64(20) {
		l := newLine(seed)
		var overheat, lowAir, lowTank, frozen float64
		note := func(at *float64, now bool) {
			if now && *at == 0 {
				*at = l.t
			}
		}
		low := math.Inf(1)
		for range 600 {
			l.advance(1)
			note(&overheat, l.belts[1].bearing > overheatAt)
			note(&lowAir, l.air < 5.8)
			note(&lowTank, l.syrup.level() < 20)
			note(&frozen, l.t < l.plan.frozen)
			low = min(low, 3600*l.throughput)
		}
		if overheat == 0 || lowAir == 0 || lowTank == 0 || frozen == 0 {
			t.Errorf("seed %d: bearing hot at %.0f s, air low at %.0f s, tank low at %.0f s, counter stale at %.0f s; want all of them", seed, overheat, lowAir, lowTank, frozen)
		}
		if low > 11_000 || low < 3_000 {
			t.Errorf("seed %d: the lowest throughput is %.0f, want a dip and no standstill", seed, low)
		}
		if oee := 100 * l.shift.oee(); oee < 75 || oee > 90 {
			t.Errorf("seed %d: OEE %.1f", seed, oee)
		}
		if l.belts[1].fault != "" {
			t.Errorf("seed %d: CV-02 stands (%s) though nobody touched it", seed, l.belts[1].fault)
		}
	}
}

func TestShiftBeginsAnew(t *testing.T) {
	l := newLine(4)
	l.advance(3*3600 + 1)
	if l.shift.length > 60 || l.energy > 5 {
		t.Errorf("eight hours are over and the shift has %+v and %.0f kWh", l.shift, l.energy)
	}
	if !slices.ContainsFunc(l.events, func(e event) bool { return e.thing == "line" && e.name == "shiftStart" }) {
		t.Error("nobody said that a shift has begun")
	}
}

func mustSpecs(t *testing.T) map[string]spec {
	t.Helper()
	all, err := specs()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// An hour and more of every kind of trouble: what is published is what is
// described, no less and no more, inside its range, and mostly at work.
func TestWhatIsPublishedIsWhatIsDescribed(t *testing.T) {
	all := mustSpecs(t)
	types := propertyTypes(t)
	seen := map[string]map[string]bool{}
	readings := 0
	for _, n := range names {
		seen[n] = map[string]bool{}
		readings += len(all[n].gauges)
		if p := all[n].period; p < 100*time.Millisecond || p > 500*time.Millisecond {
			t.Errorf("%s speaks every %v, want 2 to 10 Hz", n, p)
		}
	}
	if readings < 40 {
		t.Errorf("%d readings, want 40 or more", readings)
	}
	for seed := range uint64(3) {
		l := newLine(seed)
		for range 2 * 3600 {
			l.advance(1)
			for _, n := range names {
				check(t, n, l.read(n, all[n], time.UnixMilli(1)), all[n], types[n], seen[n])
			}
			if l.t > 900 && l.t < 901 { // an operator, too
				l.belts[1].set(100)
			}
		}
	}
	for _, n := range names {
		for p := range all[n].gauges {
			if !seen[n][p] {
				t.Errorf("%s#%s is described and never published", n, p)
			}
		}
	}
}

func check(t *testing.T, thing string, msg []byte, s spec, types map[string]string, seen map[string]bool) {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(msg, &m); err != nil {
		t.Fatalf("%s: %v in %s", thing, err, msg)
	}
	if m["ts"] != 1.0 {
		t.Fatalf("%s: no ts in %s", thing, msg)
	}
	delete(m, "ts")
	for name, v := range m {
		g, ok := s.gauges[name]
		if !ok {
			t.Fatalf("%s#%s is published and not described", thing, name)
		}
		seen[name] = true
		f, number := v.(float64)
		switch want := types[name]; {
		case (want == "boolean") == number:
			t.Fatalf("%s#%s is %v, want a %s", thing, name, v, want)
		case number && (f < g.min || f > g.max):
			t.Fatalf("%s#%s is %v, outside %v to %v", thing, name, f, g.min, g.max)
		case number && !isClose(f, round(f, g.decimals), 1e-9):
			t.Fatalf("%s#%s is %v, want %d decimals", thing, name, f, g.decimals)
		}
	}
}

// The fastest way to a wrong screen is a range that the value leaves: the
// transmitter clamps it, so the model must stay inside by itself.
func TestModelStaysInsideItsInstruments(t *testing.T) {
	all := mustSpecs(t)
	l := newLine(9)
	for name, s := range all {
		for p, g := range s.gauges {
			s.gauges[p] = gauge{math.Inf(-1), math.Inf(1), g.decimals}
		}
		all[name] = s
	}
	limits := mustSpecs(t)
	for range 3600 {
		l.advance(2)
		for _, n := range names {
			var m map[string]any
			if err := json.Unmarshal(l.read(n, all[n], time.Now()), &m); err != nil {
				t.Fatal(err)
			}
			for p, v := range m {
				g := limits[n].gauges[p]
				slack := (g.max - g.min) / 100 // noise around an end of the range
				if f, ok := v.(float64); ok && p != "ts" && (f < g.min-slack || f > g.max+slack) {
					t.Fatalf("at %.0f s %s#%s is %v, outside %v to %v", l.t, n, p, f, g.min, g.max)
				}
			}
		}
	}
}

func TestEventsAreAsDescribed(t *testing.T) {
	described := map[string]map[string]any{} // thing/name → members of its data
	for n, td := range descriptions(t) {
		for name, e := range object(td["events"]) {
			described[n+"/"+name] = object(object(object(e)["data"])["properties"])
		}
	}
	seen := map[string]bool{}
	for seed := range uint64(4) {
		l := newLine(seed)
		l.advance(2 * 3600)
		l.belts[1].wear = 0.85
		l.belts[1].set(100)
		l.advance(3600 + 600)
		for _, e := range l.events {
			key := e.thing + "/" + e.name
			var data map[string]any
			if err := json.Unmarshal(e.data, &data); err != nil {
				t.Fatal(err)
			}
			want := described[key]
			if want == nil {
				t.Fatalf("event %s is not described", key)
			}
			for m, v := range data {
				kind := object(want[m])["type"]
				if got := jsonType(v); got != kind && (kind != "integer" || got != "number") {
					t.Errorf("event %s: %s is %v, described as %v", key, m, v, kind)
				}
			}
			if len(data) != len(want) {
				t.Errorf("event %s has %s, described are %v", key, e.data, reflect.ValueOf(want).MapKeys())
			}
			seen[strings.TrimRight(key, "-123")] = true
			seen[e.name] = true
		}
	}
	for key := range described {
		if _, name, _ := strings.Cut(key, "/"); !seen[name] {
			t.Errorf("event %s is described and never happens", key)
		}
	}
}

func jsonType(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	}
	return "object"
}

// Somebody who has just started the line sees an alarm come and go within a
// minute and a half, by its physics: the pressure is below its limit for longer
// than the alarm waits, and back beyond its hysteresis.
func TestTheFirstAlarmComesAndGoesSoon(t *testing.T) {
	const limit, hysteresis, delay = 5.8, 0.17, 1.0 // of things/air.json
	for seed := range uint64(50) {
		l := newLine(seed)
		var below, above float64
		for l.t < 120 && above == 0 {
			l.advance(0.25)
			switch {
			case below == 0 && l.air < limit:
				below = l.t
			case below > 0 && l.air > limit+hysteresis:
				above = l.t
			}
		}
		if below < 30 || below > 60 || above < below+delay+3 || above > 85 {
			t.Errorf("seed %d: below the limit at %.1f s, above it again at %.1f s", seed, below, above)
		}
	}
}
