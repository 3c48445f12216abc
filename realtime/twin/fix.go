package twin

import (
	"context"
	"fmt"
	"strings"

	"echotwin/realtime"
)

// A Key names what a Directory has: a thing by its id, or a model by its name.
type Key struct {
	Model bool
	Name  string
}

func (k Key) String() string {
	if k.Model {
		return "the model " + k.Name
	}
	return k.Name
}

// key is where it is in the store.
func (k Key) key() string {
	if k.Model {
		return modelKey + k.Name
	}
	return k.Name
}

// Fix describes things and models by descriptions that only their source may
// change, such as "the file pump.json": one document, or a list of them. Two
// sources of one thing are a conflict. A thing whose model is not there waits
// for it. On an error nothing of the source is taken; its place then is one in
// the document.
func (d *Directory) Fix(source string, document []byte) ([]Key, error) {
	v, problem := unmarshal(document)
	if problem != nil {
		return nil, problem
	}
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	if len(list) > maxFixed {
		return nil, &realtime.Problem{Code: realtime.CodeTooLarge, Message: fmt.Sprintf("a list has at most %d descriptions", maxFixed)}
	}
	f := fixing{Directory: d, source: source, all: make([]fixed, len(list)), seen: map[Key]bool{}}
	for i, v := range list { // without the lock: a thousand files are read at the start
		f.all[i] = fixable(v)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range f.all {
		problem := f.check(&f.all[i])
		if problem != nil && many {
			out := *problem
			out.At = fmt.Sprintf("/%d%s", i, problem.At)
			problem = &out
		}
		if problem != nil {
			return nil, problem
		}
	}
	return f.put()
}

// maxFixed bounds the descriptions of one list.
const maxFixed = maxInstances

// A fixed is one description of a source: a model, or a thing, as far as it can
// be read without its model.
type fixed struct {
	key     Key
	model   *model
	made    *instance
	doc     *description
	problem *realtime.Problem
}

func fixable(v any) (f fixed) {
	if doc, ok := v.(map[string]any); ok && isModel(doc) {
		if f.model, f.problem = understandModel(v); f.problem == nil {
			f.key = Key{Model: true, Name: f.model.id}
		}
		return f
	}
	f.made, f.problem = readInstance(v)
	switch {
	case f.problem != nil:
	case f.made != nil:
		f.key.Name = f.made.id
	default:
		if f.doc, f.problem = understand(v); f.problem == nil {
			f.key.Name = f.doc.id
		}
	}
	return f
}

// fixing is one call of Fix.
type fixing struct {
	*Directory
	source string
	all    []fixed
	keys   []Key
	seen   map[Key]bool
}

func (f *fixing) check(one *fixed) *realtime.Problem {
	if one.problem != nil {
		return one.problem
	}
	if other := f.fixed[one.key.key()]; other != "" && other != f.source {
		return &realtime.Problem{Code: realtime.CodeConflict, At: "/id", Message: fmt.Sprintf("%s is described by %s already", one.key, other)}
	}
	if f.seen[one.key] {
		return &realtime.Problem{Code: realtime.CodeConflict, At: "/id", Message: fmt.Sprintf("%s is described twice", one.key)}
	}
	f.seen[one.key] = true
	f.keys = append(f.keys, one.key)
	return nil
}

// put makes what was read count: models before the things that may be made of
// them.
func (f *fixing) put() ([]Key, error) {
	fresh := 0
	for _, one := range f.all {
		if one.model != nil && f.models[one.model.id] == nil {
			fresh++
		}
	}
	if fresh > 0 && len(f.models)+fresh > maxModels {
		return nil, &realtime.Problem{Code: realtime.CodeTooMany, Message: fmt.Sprintf("there are at most %d models", maxModels)}
	}
	for i := range f.all {
		if m := f.all[i].model; m != nil {
			m.source = f.source
			f.fixed[modelKey+m.id] = f.source
			f.change(f.plan(m.id, m))
		}
	}
	parallel(len(f.all), func(i int) {
		if one := &f.all[i]; one.made != nil {
			one.doc, one.problem = one.made.make(f.models[one.made.model])
		}
	})
	var docs []*description
	for _, one := range f.all {
		if one.model != nil {
			continue
		}
		id := one.key.Name
		f.fixed[id] = f.source
		f.makes(id, one.made)
		if one.problem == nil {
			docs = append(docs, one.doc)
		} else if !f.loading {
			f.cfg.Logger.Warn("a thing could not be made of its model", "thing", id, "model", one.made.model, "source", f.source, "at", one.problem.At, "error", one.problem)
		}
	}
	return f.keys, f.cfg.Twins.putAll(docs)
}

// Unfix takes back what Fix described. What the store has of it comes to light
// again, if there is something. A model stays while things are made of it.
func (d *Directory) Unfix(ctx context.Context, source string, k Key) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := k.key()
	if d.fixed[key] != source {
		return nil
	}
	value, _, err := d.stored(ctx, key)
	if err != nil {
		return err
	}
	delete(d.fixed, key)
	delete(d.applied, key)
	switch {
	case len(value) > 0:
		d.take(key, value)
	case k.Model:
		d.takeModel(k.Name, nil)
	default:
		d.makes(key, nil)
		d.cfg.Twins.Undescribe(key)
	}
	return nil
}

// free says whether something can be changed here.
func (d *Directory) free(key string) error {
	what := strings.TrimPrefix(key, modelKey)
	if source := d.fixed[key]; source != "" {
		return realtime.Wrong("fixed", "{what} is described by {source} and can be changed only there", "what", what, "source", source).Of(realtime.CodeConflict)
	}
	return nil
}
