package hub

import (
	"slices"
	"strings"
	"time"

	"echotwin/realtime"
)

// A thing is the newest state of one device, as it is sent. It is written by
// Publish and by rounds under Hub.mu, and read by shards under its read lock.
type thing struct {
	id     string
	ts     []byte // of its newest reading, as JSON; nil before the first
	props  []prop
	next   int // where the next value is looked for first: devices repeat their order
	marks  marks
	ver    uint64 // newest round with a change
	seq    uint64 // of the newest change
	joined since  // when it came, came back, or came to stand below another place
	gone   bool   // removed; its properties are kept as deleted
	open   int    // its entry in the open round, when ver is that round
	groups []*group
	seats  []seat // where it is in each
	frag   frag

	// stamps has one place for each shard, so that a shard can see whether a
	// thing is in the frame already.
	stamps []uint64
}

// A seat is where a thing is in a group.
type seat struct {
	at  int // among its things
	log int // in its log; -1 before it is there

	joined since // when it came, or came back
	born   bool  // it was there when the group began
}

// A prop is one property. A nil value is deleted.
type prop struct {
	name  string
	key   string // "name":
	value []byte
	patch []byte // value as an update has it
	had   members
	ver   uint64 // round of the last change
	seq   uint64 // of the last change

	// first is the seq of the first value that was told, where a checkpoint told
	// it. Which members the objects before that had is not known.
	first uint64
}

type marks struct {
	stale    []string
	quality  []pair // sorted
	online   string
	desired  []pair // sorted; the word is the value's JSON
	wished   bool   // desired was not always empty: then a client must hear that it is
	said     bool   // online was not always empty: then a client must hear that it is
	ver, seq uint64 // zero when there were never any
}

type pair struct{ name, word string }

// A frag is a thing as an update has it, encoded once for all connections that
// had everything before its round.
type frag struct {
	json []byte
	prev uint64 // newest round with a change before this one
	ver  uint64 // the round
	full bool   // all that the thing has is in it, so it suits every connection
}

func newThing(id string, shards int) *thing {
	return &thing{id: id, stamps: make([]uint64, shards)}
}

// apply takes a change into the record, as part of round ver and place seq.
func (t *thing) apply(c *realtime.Change, ver, seq uint64) {
	t.ver, t.seq, t.gone = ver, seq, c.Removed
	if c.Removed {
		for i := range t.props {
			p := &t.props[i]
			p.value, p.ver, p.seq = nil, ver, seq
		}
		t.ts, t.marks = nil, marks{ver: ver, seq: seq, said: t.marks.said, wished: t.marks.wished}
		return
	}
	if !c.TS.IsZero() {
		t.ts = appendTime(t.ts[:0], c.TS)
	}
	if len(c.Seqs) == len(c.Values) && len(c.Seqs) > 0 {
		t.seq = slices.Max(c.Seqs)
	}
	for i := range c.Values {
		at := seq
		if len(c.Seqs) > i {
			at = c.Seqs[i]
		}
		t.set(&c.Values[i], ver, at, len(c.Seqs) > i)
	}
	if c.Marks != nil {
		t.seq = seq
		t.marks = marks{stale: c.Marks.Stale, quality: sortedPairs(c.Marks.Quality), online: c.Marks.Online, ver: ver, seq: seq, said: t.marks.said || c.Marks.Online != "",
			desired: sortedPairs(c.Marks.Desired), wished: t.marks.wished || len(c.Marks.Desired) > 0}
	}
}

// set takes a value. Saved says that it is from a checkpoint.
func (t *thing) set(v *realtime.Value, ver, seq uint64, saved bool) {
	p := t.find(v.Name)
	if p == nil {
		if realtime.CheckName(v.Name) != nil {
			return // it would break the frames of everybody
		}
		key := `"` + v.Name + `":`
		t.props = append(t.props, prop{name: key[1 : len(key)-2], key: key})
		p = &t.props[len(t.props)-1]
		if saved {
			p.first = seq
		}
	}
	p.value, p.patch, p.ver, p.seq = v.JSON, p.had.patch(v.JSON), ver, seq
	if string(v.JSON) == "null" {
		p.value = nil // as JSON Merge Patch has it
	}
}

func (t *thing) find(name string) *prop {
	for range t.props {
		if t.next >= len(t.props) {
			t.next = 0
		}
		p := &t.props[t.next]
		t.next++
		if p.name == name {
			return p
		}
	}
	return nil
}

func sortedPairs[V ~string | ~[]byte](m map[string]V) []pair {
	ps := make([]pair, 0, len(m))
	for k, v := range m {
		ps = append(ps, pair{k, string(v)})
	}
	slices.SortFunc(ps, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return ps
}

// appendTime appends t as a JSON string in UTC with milliseconds.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
	}
	// As AppendFormat writes it, in a fifth of the time.
	hour, minute, second := t.Clock()
	dst = appendDigits(append(dst, '"'), year, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	dst = appendDigits(append(dst, '.'), t.Nanosecond()/1e6, 3)
	return append(dst, 'Z', '"')
}

// appendDigits appends n with leading zeros.
func appendDigits(dst []byte, n, digits int) []byte {
	for p := [...]int{1, 10, 100, 1000}[digits-1]; p > 0; p /= 10 {
		dst = append(dst, byte('0'+n/p%10))
	}
	return dst
}

// cut encodes what round ver changed in the thing. The caller holds Hub.mu.
func (t *thing) cut(ver, prev uint64) {
	f := &t.frag
	f.ver, f.prev = ver, prev
	f.full = t.marks.ver == 0 || t.marks.ver == ver
	for i := range t.props {
		f.full = f.full && t.props[i].ver == ver
	}
	w := want{since: since{ver: ver - 1}}
	f.json = t.appendSet(f.json[:0], &w)
}

// appendSet appends the thing as an update has it, or nothing when nothing in
// it is wanted.
func (t *thing) appendSet(dst []byte, w *want) []byte {
	if t.gone {
		if !w.change(t.ver, t.seq) {
			return dst
		}
		return append(appendKey(dst, t.id), "null"...)
	}
	start := len(dst)
	dst = append(appendKey(dst, t.id), '{')
	empty := len(dst)
	dst = t.appendTS(dst)
	set := false
	for i := range t.props {
		p := &t.props[i]
		if !w.prop(p) {
			continue
		}
		if !set {
			dst = append(comma(dst), `"set":{`...)
			set = true
		}
		dst = append(comma(dst), p.key...)
		if p.value == nil {
			dst = append(dst, "null"...)
		} else {
			dst = append(dst, p.patch...)
		}
	}
	if set {
		dst = append(dst, '}')
	}
	marked := t.marks.ver > 0 && (w.joins || w.change(t.marks.ver, t.marks.seq))
	if marked {
		dst = t.appendMarks(dst, w, true)
	}
	if !set && !marked || len(dst) == empty {
		return dst[:start]
	}
	return append(dst, '}')
}

// appendState appends the thing as a snapshot has it.
func (t *thing) appendState(dst []byte, w *want) []byte {
	dst = appendKey(dst, t.id)
	if t.gone {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	dst = append(comma(t.appendTS(dst)), `"state":{`...)
	for i := range t.props {
		p := &t.props[i]
		switch {
		case !w.follows(p.name):
		case p.value != nil:
			dst = append(comma(dst), p.key...)
			dst = append(dst, p.value...)
		case w.unlearns(p):
			dst = append(append(comma(dst), p.key...), "null"...)
		}
	}
	dst = append(dst, '}')
	return append(t.appendMarks(dst, w, false), '}')
}

// appendMarks appends whole lists, in an update also empty ones.
func (t *thing) appendMarks(dst []byte, w *want, empty bool) []byte {
	start := len(dst)
	dst = append(comma(dst), `"stale":[`...)
	before := len(dst)
	for _, name := range t.marks.stale {
		if w.follows(name) {
			dst = append(comma(dst), '"')
			dst = append(dst, name...)
			dst = append(dst, '"')
		}
	}
	if len(dst) == before && !empty {
		dst = dst[:start]
	} else {
		dst = append(dst, ']')
	}
	start = len(dst)
	dst = append(comma(dst), `"quality":{`...)
	before = len(dst)
	for _, q := range t.marks.quality {
		if w.follows(q.name) {
			dst = appendKey(comma(dst), q.name)
			dst = append(dst, '"')
			dst = append(dst, q.word...)
			dst = append(dst, '"')
		}
	}
	if len(dst) == before && !empty {
		dst = dst[:start]
	} else {
		dst = append(dst, '}')
	}
	if t.marks.wished {
		dst = append(appendKey(comma(dst), "desired"), '{')
		for _, d := range t.marks.desired {
			if w.follows(d.name) {
				dst = append(appendKey(comma(dst), d.name), d.word...)
			}
		}
		dst = append(dst, '}')
	}
	if t.marks.said {
		dst = appendKey(comma(dst), "online")
		dst = append(dst, '"')
		dst = append(dst, t.marks.online...)
		dst = append(dst, '"')
	}
	return dst
}

func (t *thing) appendTS(dst []byte) []byte {
	if t.ts == nil {
		return dst
	}
	return append(append(dst, `"ts":`...), t.ts...)
}

// appendKey appends a member's name that needs no escaping.
func appendKey(dst []byte, name string) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// comma separates what follows from a member before it.
func comma(dst []byte) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		return append(dst, ',')
	}
	return dst
}
