package twin

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"echotwin/realtime"
)

// promiseFor is how long a place is kept for a thing or a property that was
// promised one and did not come: far longer than the log takes to store what it
// was promised for. If the log could not, the place is free again after it.
const promiseFor = time.Minute

// admission says before something is stored whether it will have a place, so
// that who sent it is told, and not by a counter that nobody looks at. It is
// asked with every sample and holds up neither that nor Apply: who is known is
// read without a lock.
//
// It looks at what this node has promised. Two nodes that fill the last places
// at the same moment may promise one twice; then the log decides, and Stats
// counts what came second.
type admission struct {
	most  int
	known sync.Map // the places of things that are there, by id

	mu       sync.Mutex
	count    int                  // of known
	promised map[string]time.Time // until when: things on their way through the log
	swept    time.Time            // when promises were last looked through
}

// A place is that of one thing.
type place struct {
	props atomic.Int32 // how many properties it has

	mu       sync.Mutex
	promised map[string]time.Time // properties on their way through the log
}

func newAdmission(most int) *admission {
	return &admission{most: most, promised: map[string]time.Time{}}
}

// came notes that a thing is there.
func (a *admission) came(id string) *place {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.promised, id)
	a.count++
	p := &place{}
	a.known.Store(id, p)
	return p
}

// went notes that a thing is gone.
func (a *admission) went(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.known.LoadAndDelete(id); ok {
		a.count--
	}
}

// of is the place of a thing that is there, or nil.
func (a *admission) of(id string) *place {
	if p, ok := a.known.Load(id); ok {
		return p.(*place)
	}
	return nil
}

// take promises a place to a thing that is not there yet. It is false when
// there is none.
func (a *admission) take(id string, now time.Time) bool {
	if a.of(id) != nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.promised[id]
	if !ok && a.count+len(a.promised) >= a.most && now.Sub(a.swept).Abs() >= time.Second {
		a.swept = now
		expire(a.promised, now)
	}
	if ok = ok || a.count+len(a.promised) < a.most || a.of(id) != nil; ok {
		a.promised[id] = now.Add(promiseFor)
	}
	return ok
}

// counted notes how many properties a thing has. It is called by whoever adds or
// removes one.
func (th *thing) counted() { th.place.props.Store(int32(len(th.props))) }

// expire forgets the promises that were not made use of.
func expire(promised map[string]time.Time, now time.Time) {
	for name, until := range promised {
		if now.After(until) {
			delete(promised, name)
		}
	}
}

// Admit says before a sample is stored whether it will be shown. why is nil when
// all of it will be. Otherwise over are the values that have no place in their
// thing, in rising order; none means that the thing itself has no place. What is
// admitted has its place kept until the log brings it.
func (t *Twins) Admit(id string, values []realtime.Value) (over []int, why *realtime.Problem) {
	p := t.admission.of(id)
	if p == nil {
		if !t.admission.take(id, t.cfg.Now()) {
			return nil, t.full()
		}
		p = &place{} // which nobody has yet: its first sample may fill it
	}
	// Half of the places is left for what is on its way, so that not every
	// sample has to be compared with what its thing has.
	if int(p.props.Load())+len(values) <= maxProperties/2 {
		return nil, nil
	}
	if over = t.crowded(id, p, values); len(over) > 0 {
		most := float64(maxProperties)
		why = &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: fmt.Sprintf("%s has %d properties, and no thing may have more: the others are not taken", id, maxProperties)}
	}
	return over, why
}

// crowded promises values their places in a thing and returns those for which
// there is none.
func (t *Twins) crowded(id string, p *place, values []realtime.Value) (over []int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var has map[string]*property
	if th := t.things[id]; th != nil {
		has, p = th.props, th.place
	}
	now := t.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	expire(p.promised, now)
	for name := range p.promised {
		if has[name] != nil {
			delete(p.promised, name)
		}
	}
	for i := range values {
		name := values[i].Name
		if has[name] != nil {
			continue
		}
		if _, ok := p.promised[name]; !ok && len(has)+len(p.promised) >= maxProperties {
			over = append(over, i)
			continue
		}
		if p.promised == nil {
			p.promised = map[string]time.Time{}
		}
		p.promised[name] = now.Add(promiseFor)
	}
	return over
}

// full is the problem of a thing that has no place.
func (t *Twins) full() *realtime.Problem {
	most := float64(t.cfg.MaxThings)
	return &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: fmt.Sprintf("there are %d things, and no more are taken: remove one that is not needed", t.cfg.MaxThings), Reason: "things_many", Args: realtime.Said("max", t.cfg.MaxThings)}
}
