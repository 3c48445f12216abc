package simulator

import (
	"strconv"
	"time"
)

// A message is what one thing says at one moment: a JSON object.
type message struct {
	json   []byte
	gauges map[string]gauge
	l      *line
}

// num adds a value as its instrument shows it: with noise, inside the
// measuring range, rounded.
func (m *message) num(name string, v, noise float64) {
	g, ok := m.gauges[name]
	if !ok {
		return // the tests see to it that every property is described
	}
	if noise > 0 {
		v += noise * m.l.noise.NormFloat64()
	}
	v = round(clamp(v, g.min, g.max), g.decimals) + 0 // and no minus zero
	m.key(name)
	m.json = strconv.AppendFloat(m.json, v, 'f', g.decimals, 64)
}

func (m *message) flag(name string, v bool) {
	m.key(name)
	m.json = strconv.AppendBool(m.json, v)
}

func (m *message) key(name string) {
	m.json = append(m.json, ',', '"')
	m.json = append(m.json, name...)
	m.json = append(m.json, '"', ':')
}

// read is what a thing says now.
func (l *line) read(thing string, s spec, now time.Time) []byte {
	m := &message{json: make([]byte, 0, 160), gauges: s.gauges, l: l}
	m.json = strconv.AppendInt(append(m.json, `{"ts":`...), now.UnixMilli(), 10)
	l.fill(thing, m)
	return append(m.json, '}')
}

func (l *line) fill(thing string, m *message) {
	b, s := &l.bottles, &l.syrup
	switch thing {
	case "line":
		l.readLine(m)
	case "tank":
		m.num("level", s.level(), 0.02)
		m.num("temperature", s.temp, 0.03)
		m.flag("refilling", s.refilling)
	case "pump":
		m.num("pressure", s.pressure, 0.008)
		m.num("speed", 100*s.pump, 0.05)
		m.num("current", s.current(), 0.05)
		m.flag("running", true)
	case "valve":
		m.num("position", 100*s.valve, 0.05)
		m.num("flow", s.flow, 0.01+0.005*s.flow)
	case "depalletiser":
		m.num("rate", 60*b.depalletiser.rate, 0.8)
		m.flag("running", b.depalletiser.rate > 0.2)
	case "rinser":
		m.num("pressure", 3.05-0.06*b.depalletiser.rate, 0.015)
		m.flag("running", b.depalletiser.rate > 0.2)
	case "filler":
		m.num("level", 100*s.bowl/bowlVolume, 0.15)
		m.num("rate", 60*b.filler.rate, 0.5)
		m.num("volume", 998+6*s.bowl/bowlVolume, 0.8)
		m.flag("running", b.filler.running())
	case "capper":
		m.num("torque", 1.82, 0.015)
		m.num("rate", 60*b.filler.rate, 0.5)
		m.flag("running", b.filler.running())
	case "inspection":
		m.num("rejects", 100*b.found, 0.006)
		m.num("rate", 60*b.labeller.rate, 0.5)
		m.flag("running", l.belts[1].fault == "")
	case "labeller":
		if l.t >= l.plan.frozen { // else it says nothing of it, and the value grows old
			m.num("counter", 60*b.labeller.rate, 0.4)
		}
		m.num("reel", 100*l.plan.reel, 0)
		m.flag("running", b.labeller.running())
	case "packer":
		m.num("rate", 60*b.packer.rate/perCase, 0.04)
		m.flag("running", b.packer.rate > 0.2)
	case "air":
		m.num("pressure", l.air, 0.006)
		m.num("flow", l.supply, 1.5)
		m.flag("running", l.compressor)
	case "power":
		m.num("power", l.power(), 0.15)
		m.num("energy", l.energy, 0)
	default:
		for i, name := range belts {
			if name == thing {
				l.readBelt(&l.belts[i], m)
			}
		}
	}
}

func (l *line) readLine(m *message) {
	s := &l.shift
	m.num("throughput", 3600*l.throughput, 18)
	m.num("oee", 100*s.oee(), 0)
	m.num("availability", 100*s.availability(), 0)
	m.num("performance", 100*s.performance(), 0)
	m.num("quality", 100*s.quality(), 0)
	m.num("bottles", s.good, 0)
	m.num("rejected", s.reject, 0)
	m.flag("running", l.bottles.packer.rate > 0.2)
}

func (l *line) readBelt(c *conveyor, m *message) {
	noise := 1.0
	if c.speed < 1 {
		noise = 0.1
	}
	m.num("speed", c.speed, 0.1*noise)
	m.num("speedSetpoint", c.setpoint, 0)
	m.num("current", c.current(), 0.04*noise)
	m.num("temperature", c.bearing, 0.06)
	m.num("vibration", c.vibration(), 0.09*noise)
	m.num("accumulation", 100*c.load, 0.3*noise)
	m.flag("running", c.fault == "")
}
