package hub

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"echotwin/realtime"
)

// door counts who is inside and says who may come in.
type door struct {
	limits Limits
	now    func() time.Duration

	mu        sync.Mutex
	closed    bool
	in        int
	byUser    map[string]int
	byAddress map[string]int
	refused   map[string]uint64 // by reason

	// How fast they come, in all and from each address of late.
	pace    pace
	paces   map[string]*pace
	sweepAt int // when paces is looked through for those that may be forgotten
}

// A pace is a bucket that drains: how many came of late.
type pace struct {
	came float64
	last time.Duration
}

// burst is how many seconds' worth of connections may come at once.
const burst = 10

// late is how long the next one has to wait at that rate; zero lets it in.
func (p *pace) late(now time.Duration, rate float64) time.Duration {
	p.came = max(0, p.came-rate*(now-p.last).Seconds())
	p.last = now
	if over := p.came + 1 - burst*rate; over > 0 {
		return time.Duration(over / rate * float64(time.Second))
	}
	return 0
}

// minPaces is how many addresses are remembered before any is forgotten.
const minPaces = 1024

// A refusal is why somebody may not come in, and when to try again.
type refusal struct {
	realtime.Problem
	retry time.Duration
}

func newDoor(l Limits, now func() time.Duration) door {
	return door{limits: l, now: now, paces: map[string]*pace{}, sweepAt: minPaces, byUser: map[string]int{}, byAddress: map[string]int{}, refused: map[string]uint64{}}
}

// enter counts a connection in, or says why not.
func (d *door) enter(user, address string) *refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.judge(user, address); r != nil {
		return r
	}
	if r := d.tooFast(address); r != nil {
		return r
	}
	d.in++
	d.byUser[user]++
	d.byAddress[address]++
	return nil
}

// tooFast refuses what comes faster than it may. Only who is let in counts, so
// that a client that is refused gets in once it waits.
func (d *door) tooFast(address string) *refusal {
	now := d.now()
	one := d.paces[address]
	if one == nil {
		one = d.remember(address, now)
	}
	rate, own := d.limits.Accept, d.limits.AcceptPerAddress
	if wait := one.late(now, own); wait > 0 {
		return d.refuse("address_rate", fmt.Sprintf("your address opens connections too fast: at most %v a second, and ten times as many at once", own), own, wait)
	}
	if wait := d.pace.late(now, rate); wait > 0 {
		return d.refuse("rate", fmt.Sprintf("connections come too fast: at most %v a second, and ten times as many at once", rate), rate, wait)
	}
	one.came++
	d.pace.came++
	return nil
}

// remember begins to count an address, and forgets those whose count has
// drained: they are as good as new.
func (d *door) remember(address string, now time.Duration) *pace {
	if len(d.paces) >= d.sweepAt {
		for a, p := range d.paces {
			if p.came <= d.limits.AcceptPerAddress*(now-p.last).Seconds() {
				delete(d.paces, a)
			}
		}
		d.sweepAt = max(minPaces, 2*len(d.paces))
	}
	p := &pace{last: now}
	d.paces[address] = p
	return p
}

func (d *door) refuse(reason, message string, limit float64, wait time.Duration) *refusal {
	d.refused[reason]++
	return &refusal{
		Problem: realtime.Problem{Code: realtime.CodeTooMany, Maximum: &limit, Message: message},
		retry:   wait + time.Second + rand.N(4*time.Second), // or all would be back in one moment
	}
}

// full refuses because there are too many connections: one of them has to end.
func (d *door) full(reason, who string, limit int) *refusal {
	return d.refuse(reason, fmt.Sprintf("%s too many connections: at most %d", who, limit), float64(limit), 4*time.Second+rand.N(time.Second))
}

func (d *door) judge(user, address string) *refusal {
	switch {
	case d.closed:
		d.refused["drain"]++
		return &refusal{Problem: realtime.Problem{Code: realtime.CodeUnavailable, Message: "this server is stopping; come back in a moment"}, retry: 2 * time.Second}
	case d.in >= d.limits.Connections:
		return d.full("all", "the server has", d.limits.Connections)
	case user != "" && d.byUser[user] >= d.limits.PerUser:
		return d.full("user", user+" has", d.limits.PerUser)
	case d.byAddress[address] >= d.limits.PerAddress:
		return d.full("address", "your address has", d.limits.PerAddress)
	}
	return nil
}

// signIn moves a connection that came in unknown to its user, when the user may
// have one more.
func (d *door) signIn(user string) *refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return d.judge(user, "")
	case d.byUser[user] >= d.limits.PerUser:
		return d.full("user", user+" has", d.limits.PerUser)
	}
	d.drop("")
	d.byUser[user]++
	return nil
}

func (d *door) leave(user, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.in--
	d.drop(user)
	if d.byAddress[address]--; d.byAddress[address] == 0 {
		delete(d.byAddress, address)
	}
}

func (d *door) drop(user string) {
	if d.byUser[user]--; d.byUser[user] == 0 {
		delete(d.byUser, user)
	}
}

func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}

func (d *door) inside() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.in
}
