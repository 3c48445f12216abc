package bus

import (
	"context"
	"sync"
	"time"
)

// A Hold keeps the log from deleting what somebody has not read yet.
type Hold struct {
	name string
	of   *holds
}

type holds struct {
	mu     sync.Mutex
	m      map[*Hold]uint64 // read up to here
	warned time.Time
}

// Hold holds everything after the given number until Read or Release. Readers
// that have to get everything ask for one at the start, before anything can be
// deleted: nothing is deleted before Retain.
func (b *Bus) Hold(name string, after uint64) *Hold {
	b.holds.mu.Lock()
	defer b.holds.mu.Unlock()
	if b.holds.m == nil {
		b.holds.m = map[*Hold]uint64{}
	}
	h := &Hold{name: name, of: &b.holds}
	b.holds.m[h] = after
	return h
}

// Read lets go of everything up to seq.
func (h *Hold) Read(seq uint64) {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if was, ok := h.of.m[h]; ok && seq > was {
		h.of.m[h] = seq
	}
}

// Release lets go of everything. Calling it twice is harmless.
func (h *Hold) Release() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	delete(h.of.m, h)
}

// lowest is what everybody has read, and who has read the least.
func (h *holds) lowest() (seq uint64, who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seq = ^uint64(0)
	for one, read := range h.m {
		if read < seq {
			seq, who = read, one.name
		}
	}
	return seq, who
}

func (b *Bus) held(last uint64) uint64 {
	if low, _ := b.holds.lowest(); low < last {
		return last - low
	}
	return 0
}

// Retain deletes what is too old or too much, now and from now on, until ctx
// ends. It never deletes what a Hold waits for.
func (b *Bus) Retain(ctx context.Context) error {
	if b.inside == nil {
		<-ctx.Done() // the limits of the stream see to it
		return nil
	}
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	t := time.NewTicker(5 * b.cfg.Look)
	defer t.Stop()
	for {
		b.trim(ctx)
		select {
		case <-t.C:
		case <-b.closing.Done():
			return ErrClosed
		case <-ctx.Done():
			return nil
		}
	}
}

// now is the time by a clock that was right at the start. A clock that jumps
// ahead must not delete the log.
func (b *Bus) now() time.Time { return b.opened.Add(time.Since(b.opened)) }

// trim deletes the oldest segments as long as there are too many.
func (b *Bus) trim(ctx context.Context) {
	b.age(ctx)
	closed := b.row.closed()
	total := uint64(b.row.size.Load())
	for _, s := range closed {
		total += s.bytes
	}
	read, who := b.holds.lowest()
	for _, s := range closed {
		why := b.tooMuch(s, total)
		if why == "" {
			return
		}
		if s.last > read {
			b.sayHeld(who, why, total)
			return
		}
		if err := b.js.DeleteStream(ctx, s.name); err != nil {
			b.log.Warn("an old segment of the log could not be deleted", "segment", s.name, "error", err)
			return
		}
		b.log.Debug("an old segment of the log is deleted", "segment", s.name, "why", why)
		b.row.drop(b.row.find(s.last))
		total -= s.bytes
	}
}

// tooMuch says why the oldest segment has to go.
func (b *Bus) tooMuch(s segment, total uint64) string {
	switch {
	case total > uint64(b.cfg.MaxBytes):
		return "size"
	case s.finished.Before(b.now().Add(-b.cfg.MaxAge)):
		return "age"
	case total > minBytes && b.short():
		b.log.Warn("the disk is too small for the log: it keeps less", "bytes", total, "configured", b.cfg.MaxBytes)
		return "disk"
	}
	return ""
}

// short says whether the disk will soon be full.
func (b *Bus) short() bool {
	free, err := FreeBytes(b.cfg.Dir)
	return err == nil && free < b.cfg.Reserve+2*b.cfg.Segment
}

// age closes a segment that has been written to for long, so that a quiet log
// is not one segment that never grows old.
func (b *Bus) age(ctx context.Context) {
	info, err := b.row.active().stream.Info(ctx)
	if err != nil || info.State.Msgs == 0 {
		return
	}
	if b.now().Sub(info.State.FirstTime) < b.cfg.MaxAge/8 {
		return
	}
	if err := b.roll(ctx, 0); err != nil {
		b.log.Warn("the log could not begin a new segment", "error", err)
	}
}

func (b *Bus) sayHeld(who, why string, total uint64) {
	b.holds.mu.Lock()
	defer b.holds.mu.Unlock()
	if time.Since(b.holds.warned) < time.Minute {
		return
	}
	b.holds.warned = time.Now()
	b.log.Warn("the log keeps more than it should until it is read", "by", who, "limit", why, "bytes", total)
}
