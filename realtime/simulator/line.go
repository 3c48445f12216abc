package simulator

import (
	"encoding/json"
	"math"
	"math/rand/v2"
)

// slice is the longest step of the model, in seconds: a fraction of its
// shortest time constant.
const slice = 0.05

// shiftLength is eight hours; the line begins in the middle of one.
const shiftLength = 8 * 3600.0

// Bottles an hour at which the line would have performed perfectly.
const idealRate = 12_600.0

// A line is the whole plant. It is not safe for concurrent use.
type line struct {
	t      float64 // s since the start
	chance *rand.Rand
	noise  *rand.Rand // apart, so that reading a value changes nothing

	syrup   syrup
	bottles bottles
	belts   [3]conveyor
	plan    plan

	air        float64 // bar
	supply     float64 // m³/h from the compressor
	compressor bool
	leak       float64 // m³/h for each bar
	energy     float64 // kWh in this shift

	throughput float64 // good bottles a second, over the last half minute
	shift      shift
	events     []event
}

// A shift is what OEE is calculated from.
type shift struct {
	length, up   float64 // s
	good, reject float64 // bottles
}

// An event is something that a device says once.
type event struct {
	thing, name string
	data        json.RawMessage
}

// newLine is a line in the middle of a shift, running, with little syrup left.
func newLine(seed uint64) *line {
	l := &line{
		chance: rand.New(rand.NewPCG(seed, 1)),
		noise:  rand.New(rand.NewPCG(seed, 2)),
		syrup:  syrup{tank: tankVolume * 0.228, temp: 18, pump: 0.97, pressure: 3.42, valve: 0.62, flow: 12.4, bowl: 0.7 * bowlVolume},
		belts: [3]conveyor{
			{tag: "CV-01", setpoint: 82, wear: 0.03, size: 1},
			{tag: "CV-02", setpoint: 80, wear: 0.05, size: 1.18},
			{tag: "CV-03", setpoint: 78, wear: 0.04, size: 1},
		},
		air: 6.4, supply: 410, compressor: true, energy: 232,
		throughput: 11_880.0 / 3600,
		shift:      shift{length: 5 * 3600, up: 0.868 * 5 * 3600, good: 51_400, reject: 290},
	}
	l.bottles = bottles{
		depalletiser: machine{nominal: 215.0 / 60, rate: 3.3},
		filler:       machine{nominal: 199.0 / 60, rate: 3.3},
		labeller:     machine{nominal: 206.0 / 60, rate: 3.3},
		packer:       machine{nominal: 212.0 / 60, rate: 3.3},
		on:           [3]buffer{{120, 300}, {20, 260}, {20, 400}},
		faulty:       usual,
		found:        usual,
	}
	for i := range l.belts {
		c := &l.belts[i]
		c.speed = c.setpoint
		c.bearing = c.settles()
		l.bottles.belts[i] = c
	}
	l.plan = l.firstPlan()
	return l
}

// advance calculates the next seconds, in slices.
func (l *line) advance(seconds float64) {
	for seconds > 1e-9 {
		dt := min(seconds, slice)
		l.step(dt)
		seconds -= dt
	}
}

func (l *line) step(dt float64) {
	l.t += dt
	l.misfortune(dt)
	for i := range l.belts {
		l.belts[i].step(dt, l.say(belts[i]))
	}
	before := l.bottles
	l.bottles.step(dt, l.syrup.bowl > 0.05*bowlVolume)
	l.syrup.step(dt, (l.bottles.filled-before.filled)/dt, l.say("tank"))
	l.stepAir(dt)
	l.energy += l.power() * dt / 3600
	l.count(dt, l.bottles.packed-before.packed, l.bottles.rejected-before.rejected)
}

// stepAir fills and empties the receiver of 3 m³.
func (l *line) stepAir(dt float64) {
	b := &l.bottles
	uses := l.air / 6.4 * (90 + 30*(b.depalletiser.rate+b.filler.rate+b.labeller.rate+b.packer.rate)*0.8)
	l.supply += (clamp(900*(6.9-l.air), 0, 500) - l.supply) / 1.5 * dt
	l.air = max(l.air+(l.supply-uses-l.leak*l.air)/3600/3*dt, 0)
	l.compressor = l.supply > 1
}

// power is what the line draws, in kW.
func (l *line) power() float64 {
	b := &l.bottles
	p := 3.3 + 0.6*(b.depalletiser.rate+2*b.filler.rate+b.labeller.rate+1.5*b.packer.rate)
	p += 0.052 * l.supply
	p += 0.55 * l.syrup.current() * 0.6
	for i := range l.belts {
		p += 0.42 * l.belts[i].current()
	}
	return p
}

// count keeps the shift's account.
func (l *line) count(dt, packed, rejected float64) {
	l.throughput += (packed/dt - l.throughput) * min(dt/30, 1)
	s := &l.shift
	s.length += dt
	if l.bottles.packer.rate*3600 > idealRate/5 {
		s.up += dt
	}
	s.good += packed
	s.reject += rejected
	if s.length < shiftLength {
		return
	}
	l.say("line")("shiftStart", struct {
		Bottles int     `json:"bottles"`
		OEE     float64 `json:"oee"`
	}{int(s.good), round(100*s.oee(), 1)})
	*s, l.energy = shift{}, 0
}

func (s *shift) availability() float64 { return share(s.up, s.length) }
func (s *shift) performance() float64  { return share((s.good+s.reject)*3600, s.up*idealRate) }
func (s *shift) quality() float64      { return share(s.good, s.good+s.reject) }
func (s *shift) oee() float64          { return s.availability() * s.performance() * s.quality() }

// share is a part of a whole; of nothing, at a shift's first moment, all.
func share(part, whole float64) float64 {
	if whole <= 0 {
		return 1
	}
	return part / whole
}

// say returns what tells events of one thing.
func (l *line) say(thing string) func(name string, data any) {
	return func(name string, data any) {
		b, err := json.Marshal(data)
		if err == nil { // structs of numbers always encode
			l.events = append(l.events, event{thing, name, b})
		}
	}
}

func clamp(v, lo, hi float64) float64 { return min(max(v, lo), hi) }

func round(v float64, decimals int) float64 {
	p := math.Pow10(decimals)
	return math.Round(v*p) / p
}
