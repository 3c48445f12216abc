package hub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A viewer is one client of the protocol, over one connection after another.
type viewer struct {
	w    *world
	n    int
	user string
	gate gate // held to stop reading

	paused bool
	conn   wireConn
	rnd    *rand.Rand // of the reader

	mu      sync.Mutex // guards what follows
	truth   *truth     // of the log that the connection is about
	subs    []*viewerSub
	asked   int // subscriptions and their ends, for ids
	screen  screen
	stamps  map[string]string // when each thing was measured last
	items   []item            // facts, and what was said of missing ones
	fuzzy   bool              // a subscription ended among missing facts: they cannot be counted
	epoch   string            // of the cursor
	cursors []bookmark        // from which it may resume, the newest last
	resume  *bookmark         // asked for and not answered
	resumes []*viewerSub      // what was to go on there
	last    uint64            // of the chain
	chained bool
	wentOn  bookmark // where the resume went on
	calm    bool     // nothing was published since the resume was asked for, or before
	ending  bool     // the connection may end
	said    string   // the bye
	heard   time.Time

	dismissed time.Time // when an administrator may have closed this connection

	trace []frame // of this connection
}

// A wireConn is the line that a viewer has.
type wireConn struct {
	wire  wire
	ws    *websocket.Conn
	close func()
	ended chan struct{}
}

// A viewerSub is a subscription as the client knows it.
type viewerSub struct {
	path   string
	fields []string
	rate   float64

	ask   string // the id of the frame that asked for it
	id    string
	whole bool            // its snapshot is complete
	from  uint64          // facts after this seq are its
	begun bool            // from is known
	ended string          // the id of the frame that asked for its end
	paged map[string]bool // what the pages of a snapshot have named so far

	members map[string]bool // of a place: what stands below it
}

// An item is a fact, or says that some are missing.
type item struct {
	fact    factRecord
	missed  int
	atLeast bool
	to      uint64 // they lie before this place
	again   bool   // a resume went on before that, and some of them were told again
	resync  bool
}

// A bookmark is a cursor and how many items were before it.
type bookmark struct {
	seq   uint64
	items int
}

func (s *viewerSub) json() string {
	b, _ := json.Marshal(map[string]any{"path": s.path, "fields": s.fields}) // cannot fail
	text := string(b[:len(b)-1])
	if s.rate > 0 {
		text += fmt.Sprintf(`,"rate":%v`, s.rate)
	}
	return text
}

// sees is what the viewers of the model may see.
func (v *viewer) sees(id string) bool { return v.user != "guest" || !strings.Contains(id, "secret") }

// whole is the subscriptions that have all.
func (v *viewer) whole() (subs []*viewerSub) {
	for _, s := range v.subs {
		if s.whole {
			subs = append(subs, s)
		}
	}
	return subs
}

// forgetAll is what a client does that begins anew.
func (v *viewer) forgetAll() {
	v.screen, v.stamps, v.items, v.cursors, v.fuzzy = screen{}, map[string]string{}, nil, nil, false
	for _, s := range v.subs {
		s.whole, s.id, s.begun, s.ended, s.paged, s.members = false, "", false, "", nil, nil
	}
}

// say sends a frame. A connection that ends meanwhile refuses it, which is as
// good as losing it.
func (v *viewer) say(format string, args ...any) {
	_ = v.conn.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...))
}

// take is the client of the protocol, in as few lines as it needs.
func (v *viewer) take(f frame) {
	v.gate.Lock() // a reader that is stopped waits here
	v.gate.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.trace) > 0 && v.trace[0].Epoch != v.truth.epoch {
		return // not of the log it asked about
	}
	if v.user == "guest" && strings.Contains(f.raw, "secret") && f.Type != "resumed" {
		v.fail("it was told what it may not see: %.300s", f.raw)
	}
	v.trace, v.heard = append(v.trace, f), time.Now()
	switch f.Type {
	case "hello":
		if f.Epoch != v.truth.epoch { // the log was wiped while the request was on its way
			v.ending, v.resume = true, nil
			v.conn.close()
		}
	case "snapshot":
		v.snapshot(f)
	case "update":
		v.update(f)
	case "event":
		v.items = append(v.items, item{fact: factRecord{f.Seq, f.Thing, f.Name}})
		v.move(f, !f.More)
	case "resync":
		v.items = append(v.items, item{resync: true, missed: f.Missed, atLeast: f.AtLeast, to: uint64(f.To)})
		v.w.counts.resyncs.Add(1)
		if n := len(v.trace); n > 1 && v.trace[n-2].Type == "resumed" {
			if why := v.tooShort(f, v.wentOn); why != "" {
				v.fail("%s after %v, but %s", f.raw, v.wentOn, why)
			}
		}
	case "resumed":
		v.resumed(f)
	case "ok":
		v.unsubscribed(strings.Trim(string(f.ID), `"`))
	case "bye":
		v.said = f.Code
	case "ping":
	default:
		v.fail("%s", f.raw)
	}
}

// snapshot replaces the things that it names, and with its last page all others
// of the subscription.
func (v *viewer) snapshot(f frame) {
	for id := range f.Things {
		delete(v.screen, id)
		delete(v.stamps, id)
	}
	v.apply(f)
	v.belong(f)
	i := slices.IndexFunc(v.subs, func(s *viewerSub) bool { return s.id == f.Sub || s.id == "" && `"`+s.ask+`"` == string(f.ID) })
	if i < 0 && v.conn.wire != webSocket { // the URL's, in their order
		i = slices.IndexFunc(v.subs, func(s *viewerSub) bool { return s.id == "" })
	}
	if i >= 0 {
		s := v.subs[i]
		v.page(s, f)
		if s.id = f.Sub; !f.More && !s.whole {
			s.whole = true
			if !s.begun {
				s.from, s.begun = max(f.Seq, v.w.unknown.Load()), true
			}
		}
	}
	v.part(f)
	if f.More {
		v.w.counts.pages.Add(1)
	}
	v.move(f, !f.More)
}

func (v *viewer) page(s *viewerSub, f frame) {
	if s.paged == nil {
		s.paged = map[string]bool{}
	}
	for id, raw := range f.Things {
		if s.paged[id] = true; s.place() != "" && string(raw) != "null" {
			s.members[id] = true
		}
	}
	if f.More {
		return
	}
	if s.place() != "" {
		for id := range s.members {
			if !s.paged[id] {
				delete(s.members, id)
			}
		}
		v.prune()
		s.paged = nil
		return
	}
	for id := range v.screen {
		if match(s.path, id) && !s.paged[id] {
			delete(v.screen, id)
			delete(v.stamps, id)
		}
	}
	s.paged = nil
}

func (v *viewer) update(f frame) {
	if (v.chained || v.last > 0) && f.Prev != v.last {
		v.fail("the chain is broken: prev %d after %d", f.Prev, v.last)
	}
	if f.Seq < f.Prev {
		v.fail("seq %d goes back from %d", f.Seq, f.Prev)
	}
	v.belong(f)
	v.apply(f)
	v.part(f)
	v.move(f, true)
}

// apply takes a frame onto the screen.
func (v *viewer) apply(f frame) {
	v.screen.apply(v.w.t, f)
	for id, raw := range f.Things {
		var th struct{ TS json.RawMessage }
		if json.Unmarshal(raw, &th) == nil && th.TS != nil {
			v.stamps[id] = string(th.TS)
		} else if string(raw) == "null" {
			delete(v.stamps, id)
		}
	}
}

// resumed begins the rest of a connection where the cursor was.
func (v *viewer) resumed(f frame) {
	at := v.resume
	if v.resume = nil; at == nil || uint64(f.From) != at.seq {
		v.fail("nobody asked for %s", f.raw)
		return
	}
	ahead := uint64(f.From) > f.Seq
	v.wentOn = *at
	if why := v.tooShort(f, *at); why != "" {
		v.fail("%s, but %s", f.raw, why)
	}
	switch {
	case f.Mode == "delta" && (f.Epoch != v.epoch || f.Reason != ""):
		v.fail("%s goes on from epoch %s", f.raw, v.epoch)
	case f.Mode == "delta":
		v.w.counts.deltas.Add(1)
		if restarted := v.truth.restartedAt(v.w.plant); restarted > at.seq {
			v.w.counts.again.Add(1)
		}
		v.items = v.items[:at.items]
		v.last, v.chained = at.seq, true
	case f.Mode != "snapshot" || f.Reason == "":
		v.fail("%s gives no reason", f.raw)
	case f.Epoch != v.epoch || ahead: // another log, or one that lacks what we know
		v.w.counts.snapshots.Add(1)
		v.forgetAll()
		v.last, v.chained = 0, false
	default: // too old for the state, and the facts go on
		v.w.counts.snapshots.Add(1)
		items := v.items[:at.items]
		v.screen, v.stamps, v.items = screen{}, map[string]string{}, items
		v.last, v.chained = at.seq, true
		for _, s := range v.resumes {
			s.members = nil
		}
		v.cursors = nil // of a screen that is thrown away: until the snapshots are in there is none to go on from
	}
	for _, s := range v.resumes {
		s.from = min(s.from, at.seq) // a cursor may be older than a subscription, which then has the facts from there too
	}
	for i := range v.items {
		v.items[i].again = v.items[i].again || v.items[i].to > at.seq
	}
	v.cursors = slices.DeleteFunc(v.cursors, func(p bookmark) bool { return p.seq > at.seq || p.items > at.items })
	if len(f.Subs) != len(v.resumes) {
		v.fail("%s, and %d were asked for", f.raw, len(v.resumes))
		return
	}
	for i, s := range v.resumes {
		s.id, s.whole, s.paged = f.Subs[i], f.Mode == "delta", nil
	}
	v.epoch = f.Epoch
}

// unsubscribed forgets what an ended subscription alone had brought.
func (v *viewer) unsubscribed(id string) {
	i := slices.IndexFunc(v.subs, func(s *viewerSub) bool { return s.ended != "" && s.ended == id })
	if i < 0 {
		v.fail("nobody asked for the ok of %s", id)
		return
	}
	v.subs = slices.Delete(v.subs, i, i+1)
	v.fuzzy = v.fuzzy || slices.ContainsFunc(v.items, func(i item) bool { return i.resync })
	v.prune()
}

// prune takes off the screen what no subscription covers.
func (v *viewer) prune() {
	for id, th := range v.screen {
		cover := slices.DeleteFunc(slices.Clone(v.subs), func(s *viewerSub) bool { return !s.has(id) })
		for name := range th {
			if !followed(cover, name) {
				delete(th, name)
			}
		}
		if len(cover) == 0 { // a thing whose values are all gone has its time all the same
			delete(v.screen, id)
			delete(v.stamps, id)
			continue
		}
		for _, list := range []string{"*stale", "*quality"} {
			if left := marksOf(cover, th[list]); left != "" {
				th[list] = left
			} else {
				delete(th, list)
			}
		}
	}
}

// followed says whether some of the subscriptions, which all cover the thing,
// cover the property.
func followed(cover []*viewerSub, name string) bool {
	return slices.ContainsFunc(cover, func(s *viewerSub) bool { return name[0] == '*' || covers(s.fields, name) })
}

// marksOf is the names of a list of marks that the subscriptions cover.
func marksOf(cover []*viewerSub, list string) string {
	var left []string
	for mark := range strings.SplitSeq(list, ",") {
		if name, _, _ := strings.Cut(mark, "="); name != "" && followed(cover, name) {
			left = append(left, mark)
		}
	}
	return strings.Join(left, ",")
}

// move takes the seq of a frame as the cursor, where it is one: over SSE the
// id. Whatever a cursor claims is looked at.
func (v *viewer) move(f frame, whole bool) {
	v.last, v.chained = f.Seq, true
	if v.conn.wire == eventStream {
		want := fmt.Sprintf("%s.%d", v.truth.epoch, f.Seq)
		if whole = f.cursor != ""; whole && f.cursor != want {
			v.fail("id %s on %.200s", f.cursor, f.raw)
		}
	}
	if !whole || v.resume != nil || len(v.whole()) == 0 {
		return
	}
	if v.conn.wire == lines && len(v.whole()) < len(v.subs) {
		return // like a stream it cannot resume with some of its paths
	}
	v.epoch = v.truth.epoch
	if n := len(v.cursors); n == 0 || v.cursors[n-1].seq != f.Seq { // else what was told since comes again
		v.cursors = append(v.cursors[max(0, n-20):], bookmark{f.Seq, len(v.items)})
	}
	v.checkClaim(f.Seq)
}

// closed says whether the line has ended.
func (v *viewer) closed() bool {
	select {
	case <-v.conn.ended:
		return true
	default:
		return false
	}
}

func (v *viewer) pause() {
	if !v.paused {
		v.paused = true
		v.gate.Lock()
	}
}

func (v *viewer) unpause() {
	if v.paused {
		v.paused = false
		v.gate.Unlock()
	}
}

// smallWindow keeps little in the pipe, so that a stopped reader is felt.
func smallWindow(nc net.Conn) {
	_ = nc.(*net.TCPConn).SetReadBuffer(8 << 10) // without it the test is only less sharp
}
