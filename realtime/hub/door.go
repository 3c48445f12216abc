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

	mu        sync.Mutex
	closed    bool
	in        int
	byUser    map[string]int
	byAddress map[string]int
	refused   map[string]uint64 // by reason
}

// A refusal is why somebody may not come in, and when to try again.
type refusal struct {
	realtime.Problem
	retry time.Duration
}

func newDoor(l Limits) door {
	return door{limits: l, byUser: map[string]int{}, byAddress: map[string]int{}, refused: map[string]uint64{}}
}

// enter counts a connection in, or says why not.
func (d *door) enter(user, address string) *refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.judge(user, address)
	if r != nil {
		return r
	}
	d.in++
	d.byUser[user]++
	d.byAddress[address]++
	return nil
}

func (d *door) judge(user, address string) *refusal {
	full := func(reason, who string, limit int) *refusal {
		d.refused[reason]++
		most := float64(limit)
		return &refusal{
			Problem: realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: fmt.Sprintf("%s too many connections: at most %d", who, limit)},
			retry:   5*time.Second + rand.N(5*time.Second),
		}
	}
	switch {
	case d.closed:
		d.refused["drain"]++
		return &refusal{Problem: realtime.Problem{Code: realtime.CodeUnavailable, Message: "this server is stopping; come back in a moment"}, retry: 2 * time.Second}
	case d.in >= d.limits.Connections:
		return full("all", "the server has", d.limits.Connections)
	case user != "" && d.byUser[user] >= d.limits.PerUser:
		return full("user", user+" has", d.limits.PerUser)
	case d.byAddress[address] >= d.limits.PerAddress:
		return full("address", "your address has", d.limits.PerAddress)
	}
	return nil
}

// signIn moves a connection that came in unknown to its user, when the user may
// have one more.
func (d *door) signIn(user, address string) *refusal {
	d.leave("", address)
	if r := d.enter(user, address); r != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.in++
		d.byUser[""]++
		d.byAddress[address]++
		return r
	}
	return nil
}

func (d *door) leave(user, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.in--
	if d.byUser[user]--; d.byUser[user] == 0 {
		delete(d.byUser, user)
	}
	if d.byAddress[address]--; d.byAddress[address] == 0 {
		delete(d.byAddress, address)
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
