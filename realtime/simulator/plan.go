package simulator

// usual is the share of bottles that are bad when nothing is wrong.
const usual = 0.0043

// A plan is when the next of each misfortune comes, in seconds of the line.
type plan struct {
	microstop, wear, leak, freeze, jam float64

	grease   float64 // when somebody greases the worn bearing; 0 when it needs none
	leakEnds float64
	hose     float64 // when an air hose comes off next
	hoseOff  bool    // and is off, until somebody shuts its valve
	frozen   float64 // until when the labeller's counter says nothing
	scrap    float64 // until when the inspection finds more
	reel     float64 // share of the labels left
}

func (l *line) between(from, to float64) float64 { return from + (to-from)*l.chance.Float64() }

// firstPlan puts one of nearly everything into the first ten minutes, apart
// from each other, so that a newcomer sees what the line can show.
func (l *line) firstPlan() plan {
	return plan{
		wear:      l.between(30, 60),
		microstop: l.between(90, 130),
		hose:      l.between(32, 38),
		leak:      l.between(150, 200),
		freeze:    l.between(270, 330),
		jam:       l.between(780, 1500),
		reel:      l.between(0.55, 0.7),
	}
}

// misfortune lets happen what is due.
func (l *line) misfortune(dt float64) {
	p := &l.plan
	if l.t >= p.microstop {
		p.microstop = l.t + l.between(300, 600)
		l.microstop()
	}
	l.wearOut(dt)
	if l.t >= p.leak {
		p.leak, p.leakEnds = l.t+l.between(3600, 6000), l.t+l.between(420, 600)
	}
	l.leak = 0
	if l.t < p.leakEnds {
		l.leak = 25
	}
	l.loseHose()
	if l.t >= p.freeze {
		p.freeze, p.frozen = l.t+l.between(900, 1800), l.t+l.between(25, 50)
	}
	if l.t >= p.jam {
		p.jam = l.t + l.between(1800, 3600)
		l.jam([]int{0, 2}[l.chance.IntN(2)])
	}
	l.changeReel(dt)
	l.bottles.faulty = usual
	if l.t < p.scrap {
		l.bottles.faulty = 0.012
	}
}

var reasons = []string{"fallen bottle at the infeed", "cap missing at the transfer", "guard opened"}

// microstop stops the filler for moments; what it had begun is often scrap.
func (l *line) microstop() {
	m := &l.bottles.filler
	m.stopped = l.between(12, 30)
	l.plan.scrap = l.t + m.stopped + 45
	l.say("filler")("microstop", struct {
		Reason string `json:"reason"`
	}{reasons[l.chance.IntN(len(reasons))]})
}

type seconds struct {
	Seconds float64 `json:"seconds"`
}

// wearOut lets CV-02's bearing lose its grease in four minutes, until
// somebody greases it at a stop.
func (l *line) wearOut(dt float64) {
	p, c := &l.plan, &l.belts[1]
	if l.t >= p.wear {
		c.wear = min(c.wear+0.8/240*dt, 0.85)
		if p.grease == 0 {
			p.grease = l.t + l.between(1500, 2100)
		}
	}
	if p.grease > 0 && l.t >= p.grease {
		p.grease, p.wear = 0, l.t+l.between(3600, 6600)
		c.wear = 0.05
		c.stop("the bearing is being greased", l.between(60, 100))
		l.say(belts[1])("greased", seconds{round(c.left, 0)})
	}
}

// jam stops a belt after its motor has pushed for two seconds.
func (l *line) jam(i int) {
	c := &l.belts[i]
	if c.fault != "" {
		return
	}
	c.spike = 2
	c.stop("jammed", l.between(20, 40))
	l.say(belts[i])("jam", struct {
		Current float64 `json:"current"`
	}{round(c.current(), 1)})
}

// loseHose lets an air hose come off. It takes more than the compressor gives; who
// hears it shuts its valve before the machines stop, and the receiver fills again.
func (l *line) loseHose() {
	p := &l.plan
	if l.t >= p.hose {
		p.hoseOff, p.hose = true, l.t+l.between(1500, 2700)
	}
	if p.hoseOff {
		l.leak += hoseLeak
		p.hoseOff = l.air > hoseHeard
	}
}

const (
	hoseLeak  = 150.0 // m³/h for each bar
	hoseHeard = 5.6   // bar at which somebody has found it
)

// changeReel uses up labels: a reel is good for 9,000 bottles.
func (l *line) changeReel(dt float64) {
	p, m := &l.plan, &l.bottles.labeller
	p.reel -= m.rate * dt / 9000
	if p.reel <= 0 {
		p.reel = 1
		m.stopped = l.between(40, 70)
		l.say("labeller")("rollChange", seconds{round(m.stopped, 0)})
	}
}
