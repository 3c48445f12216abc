package server

import (
	"encoding/json"
	"sync"
	"sync/atomic"

	"echotwin/realtime"
)

const (
	maxWatchers = 2000 // WoT streams at once; one is a goroutine and a connection
	maxWaiting  = 256  // events that wait for one reader
)

// watchers are the readers of WoT streams: one property or one sort of event of
// one thing each.
type watchers struct {
	n  atomic.Int64
	mu sync.RWMutex
	m  map[string]map[*watcher]bool // by thing
	// closed says that the server is stopping.
	closed bool
}

// A watcher is one reader. A property's values are merged, the newest wins;
// events are kept in order, and a reader too slow for them is cut off, so that
// it knows.
type watcher struct {
	thing, part, name string
	wake              chan struct{} // capacity 1
	doubted           atomic.Bool   // whether its reader may still read is to be asked

	mu     sync.Mutex
	value  json.RawMessage
	seq    uint64 // of value
	events []json.RawMessage
	over   string // why it ended, or ""
}

// Publish tells the readers of WoT streams and of the directory. It never blocks.
func (s *Server) Publish(u realtime.Update) {
	s.listings.publish(u.Described)
	s.watch.publish(u)
}

// Close ends the WoT streams, which never end by themselves; http.Server's
// Shutdown would wait for them. It is called before that; twice is harmless.
func (s *Server) Close() {
	s.live.stop()
	<-s.live.stopped
	s.listings.wake(true)
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, of := range w.m {
		for one := range of {
			one.end("the server is stopping")
		}
	}
}

// add is nil when there are too many.
func (w *watchers) add(thing, part, name string) *watcher {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.n.Load() >= maxWatchers {
		return nil
	}
	one := &watcher{thing: thing, part: part, name: name, wake: make(chan struct{}, 1)}
	if w.m == nil {
		w.m = map[string]map[*watcher]bool{}
	}
	if w.m[thing] == nil {
		w.m[thing] = map[*watcher]bool{}
	}
	w.m[thing][one] = true
	w.n.Add(1)
	return one
}

// doubt has every stream ask whether its reader may still read.
func (w *watchers) doubt() {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, of := range w.m {
		for one := range of {
			one.doubted.Store(true)
			one.nudge()
		}
	}
}

func (w *watchers) remove(one *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of := w.m[one.thing]; of[one] {
		w.n.Add(-1)
		if delete(of, one); len(of) == 0 {
			delete(w.m, one.thing)
		}
	}
}

func (w *watchers) publish(u realtime.Update) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	for i := range u.Changes {
		c := &u.Changes[i]
		for one := range w.m[c.Thing] {
			if c.Removed {
				one.end("the thing is gone")
			} else if one.part == "properties" {
				one.set(u.Seq, c.Values)
			}
		}
	}
	for i := range u.Facts {
		if f := &u.Facts[i]; f.Type == "event" && len(w.m[f.Thing]) > 0 {
			w.event(f)
		}
	}
}

// event is called under mu.
func (w *watchers) event(f *realtime.Fact) {
	var e struct {
		Name string          `json:"name"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(f.Body, &e) != nil {
		return
	}
	if e.Data == nil {
		e.Data = json.RawMessage("null")
	}
	for one := range w.m[f.Thing] {
		if one.part == "events" && one.name == e.Name {
			one.add(e.Data)
		}
	}
}

func (o *watcher) set(seq uint64, values []realtime.Value) {
	for _, v := range values {
		if v.Name == o.name {
			o.mu.Lock()
			o.value, o.seq = v.JSON, seq
			o.mu.Unlock()
			o.nudge()
			return
		}
	}
}

func (o *watcher) add(data json.RawMessage) {
	o.mu.Lock()
	if len(o.events) < maxWaiting {
		o.events = append(o.events, data)
	} else if o.over == "" {
		o.over = "too slow for these events; come back"
	}
	o.mu.Unlock()
	o.nudge()
}

func (o *watcher) end(why string) {
	o.mu.Lock()
	o.over = why
	o.mu.Unlock()
	o.nudge()
}

func (o *watcher) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take is what the reader has not seen, and why there will be no more. A value
// from seq or before is old news.
func (o *watcher) take(seq uint64) (news []json.RawMessage, over string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	news, o.events = o.events, nil
	if o.value != nil && o.seq > seq {
		news = append(news, o.value)
	}
	o.value = nil
	return news, o.over
}
