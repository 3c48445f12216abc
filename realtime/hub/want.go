package hub

import "slices"

// since is what somebody has of the state: everything up to round ver, and,
// while it catches up after a resume, everything up to place seq.
type since struct {
	ver uint64
	seq uint64
}

// has says whether a change is in what somebody has.
func (s since) has(ver, seq uint64) bool { return ver <= s.ver || seq <= s.seq }

// want is what one frame is to say about one thing.
//
// The usual case has one subscription, and due is nil. When several of one
// connection cover the thing, its values go out once: what any of the due ones
// lacks and none of the others has.
type want struct {
	since  since
	fields []string // nil means all

	due []*sub // of those that cover the thing, the ones this frame serves
	all []*sub // that cover the thing

	// One of the due ones is of a place that the thing has come to. What another
	// told of its marks, the client did not take to be about it.
	joins bool
}

func (w *want) prop(p *prop) bool {
	if w.due == nil {
		return !w.since.has(p.ver, p.seq) && w.covers(p.name)
	}
	for _, s := range w.all {
		if !s.paging && s.since.has(p.ver, p.seq) && covers(s.fields, p.name) {
			return false
		}
	}
	for _, s := range w.due {
		if covers(s.fields, p.name) {
			return true
		}
	}
	return false
}

// change is prop for what belongs to the whole thing.
func (w *want) change(ver, seq uint64) bool {
	if w.due == nil {
		return !w.since.has(ver, seq)
	}
	return !slices.ContainsFunc(w.all, func(s *sub) bool { return !s.paging && s.since.has(ver, seq) })
}

func (w *want) covers(name string) bool { return covers(w.fields, name) }

// follows says whether any subscription of the client covers the property. The
// client has one screen for a thing, so what is sent whole, its state and its
// lists of marks, must be whole for all of them.
func (w *want) follows(name string) bool {
	if w.all == nil {
		return w.covers(name)
	}
	return slices.ContainsFunc(w.all, func(s *sub) bool { return covers(s.fields, name) })
}

// unlearns says whether the client may have a property that was deleted.
func (w *want) unlearns(p *prop) bool {
	if w.all == nil {
		return !w.since.has(p.ver, p.seq)
	}
	return slices.ContainsFunc(w.all, func(s *sub) bool { return !s.since.has(p.ver, p.seq) })
}

func covers(fields []string, name string) bool {
	return fields == nil || slices.Contains(fields, name)
}
