package hub

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// fail ends the test with what the viewer was told last.
func (v *viewer) fail(format string, args ...any) {
	v.w.fail("%s, last told something %v ago: %s\n%s", v.name(), time.Since(v.heard), fmt.Sprintf(format, args...), v.told(""))
}

func (v *viewer) name() string {
	text := fmt.Sprintf("viewer %d (%s) over %s with", v.n, v.user, v.conn.wire)
	for _, s := range v.subs {
		text += fmt.Sprintf(" %s:%s%v@%v", s.id, s.path, s.fields, s.rate)
	}
	return text
}

// told is the last frames of the connection, as far as they are about the thing,
// or all when it names none.
func (v *viewer) told(id string) string {
	var out []string
	for _, f := range v.trace {
		switch about, is := f.Things[id]; {
		case id == "":
			out = append(out, clipped(f.raw))
		case is:
			out = append(out, fmt.Sprintf("%s %s %d to %d, more %v: %s", f.Type, f.Sub, f.Prev, f.Seq, f.More, clipped(string(about))))
		}
	}
	return strings.Join(out[max(0, len(out)-25):], "\n")
}

// clipped is a frame, or a thing in it, without its long middle.
func clipped(text string) string {
	if n := len(text); n > 400 {
		return text[:200] + "…" + text[n-200:]
	}
	return text
}

// checkClaim holds a cursor to what it claims: that all state and all facts up
// to there are here, for what is subscribed to. What is newer may be here too.
func (v *viewer) checkClaim(seq uint64) {
	v.w.counts.claims.Add(1)
	p := v.w.plant
	p.mu.RLock()
	defer p.mu.RUnlock()
	subs := v.whole()
	ids := p.ids
	if v.rnd.IntN(4) > 0 { // to look at all each time would be all that is done
		first := v.rnd.IntN(len(p.ids) - 8)
		ids = p.ids[first : first+8]
	}
	for _, id := range ids {
		if why := v.wrongThing(id, subs, seq); why != "" {
			v.fail("seq %d claims too much: %s", seq, why)
		}
	}
	if why := v.wrongFacts(seq); why != "" {
		v.fail("seq %d claims too much: %s", seq, why)
	}
}

// wrong says how what the viewer has differs from what is true, when all is
// quiet: everything must be here, and the cursor must say so.
func (v *viewer) wrong() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.w.plant
	p.mu.RLock()
	defer p.mu.RUnlock()
	switch {
	case v.truth != p.now || v.closed():
		return "not connected"
	case v.resume != nil:
		return "the resume was not answered"
	}
	for _, s := range v.subs {
		if !s.whole || s.ended != "" {
			return fmt.Sprintf("%s was not answered", s.path)
		}
	}
	const all = ^uint64(0)
	newest := uint64(0)
	for _, id := range p.ids {
		if why := v.wrongThing(id, v.subs, all); why != "" {
			return why
		}
		newest = max(newest, v.newest(id))
	}
	if why := v.wrongFacts(all); why != "" {
		return why
	}
	if at := v.cursors; newest > 0 && (len(at) == 0 || at[len(at)-1].seq < newest) {
		return fmt.Sprintf("the cursor stays behind at %v, and the newest change was at %d", at, newest)
	}
	return ""
}

// newest is the place of the newest change of what is followed.
func (v *viewer) newest(id string) (seq uint64) {
	for name, h := range v.truth.things[id] {
		if v.sees(id) && name != "*ts" && followed(v.coverings(v.subs, id, ^uint64(0))[0], name) {
			seq = max(seq, h.newest().seq)
		}
	}
	return seq
}

// wrongThing says what the screen shows of a thing though it is older than seq
// says, or never was so.
func (v *viewer) wrongThing(id string, subs []*viewerSub, seq uint64) string {
	shown, coverings := v.screen[id], v.coverings(subs, id, seq)
	for name, h := range v.truth.things[id] {
		got := shown[name]
		if name == "*ts" {
			if got = v.stamps[id]; shown == nil {
				got = ""
			}
		}
		want := []string{}
		for _, is := range h.from(seq) {
			for _, cover := range coverings {
				text := is.text
				switch {
				case !v.sees(id) || !followed(cover, name):
					text = ""
				case name == "*stale" || name == "*quality":
					text = marksOf(cover, text)
				}
				if want = append(want, text); got == text {
					want = nil
					break
				}
			}
			if want == nil {
				break
			}
		}
		if want != nil && !v.excused(id, name, seq) {
			return fmt.Sprintf("%s shows %s %.80q, want %.300q%s; of it were told\n%s\nand the last frames were", id, name, got, want, v.standing(id, seq), v.told(id))
		}
	}
	for name := range shown {
		if v.truth.things[id][name] == nil {
			return fmt.Sprintf("%s shows %s, which never was", id, name)
		}
	}
	return ""
}

// excused says what a claim of some subscriptions says nothing about: what
// another one, whose snapshot is on its way or which ends, has brought. And the
// time of the newest reading comes with what is followed of it alone.
func (v *viewer) excused(id, name string, seq uint64) bool {
	all := true
	for _, s := range v.subs {
		yes, no := v.may(s, id, seq)
		if (yes || s.has(id)) && (!s.whole || s.ended != "") {
			return true
		}
		if yes && !no && s.fields == nil {
			all = false
		}
	}
	return name == "*ts" && all
}

// wrongFacts says which of the facts up to seq are not here, without it having
// been said, or are here and should not.
func (v *viewer) wrongFacts(seq uint64) string {
	if slices.ContainsFunc(v.subs, func(s *viewerSub) bool { return s.ended != "" }) {
		return ""
	}
	if v.places() {
		return v.wrongPlaceFacts(seq)
	}
	if v.fuzzy {
		return ""
	}
	mine := func(f factRecord) bool {
		if !v.sees(f.thing) {
			return false
		}
		for _, s := range v.subs {
			if yes, _ := v.may(s, f.thing, ^uint64(0)); yes && s.begun && f.seq > s.from {
				return true
			}
		}
		return false
	}
	var want []factRecord
	for _, f := range v.truth.facts {
		if f.seq <= seq && mine(f) {
			want = append(want, f)
		}
	}
	// What is told to be missing lies before a place, but behind what a store still
	// had of it.
	missed, again, atLeast, early, to := 0, 0, false, false, uint64(0)
	skip := func(n int, next uint64) string {
		within := next <= to
		switch {
		case n > missed+again && !atLeast, n < missed && !early && !within:
		case within:
			missed, again = max(0, missed-n), again-min(again, max(0, n-missed))
			return ""
		default:
			again -= min(again, max(0, n-missed))
			missed, atLeast = 0, false
			return ""
		}
		return fmt.Sprintf("%d facts are missing before %v of %d, and %d were told to be: %s", n, want[n:min(n+1, len(want))], len(want), missed, v.mishaps())
	}
	for _, i := range v.items {
		if i.resync && i.again {
			again, atLeast, to = again+i.missed, atLeast || i.atLeast, max(to, i.to)
			continue
		}
		if i.resync {
			missed, atLeast, to = missed+i.missed, atLeast || i.atLeast, max(to, i.to)
			continue
		}
		if !mine(i.fact) {
			continue // an ended subscription's, or one whose snapshot is on its way
		}
		n := 0
		for n < len(want) && want[n] != i.fact {
			n++
		}
		if n == len(want) {
			if i.fact.seq > seq {
				break // newer than what is asked about
			}
			return fmt.Sprintf("fact %v came twice, or never was", i.fact)
		}
		if why := skip(n, i.fact.seq); why != "" {
			return why
		}
		want = want[n+1:]
	}
	early = seq < v.truth.seq // what is told to be missing may lie behind it
	if len(want)+missed > 0 {
		return skip(len(want), seq)
	}
	return ""
}
