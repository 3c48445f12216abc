package twin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"echotwin/realtime"
)

// A plan is what becomes of the models and of the things made of them when one
// model is replaced or removed.
type plan struct {
	models map[string]*model // what they become; nil: gone
	made   []*description    // what the things become that change
	failed []failedThing     // those that the models do not fit any more, by id
}

// A failedThing is one that cannot be made of its model.
type failedThing struct {
	in      *instance
	problem *realtime.Problem
	before  bool // it could not be made before, either
}

// plan works out what follows from a model; next nil removes it.
func (d *Directory) plan(name string, next *model) plan {
	r := newResolver(func(other string) *model {
		if other == name {
			return next
		}
		return d.models[other]
	})
	p := plan{models: map[string]*model{}}
	for _, other := range d.dependents(name) {
		p.models[other] = r.model(other)
	}
	var all []*instance
	for _, in := range d.made {
		if _, affected := p.models[in.model]; affected {
			all = append(all, in)
		}
	}
	slices.SortFunc(all, func(a, b *instance) int { return cmp.Compare(a.id, b.id) })
	p.make(d, all)
	return p
}

// make makes the things anew.
func (p *plan) make(d *Directory, all []*instance) {
	docs, problems := make([]*description, len(all)), make([]*realtime.Problem, len(all))
	parallel(len(all), func(i int) {
		doc, problem := all[i].make(p.models[all[i].model])
		if was := d.cfg.Twins.description(all[i].id); problem == nil && was != nil && reflect.DeepEqual(was.doc, doc.doc) {
			doc = nil // nothing changes
		}
		docs[i], problems[i] = doc, problem
	})
	for i, in := range all {
		if problems[i] != nil {
			was := d.cfg.Twins.description(in.id)
			p.failed = append(p.failed, failedThing{in, problems[i], was == nil || was.model != in.model})
		} else if docs[i] != nil {
			p.made = append(p.made, docs[i])
		}
	}
}

// change makes a plan what counts, all at once. Things that the models do not
// fit any more stay as they were.
func (d *Directory) change(p plan) {
	for name, m := range p.models {
		if m == nil {
			delete(d.models, name)
		} else {
			d.models[name] = m
		}
	}
	if err := d.cfg.Twins.putAll(p.made); err != nil {
		d.cfg.Logger.Error("not every thing of a model could be described", "error", err)
	}
	if d.loading {
		return // told when everything is there
	}
	for _, f := range p.failed {
		if !f.before {
			d.cfg.Logger.Error("a thing does not fit its model any more and stays as it was", "thing", f.in.id, "model", f.in.model, "at", f.problem.At, "error", f.problem)
		}
	}
}

// dependents are a model and all that use it, directly or through others.
func (d *Directory) dependents(name string) []string {
	out := []string{name}
	for i := 0; i < len(out); i++ {
		for _, other := range slices.Sorted(maps.Keys(d.models)) {
			if slices.Contains(d.models[other].uses, out[i]) && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	}
	return out
}

// behind are a model and all that it uses, directly or through others.
func (d *Directory) behind(name string) []string {
	out := []string{name}
	for i := 0; i < len(out); i++ {
		if m := d.models[out[i]]; m != nil {
			for _, other := range m.uses {
				if !slices.Contains(out, other) {
					out = append(out, other)
				}
			}
		}
	}
	return out
}

// takeModel makes what the store has of a model what counts; empty is nothing.
// A model that things are made of stays as it was when its successor is nothing
// that the program understands, or is gone.
func (d *Directory) takeModel(name string, tm []byte) {
	key := modelKey + name
	var next *model
	if len(tm) == 0 {
		delete(d.applied, key)
	} else {
		d.applied[key] = sha256.Sum256(tm)
		var problem *realtime.Problem
		if next, problem = readModel(tm); problem != nil || next.id != name {
			d.cfg.Logger.Error("a model in the store was not taken", "model", name, "error", problem)
			return
		}
	}
	if other := d.fixed[key]; other != "" {
		if next != nil {
			d.cfg.Logger.Warn("a model is in the store, and another stands before it", "model", name, "other", other)
		}
		return
	}
	if next == nil && d.count[name] > 0 {
		d.cfg.Logger.Error("a model is gone, and the things made of it stay as they are", "model", name, "things", d.count[name])
	}
	d.change(d.plan(name, next))
}

// PutModel adds a Thing Model or replaces it, and with it all things that are
// made of it, at once. It is refused when one of them would not fit, or when may
// says that somebody may not change it. It says whether it is new.
func (d *Directory) PutModel(ctx context.Context, name string, tm []byte, m Match, may func(thing string) bool) (created bool, err error) {
	return d.editModel(ctx, name, m, may, func([]byte) ([]byte, error) { return withID(tm, ModelPrefix+name, ModelPrefix) })
}

// PatchModel changes a Thing Model by a JSON Merge Patch, as PutModel does.
func (d *Directory) PatchModel(ctx context.Context, name string, patch []byte, m Match, may func(thing string) bool) error {
	next, err := patched(patch, ModelPrefix+name, ModelPrefix)
	if err != nil {
		return err
	}
	_, err = d.editModel(ctx, name, m, may, next)
	return err
}

func (d *Directory) editModel(ctx context.Context, name string, m Match, may func(string) bool, next func(old []byte) ([]byte, error)) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := realtime.CheckName(name); err != nil {
		return false, err
	}
	if err := d.free(modelKey + name); err != nil {
		return false, err
	}
	return d.again(ctx, func() (bool, error) { return d.tryModel(ctx, name, m, may, next) })
}

func (d *Directory) tryModel(ctx context.Context, name string, m Match, may func(string) bool, next func(old []byte) ([]byte, error)) (bool, error) {
	key := modelKey + name
	old, revision, err := d.stored(ctx, key)
	if err == nil {
		err = m.check(old != nil, func() (string, error) { return modelTag(old) })
	}
	if err != nil {
		return false, err
	}
	tm, err := next(old)
	if err != nil {
		return false, err
	}
	is, problem := readModel(tm)
	if problem != nil {
		return false, problem
	}
	if old == nil && len(d.models) >= maxModels {
		return false, realtime.Wrong("models_many", "there are {max} models already", "max", maxModels).Of(realtime.CodeTooMany)
	}
	if _, err := d.catchUp(ctx); err != nil {
		return false, err
	}
	p, err := d.allowed(name, is, m, may)
	if err != nil {
		return false, err
	}
	if revision, err = d.write(ctx, key, tm, revision); err != nil {
		return false, err
	}
	// See confirm: things that another node made meanwhile. What was just written is
	// not to be taken before they have been looked at.
	before, had := d.applied[key]
	d.applied[key] = sha256.Sum256(tm)
	news, err := d.catchUp(ctx)
	if !d.knows(key, tm) {
		return old == nil, err // another node has replaced it already
	}
	if err == nil && news {
		p, err = d.allowed(name, is, m, may)
	}
	if err != nil {
		if d.applied[key] = before; !had {
			delete(d.applied, key)
		}
		if back := d.takeBack(ctx, key, old, revision); back != nil {
			return false, back
		}
		return false, err
	}
	d.change(p)
	return old == nil, nil
}

// allowed is the plan for a model, when it fits all and somebody may.
func (d *Directory) allowed(name string, next *model, match Match, may func(string) bool) (plan, error) {
	p := d.plan(name, next)
	for _, in := range d.made {
		if _, affected := p.models[in.model]; affected && !may(in.id) {
			return p, realtime.Wrong("model_hidden", "things are made of this model that lie outside of what you may see").Of(realtime.CodeForbidden)
		}
	}
	if m := p.models[name]; m.problem != nil {
		return p, m.problem
	}
	for _, other := range slices.Sorted(maps.Keys(p.models)) {
		if m, was := p.models[other], d.models[other]; m.problem != nil && was != nil && was.problem == nil {
			return p, realtime.Wrong("model_breaks", "the model {model} would not fit any more: {why}", "model", other, "why", m.problem).In(m.problem.At)
		}
	}
	for _, f := range p.failed {
		if !f.before {
			return p, realtime.Wrong("thing_breaks", "{thing} would not fit any more: {why}", "thing", f.in.id, "why", f.problem).In(f.problem.At)
		}
	}
	for _, doc := range p.made {
		if problem := match.allows(doc, d.cfg.Twins.description(doc.id)); problem != nil {
			return p, problem
		}
	}
	return p, nil
}

// catchUp takes what the store has and this node has not heard of yet, and says
// whether there was any. What this node is just writing is none.
func (d *Directory) catchUp(ctx context.Context) (news bool, err error) {
	all, err := d.cfg.Store.All(ctx)
	if err != nil {
		return false, err
	}
	for _, models := range []bool{true, false} { // things are made of them
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if strings.HasPrefix(key, modelKey) == models && !d.knows(key, all[key]) {
				d.take(key, all[key])
				news = true
			}
		}
	}
	return news, nil
}

// RemoveModel removes a Thing Model that nothing is made of and no other uses.
// It names those that are, as far as see says that somebody may see them.
func (d *Directory) RemoveModel(ctx context.Context, name string, m Match, see func(thing string) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := modelKey + name
	if err := d.free(key); err != nil {
		return err
	}
	old, revision, err := d.stored(ctx, key)
	if err != nil {
		return err
	}
	if old == nil {
		return noModel(name)
	}
	if err := m.check(true, func() (string, error) { return modelTag(old) }); err != nil {
		return err
	}
	if err := d.unused(ctx, name, see); err != nil {
		return err
	}
	if revision, err = d.cfg.Store.Update(ctx, key, nil, revision); errors.Is(err, d.cfg.Changed) {
		return realtime.Wrong("model_changed", "the model was changed just now; read it again").Of(realtime.CodeChanged)
	} else if err != nil {
		return err
	}
	// See confirm: things that another node made meanwhile.
	if err := d.unused(ctx, name, see); err != nil {
		if back := d.takeBack(ctx, key, old, revision); back != nil {
			return back
		}
		return err
	}
	err = d.cfg.Store.DeleteRevision(ctx, key, revision)
	if errors.Is(err, d.cfg.Changed) {
		return nil // somebody has made a new one already
	}
	if err == nil {
		d.takeModel(name, nil)
	}
	return err
}

func noModel(name string) error {
	return realtime.Wrong("no_model", "there is no model {model}", "model", clip(name)).Of(realtime.CodeNotFound)
}

// unused says when a model is still needed, and by whom.
func (d *Directory) unused(ctx context.Context, name string, see func(string) bool) error {
	if _, err := d.catchUp(ctx); err != nil {
		return err
	}
	var users []string
	for _, other := range d.dependents(name)[1:] {
		users = append(users, "the model "+other)
	}
	hidden := 0
	for _, in := range d.made {
		if in.model == name && see(in.id) {
			users = append(users, in.id)
		} else if in.model == name {
			hidden++
		}
	}
	if len(users)+hidden == 0 {
		return nil
	}
	slices.Sort(users)
	more := hidden
	if len(users) > 10 {
		more += len(users) - 10
		users = users[:10]
	}
	text := strings.Join(users, ", ")
	switch {
	case text == "":
		text = fmt.Sprintf("%d things that you may not see", hidden)
	case more > 0:
		text += fmt.Sprintf(" and %d more", more)
	}
	return realtime.Wrong("model_needed", "{model} is needed by {users}", "model", name, "users", text).Of(realtime.CodeConflict)
}

func modelTag(tm []byte) (string, error) {
	if m, problem := readModel(tm); problem == nil {
		return m.tag, nil
	}
	return hashed(tm), nil // what nobody understands any more can be replaced, too
}
