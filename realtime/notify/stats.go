package notify

import "sync/atomic"

// counts is what this node did.
type counts struct {
	steps, folded, lost, disabled, delivered, failed atomic.Uint64

	hooks, mails tries
}

type tries struct{ good, bad atomic.Uint64 }

func (c *counts) attempt(kind string, r result) {
	t := &c.hooks
	if kind == Email {
		t = &c.mails
	}
	if r.ok {
		t.good.Add(1)
	} else {
		t.bad.Add(1)
	}
}

func (c *counts) took(got news) {
	c.steps.Add(uint64(got.steps))
	c.folded.Add(uint64(got.folded))
	c.lost.Add(uint64(got.lost))
}

// over counts a delivery that is.
func (c *counts) over(status string) {
	if status == Delivered {
		c.delivered.Add(1)
	} else {
		c.failed.Add(1)
	}
}

// Tries counts attempts.
type Tries struct{ Good, Bad uint64 }

// Stats are what this node did since its start, and what it saw when it looked
// last.
type Stats struct {
	Channels, Enabled int
	Waiting           int // deliveries that are not over, of all nodes

	Steps             uint64 // that became messages
	Folded            uint64 // of them, those that came together with others in one
	Lost              uint64 // times that the store of facts had dropped some unread
	Disabled          uint64 // channels whose receiver wants no more
	Delivered, Failed uint64 // messages
	Attempts          map[string]Tries
}

// Stats says how it goes.
func (n *Notify) Stats() Stats {
	c := &n.counts
	s := Stats{
		Steps: c.steps.Load(), Folded: c.folded.Load(), Lost: c.lost.Load(), Disabled: c.disabled.Load(), Delivered: c.delivered.Load(), Failed: c.failed.Load(),
		Attempts: map[string]Tries{
			Webhook: {c.hooks.good.Load(), c.hooks.bad.Load()},
			Email:   {c.mails.good.Load(), c.mails.bad.Load()},
		},
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s.Channels = len(n.all)
	for key, k := range n.all {
		if k.Enabled {
			s.Enabled++
		}
		if w := n.workers[key]; w != nil {
			s.Waiting += int(w.waiting.Load())
		}
	}
	return s
}
