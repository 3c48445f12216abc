package simulator

import (
	"errors"
	"fmt"
	"math"
)

const (
	hall = 28.0 // °C around the machines

	overheatAt = 75.0 // the limit of the bearing's description
	tripAt     = 88.0 // the drive stops itself
	coolAt     = 65.0 // and starts again

	bearingTau = 180.0 // s, of the bearing and what it sits in
)

// A conveyor is a belt with its drive and its bearing.
type conveyor struct {
	tag      string
	setpoint float64 // %
	speed    float64 // %
	wear     float64 // 0 as new, 1 worn out
	bearing  float64 // °C
	load     float64 // 0 empty, 1 full of waiting bottles
	size     float64 // of its motor, against CV-01's

	fault string  // why it stands, or ""
	left  float64 // s until the fault is over; an overheated one waits for coolAt
	spike float64 // s that the motor still pushes against a jam
	hot   bool    // overheat was told
}

// speedLimits are those of the action's description.
const minSpeed, maxSpeed = 20.0, 100.0

// set obeys a command, or says why not.
func (c *conveyor) set(speed float64) error {
	switch {
	case math.IsNaN(speed) || speed < minSpeed || speed > maxSpeed:
		return fmt.Errorf("speed %v is not between %v and %v %%", speed, minSpeed, maxSpeed)
	case c.fault != "":
		return errors.New(c.tag + " stands: " + c.fault)
	}
	c.setpoint = speed
	return nil
}

func (c *conveyor) stop(why string, seconds float64) { c.fault, c.left = why, seconds }

// step moves the belt on. say tells an event of it.
func (c *conveyor) step(dt float64, say func(name string, data any)) {
	target := c.setpoint
	if c.fault != "" {
		target = 0
	}
	// The drive ramps: in proportion near its target, at most 8 % a second.
	c.speed += clamp((target-c.speed)/1.2, -8, 8) * dt
	c.bearing += (c.settles() - c.bearing) / bearingTau * dt
	c.spike = max(c.spike-dt, 0)
	c.left -= dt
	if c.fault == overheated && c.bearing < coolAt || c.fault != overheated && c.left <= 0 {
		c.fault = ""
	}
	switch {
	case c.bearing > tripAt && c.fault == "":
		c.fault = overheated
		say("overheat", overheat{round(c.bearing, 1), overheatAt, true})
	case c.bearing > overheatAt && !c.hot:
		c.hot = true
		say("overheat", overheat{round(c.bearing, 1), overheatAt, false})
	case c.bearing < overheatAt-2:
		c.hot = false
	}
}

const overheated = "the bearing is too hot"

type overheat struct {
	Temperature float64 `json:"temperature"`
	Limit       float64 `json:"limit"`
	Tripped     bool    `json:"tripped"`
}

// settles is where the bearing's temperature goes at this speed: dry friction
// grows with the speed and viscous friction with its square, both with wear.
func (c *conveyor) settles() float64 {
	s := c.speed / 80
	return hall + 33.4*(0.4*s+0.6*s*s)*(1+0.8*c.wear)
}

func (c *conveyor) current() float64 {
	if c.spike > 0 {
		return 11.4 * c.size
	}
	if c.speed < 0.5 {
		return 0
	}
	return c.size * (2.4 + 0.034*c.speed + 1.3*c.load + 0.3*c.wear)
}

func (c *conveyor) vibration() float64 {
	s := c.speed / 80
	return (0.1 + 0.9*min(s, 1) + 2.2*s*s) * (1 + 0.5*c.wear)
}

// carries is how many bottles a second the belt can bring to its end.
func (c *conveyor) carries() float64 { return 2.55 / 60 * c.speed }
