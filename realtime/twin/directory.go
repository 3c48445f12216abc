package twin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"echotwin/realtime"
)

// A Store keeps descriptions by the path of their thing, and models by modelKey
// and their name, on disk and for all nodes. Watch tells changes in their order.
type Store interface {
	GetRevision(ctx context.Context, key string) ([]byte, uint64, error)
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	DeleteRevision(ctx context.Context, key string, revision uint64) error
	All(ctx context.Context) (map[string][]byte, error)
	Watch(ctx context.Context, fn func(key string, value []byte)) error
}

// modelKey stands before the name of a model. No path of a thing has a colon.
const modelKey = "model:"

// DirectoryConfig is what a Directory needs from outside.
type DirectoryConfig struct {
	Twins   *Twins
	Store   Store
	Changed error // what Store.Update and DeleteRevision answer when another was first
	Exists  error // what Store.Create answers
	Missing error // what Store.GetRevision answers

	Logger *slog.Logger // nil means slog.Default()
}

// A Directory is the descriptions of the things, and the models that they are
// made of: those that came by the API, in a Store, and those that are fixed,
// because a file or the demo line has them. A fixed one stands before one from
// the API. Two who write the same never overwrite each other unseen, on one node
// or on two; and nobody makes a model into what a thing made of it does not fit.
type Directory struct {
	cfg DirectoryConfig

	mu      sync.Mutex                   // one change at a time on this node
	fixed   map[string]string            // key → what has it
	applied map[string][sha256.Size]byte // key → what of the store was taken
	models  map[string]*model
	made    map[string]*instance // things that are made of a model, and those that wait for it
	count   map[string]int       // how many are made of each model
	loading bool                 // whoever lacks something may still get it
}

// NewDirectory returns a Directory that knows nothing yet.
func NewDirectory(cfg DirectoryConfig) *Directory {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Directory{
		cfg: cfg, fixed: map[string]string{}, applied: map[string][sha256.Size]byte{},
		models: map[string]*model{}, made: map[string]*instance{}, count: map[string]int{},
	}
}

// A Match says on which condition something is written: the entity tags of
// If-Match and If-None-Match, and what who writes may see.
type Match struct {
	Tags []string // the description is one of these; "*" means any. nil asks for nothing
	None bool     // there is no description yet

	// Sees says whether who writes may see a thing, and of everything ("") whether
	// they may see all that is kept. nil lets conditions look at anything.
	Sees func(thing string) bool
}

// check says whether the condition holds of what the store has; tag tells of what.
func (m Match) check(exists bool, tag func() (string, error)) error {
	switch {
	case m.None && exists:
		return realtime.Wrong("td_there", "it is described already").Of(realtime.CodeChanged)
	case m.Tags == nil:
		return nil
	case !exists:
		return realtime.Wrong("td_gone", "there is no description here to be replaced").Of(realtime.CodeChanged)
	case slices.Contains(m.Tags, "*"):
		return nil
	}
	now, err := tag()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(m.Tags, func(t string) bool { return sameTag(t, now) }) {
		return nil
	}
	return realtime.Wrong("td_changed", "the description was changed since it was read; read it again").Of(realtime.CodeChanged)
}

// Load takes what the store has: first its models, then, after between has
// brought what is fixed, its things. What the program does not understand is
// reported and does not keep the others out.
func (d *Directory) Load(ctx context.Context, between func()) error {
	all, err := d.cfg.Store.All(ctx)
	if err != nil {
		return fmt.Errorf("reading the descriptions: %w", err)
	}
	d.mu.Lock()
	d.loading = true
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(key, removingKey) {
			delete(all, key)
		}
		if name, ok := strings.CutPrefix(key, modelKey); ok {
			d.takeModel(name, all[key])
			delete(all, key)
		}
	}
	d.mu.Unlock()
	if between != nil {
		between()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takeAll(all)
	d.loading = false
	for _, name := range slices.Sorted(maps.Keys(d.models)) {
		if p := d.models[name].problem; p != nil {
			d.cfg.Logger.Error("a model cannot be used", "model", name, "at", p.At, "error", p)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.made)) {
		if d.cfg.Twins.description(id) != nil {
			continue // it was made
		}
		if _, p := d.made[id].make(d.models[d.made[id].model]); p != nil {
			d.cfg.Logger.Error("a thing could not be made of its model", "thing", id, "model", d.made[id].model, "at", p.At, "error", p)
		}
	}
	return nil
}

// takeAll takes the things that the store had at the start. Checking a thousand
// takes a noticeable part of it.
func (d *Directory) takeAll(all map[string][]byte) {
	ids := slices.Sorted(maps.Keys(all))
	read := make([]asRead, len(ids))
	parallel(len(ids), func(i int) { read[i] = d.read(all[ids[i]]) })
	for i, id := range ids {
		d.put(id, all[id], read[i])
	}
}

// parallel does n things on all processors, and returns when all are done.
func parallel(n int, do func(i int)) {
	share := max(n/runtime.GOMAXPROCS(0), 50)
	var wg sync.WaitGroup
	for from := 0; from < n; from += share {
		wg.Go(func() {
			for i := from; i < min(from+share, n); i++ {
				do(i)
			}
		})
	}
	wg.Wait()
}

// Run follows what other nodes change until ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	return d.cfg.Store.Watch(ctx, func(key string, value []byte) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.knows(key, value) {
			return
		}
		// A watch may be behind what this node wrote itself.
		now, _, err := d.stored(ctx, key)
		if err != nil {
			d.cfg.Logger.Error("a description was changed and cannot be read", "key", key, "error", err)
			return
		}
		d.take(key, now)
	})
}

// knows says whether value is what was taken already, or is nothing to be taken.
func (d *Directory) knows(key string, value []byte) bool {
	if strings.HasPrefix(key, removingKey) {
		return true
	}
	sum, ok := d.applied[key]
	return ok && sum == sha256.Sum256(value) || !ok && len(value) == 0
}

// stored is what the store has under a key; nil when that is nothing.
func (d *Directory) stored(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	value, revision, err = d.cfg.Store.GetRevision(ctx, key)
	if errors.Is(err, d.cfg.Missing) {
		return nil, 0, nil
	}
	if len(value) == 0 {
		value = nil // removed, by the first of two steps
	}
	return value, revision, err
}

// take makes what the store has under a key what counts; empty is nothing.
func (d *Directory) take(key string, value []byte) {
	if d.knows(key, value) {
		return
	}
	if name, ok := strings.CutPrefix(key, modelKey); ok {
		d.takeModel(name, value)
		return
	}
	if len(value) == 0 {
		delete(d.applied, key)
		if d.fixed[key] == "" {
			d.makes(key, nil)
			d.cfg.Twins.Undescribe(key)
		}
		return
	}
	d.put(key, value, d.read(value))
}

// An asRead is a description as it was read: the instance, when it is one, and
// what it is, or why that is nothing.
type asRead struct {
	made    *instance
	doc     *description
	problem *realtime.Problem
}

// read reads a description as it was given.
func (d *Directory) read(td []byte) (r asRead) {
	if len(td) > maxDescription {
		r.problem = realtime.Wrong("td_size", "a Thing Description has at most {max} bytes", "max", maxDescription).Of(realtime.CodeTooLarge)
		return r
	}
	v, problem := unmarshal(td)
	if problem == nil {
		return d.readDecoded(v)
	}
	r.problem = problem
	return r
}

func (d *Directory) readDecoded(v any) (r asRead) {
	if r.made, r.problem = readInstance(v); r.problem != nil {
		r.made = nil
		return r
	}
	if r.made != nil {
		r.doc, r.problem = r.made.make(d.models[r.made.model])
		return r
	}
	r.doc, r.problem = understand(v)
	return r
}

func (r asRead) id() string {
	switch {
	case r.doc != nil:
		return r.doc.id
	case r.made != nil:
		return r.made.id
	}
	return ""
}

// put makes what was read from td the description of a thing.
func (d *Directory) put(id string, td []byte, r asRead) {
	if len(td) == 0 {
		return
	}
	d.applied[id] = sha256.Sum256(td)
	if d.fixed[id] != "" {
		d.cfg.Logger.Warn("a thing has a description in the store, and another that stands before it", "thing", id, "other", d.fixed[id])
		return
	}
	if r.id() == id {
		d.makes(id, r.made)
	}
	switch {
	case r.problem != nil && r.made != nil && d.loading:
		return // told when everything is there
	case r.problem != nil:
		d.cfg.Logger.Error("a description in the store was not taken", "thing", id, "at", r.problem.At, "error", r.problem)
	case r.id() != id:
		d.cfg.Logger.Error("a description in the store was not taken: it is of another thing", "thing", id, "other", r.id())
	default:
		if err := d.cfg.Twins.put(r.doc); err != nil {
			d.cfg.Logger.Error("a description in the store was not taken", "thing", id, "error", err)
		}
	}
}

// makes notes of what model a thing is made; nil is none.
func (d *Directory) makes(id string, in *instance) {
	if was := d.made[id]; was != nil {
		if d.count[was.model]--; d.count[was.model] == 0 {
			delete(d.count, was.model)
		}
		delete(d.made, id)
	}
	if in != nil {
		d.made[id] = in
		d.count[in.model]++
	}
}

// Given is the description of a thing as it was given: of one that is made of a
// model only what makes it that.
func (d *Directory) Given(id string) ([]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var doc map[string]any
	if in := d.made[id]; in != nil {
		doc = in.doc
	} else if is := d.cfg.Twins.description(id); is != nil {
		doc = is.doc
	} else {
		return nil, false
	}
	b, err := realtime.Marshal(doc)
	return b, err == nil
}

// description is what a thing is described as; nil when it is not.
func (t *Twins) description(id string) *description {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if th := t.things[id]; th != nil {
		return th.td
	}
	return nil
}

// room says whether there can be a thing of that id.
func (t *Twins) room(id string) error {
	if !t.admission.take(id, t.cfg.Now()) {
		return t.full()
	}
	return nil
}
