package twin

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"echotwin/realtime"
)

// A thing is one digital twin.
type thing struct {
	id     string
	td     *description // nil: undescribed
	place  *place       // which it has among all
	props  map[string]*property
	order  []*property // as they came first; nil after one has gone
	next   int         // of order: devices repeat theirs
	online string      // "online", "offline" or "" when the device never said
	newest int64       // ts of the newest reading, ms

	// wasMarked says that marks were told once. A viewer who was away may still
	// have them, so after a start they are told again even when there are none.
	wasMarked bool

	// How it comes and goes, decided by the log alone: see presence.go.
	silent        bool  // all its values were overdue
	guessed       bool  // online is "offline" because of that, not because its device said so
	presenceSaid  int64 // at of the last fact about it, ms
	presenceQuiet int64 // changes since then

	points []*point // what raises alarms about the thing as a whole

	due  int64 // when to look for stale values again, ms; 0 when not in the heap
	slot int   // place in the heap

	served  atomic.Pointer[document] // what TD answers; nil when it must be built again
	news    bool                     // it looks different, and that was not told yet
	listed  bool                     // that it is there was told
	differs bool                     // a device sent what is not described
	was     map[string]any           // how it looked before; nil when nobody wants to know

	// Scratch of Apply: valid when round is that of the bundle being applied.
	round  uint64
	change int  // place in the update's changes
	marked bool // the marks changed
}

// A property is one value of a thing and what is known about it.
type property struct {
	name string
	rank int   // in the order of its thing
	spec *spec // nil: undescribed
	kind kind  // inferred, when undescribed

	value json.RawMessage // never written in place; nil: none yet
	ts    int64           // measured, ms
	at    int64           // arrived, ms
	seq   uint64          // of the reading

	// While the log cannot store, value is what came last, and logged what the log
	// has; nil otherwise.
	logged *kept

	out   bool // value is outside the measuring range
	bad   bool // what came last was of the wrong type
	stale bool
	pace  pace

	desired *Desired // nil: nothing is. Never written in place

	points []*point // what raises alarms about it
	trend  *trend   // of its newest values, when its limits are to be foreseen

	badSaid  int64 // at of the last bad_reading fact, ms
	badQuiet int64 // bad readings since then

	// Scratch of Apply, as in thing.
	round uint64
	place int
}

// fresh is when the value was true at the earliest. A reading from the future
// is a clock that goes wrong: it is as old as its arrival.
func (p *property) fresh() int64 { return min(p.ts, p.at) }

// limit is the age in ms from which on the value is stale, or 0 while unknown.
func (p *property) limit() int64 {
	if p.spec != nil && p.spec.period > 0 {
		return max(periodFactor*p.spec.period, periodFloor)
	}
	return p.pace.limit()
}

// period is how many seconds are expected from reading to reading, and whether
// that was learnt; 0 while unknown.
func (p *property) period() (seconds float64, learnt bool) {
	if p.spec != nil && p.spec.period > 0 {
		return float64(p.spec.period) / 1000, false
	}
	if p.pace.limit() == 0 {
		return 0, false
	}
	return math.Round(p.pace.mean) / 1000, true
}

// deadline is when the value grows stale, in ms, or 0 for never.
func (p *property) deadline() int64 {
	if l := p.limit(); l > 0 && p.value != nil {
		return p.fresh() + l
	}
	return 0
}

// quality is the one word for the value. Age comes first: whatever else is
// wrong, an old value must not be taken for the present.
func (p *property) quality() string {
	switch {
	case p.stale:
		return Stale
	case p.logged != nil:
		return Unlogged
	case p.bad:
		return Bad
	case p.out:
		return OutOfRange
	}
	return Good
}

// judge takes over what the description says about the value there is.
func (p *property) judge() {
	p.out = false
	if p.spec == nil || p.value == nil {
		return
	}
	switch p.spec.judge(p.value) {
	case OutOfRange:
		p.out = true
	case Bad:
		p.bad = true
	}
}

// marks are the thing's marks, whole.
func (th *thing) marks() *realtime.Marks {
	m := &realtime.Marks{Online: th.online}
	for _, p := range th.props {
		switch q := p.quality(); q {
		case Good:
		case Stale:
			m.Stale = append(m.Stale, p.name)
		default:
			if m.Quality == nil {
				m.Quality = map[string]string{}
			}
			m.Quality[p.name] = q
		}
	}
	for name, p := range th.props {
		if p.desired != nil {
			if m.Desired == nil {
				m.Desired = map[string]json.RawMessage{}
			}
			m.Desired[name] = p.desired.Value
		}
	}
	slices.Sort(m.Stale)
	return m
}

// State is the values of one thing with what is known about them.
type State struct {
	Thing       string                   `json:"thing"`
	Title       string                   `json:"title"`
	Online      string                   `json:"online,omitempty"` // "online", "offline"; nothing when the device never said
	Undescribed bool                     `json:"undescribed,omitempty"`
	Seq         uint64                   `json:"seq"` // everything up to here is in it
	Properties  map[string]PropertyState `json:"properties"`
}

// PropertyState is one value. A described property that never came is not in a
// State; one that only ever came with the wrong type has no value.
type PropertyState struct {
	Value       json.RawMessage `json:"value,omitempty"`
	Unit        string          `json:"unit,omitempty"`
	TS          time.Time       `json:"ts,omitzero"` // measured
	At          time.Time       `json:"at,omitzero"` // arrived
	Age         float64         `json:"age"`         // seconds since it was measured
	Seq         uint64          `json:"seq,omitempty"`
	Quality     string          `json:"quality"`
	Title       string          `json:"title,omitempty"`
	Undescribed bool            `json:"undescribed,omitempty"`

	Period  float64  `json:"period,omitempty"`  // seconds expected between readings; 0 while unknown
	Desired *Desired `json:"desired,omitempty"` // what was written and is not reported yet

	Learnt bool `json:"learnt,omitempty"` // the period is a mean of what came, nobody gave it
}

// State is the state of one thing; false when there is no such thing.
func (t *Twins) State(id string) (State, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	th := t.things[id]
	if th == nil {
		return State{}, false
	}
	return t.state(th), true
}

// States is the state of all things that match accepts (nil means all), by id.
func (t *Twins) States(match func(id string) bool) []State {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ids := t.ids(match)
	out := make([]State, len(ids))
	for i, id := range ids {
		out[i] = t.state(t.things[id])
	}
	return out
}

// Property is one value; false when the thing has no such property. It has no
// Value when none came yet.
func (t *Twins) Property(id, name string) (PropertyState, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	th := t.things[id]
	if th == nil || th.props[name] == nil {
		return PropertyState{}, false
	}
	return th.props[name].state(t.cfg.Now()), true
}

// ids are the sorted ids of the things that match accepts.
func (t *Twins) ids(match func(string) bool) []string {
	ids := make([]string, 0, len(t.things))
	for id := range t.things {
		if match == nil || match(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (t *Twins) state(th *thing) State {
	now := t.cfg.Now()
	s := State{Thing: th.id, Title: th.title(), Online: th.online, Undescribed: th.td == nil, Seq: t.seq, Properties: map[string]PropertyState{}}
	for name, p := range th.props {
		if p.value != nil || p.bad || p.desired != nil {
			s.Properties[name] = p.state(now)
		}
	}
	return s
}

func (p *property) state(now time.Time) PropertyState {
	s := PropertyState{Value: slices.Clone(p.value), Seq: p.seq, Quality: p.quality(), Undescribed: p.spec == nil}
	if p.spec != nil {
		s.Title, s.Unit = p.spec.title, p.spec.unit
	}
	s.Desired = p.desired
	s.Period, s.Learnt = p.period()
	if p.value != nil {
		s.TS, s.At = stamp(p.ts), stamp(p.at)
		s.Age = float64(max(now.UnixMilli()-p.fresh(), 0)) / 1000
	}
	return s
}

// title is the description's, or the last part of the id.
func (th *thing) title() string {
	if th.td != nil {
		return th.td.title
	}
	return th.id[strings.LastIndexByte(th.id, '/')+1:]
}

// stamp is the time of ms since 1970.
func stamp(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
