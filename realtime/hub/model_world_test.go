package hub

import (
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
)

// A world is a plant, a hub and its viewers.
type world struct {
	t       *testing.T
	seed    uint64
	rnd     *rand.Rand // of the main goroutine
	counts  *modelCounts
	plant   *plant
	srv     *httptest.Server
	tls     bool
	pipes   pipes // of a narrow world, instead of sockets
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

	// unknown is where the log begins for a hub without a past. What happened up to
	// there is nobody's who came to it before it had heard of anything.
	unknown atomic.Uint64

	mu     sync.Mutex
	log    []string // what was done
	broken bool
}

var smallSizes = sizes{page: 2 << 10, update: 1 << 10, turn: 1 << 10, list: 3, ghosts: 5}

func newWorld(t *testing.T, seed uint64, c *modelCounts) *world {
	w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), counts: c, sizes: usualSizes, plant: newPlant()}
	if w.rnd.IntN(2) == 0 { // everything in many small parts
		w.sizes = smallSizes
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
	viewers := 12
	if isNarrow(seed) {
		w.narrow()
		viewers = 6
	}
	if w.moving {
		w.counts.moving.Add(1)
	}
	w.plant.begin(w)
	h := w.newHub()
	w.begin(h)
	h.Publish(w.plant.now.saved[0])
	w.plant.hub.Store(h)
	w.serve()
	for i := range viewers {
		v := &viewer{w: w, n: i, gate: make(gate, 1), user: "ana", rnd: rand.New(rand.NewPCG(seed, uint64(100+i)))}
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
	if w.pipes != nil {
		w.srv.Listener.Close()
		w.srv.Listener = &closedOnce{Listener: w.pipes}
	}
	w.srv.Config.ErrorLog = log.New(io.Discard, "", 0) // clients are cut off in the middle of a handshake
	if w.srv.EnableHTTP2 = w.tls; w.tls {
		w.srv.StartTLS()
	} else {
		w.srv.Start()
	}
}

// live goes through some busy and quiet times.
func (w *world) live(over *atomic.Bool) {
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
		if w.t.Failed() || over.Load() {
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

// quiet waits until every viewer is right, and looks again when the hub is
// through with everything: nothing may come after it that makes one wrong, but
// the end of a connection that was told before.
func (w *world) quiet() {
	for _, v := range w.viewers {
		v.unpause()
	}
	right, looked, glance := false, time.Duration(0), 2*time.Millisecond
	if w.pipes != nil {
		glance = 20 * time.Millisecond // which cost nothing, and looking does
	}
	// To look all the time would take the machine from those who are looked at.
	for end := time.Now().Add(2 * time.Minute); !w.t.Failed(); time.Sleep(max(glance, 3*looked)) {
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
			why = "2 minutes of quiet, and " + why
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
		v.cursors = v.cursors[max(0, len(v.cursors)-1):]
		// Who goes on from a cursor before missing facts is told of them again, and
		// they are not known here any more.
		v.fuzzy = slices.ContainsFunc(v.items, func(i item) bool { return len(v.cursors) > 0 && i.to > v.cursors[0].seq })
		v.items = nil
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
