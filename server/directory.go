package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/sse"
	"echotwin/realtime/twin"
	"echotwin/server/auth"
)

const (
	keptChanges = 4096    // of the directory, for readers that were away
	keptDiffs   = 4 << 20 // bytes of what they changed
)

// A listed is one change of the directory.
type listed struct {
	realtime.Described
	n uint64
}

// listings are the changes of the directory, the newest of them in a ring, and
// the readers of GET /api/things/events. A reader has a place in the ring and no
// queue; one that falls behind it is told so.
type listings struct {
	epoch string // of the numbers: they begin anew with the process

	mu      sync.Mutex
	ring    []listed // by n, the oldest first
	n       uint64   // of the newest
	diffs   int      // bytes
	readers map[chan struct{}]bool
	closed  bool
}

func newListings() *listings {
	return &listings{epoch: strings.ToLower(rand.Text()[:8]), readers: map[chan struct{}]bool{}}
}

// publish keeps what changed and wakes the readers. It never blocks.
func (l *listings) publish(all []realtime.Described) {
	if len(all) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range all {
		l.n++
		l.ring = append(l.ring, listed{d, l.n})
		l.diffs += len(d.Diff)
	}
	if over := len(l.ring) - keptChanges; over > 0 {
		for _, e := range l.ring[:over] {
			l.diffs -= len(e.Diff)
		}
		clear(l.ring[:over]) // append moves the rest, one day
		l.ring = l.ring[over:]
	}
	// Without its difference a change is told by the whole description.
	for i := 0; l.diffs > keptDiffs && i < len(l.ring); i++ {
		l.diffs -= len(l.ring[i].Diff)
		l.ring[i].Diff = nil
	}
	for wake := range l.readers {
		nudge(wake)
	}
}

func nudge(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// after is what came after n, and how many changes are not kept any more.
func (l *listings) after(n uint64) (news []listed, missed uint64, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) > 0 && l.ring[0].n > n+1 {
		missed = l.ring[0].n - n - 1
	}
	from := min(int(n+missed-(l.n-uint64(len(l.ring)))), len(l.ring))
	return append(news, l.ring[from:]...), missed, l.closed
}

// join adds a reader, and says which change is the newest.
func (l *listings) join() (wake chan struct{}, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wake = make(chan struct{}, 1)
	l.readers[wake] = true
	return wake, l.n
}

func (l *listings) leave(wake chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.readers, wake)
}

// wake has every reader look: at who it is, or at the end.
func (l *listings) wake(closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = l.closed || closed
	for wake := range l.readers {
		nudge(wake)
	}
}

// A directoryReader is one reader of the changes of the directory.
type directoryReader struct {
	*Server
	out     *sse.Writer
	base    string
	who     *auth.Identity
	pattern string
	place   string // whose part of the tree it is about; "" is all
	how     string // only changes of this sort; "" is all
	diff    bool
	n       uint64 // seen
}

// directoryEvents answers GET /api/things/events and …/events/{type}: the changes
// of the directory, as the Directory Service API of WoT Discovery has them.
func (s *Server) directoryEvents(c echo.Context) error {
	pattern, _, err := s.scope(c, "path")
	if err != nil {
		return err
	}
	r := &directoryReader{Server: s, base: base(c), who: userOf(c), pattern: pattern}
	if place, ok := strings.CutPrefix(c.QueryParam("path"), realtime.Under); ok {
		r.place = place
	}
	if typ := c.Param("type"); typ != "" {
		how, ok := strings.CutPrefix(typ, "thing_")
		if !ok || how != realtime.Created && how != realtime.Updated && how != realtime.Deleted {
			return problem(realtime.CodeNotFound, "there are no events %s; there are thing_created, thing_updated and thing_deleted", clip(typ))
		}
		r.how = how
	}
	switch d := c.QueryParam("diff"); d {
	case "", "false":
	case "true":
		r.diff = true
	default:
		return &realtime.Problem{Code: realtime.CodeInvalid, At: "?diff", Message: "diff can only be true or false"}
	}
	if s.watch.n.Add(1) > maxWatchers {
		s.watch.n.Add(-1)
		return problem(realtime.CodeUnavailable, "too many streams are open")
	}
	defer s.watch.n.Add(-1)
	if r.diff {
		defer s.Twins.WantDiffs()()
	}
	wake, newest := s.listings.join()
	defer s.listings.leave(wake)
	r.n = newest
	resync := ""
	last := c.Request().Header.Get("Last-Event-ID")
	if last == "" {
		last = c.QueryParam("since") // of a client that opens the stream anew
	}
	if last != "" {
		r.n, resync = s.listings.seen(last, newest)
	}
	if r.out, err = sse.Open(c.Response(), 0); err != nil {
		return nil // the reader has left
	}
	switch {
	case resync != "":
		err = r.resync(resync)
	case last == "": // who is cut off before the first change has to know where to go on, too
		err = r.out.Event(r.id(), "hello", []byte("{}"))
	}
	if err != nil {
		return nil
	}
	r.run(c.Request().Context(), wake)
	return nil
}

// seen is the number of the last event that a reader has, or why that is not known.
func (l *listings) seen(id string, newest uint64) (n uint64, why string) {
	epoch, number, _ := strings.Cut(id, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if epoch != l.epoch || err != nil || n > newest {
		return newest, "the server was started anew, or this is another node"
	}
	return n, ""
}

// run writes until one of both ends.
func (r *directoryReader) run(ctx context.Context, wake chan struct{}) {
	beat := time.NewTicker(wotBeat)
	defer beat.Stop()
	for {
		// Who may see what is asked before anything is told.
		var why string
		if r.who, why = r.reads(ctx, r.who); why != "" {
			_ = r.out.Comment(why) // a courtesy
			return
		}
		if !r.tell() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-beat.C:
			if r.out.Comment("hb") != nil {
				return
			}
		}
	}
}

// tell writes what is new. It is false when the stream is over.
func (r *directoryReader) tell() bool {
	news, missed, closed := r.listings.after(r.n)
	if missed > 0 {
		r.n += missed
		if r.resync(fmt.Sprintf("%d changes are not kept any more", missed)) != nil {
			return false
		}
	}
	under := func(string) bool { return true }
	if r.place != "" && len(news) > 0 {
		under = r.Twins.Under(r.place, covers(r.who))
	}
	for _, e := range news {
		r.n = e.n
		if r.how != "" && e.How != r.how || r.pattern != "" && !realtime.Match(r.pattern, e.Thing) || !r.who.Covers(e.Thing, realtime.Match) || !under(e.Thing) {
			continue
		}
		if r.out.Event(r.id(), "thing_"+e.How, r.data(e)) != nil {
			return false
		}
	}
	if closed {
		_ = r.out.Comment("the server is stopping") // a courtesy
	}
	return !closed
}

func (r *directoryReader) id() string { return r.listings.epoch + "." + strconv.FormatUint(r.n, 10) }

// resync says that the reader has to read the whole list again.
func (r *directoryReader) resync(why string) error {
	data, err := json.Marshal(map[string]string{"reason": why})
	if err != nil {
		return err
	}
	return r.out.Event(r.id(), "resync", data)
}

// data is what an event says: the id, and with diff the description or what
// changed in it.
func (r *directoryReader) data(e listed) []byte {
	bare := []byte(`{"id":"` + twin.URN(e.Thing) + `"}`) // an id needs no escape
	if !r.diff || e.How == realtime.Deleted {
		return bare
	}
	if e.How == realtime.Updated && len(e.Diff) > 0 {
		if string(e.Diff) == "{}" {
			return bare // somebody wrote what it was
		}
		return append(append(bare[:len(bare)-1], ','), e.Diff[1:]...)
	}
	if td, ok := r.Twins.TD(e.Thing, r.base); ok {
		return td
	}
	return bare
}

// directoryRoutes are the changes of the directory.
func (s *Server) directoryRoutes() {
	s.getStream("/api/things/events", auth.ReadThings, s.directoryEvents)
	s.getStream("/api/things/events/:type", auth.ReadThings, s.directoryEvents)
	s.route(http.MethodHead, "/api/things/events", auth.ReadThings, onlyGet)
	s.route(http.MethodHead, "/api/things/events/:type", auth.ReadThings, onlyGet)
}

// onlyGet keeps the head of a stream from being one without an end.
func onlyGet(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderAllow, http.MethodGet)
	return echo.ErrMethodNotAllowed
}
