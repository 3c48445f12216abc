package hub

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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
// A world follows from its seed, as far as the goroutines of clients and
// publishers let it: go test -run TestModel -args -seed N -model 1m replays it.
func TestModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	var c modelCounts
	worlds := 0
	for end := time.Now().Add(*modelTime); time.Now().Before(end); worlds++ {
		newWorld(t, seed, &c).live(end)
		if t.Failed() {
			t.Fatalf("seed %d, after %d worlds", seed, worlds)
		}
		if *modelSeed == 0 {
			seed++
		}
	}
	t.Logf("%d worlds up to seed %d: %s", worlds, seed, c.String())
	if c.deltas.Load() == 0 || c.claims.Load() == 0 || c.quiets.Load() == 0 || c.restarts.Load() == 0 || c.closed.Load() == 0 || worlds > 7 && c.again.Load()*c.recalled.Load()*c.left.Load() == 0 {
		t.Error("the test has lost its teeth")
	}
}

// modelCounts is what all worlds have seen.
type modelCounts struct {
	bundles, claims, quiets, deltas, snapshots, pages, resyncs, cuts, kicks, closed, restarts, again, recalled, wipes, left atomic.Int64
}

func (c *modelCounts) String() string {
	return fmt.Sprintf("%d updates published, %d cursors and %d quiet points held; %d resumes by delta (%d over a restart) and %d by snapshot, %d pages, %d resyncs, %d facts recalled; %d cuts, %d kicks, %d closed by an administrator, %d restarts, %d wipes; %d times something left a place",
		c.bundles.Load(), c.claims.Load(), c.quiets.Load(), c.deltas.Load(), c.again.Load(), c.snapshots.Load(), c.pages.Load(), c.resyncs.Load(), c.recalled.Load(), c.cuts.Load(), c.kicks.Load(), c.closed.Load(), c.restarts.Load(), c.wipes.Load(), c.left.Load())
}

// A world is a plant, a hub and its viewers.
type world struct {
	t       *testing.T
	seed    uint64
	rnd     *rand.Rand // of the main goroutine
	counts  *modelCounts
	plant   *plant
	srv     *httptest.Server
	tls     bool
	cfg     Config
	sizes   sizes
	epochs  int
	viewers []*viewer

	past     bool        // a hub begins with its past
	archived bool        // and reads old facts
	lasting  bool        // nothing is removed
	flat     bool        // no value is an object
	moving   bool        // links change
	known    uint64      // facts up to here the hub does not know by itself; guarded by the plant
	calm     atomic.Bool // nothing is published

	mu     sync.Mutex
	log    []string // what was done
	broken bool
}

func newWorld(t *testing.T, seed uint64, c *modelCounts) *world {
	w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), counts: c, sizes: usualSizes, plant: newPlant()}
	if w.rnd.IntN(2) == 0 { // everything in many small parts
		w.sizes = sizes{page: 2 << 10, update: 1 << 10, turn: 1 << 10, list: 3, ghosts: 5}
	}
	if w.rnd.IntN(2) == 0 { // facts are forgotten soon, and sometimes that they were
		w.cfg.Limits.Facts = 8 << w.rnd.IntN(5)
	}
	if w.rnd.IntN(2) == 0 { // who does not read is closed soon
		w.cfg.Limits.Stall = 2 * time.Second
	}
	w.tls = w.rnd.IntN(4) == 0
	w.past, w.archived, w.lasting = w.rnd.IntN(4) > 0, w.rnd.IntN(3) > 0, w.rnd.IntN(3) > 0
	w.flat, w.moving = w.rnd.IntN(2) == 0, w.rnd.IntN(3) > 0
	w.plant.begin(w)
	h := w.newHub()
	w.begin(h)
	h.Publish(w.plant.now.saved[0])
	w.plant.hub.Store(h)
	w.serve()
	for i := range 12 {
		v := &viewer{w: w, n: i, user: "ana", rnd: rand.New(rand.NewPCG(seed, uint64(100+i)))}
		if i%4 == 3 {
			v.user = "guest"
		}
		for range 1 + w.rnd.IntN(3) {
			v.subs = append(v.subs, w.wish())
		}
		if w.rnd.IntN(2) == 0 { // so that one URL can ask for them
			for _, s := range v.subs {
				s.fields, s.rate = v.subs[0].fields, v.subs[0].rate
			}
		}
		w.viewers = append(w.viewers, v)
		v.connect(w.plant.now)
	}
	return w
}

func (w *world) newHub() *Hub {
	w.cfg.Epoch, w.cfg.Archive, w.cfg.Placed = w.plant.now.epoch, nil, 0
	if w.past {
		w.cfg.Placed = w.plant.now.seq
	}
	if w.archived {
		w.cfg.Archive = w.plant.now.store
	}
	h := New(w.cfg)
	h.sizes = w.sizes
	return h
}

func (w *world) serve() {
	view := func(r *http.Request) Viewer {
		v := Viewer{User: r.Header.Get("User"), Session: r.Header.Get("Session")}
		if v.User == "guest" {
			v.See, v.Rights = func(thing string) bool { return !strings.Contains(thing, "secret") }, "no secrets"
		}
		return v
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(rw http.ResponseWriter, r *http.Request) { w.plant.hub.Load().ServeWS(rw, r, view(r)) })
	mux.HandleFunc("/events", func(rw http.ResponseWriter, r *http.Request) { w.plant.hub.Load().ServeEvents(rw, r, view(r)) })
	w.srv = httptest.NewUnstartedServer(mux)
	w.srv.Config.ErrorLog = log.New(io.Discard, "", 0) // clients are cut off in the middle of a handshake
	if w.srv.EnableHTTP2 = w.tls; w.tls {
		w.srv.StartTLS()
	} else {
		w.srv.Start()
	}
}

// live goes through some busy and quiet times.
func (w *world) live(end time.Time) {
	defer w.end()
	for i := range 6 {
		w.busy()
		if i%2 == 0 {
			if w.rnd.IntN(2) == 0 {
				w.leaveBehind()
			}
			w.restart(w.rnd.IntN(6) == 0)
		}
		w.quiet()
		if w.t.Failed() || time.Now().After(end) {
			return
		}
	}
}

func (w *world) end() {
	for _, v := range w.viewers {
		v.cut()
	}
	w.plant.hub.Load().Close()
	w.counts.recalled.Add(int64(w.plant.hub.Load().stats.recalled.Load()))
	w.srv.CloseClientConnections()
	w.srv.Close()
}

// busy has publishers publish while clients are mistreated.
func (w *world) busy() {
	w.calm.Store(false)
	defer w.calm.Store(true)
	var publishers sync.WaitGroup
	done := make(chan struct{})
	for range 1 + w.rnd.IntN(3) {
		rnd, hasty := rand.New(rand.NewPCG(w.rnd.Uint64(), 2)), w.rnd.IntN(4) == 0
		publishers.Go(func() {
			for range 60 + rnd.IntN(120) {
				w.plant.publish(rnd)
				w.counts.bundles.Add(1)
				if !hasty {
					time.Sleep(time.Duration(rnd.IntN(4000)) * time.Microsecond)
				}
			}
		})
	}
	go func() {
		publishers.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(w.rnd.IntN(6000)) * time.Microsecond):
			w.mistreat(w.viewers[w.rnd.IntN(len(w.viewers))])
		}
	}
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
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hub.Load().Close()
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
	early := !w.past && w.flat && w.rnd.IntN(3) > 0
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

// quiet waits until every viewer is right, and looks again when the hub is
// through with everything: nothing may come after it that makes one wrong, but
// the end of a connection that was told before.
func (w *world) quiet() {
	for _, v := range w.viewers {
		v.unpause()
	}
	right, looked := false, time.Duration(0)
	// To look all the time would take the machine from those who are looked at.
	for end := time.Now().Add(40 * time.Second); !w.t.Failed(); time.Sleep(max(2*time.Millisecond, 3*looked)) {
		began := time.Now()
		v, why, told := w.wrong()
		looked = time.Since(began)
		switch {
		case v == nil && right:
			w.counts.quiets.Add(1)
			w.forget()
			return
		case v == nil:
			(&rig{t: w.t, hub: w.plant.hub.Load()}).settle()
			right = true
			continue
		case right && !told:
			why = "it was right, and then " + why
		case time.Now().After(end):
			why = "40 s of quiet, and " + why
		default:
			right = false
			continue
		}
		v.mu.Lock()
		v.fail("%s", why)
		v.mu.Unlock()
	}
}

// wrong is a viewer that is not right, and why. Those whose connection has ended
// come back; told says that this one knew that it would end.
func (w *world) wrong() (v *viewer, why string, told bool) {
	for _, v := range w.viewers {
		if told = false; v.closed() {
			v.mu.Lock()
			if told = v.ending || v.said != "" || !v.dismissed.IsZero(); !told {
				w.note("%d was lost", v.n)
			}
			v.mu.Unlock()
			v.connect(w.plant.current())
		}
		if why := v.wrong(); why != "" {
			return v, why, told
		}
	}
	return nil, "", false
}

// forget drops what everybody has.
func (w *world) forget() {
	for _, v := range w.viewers {
		v.mu.Lock()
		v.items, v.fuzzy = nil, false
		v.cursors = v.cursors[max(0, len(v.cursors)-1):]
		for i := range v.cursors {
			v.cursors[i].items = 0
		}
		for _, s := range v.subs {
			s.from = v.truth.seq
		}
		v.mu.Unlock()
	}
	w.plant.mu.Lock()
	defer w.plant.mu.Unlock()
	if w.rnd.IntN(2) == 0 {
		w.plant.now.save()
	}
	w.plant.now.forget()
	if w.rnd.IntN(4) == 0 { // the oldest facts go at some place
		w.plant.now.store.forget(w.rnd.Uint64N(w.plant.now.seq + 1))
	}
}

// note keeps what was done, for a failure.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// fail reports the first thing that was wrong; what follows from it would only
// hide it.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.broken {
		w.broken = true
		w.t.Errorf("seed %d, sizes %+v, limits %+v, TLS %v\n%s\nwhat was done: %s",
			w.seed, w.sizes, w.cfg.Limits, w.tls, fmt.Sprintf(format, args...), strings.Join(w.log[max(0, len(w.log)-25):], "; "))
	}
}
