package twin

import (
	"context"
	"errors"
	"strings"

	"echotwin/realtime"
)

// Put describes a thing. An id in td must be that of the thing; it may be left
// out. It says whether there was no description before.
func (d *Directory) Put(ctx context.Context, id string, td []byte, m Match) (created bool, err error) {
	return d.edit(ctx, id, m, func([]byte) ([]byte, error) { return withID(td, URN(id), idPrefix) })
}

// Patch changes a description, as it was given, by a JSON Merge Patch.
func (d *Directory) Patch(ctx context.Context, id string, patch []byte, m Match) error {
	next, err := patched(patch, URN(id), idPrefix)
	if err != nil {
		return err
	}
	_, err = d.edit(ctx, id, m, next)
	return err
}

// patched is what a merge patch makes of a document of that id.
func patched(patch []byte, urn, prefix string) (func(old []byte) ([]byte, error), error) {
	p, problem := readPatch(patch, "description")
	if problem != nil {
		return nil, problem
	}
	return func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, realtime.Wrong("td_none", "{id} has no description to be changed; PUT gives it one", "id", strings.TrimPrefix(urn, prefix)).Of(realtime.CodeNotFound)
		}
		doc, err := decode(old)
		if err != nil {
			return nil, err
		}
		b, err := patchedBy(p, doc)
		if err != nil {
			return nil, err
		}
		return withID(b, urn, prefix)
	}, nil
}

// Remove takes away the description of a thing and, unless keep, forgets all
// that it ever said. Forgetting is one place in the log: what the device says
// later makes it an undescribed thing. History reads it there, too.
func (d *Directory) Remove(ctx context.Context, id string, m Match, keep bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := realtime.CheckThing(id); err != nil {
		return err
	}
	if err := d.free(id); err != nil {
		return err
	}
	td, revision, err := d.stored(ctx, id)
	if err != nil {
		return err
	}
	if _, ok := d.cfg.Twins.Tag(id); !ok && td == nil || td == nil && keep {
		return realtime.Wrong("no_thing", "there is no thing {thing}", "thing", id).Of(realtime.CodeNotFound)
	}
	if err := m.check(td != nil, func() (string, error) { return d.tag(id, td) }); err != nil {
		return err
	}
	if td != nil {
		if err := d.intend(ctx, id, keep); err != nil {
			return err
		}
		ctx = context.WithoutCancel(ctx) // what is begun goes to its end, also when who asked has left
		if err := d.erase(ctx, id, revision); err != nil {
			d.ended(ctx, id)
			return err
		}
		d.makes(id, nil)
		d.cfg.Twins.Undescribe(id)
	}
	if keep {
		if d.cfg.Twins.clearGone(ctx) {
			d.ended(ctx, id)
		}
		return nil // what is left clears when the log can store again
	}
	err = d.cfg.Twins.forget(ctx, id)
	d.ended(ctx, id) // if it failed, whoever hears so asks again, and nothing else does
	return err
}

// erase takes what has that revision out of the store.
func (d *Directory) erase(ctx context.Context, key string, revision uint64) error {
	err := d.cfg.Store.DeleteRevision(ctx, key, revision)
	if errors.Is(err, d.cfg.Changed) {
		return realtime.Wrong("td_changed_now", "the description was changed just now; read it again").Of(realtime.CodeChanged)
	}
	if err == nil {
		delete(d.applied, key)
	}
	return err
}

// edit replaces a description by what next makes of it.
func (d *Directory) edit(ctx context.Context, id string, m Match, next func(old []byte) ([]byte, error)) (created bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := realtime.CheckThing(id); err != nil {
		return false, err
	}
	if err := d.free(id); err != nil {
		return false, err
	}
	return d.again(ctx, func() (bool, error) { return d.try(ctx, id, m, next) })
}

// again tries a write while another node is first.
func (d *Directory) again(ctx context.Context, try func() (bool, error)) (created bool, err error) {
	lost := func(err error) bool { return errors.Is(err, d.cfg.Changed) || errors.Is(err, d.cfg.Exists) }
	err = realtime.PastRivals(ctx, lost, func() error {
		created, err = try()
		return err
	})
	if lost(err) {
		return false, realtime.Wrong("td_busy", "others change this description all the time; try again").Of(realtime.CodeConflict)
	}
	return created, err
}

func (d *Directory) try(ctx context.Context, id string, m Match, next func(old []byte) ([]byte, error)) (created bool, err error) {
	old, revision, err := d.stored(ctx, id)
	if err == nil {
		err = m.check(old != nil, func() (string, error) { return d.tag(id, old) })
	}
	if err != nil {
		return false, err
	}
	td, err := next(old)
	if err != nil {
		return false, err
	}
	r := d.read(td)
	if r.problem == nil && r.made != nil {
		r.problem = r.made.knows(d.models[r.made.model])
	}
	if r.problem == nil {
		r.problem = m.allows(r.doc, d.cfg.Twins.description(id))
	}
	if r.problem != nil {
		return false, r.problem
	}
	if err := d.roomFor(r); err != nil {
		return false, err
	}
	revision, err = d.write(ctx, id, td, revision)
	if err != nil {
		return false, err
	}
	if r.made != nil {
		if r, err = d.confirm(ctx, id, r, old, revision); err != nil {
			return false, err
		}
	}
	d.put(id, td, r)
	return old == nil, nil
}

// roomFor says whether there may be one more thing, and of this model.
func (d *Directory) roomFor(r asRead) error {
	if in := r.made; in != nil && d.count[in.model] >= maxInstances && (d.made[in.id] == nil || d.made[in.id].model != in.model) {
		return realtime.Wrong("model_full", "{max} things are made of {model} already", "max", maxInstances, "model", in.model).Of(realtime.CodeTooMany)
	}
	return d.cfg.Twins.room(r.doc.id)
}

// write puts a value at the place of the one with that revision; 0 is none.
func (d *Directory) write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if revision > 0 {
		return d.cfg.Store.Update(ctx, key, value, revision)
	}
	return d.cfg.Store.Create(ctx, key, value)
}

// confirm looks whether the models that a thing was just made of are still what
// they were, since another node may have changed one meanwhile. Whoever changes
// a model looks for new things, too, after it is written, so one of both sees
// the other; who does takes back what it wrote.
func (d *Directory) confirm(ctx context.Context, id string, r asRead, old []byte, revision uint64) (asRead, error) {
	changed := false
	for _, name := range d.behind(r.made.model) {
		if d.fixed[modelKey+name] != "" {
			continue
		}
		now, _, err := d.stored(ctx, modelKey+name)
		if err != nil {
			return r, err
		}
		if !d.knows(modelKey+name, now) {
			d.takeModel(name, now)
			changed = true
		}
	}
	if !changed {
		return r, nil
	}
	r.doc, r.problem = r.made.make(d.models[r.made.model])
	if r.problem == nil {
		return r, nil
	}
	if err := d.takeBack(ctx, id, old, revision); err != nil {
		return r, err
	}
	return r, r.problem
}

// takeBack puts old at the place of what has that revision.
func (d *Directory) takeBack(ctx context.Context, key string, old []byte, revision uint64) error {
	var err error
	if old == nil {
		err = d.cfg.Store.DeleteRevision(ctx, key, revision)
	} else {
		_, err = d.cfg.Store.Update(ctx, key, old, revision)
	}
	if errors.Is(err, d.cfg.Changed) {
		return nil // somebody has replaced it
	}
	return err
}

// tag is that of a thing that the store has as td.
func (d *Directory) tag(id string, td []byte) (string, error) {
	r := d.read(td)
	if r.problem != nil {
		// What its model no longer makes, or what nobody understands any more, is
		// served as it was.
		if r.doc = d.cfg.Twins.description(id); r.doc == nil {
			tag, _ := d.cfg.Twins.Tag(id)
			return tag, nil
		}
	}
	return r.doc.tag()
}

// withID is a document with the id of what is at its place.
func withID(b []byte, urn, prefix string) ([]byte, error) {
	if len(b) > maxDescription {
		return b, nil // whoever reads it says so
	}
	v, problem := unmarshal(b)
	if problem != nil {
		return nil, problem
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return b, nil
	}
	given, ok := doc["id"].(string)
	if doc["id"] != nil && (!ok || strings.TrimPrefix(given, prefix) != strings.TrimPrefix(urn, prefix)) {
		return nil, realtime.Wrong("td_id", "the id is not that of what is at this place: {id}, or leave it out", "id", urn).In("/id")
	}
	if doc["id"] != nil {
		return b, nil
	}
	doc["id"] = urn
	return realtime.Marshal(doc)
}
