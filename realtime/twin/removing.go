package twin

import (
	"context"
	"errors"
	"strings"

	"echotwin/realtime"
)

// A removal is in two places: the description goes from the store, and then the
// log says what becomes of values and alarms. So that a crash between them is
// not the end of the second, the store says under this key that it is under way.
const removingKey = "removing:" // no path of a thing has a colon

const (
	removingAll  = "all"
	removingKeep = "keep" // values and history stay
)

// intend notes that a thing is about to be removed.
func (d *Directory) intend(ctx context.Context, id string, keep bool) error {
	what := removingAll
	if keep {
		what = removingKeep
	}
	_, revision, err := d.stored(ctx, removingKey+id)
	if err != nil {
		return err
	}
	if _, err = d.write(ctx, removingKey+id, []byte(what), revision); errors.Is(err, d.cfg.Changed) || errors.Is(err, d.cfg.Exists) {
		return realtime.Wrong("removing", "another is removing {thing}; try again", "thing", id).Of(realtime.CodeConflict)
	}
	return err
}

// ended takes the note away, also when the removal has failed: the device may go on,
// and the next start would forget all that it has said since.
func (d *Directory) ended(ctx context.Context, id string) {
	_, revision, err := d.stored(ctx, removingKey+id)
	if err == nil && revision > 0 {
		err = d.cfg.Store.DeleteRevision(ctx, removingKey+id, revision)
	}
	if err != nil && !errors.Is(err, d.cfg.Changed) {
		d.cfg.Logger.Warn("the note of a removal stays", "thing", id, "error", err)
	}
}

// Settle is to be called once, when the log was read to its end: alarms follow
// what was written into descriptions while nobody ran, and removals that a crash
// cut short are brought to their end.
func (d *Directory) Settle(ctx context.Context) error {
	d.cfg.Twins.settle()
	all, err := d.cfg.Store.All(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, what := range all {
		if id, ok := strings.CutPrefix(key, removingKey); ok {
			d.finish(ctx, id, string(what))
		}
	}
	return nil
}

// finish ends one removal. One whose description is there was not begun, or is
// over and the thing was described anew, by another node just now perhaps.
func (d *Directory) finish(ctx context.Context, id, what string) {
	td, _, err := d.stored(ctx, id)
	switch {
	case err != nil:
		d.cfg.Logger.Error("whether a removal was cut short cannot be read", "thing", id, "error", err)
		return
	case td != nil || d.fixed[id] != "": // nothing is to be done
	case what == removingAll:
		if err := d.cfg.Twins.forget(ctx, id); err != nil {
			d.cfg.Logger.Error("a removal that was cut short cannot be ended: remove it again", "thing", id, "error", err)
		} else {
			d.cfg.Logger.Info("a removal that was cut short is ended", "thing", id)
		}
	default:
		if d.cfg.Twins.orphan(id); !d.cfg.Twins.clearGone(ctx) {
			return // the next turns clear what is left
		}
		d.cfg.Logger.Info("a removal that was cut short is ended", "thing", id, "kept", "values and history")
	}
	d.ended(ctx, id)
}

// settle notes where the log was read to its end.
func (t *Twins) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alarms.settled = t.seq
	for _, p := range t.alarms.points {
		p.agrees = nil
	}
}

// orphan says of the alarms of a thing that their description is gone for good.
func (t *Twins) orphan(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, al := range t.alarms.byID {
		if al.Thing == id && al.RuleID == "" && al.Active() && t.alarms.points[al.ID] == nil {
			t.alarms.gone[al.ID] = realtime.ClearedDescription
		}
	}
}
