package simulator

import "math"

const (
	tankVolume = 32.0  // m³
	bowlVolume = 250.0 // L
	perBottle  = 1.04  // L of syrup, what drips included

	refillBelow, refillUntil = 18.0, 85.0 // %
	refillFlow               = 40.0       // m³/h
	refillTemp               = 12.0       // °C
)

// syrup is the way of the liquid: tank, pump, valve and the filler's bowl.
type syrup struct {
	tank      float64 // m³
	temp      float64 // °C
	refilling bool

	pump     float64 // speed, 0 to 1
	pressure float64 // bar, behind the pump
	valve    float64 // position, 0 to 1
	flow     float64 // m³/h, into the bowl
	bowl     float64 // L

	came, drawn float64 // m³ into and out of the tank so far
}

func (s *syrup) level() float64 { return 100 * s.tank / tankVolume }

// step moves the liquid on while the filler takes so many bottles a second.
func (s *syrup) step(dt, bottles float64, say func(name string, data any)) {
	// The valve follows what the filler takes and corrects for the bowl's level.
	takes := bottles * perBottle * 3.6 // m³/h
	want := clamp(0.62*takes/12.4+2*(0.7-s.bowl/bowlVolume), 0, 1)
	s.valve += clamp((want-s.valve)/0.8, -0.5, 0.5) * dt

	// The pump holds 3.42 bar: a head that falls with the square of the flow.
	s.pump = clamp(s.pump+clamp(0.4*(3.42-s.pressure), -0.2, 0.2)*dt, 0.3, 1)
	head := 5.2*s.pump*s.pump - 0.01*s.flow*s.flow + 0.3*s.tank/tankVolume
	through := 11.15 * s.valve * math.Sqrt(max(s.pressure-0.2, 0))
	if s.tank < 0.05 { // it draws air
		head, through = 0, 0
	}
	s.pressure += (max(head, 0) - s.pressure) / 0.3 * dt
	s.flow += (through - s.flow) / 0.5 * dt

	out := min(s.flow/3600*dt, s.tank)
	s.tank -= out
	s.drawn += out
	s.bowl = clamp(s.bowl+1000*out-bottles*perBottle*dt, 0, bowlVolume)
	s.refill(dt, say)
	s.temp += (20 - s.temp) / 7200 * dt
}

func (s *syrup) refill(dt float64, say func(name string, data any)) {
	switch {
	case !s.refilling && s.level() < refillBelow:
		s.refilling = true
		say("refill", struct {
			Level float64 `json:"level"`
		}{round(s.level(), 1)})
	case s.level() > refillUntil:
		s.refilling = false
	}
	if !s.refilling {
		return
	}
	in := refillFlow / 3600 * dt
	s.temp += (refillTemp - s.temp) * in / (s.tank + in)
	s.tank += in
	s.came += in
}

// current is the pump motor's, in A.
func (s *syrup) current() float64 {
	return 3 + 2.5*s.pump*s.pump*s.pump + 0.15*s.pressure*s.flow
}
