package hub

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"echotwin/realtime"
)

// A subRequest is a wish to follow things.
type subRequest struct {
	Path   string   `json:"path"`
	Fields []string `json:"fields"`
	Rate   *float64 `json:"rate"`
}

// maxFields bounds the fields of one subscription.
const maxFields = 64

const aPath = "a path is 1 to 8 segments of letters, digits, _ and - joined by /; * stands for one segment and a last ** for one or more, such as plant/line1/**; under:plant/line1 is a thing or a place with all that stands below it"

// check says what is wrong with the wish, or nil. At is where it stands.
func (r *subRequest) check(l *Limits, at string) *realtime.Problem {
	if r.Path == "" {
		return &realtime.Problem{Code: realtime.CodeMalformed, At: at + "path", Message: "which things? " + aPath}
	}
	check := realtime.CheckPattern
	place, isPlace := strings.CutPrefix(r.Path, realtime.Under)
	if isPlace {
		check = realtime.CheckThing
	} else {
		place = r.Path
	}
	if err := check(place); err != nil {
		return &realtime.Problem{Code: realtime.CodeMalformed, At: at + "path", Message: err.Error() + "; " + aPath}
	}
	if len(r.Fields) > maxFields {
		most := float64(maxFields)
		return &realtime.Problem{Code: realtime.CodeTooLarge, At: at + "fields", Maximum: &most, Message: fmt.Sprintf("at most %d fields; leave them out for all", maxFields)}
	}
	for _, f := range r.Fields {
		if err := realtime.CheckName(f); err != nil {
			return &realtime.Problem{Code: realtime.CodeMalformed, At: at + "fields", Message: err.Error()}
		}
	}
	if r.Rate != nil && !(*r.Rate >= minRate && *r.Rate <= l.Rate) {
		least, most := minRate, l.Rate
		return &realtime.Problem{Code: realtime.CodeOutOfRange, At: at + "rate", Minimum: &least, Maximum: &most,
			Message: fmt.Sprintf("rate %v is not between %v and %v updates a second", *r.Rate, least, most)}
	}
	return nil
}

// subscribe adds a subscription, which has nothing yet. It is nil when there is
// no room for another tree.
func (s *shard) subscribe(c *conn, r *subRequest) *sub {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	var v *grove
	if isPlace(r.Path) {
		if v = s.hub.grove(c); v == nil {
			return nil
		}
	}
	c.lastSub++
	s.made++
	rate := s.hub.limits.Rate
	if r.Rate != nil {
		rate = *r.Rate
	}
	n := &sub{conn: c, id: "s" + strconv.Itoa(c.lastSub), num: s.made, period: s.period(rate), see: c.viewer.See}
	if len(r.Fields) > 0 {
		n.fields = slices.Clone(r.Fields)
	}
	s.counts.subs.Add(1)
	if s.hub.index.join(n, r.Path, v, s.i, len(s.hub.shards)); n.group.count == 1 {
		n.group.beginLog(s.hub.open.n - 1)
	}
	for _, o := range c.subs {
		if overlap(o.group.pattern, r.Path) {
			n.overlaps, o.overlaps = append(n.overlaps, o), append(o.overlaps, n)
			o.present()
			o.part()
		}
	}
	n.present()
	c.subs = append(c.subs, n)
	return n
}

// leave ends a subscription.
func (s *shard) leave(c *conn, n *sub) {
	c.subs = slices.DeleteFunc(c.subs, func(o *sub) bool { return o == n })
	s.counts.subs.Add(-1)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, o := range n.overlaps {
		o.overlaps = remove(o.overlaps, n)
		o.present()
	}
	n.absent()
	s.hub.index.leave(n, s.i)
}

// sub answers a sub frame: the snapshot is the answer.
func (s *shard) sub(c *conn, r *subRequest, id json.RawMessage, at string) *realtime.Problem {
	if p := r.check(&s.hub.limits, at); p != nil {
		return p
	}
	if len(c.subs) >= s.hub.limits.Subscriptions {
		return tooMany(&s.hub.limits)
	}
	n := s.subscribe(c, r)
	if n == nil {
		return tooManyGroves(at)
	}
	n.answer = id
	s.startSnapshot(n)
	return nil
}

func tooMany(l *Limits) *realtime.Problem {
	most := float64(l.Subscriptions)
	return &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most,
		Message: fmt.Sprintf("a connection has at most %d subscriptions; end one with unsub, or follow more with one path such as plant/**", l.Subscriptions)}
}

// unsub ends one subscription, or all when none is named. What waits for the
// connection is counted anew without it.
func (s *shard) unsub(c *conn, name string) *realtime.Problem {
	defer s.recountWaiting(c)
	if name == "" {
		for len(c.subs) > 0 {
			s.leave(c, c.subs[0])
		}
		return nil
	}
	names := ""
	for _, n := range c.subs {
		if n.id == name {
			s.leave(c, n)
			return nil
		}
		names += " " + n.id
	}
	return noSub(name, names)
}

func noSub(name, names string) *realtime.Problem {
	return &realtime.Problem{Code: realtime.CodeNotFound, At: "/sub", Message: fmt.Sprintf("no subscription %.20q here; there are:%s", name, cmp.Or(names, " none"))}
}

// A cursor is where a client says it is.
type cursor struct {
	epoch string
	seq   uint64
}

// resume replaces all subscriptions and goes on where the cursor is.
func (s *shard) resume(c *conn, at cursor, rs []subRequest, id json.RawMessage, old *recalled) {
	s.leavePast(c)
	for len(c.subs) > 0 {
		s.leave(c, c.subs[0])
	}
	for i := range rs {
		if s.subscribe(c, &rs[i]) == nil {
			for len(c.subs) > 0 {
				s.leave(c, c.subs[0])
			}
			old.free()
			s.sayError(c, id, tooManyGroves(fmt.Sprintf("/subs/%d/", i)))
			return
		}
	}
	reason := cmp.Or(s.lapse(at), s.misplaced(c, at.seq), s.unpatchable(c, at.seq))
	known := at.epoch == s.hub.epoch && at.seq <= s.hub.newest()
	c.facts, c.factTold, c.last, c.vague, c.resumed, c.held = 0, 0, 0, false, false, false
	c.holdOld(old)
	answer := resumed{Type: "resumed", ID: id, Mode: "delta", Epoch: s.hub.epoch, From: at.seq, Seq: max(s.seq, at.seq), Reason: reason, Subs: []string{}}
	if reason != "" {
		answer.Mode, answer.Seq = "snapshot", s.seq
	}
	for _, n := range c.subs {
		answer.Subs = append(answer.Subs, n.id)
	}
	s.say(c, "resumed", answer)
	if known {
		c.last = at.seq
		if r := s.resumeFacts(c, at.seq, old); r != nil {
			s.counts.resyncs.Add(1)
			s.counts.missed.Add(uint64(r.Missed))
			c.missed += uint64(r.Missed)
			s.say(c, "resync", r)
		}
	}
	for _, n := range c.subs {
		if reason == "" {
			s.resumeState(n, at.seq)
		} else {
			s.startSnapshot(n)
		}
	}
	c.resumed = reason == ""
}

type resumed struct {
	Type   string          `json:"type"`
	ID     json.RawMessage `json:"id,omitempty"`
	Mode   string          `json:"mode"`
	Reason string          `json:"reason,omitempty"`
	Epoch  string          `json:"epoch"`
	From   uint64          `json:"from"`
	Seq    uint64          `json:"seq"`
	Subs   []string        `json:"subs"`
}

// lapse says why a cursor cannot be gone on from, or nothing.
func (s *shard) lapse(at cursor) string {
	h := s.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	switch {
	case at.epoch == "":
		return "the cursor names no epoch; it is epoch.seq"
	case strings.HasPrefix(at.epoch, replayEpoch):
		return fmt.Sprintf("the cursor is of a replay (%.40q), and this is live; ask for that moment by a replay from %d", at.epoch, at.seq)
	case at.epoch != h.epoch:
		return fmt.Sprintf("the cursor is of another log (%.40q); this one is %q", at.epoch, h.epoch)
	case at.seq > h.seq: // this shard alone may be a round behind
		return fmt.Sprintf("the cursor %d is ahead of this server, which is at %d", at.seq, h.seq)
	case at.seq < h.forgot:
		return fmt.Sprintf("the cursor %d is older than what this server remembers, which begins at %d", at.seq, h.forgot)
	}
	return ""
}

// unpatchable says why an update cannot lead from the cursor to what is now, or
// nothing. A JSON Merge Patch has to name the members that an object has no
// more, and those of objects from before a restart are forgotten.
func (s *shard) unpatchable(c *conn, seq uint64) string {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	if seq >= s.hub.began {
		return ""
	}
	for _, n := range c.subs {
		for _, t := range n.group.things {
			if t.seq <= seq || t.gone || !c.sees(t.id) {
				continue
			}
			for i := range t.props {
				if p := &t.props[i]; seq < p.first && isObject(p.value) && covers(n.fields, p.name) {
					return fmt.Sprintf("%s of %s is an object that changed between the cursor %d and a restart at %d, and what it had before is not remembered", p.name, t.id, seq, s.hub.began)
				}
			}
		}
	}
	return ""
}

// newest is the newest published seq.
func (h *Hub) newest() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.seq
}

// resumeState lists what is newer than the cursor. Every property knows the seq
// of its last change, so that costs no log.
func (s *shard) resumeState(n *sub, seq uint64) {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	n.since, n.base, n.hold, n.loose, n.whole = since{seq: seq}, s.n, seq, true, true
	for _, t := range n.group.things {
		if t.seq > seq && n.conn.sees(t.id) {
			n.list = append(n.list, t)
		}
	}
	n.dirty, n.dirtyAt = len(n.list) > 0, s.now
	n.departed(func(string) { n.dirty = true })
	if n.upto = n.group.until(s.n); !n.dirty {
		n.served(s.n)
	}
	s.touch(n.conn)
}

// resumeFacts finds the facts after the cursor, and says how many of them are
// not kept any more, or nil.
func (s *shard) resumeFacts(c *conn, seq uint64, old *recalled) *resync {
	h := s.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	from, recalled, sure := seq, 0, true
	if old != nil {
		seq, recalled, sure = max(seq, old.upTo), old.missed, old.exact
	}
	first := h.ring.find(seq)
	for _, n := range c.subs {
		n.facts, n.factFrom = true, h.ring.findAny(from)
	}
	c.inform(first)
	s.recount(c, first)
	missed, exact := recalled, sure
	if seq < h.ring.forgotten() {
		n, all := h.ring.lost(seq, func(thing string, at uint64) bool { return c.covers(thing, math.MaxUint64, at) })
		missed, exact = missed+n, exact && all
	}
	if missed == 0 && exact {
		return nil
	}
	r := &resync{Type: "resync", Missed: missed, AtLeast: !exact, From: from, To: h.ring.forgotten(), Reason: "they are older than what this server keeps; the history has them"}
	if !exact {
		r.Reason = "how many is not known here: the cursor is older than this server's memory; the history has them"
	}
	return r
}

// A resync says that facts are missing between two places.
type resync struct {
	Type    string `json:"type"`
	Replay  bool   `json:"replay,omitempty"`
	Missed  int    `json:"missed"`
	AtLeast bool   `json:"atLeast,omitempty"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Reason  string `json:"reason"`
}

// parseCursor reads epoch.seq.
func parseCursor(text string) cursor {
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] != '.' {
			continue
		}
		seq, err := strconv.ParseUint(text[i+1:], 10, 64)
		if err != nil {
			break
		}
		return cursor{text[:i], seq}
	}
	return cursor{}
}
