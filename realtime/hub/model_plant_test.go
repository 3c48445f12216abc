package hub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"echotwin/realtime"
)

// A plant is what the model takes for true: the twin and its log. It publishes
// to a hub, and to another one after a restart.
type plant struct {
	ids      []string
	eventful int // how many more facts there are than usual
	hub      atomic.Pointer[Hub]

	mu  sync.RWMutex // guards what follows and is held while something is published
	now *truth
}

// A truth is one log and what it says, up to the day that somebody wipes it.
type truth struct {
	epoch  string
	seq    uint64
	made   int // values, so that no two are alike
	things map[string]map[string]history
	facts  []factRecord
	saved  []realtime.Update // what a restarted hub is told: a checkpoint and the log after it
	store  *modelStore
	tree   *modelTree

	checkpoint  bool   // saved begins with one
	lasting     bool   // nothing is removed
	flat        bool   // no value is an object
	moving      bool   // links change at any time, and not at the beginning only
	removed     uint64 // where something was removed last
	removedThen uint64 // and what it was at the checkpoint
	restarted   uint64 // where the log was when the hub was restarted last
}

// A history is what a property was, oldest first; marks are the properties
// *stale, *quality and *online, and the time of a reading is *ts.
type history []version

// A version is one value and the place from which on it was true; an empty one
// is none. What the time did is just after the place of its update.
type version struct {
	seq, at uint64
	text    string
}

type factRecord struct {
	seq   uint64
	thing string
	name  string
}

func newPlant() *plant {
	p := &plant{}
	for _, site := range []string{"a", "b"} {
		for line := range 3 {
			for unit := range 12 {
				p.ids = append(p.ids, fmt.Sprintf("%s/l%d/u%d", site, line, unit))
			}
		}
		p.ids = append(p.ids, site, site+"/secret", site+"/l0/secret/x")
	}
	return p
}

// begin is a new log.
func (p *plant) begin(w *world) {
	p.now = &truth{epoch: fmt.Sprint("k", w.epochs), things: map[string]map[string]history{}, lasting: w.lasting, flat: w.flat, moving: w.moving, tree: newModelTree(), store: &modelStore{lazy: w.rnd.IntN(3) == 0}}
	for range w.rnd.IntN(4) {
		p.now.link(w.rnd, p.ids, 0)
	}
	p.now.saved = []realtime.Update{{Linked: p.now.tree.all()}}
}

// publish makes one bundle: readings of some things, marks, removals, facts. Or
// it is what the time does, which has no facts and no place of its own.
func (p *plant) publish(rnd *rand.Rand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.now
	bundle := t.seq == 0 || rnd.IntN(8) > 0
	if bundle {
		t.seq++
	}
	u, at := realtime.Update{Seq: t.seq}, t.seq
	if !bundle {
		at++ // just after it
	}
	for t.moving && rnd.IntN(6) == 0 {
		u.Linked = append(u.Linked, t.link(rnd, p.ids, at))
	}
	seen := map[string]bool{}
	for range rnd.IntN(8) {
		if id := p.ids[rnd.IntN(len(p.ids))]; !seen[id] {
			seen[id] = true
			u.Changes = append(u.Changes, t.change(rnd, id, at))
		}
	}
	for i := range rnd.IntN(9) - 5 + p.eventful {
		if !bundle {
			break
		}
		f := event(p.ids[rnd.IntN(len(p.ids))], fmt.Sprintf("e%d-%d", u.Seq, i))
		f.Seq = u.Seq
		u.Facts = append(u.Facts, f)
		t.facts = append(t.facts, factRecord{u.Seq, f.Thing, fmt.Sprintf("e%d-%d", u.Seq, i)})
	}
	t.saved = append(t.saved, u)
	t.store.add(u)
	p.hub.Load().Publish(u)
}

// tell makes one bundle that gives one property of some things a new value. Only
// those are asked for that have told something.
func (p *plant) tell(name string, value func(id, now string) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.now
	t.seq++
	u := realtime.Update{Seq: t.seq}
	for _, id := range p.ids {
		text := value(id, t.things[id][name].newest().text)
		if text == "" || t.things[id]["*ts"].newest().text == "" {
			continue
		}
		t.made++
		c := realtime.Change{Thing: id, Samples: 1, TS: noon.Add(time.Duration(t.made) * time.Millisecond), Values: []realtime.Value{{Name: name, JSON: json.RawMessage(text)}}}
		t.put(id, name, t.seq, text)
		t.put(id, "*ts", t.seq, string(appendTime(nil, c.TS)))
		u.Changes = append(u.Changes, c)
	}
	t.saved = append(t.saved, u)
	t.store.add(u)
	p.hub.Load().Publish(u)
}

func (t *truth) change(rnd *rand.Rand, id string, at uint64) realtime.Change {
	c := realtime.Change{Thing: id}
	th := t.things[id]
	if !t.lasting && rnd.IntN(30) == 0 {
		t.removed = at
		for name := range th {
			t.put(id, name, at, "")
		}
		c.Removed = true
		return c
	}
	for _, name := range []string{"speed", "temperature", "mode", "long", "pose"} {
		fresh := name == "speed" && th["*ts"].newest().text == "" // what is new, or back, has said something
		if !fresh && rnd.IntN(2) == 0 {
			continue
		}
		v := t.value(rnd, name)
		c.Values = append(c.Values, realtime.Value{Name: name, JSON: json.RawMessage(v)})
		if v == "null" {
			v = "" // as JSON Merge Patch has it
		}
		t.put(id, name, at, v)
	}
	if c.Values != nil {
		c.Samples = 1
		c.TS = noon.Add(time.Duration(t.made) * time.Millisecond)
		t.put(id, "*ts", at, string(appendTime(nil, c.TS)))
	}
	if rnd.IntN(4) == 0 {
		c.Marks = t.marks(rnd, id, at)
	}
	return c
}

func (t *truth) value(rnd *rand.Rand, name string) string {
	t.made++
	n := t.made
	switch {
	case rnd.IntN(25) == 0:
		return "null"
	case name == "long":
		return fmt.Sprintf("%q", strings.Repeat(fmt.Sprint(n), 100+rnd.IntN(400)))
	case name == "pose" && !t.flat:
		return []string{
			fmt.Sprintf(`{"x":%d,"y":2}`, n), fmt.Sprintf(`{"x":%d}`, n), fmt.Sprintf(`{"y":{"a":%d,"b":2}}`, n),
			fmt.Sprintf(`{"y":{"a":%d}}`, n), `{}`, `7`}[rnd.IntN(6)]
	}
	return fmt.Sprint(n)
}

func (t *truth) marks(rnd *rand.Rand, id string, at uint64) *realtime.Marks {
	m := &realtime.Marks{Online: []string{"online", "offline"}[rnd.IntN(2)]}
	quality := ""
	if rnd.IntN(2) == 0 {
		m.Stale = []string{"mode", "speed"}[rnd.IntN(2):]
	}
	if rnd.IntN(3) == 0 {
		m.Quality = map[string]string{"temperature": "bad"}
		quality = "temperature=bad"
	}
	t.put(id, "*stale", at, strings.Join(m.Stale, ","))
	t.put(id, "*quality", at, quality)
	t.put(id, "*online", at, m.Online)
	return m
}

func (t *truth) put(id, name string, at uint64, text string) {
	th := t.things[id]
	if th == nil {
		th = map[string]history{}
		t.things[id] = th
	}
	th[name] = append(th[name], version{t.seq, at, text})
}

// newest is the value now.
func (h history) newest() version {
	if len(h) == 0 {
		return version{}
	}
	return h[len(h)-1]
}

// from is what may be on the screen of somebody who has everything up to seq.
func (h history) from(seq uint64) history {
	for i, v := range slices.Backward(h) {
		if v.at <= seq {
			return h[i:]
		}
	}
	return append(history{{}}, h...)
}

func (t *truth) restartedAt(p *plant) uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return t.restarted
}

// save makes a checkpoint, from which on a restarted hub is told the log.
func (t *truth) save() {
	u := realtime.Update{Seq: t.seq, Linked: t.tree.all()}
	for id, th := range t.things {
		c := realtime.Change{Thing: id}
		for name, h := range th {
			v := h.newest()
			if name[0] == '*' || v.text == "" && th["*ts"].newest().text == "" { // of what is gone it says nothing
				continue
			}
			if v.text == "" {
				v.text = "null"
			}
			c.Values = append(c.Values, realtime.Value{Name: name, JSON: json.RawMessage(v.text)})
			c.Seqs = append(c.Seqs, v.at)
		}
		if ts := th["*ts"].newest().text; ts != "" {
			c.TS, _ = time.Parse(`"2006-01-02T15:04:05.000Z"`, ts) // as it was written here
		}
		if online := th["*online"].newest().text; online != "" {
			c.Marks = &realtime.Marks{Online: online}
			if stale := th["*stale"].newest().text; stale != "" {
				c.Marks.Stale = strings.Split(stale, ",")
			}
			if quality := th["*quality"].newest().text; quality != "" {
				c.Marks.Quality = map[string]string{strings.TrimSuffix(quality, "=bad"): "bad"}
			}
		}
		if c.Values != nil || c.Marks != nil {
			u.Changes = append(u.Changes, c)
		}
	}
	slices.SortFunc(u.Changes, func(a, b realtime.Change) int { return strings.Compare(a.Thing, b.Thing) })
	t.saved, t.checkpoint, t.removedThen = []realtime.Update{u}, true, t.removed
}

// forget drops what nobody can ask about any more: everybody has it, and a
// restarted hub does not tell it again.
func (t *truth) forget() {
	if len(t.saved) == 0 {
		return
	}
	from := t.saved[0].Seq
	t.tree.forget(from)
	t.facts = slices.DeleteFunc(t.facts, func(f factRecord) bool { return f.seq <= from })
	for _, th := range t.things {
		for name, h := range th {
			th[name] = slices.Clone(h.from(from))
		}
	}
}
