package twin

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"echotwin/realtime"
)

const (
	sweepEvery  = 250 * time.Millisecond
	expireEvery = time.Second
)

// Run lets time pass: values grow stale and commands without an answer time
// out. It returns when ctx ends. Then Invoke takes no more commands and lets go
// of those under way, which end in the log by their result or, at the next
// start or on another node, by their time-out.
func (t *Twins) Run(ctx context.Context) error {
	defer func() {
		t.end()
		t.mu.Lock()   // whoever holds it may be starting a carrier
		t.mu.Unlock() //nolint:staticcheck // empty on purpose
		t.carriers.Wait()
	}()
	var wg sync.WaitGroup
	// Several loops, because ending a command waits for the log and values must
	// grow stale even when the log cannot store.
	wg.Go(func() { every(ctx, sweepEvery, t.sweep) })
	wg.Go(func() { every(ctx, expireEvery, func() { t.expire(ctx) }) })
	wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-time.After(silenceGrace):
			every(ctx, expireEvery, func() { t.hush(ctx) })
		}
	})
	wg.Go(func() { every(ctx, alarmsEvery, func() { t.stepAlarms(ctx) }) })
	wg.Go(func() { every(ctx, askEvery, func() { t.askRules(ctx) }) })
	wg.Wait()
	return nil
}

func every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// sweep marks what grew stale and tells it. It looks only at things whose
// earliest deadline has passed.
func (t *Twins) sweep() {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.mu.Lock()
	now := t.cfg.Now().UnixMilli()
	u := realtime.Update{Seq: t.seq}
	for len(t.due) > 0 && t.due[0].due <= now {
		th := t.due[0]
		next, changed := th.age(now)
		if next == 0 {
			heap.Pop(&t.due)
		} else {
			th.due = next
			heap.Fix(&t.due, 0)
		}
		if changed {
			t.lookStale(th)
			th.wasMarked = true
			u.Changes = append(u.Changes, realtime.Change{Thing: th.id, TS: stamp(th.newest), Marks: th.marks()})
		}
	}
	t.mu.Unlock()
	if len(u.Changes) > 0 {
		t.tell(u)
	}
}

// aging sees to it that p grows stale in time: at once, when it is too old
// already.
func (t *Twins) aging(th *thing, p *property, now int64) {
	due := p.deadline()
	p.stale = due > 0 && due <= now
	if due > 0 && !p.stale {
		t.due.watch(th, due)
	}
}

// age marks the values whose deadline has passed and returns the earliest one
// that has not, or 0.
func (th *thing) age(now int64) (next int64, changed bool) {
	for _, p := range th.props {
		due := p.deadline()
		switch {
		case due == 0 || p.stale:
		case due <= now:
			p.stale, changed = true, true
		case next == 0 || due < next:
			next = due
		}
	}
	return next, changed
}

// A dueHeap holds the things with a value that can grow stale, the next to be
// looked at first. A thing's due is at most its earliest deadline: readings
// move deadlines on and leave it where it is, because looking once in a while
// for nothing is cheaper than moving it with every reading.
type dueHeap []*thing

// watch sees to it that th is looked at no later than due.
func (h *dueHeap) watch(th *thing, due int64) {
	switch {
	case th.due == 0:
		th.due = due
		heap.Push(h, th)
	case due < th.due:
		th.due = due
		heap.Fix(h, th.slot)
	}
}

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push and Pop are for container/heap only.
func (h *dueHeap) Push(x any) {
	th := x.(*thing)
	th.slot = len(*h)
	*h = append(*h, th)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	th := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	th.due = 0
	return th
}
