package twin

import (
	"echotwin/realtime"
)

// WantDiffs has updates tell in what a description changed, until done is called
// once. That costs time with each, so it is off while nobody wants it.
func (t *Twins) WantDiffs() (done func()) {
	t.wantDiffs.Add(1)
	return func() { t.wantDiffs.Add(-1) }
}

// looks notes that a thing looks different from now on. It is called before it
// does, by whoever holds mu.
func (t *Twins) looks(th *thing) {
	if !th.news {
		th.news = true
		t.news = append(t.news, th)
		if t.wantDiffs.Load() > 0 && th.listed {
			th.was = th.look()
		}
	}
	th.served.Store(nil)
}

// differs is looks for what only shows afterwards: a device sent something that
// is not described.
func (t *Twins) differs(th *thing) {
	if th.differs {
		th.differs = false
		t.looks(th)
	}
}

// describedIn puts what is new of the descriptions into the update. The caller
// holds mu.
func (t *Twins) describedIn(u *realtime.Update) {
	u.Described, u.Linked, t.linked = t.described(), t.linked, nil
}

// described is what looks is to be told. The caller holds mu.
func (t *Twins) described() []realtime.Described {
	if len(t.news) == 0 {
		return nil
	}
	out := make([]realtime.Described, 0, len(t.news))
	for _, th := range t.news {
		th.news = false
		is := realtime.Described{Thing: th.id, How: realtime.Updated}
		switch here := t.things[th.id] == th; {
		case here && !th.listed:
			is.How = realtime.Created
		case !here:
			is.How = realtime.Deleted
		case th.was != nil:
			is.Diff, _ = realtime.Marshal(difference(th.was, th.look())) // decoded documents
		}
		if was := th.listed; was || is.How != realtime.Deleted {
			th.listed = is.How != realtime.Deleted
			out = append(out, is)
		}
		th.was = nil
	}
	t.news = t.news[:0]
	return out
}

// look is the document that describes a thing, decoded.
func (th *thing) look() map[string]any {
	d, err := th.document()
	if err != nil {
		return nil
	}
	v, err := decode(append(d.head[:len(d.head):len(d.head)], d.tail...))
	if err != nil {
		return nil
	}
	doc, _ := v.(map[string]any)
	return doc
}
