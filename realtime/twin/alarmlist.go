package twin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// An AlarmQuery says which alarms are asked for.
type AlarmQuery struct {
	See        func(thing string) bool // nil is all
	State      string                  // "", "active", "unacked", "shelved" or "suppressed"
	Priorities []int                   // nil is all
}

func (q *AlarmQuery) wants(al *alarm) bool {
	if q.See != nil && !q.See(al.Thing) || q.Priorities != nil && !slices.Contains(q.Priorities, al.Priority) {
		return false
	}
	switch q.State {
	case "shelved":
		return al.Shelved != nil
	case "suppressed":
		return al.Suppressed && al.Stands()
	case "active":
		return al.Active() && !al.Quiet()
	case "unacked":
		return al.Unacked() && !al.Quiet()
	}
	return al.Stands()
}

// Alarms are those that stand and that q wants, by priority, then the newest
// first. With the state shelved those are among them that were shelved and stand
// no more. The states active and unacked leave out what is shelved or suppressed.
func (t *Twins) Alarms(q AlarmQuery) []realtime.AlarmState {
	t.mu.RLock()
	out := make([]realtime.AlarmState, 0, min(t.alarms.standing, 1000))
	for _, al := range t.alarms.byID {
		if q.wants(al) {
			out = append(out, al.told())
		}
	}
	t.mu.RUnlock()
	slices.SortFunc(out, func(a, b realtime.AlarmState) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), b.Raised.Compare(a.Raised), strings.Compare(a.ID, b.ID))
	})
	return out
}

// AlarmState is one alarm; false when it is not known, or no more.
func (t *Twins) AlarmState(id string) (realtime.AlarmState, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	al := t.alarms.byID[id]
	if al == nil {
		return realtime.AlarmState{}, false
	}
	return al.told(), true
}

// An AlarmCount is how many alarms there are.
type AlarmCount struct {
	Active  int `json:"active"`
	Unacked int `json:"unacked"`
}

// take counts one more alarm.
func (c *AlarmCount) take(al *alarm) {
	if al.Active() {
		c.Active++
	}
	if al.Unacked() {
		c.Unacked++
	}
}

// An AlarmSummary counts alarms. What is shelved or suppressed is counted there
// and nowhere else.
type AlarmSummary struct {
	AlarmCount
	Shelved    int                   `json:"shelved"`
	Suppressed int                   `json:"suppressed"`
	Priorities map[string]AlarmCount `json:"priorities"`
	Flood      bool                  `json:"flood,omitempty"` // more were raised just now than anybody can read

	// Things are those with alarms, the most urgent and then the ones with most
	// alarms first, at most maxGroups; MoreThings says how many more there are.
	Things     []AlarmGroup `json:"things"`
	MoreThings int          `json:"moreThings,omitempty"`
}

// An AlarmGroup counts the alarms of one thing.
type AlarmGroup struct {
	Thing string `json:"thing"`
	AlarmCount
	Priority int       `json:"priority"` // the most urgent
	Message  string    `json:"message"`  // of the newest of that priority
	Raised   time.Time `json:"raised"`   // when that was
}

// maxGroups is how many things one can take in at a look.
const maxGroups = 20

// take counts one more alarm.
func (g *AlarmGroup) take(al *alarm) {
	g.AlarmCount.take(al)
	if g.Thing == "" || al.Priority < g.Priority || al.Priority == g.Priority && al.Raised.After(g.Raised) {
		g.Thing, g.Priority, g.Message, g.Raised = al.Thing, al.Priority, al.Message, al.Raised
	}
}

// grouped puts the groups in their order.
func (s *AlarmSummary) grouped(groups map[string]*AlarmGroup) {
	s.Things = make([]AlarmGroup, 0, len(groups))
	for _, g := range groups {
		s.Things = append(s.Things, *g)
	}
	slices.SortFunc(s.Things, func(a, b AlarmGroup) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Unacked, a.Unacked), cmp.Compare(b.Active, a.Active), strings.Compare(a.Thing, b.Thing))
	})
	if n := len(s.Things) - maxGroups; n > 0 {
		s.Things, s.MoreThings = s.Things[:maxGroups], n
	}
}

// AlarmSummary counts the alarms of the things that see accepts; nil means all.
func (t *Twins) AlarmSummary(see func(thing string) bool) AlarmSummary {
	s := AlarmSummary{Priorities: map[string]AlarmCount{"1": {}, "2": {}, "3": {}, "4": {}}}
	groups := map[string]*AlarmGroup{}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, al := range t.alarms.byID {
		if see != nil && !see(al.Thing) {
			continue
		}
		switch {
		case al.Shelved != nil:
			s.Shelved++
			continue
		case !al.Stands():
			continue
		case al.Suppressed:
			s.Suppressed++
			continue
		}
		if groups[al.Thing] == nil {
			groups[al.Thing] = &AlarmGroup{}
		}
		groups[al.Thing].take(al)
		p := fmt.Sprint(al.Priority)
		c := s.Priorities[p]
		c.take(al)
		s.Priorities[p] = c
		s.AlarmCount.take(al)
	}
	s.grouped(groups)
	s.Flood = t.alarms.flood(t.cfg.Now().UnixMilli())
	return s
}
