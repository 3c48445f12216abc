package twin

// Again returns Twins of things that are described as those that match accepts
// (nil means all) and have said nothing yet. Fed with the past and a clock that
// shows it, they are what t was then, as far as the descriptions of today tell.
// Run is not for them: Pass lets their time pass.
func (t *Twins) Again(cfg Config, match func(id string) bool) *Twins {
	again := New(cfg)
	t.mu.RLock()
	defer t.mu.RUnlock()
	for id, th := range t.things {
		if th.td == nil || match != nil && !match(id) {
			continue
		}
		if one := again.thing(id); one != nil {
			again.describe(one, th.td)
		}
	}
	return again
}

// Pass marks the values that have grown stale by now and tells it, for Twins
// that do not Run.
func (t *Twins) Pass() { t.sweep() }
