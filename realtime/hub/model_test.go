package hub

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

var (
	modelSeed = flag.Uint64("seed", 0, "the world of the model test to replay, again and again; 0 takes new ones")
	modelTime = flag.Duration("model", 30*time.Second, "how long the model test runs")
)

// TestModel lets random clients over all wires follow random things of random
// worlds. They stop reading, are cut off, are closed by the hub and resume from
// new and old cursors, change their subscriptions; administrators close them; the
// hub is restarted, with its past and a store of facts or without, and its log is
// wiped. What must hold:
//
//   - at every cursor: all state and all facts up to it are there, none twice,
//     and what is missing was told with its number;
//   - at every quiet point: each screen is the twin, for what was subscribed to,
//     and no cursor stays behind;
//   - after a restart with its past: a cursor of before goes on, unless something
//     was removed since, and no fact that is stored is missing;
//   - always: the prev of an update is the seq before it, no frame has what the
//     viewer may not see, no connection ends without a word.
//
// Some of the worlds are narrow, for what is told of missing facts; see isNarrow.
//
// A world follows from its seed, as far as the goroutines of clients and
// publishers let it: go test -run TestModel -args -seed N -model 1m replays it.
func TestModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	var c modelCounts
	worlds := 0
	var over atomic.Bool
	time.AfterFunc(*modelTime, func() { over.Store(true) })
	for ; !over.Load(); worlds++ {
		one := func(t *testing.T) { newWorld(t, seed, &c).live(&over) }
		if isNarrow(seed) {
			synctest.Test(t, one)
		} else {
			one(t)
		}
		if t.Failed() {
			t.Fatalf("seed %d, after %d worlds", seed, worlds)
		}
		if *modelSeed == 0 {
			seed++
		}
	}
	t.Logf("%d worlds up to seed %d: %s", worlds, seed, c.String())
	if *modelSeed != 0 {
		return // one world again and again has only what is in it
	}
	if c.deltas.Load() == 0 || c.claims.Load() == 0 || c.quiets.Load() == 0 || c.restarts.Load() == 0 || c.closed.Load() == 0 ||
		worlds > 7 && c.again.Load()*c.recalled.Load() == 0 || c.moving.Load() > 4 && c.left.Load() == 0 {
		t.Error("the test has lost its teeth")
	}
}

// modelCounts is what all worlds have seen.
type modelCounts struct {
	bundles, claims, quiets, deltas, snapshots, pages, resyncs, cuts, kicks, closed, restarts, again, recalled, wipes, moving, left atomic.Int64
}

func (c *modelCounts) String() string {
	return fmt.Sprintf("%d updates published, %d cursors and %d quiet points held; %d resumes by delta (%d over a restart) and %d by snapshot, %d pages, %d resyncs, %d facts recalled; %d cuts, %d kicks, %d closed by an administrator, %d restarts, %d wipes; %d worlds in motion, %d times something left a place",
		c.bundles.Load(), c.claims.Load(), c.quiets.Load(), c.deltas.Load(), c.again.Load(), c.snapshots.Load(), c.pages.Load(), c.resyncs.Load(), c.recalled.Load(), c.cuts.Load(), c.kicks.Load(), c.closed.Load(), c.restarts.Load(), c.wipes.Load(), c.moving.Load(), c.left.Load())
}

// mistreat does something to a viewer, or to all of them.
func (w *world) mistreat(v *viewer) {
	if v.closed() {
		v.unpause()
		v.connect(w.plant.current())
		return
	}
	switch n := w.rnd.IntN(100); {
	case n < 18:
		if w.pipes != nil { // what it has asked for comes behind its resume
			v.subscribe(w.wish())
		}
		w.note("cut %d", v.n)
		w.counts.cuts.Add(1)
		v.cut()
	case n < 26:
		w.note("pause %d", v.n)
		v.pause()
	case n < 44:
		v.unpause()
	case n < 54:
		v.subscribe(w.wish())
	case n < 64:
		v.unsubscribe()
	case n < 68:
		v.resumeLive()
	case n < 70:
		w.kick(v.session())
	case n >= 90 && n < 96:
		w.dismiss()
	case n < 72:
		w.plant.save()
	case n < 73:
		w.restart(false)
	case n == 73 && w.rnd.IntN(3) == 0:
		w.restart(true)
	}
}

// kick ends a session.
func (w *world) kick(session string) {
	w.note("end %s", session)
	w.counts.kicks.Add(1)
	for _, v := range w.viewers {
		if v.session() == session {
			v.expectEnd()
		}
	}
	w.plant.hub.Load().End(session)
}

// dismiss is an administrator who closes a connection for a moment.
func (w *world) dismiss() {
	h := w.plant.hub.Load()
	all, _, err := h.Connections(w.t.Context(), "", "", len(w.viewers))
	if err != nil {
		w.fail("the connections: %v", err)
	}
	if len(all) == 0 {
		return
	}
	one := all[w.rnd.IntN(len(all))]
	w.note("close %s, of %s over %s", one.ID, one.Session, one.Transport)
	found, err := h.CloseConnection(w.t.Context(), one.ID, Dismissal{Message: "so that another has room"})
	if err != nil {
		w.fail("closing a connection: %v", err)
	}
	if !found {
		return
	}
	w.counts.closed.Add(1)
	for _, v := range w.viewers {
		v.mu.Lock()
		if v.session() == one.Session && v.conn.wire.String() == one.Transport {
			v.dismissed = time.Now() // or another of that session, who has the same wire
		}
		v.mu.Unlock()
	}
}

// leaveBehind cuts viewers off and goes on without them up to a checkpoint. A hub
// that begins with it has to lead them over the restart from exactly where they
// were: what came right after their cursors stands in the checkpoint as it was
// last changed, and among the old facts.
func (w *world) leaveBehind() {
	w.calm.Store(false)
	defer w.calm.Store(true)
	// What was an object with members has none right after many cursors, and
	// nothing else changes: that alone has to be noticed.
	strip := w.past && !w.flat && w.rnd.IntN(3) > 0
	if strip {
		w.plant.tell("mode", func(id, _ string) string { return fmt.Sprint(len(id)) })
		time.Sleep(time.Second) // so that everybody's cursor is there
	}
	for range 1 + w.rnd.IntN(3) {
		for _, v := range w.viewers {
			if (w.rnd.IntN(3) == 0) != strip && !v.closed() {
				w.note("leave %d behind at %d", v.n, w.plant.current().seq)
				w.counts.cuts.Add(1)
				v.cut()
			}
		}
		if strip {
			w.plant.tell("pose", func(_, now string) string {
				if strings.HasPrefix(now, `{"`) && w.rnd.IntN(3) == 0 {
					return "{}"
				}
				return ""
			})
			break
		}
		for range 1 + w.rnd.IntN(2)*w.rnd.IntN(4) {
			w.plant.publish(w.rnd)
			w.counts.bundles.Add(1)
			time.Sleep(time.Duration(w.rnd.IntN(3000)) * time.Microsecond) // so that some have it before they are cut off
		}
	}
	w.plant.save()
}

// restart closes the hub and tells another one what a twin would: its
// checkpoint and the log since then, or nothing of a log that was wiped.
func (w *world) restart(wipe bool) {
	w.counts.restarts.Add(1)
	for _, v := range w.viewers {
		v.expectEnd()
	}
	p := w.plant
	p.hub.Load().Close() // first, or it waits for readers who wait for the plant; what is published meanwhile is told to the next
	p.mu.Lock()
	defer p.mu.Unlock()
	w.counts.recalled.Add(int64(p.hub.Load().stats.recalled.Load()))
	if wipe {
		w.counts.wipes.Add(1)
		w.epochs++
		p.begin(w)
	}
	p.now.restarted = p.now.seq
	w.note("restart at %d of %s, told %d updates", p.now.seq, p.now.epoch, len(p.now.saved))
	h := w.newHub()
	w.begin(h)
	// A server with its past is open when it has read its log. One that is open
	// before shows objects with members that the screens know from later on.
	early := !w.past && w.flat && w.pipes == nil && w.rnd.IntN(3) > 0
	w.unknown.Store(0)
	if !w.past {
		w.unknown.Store(p.now.saved[0].Seq)
	}
	if w.past { // descriptions have no place in the log: they are as they are now
		h.Publish(realtime.Update{Seq: p.now.saved[0].Seq, Linked: p.now.tree.all()})
	}
	for i, u := range p.now.saved {
		if early && i == max(1, len(p.now.saved)/2) { // some come before all is read
			p.hub.Store(h)
			for _, v := range w.viewers {
				if v.closed() && w.rnd.IntN(2) == 0 {
					v.unpause()
					v.connect(p.now)
				}
			}
		}
		p.now.store.add(u)
		if w.past {
			u.Linked = nil
		}
		h.Publish(u)
	}
	p.hub.Store(h)
}

func (v *viewer) expectEnd() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ending = true
}

// current is the log now.
func (p *plant) current() *truth {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.now
}

func (p *plant) save() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.save()
}

var modelFields = [][]string{nil, nil, {"speed"}, {"temperature", "mode", "pose"}}

// wish is something to subscribe to.
func (w *world) wish() *viewerSub {
	paths := []string{"**", "a/**", "*/l0/*", "b/l1/u3", "a/l0/u1", "*", "*/*", "a/l2/*", "a/*/secret/x"}
	if w.rnd.IntN(2) == 0 {
		paths = nil
		for _, place := range modelPlaces {
			paths = append(paths, "under:"+place)
		}
	}
	return &viewerSub{
		path:   paths[w.rnd.IntN(len(paths))],
		fields: modelFields[w.rnd.IntN(len(modelFields))],
		rate:   []float64{0, 0, 3, 8, 20}[w.rnd.IntN(5)],
	}
}

// settled says whether the viewer waits for nothing that it asked for.
func (v *viewer) settled() bool {
	return v.conn.wire == webSocket && v.resume == nil && !slices.ContainsFunc(v.subs, func(s *viewerSub) bool { return !s.whole || s.ended != "" })
}

func (v *viewer) subscribe(s *viewerSub) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.conn.wire == webSocket && v.resume == nil && len(v.subs) < 6 {
		v.subs = append(v.subs, s)
		v.cursors = v.cursors[max(0, len(v.cursors)-1):] // the older ones do not know it
		v.saySub(s)
	}
}

func (v *viewer) unsubscribe() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.settled() && len(v.subs) > 1 {
		s := v.subs[v.rnd.IntN(len(v.subs))]
		v.asked++
		s.ended = fmt.Sprint("u", v.asked)
		v.say(`{"type":"unsub","sub":%q,"id":%q}`, s.id, s.ended)
	}
}

// resumeLive goes back to a cursor on a connection that is open.
func (v *viewer) resumeLive() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.settled() && len(v.cursors) > 0 {
		v.sayResume(v.anyCursor())
	}
}
