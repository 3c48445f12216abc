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

// A Store keeps descriptions by the path of their thing, on disk and for all
// nodes.
type Store interface {
	GetRevision(ctx context.Context, key string) ([]byte, uint64, error)
	Create(ctx context.Context, key string, value []byte) error
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string) error
	All(ctx context.Context) (map[string][]byte, error)
	Watch(ctx context.Context, fn func(key string, value []byte)) error
}

// DirectoryConfig is what a Directory needs from outside.
type DirectoryConfig struct {
	Twins   *Twins
	Store   Store
	Changed error // what Store.Update answers when another was first
	Exists  error // what Store.Create answers
	Missing error // what Store.GetRevision answers

	Logger *slog.Logger // nil means slog.Default()
}

// A Directory is the descriptions of the things: those that came by the API, in
// a Store, and those that are fixed, because a file or the demo line has them.
// A fixed one stands before one from the API. Two who write the same description
// never overwrite each other unseen, on one node or on two.
type Directory struct {
	cfg DirectoryConfig

	mu      sync.Mutex                   // one change at a time on this node
	fixed   map[string]string            // thing → what has its description
	applied map[string][sha256.Size]byte // thing → what of the store is described now
}

// NewDirectory returns a Directory that knows nothing yet.
func NewDirectory(cfg DirectoryConfig) *Directory {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Directory{cfg: cfg, fixed: map[string]string{}, applied: map[string][sha256.Size]byte{}}
}

// A Match says on which condition something is written: the entity tags of
// If-Match and If-None-Match.
type Match struct {
	Tags []string // the description is one of these; "*" means any. nil asks for nothing
	None bool     // there is no description yet
}

// check says whether the condition holds of what the store has; nil is nothing.
func (m Match) check(td []byte) error {
	changed := func(why string) error {
		return &realtime.Problem{Code: realtime.CodeChanged, Message: why}
	}
	switch {
	case m.None && td != nil:
		return changed("the thing is described already")
	case m.Tags == nil:
		return nil
	case td == nil:
		return changed("the thing has no description here to be replaced")
	case slices.Contains(m.Tags, "*"):
		return nil
	}
	doc, problem := parse(td)
	if problem != nil {
		return problem
	}
	tag, err := doc.tag()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(m.Tags, func(t string) bool { return sameTag(t, tag) }) {
		return nil
	}
	return changed("the description was changed since it was read; read it again")
}

// Load describes what the store has. One that the program does not understand
// is reported and does not keep the others out.
func (d *Directory) Load(ctx context.Context) error {
	all, err := d.cfg.Store.All(ctx)
	if err != nil {
		return fmt.Errorf("reading the descriptions: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Checking a thousand takes a noticeable part of a start.
	read := make(map[string]*description, len(all))
	var mu sync.Mutex
	var wg sync.WaitGroup
	share := max(len(all)/runtime.GOMAXPROCS(0), 50)
	for ids := range slices.Chunk(slices.Collect(maps.Keys(all)), share) {
		wg.Go(func() {
			for _, id := range ids {
				doc := d.parse(id, all[id])
				mu.Lock()
				read[id] = doc
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, td := range all {
		d.put(id, td, read[id])
	}
	return nil
}

// Run follows what other nodes change until ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	return d.cfg.Store.Watch(ctx, func(id string, td []byte) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.knows(id, td) {
			return
		}
		// A watch may be behind what this node wrote itself.
		now, _, err := d.read(ctx, id)
		if err != nil {
			d.cfg.Logger.Error("a description was changed and cannot be read", "thing", id, "error", err)
			return
		}
		d.take(id, now)
	})
}

// knows says whether td is what is described already.
func (d *Directory) knows(id string, td []byte) bool {
	sum, ok := d.applied[id]
	return ok && sum == sha256.Sum256(td) || !ok && len(td) == 0
}

// read is what the store has of a thing; nil when that is nothing.
func (d *Directory) read(ctx context.Context, id string) (td []byte, revision uint64, err error) {
	td, revision, err = d.cfg.Store.GetRevision(ctx, id)
	if errors.Is(err, d.cfg.Missing) {
		return nil, 0, nil
	}
	if len(td) == 0 {
		td = nil // removed, by the first of two steps
	}
	return td, revision, err
}

// take makes what the store has of a thing its description; empty is nothing.
func (d *Directory) take(id string, td []byte) {
	if d.knows(id, td) {
		return
	}
	if len(td) == 0 {
		delete(d.applied, id)
		if d.fixed[id] == "" {
			d.cfg.Twins.Undescribe(id)
		}
		return
	}
	d.put(id, td, d.parse(id, td))
}

// parse reads what the store has; nil, and a line in the log, when the program
// does not understand it.
func (d *Directory) parse(id string, td []byte) *description {
	if len(td) == 0 {
		return nil
	}
	doc, problem := parse(td)
	if problem == nil && doc.id == id {
		return doc
	}
	d.cfg.Logger.Error("a description in the store was not taken", "thing", id, "error", problem)
	return nil
}

// put makes doc, which was read from td, the description of a thing.
func (d *Directory) put(id string, td []byte, doc *description) {
	if doc == nil {
		return
	}
	d.applied[id] = sha256.Sum256(td)
	if d.fixed[id] != "" {
		d.cfg.Logger.Warn("a thing has a description in the store, and another that stands before it", "thing", id, "other", d.fixed[id])
		return
	}
	if err := d.cfg.Twins.put(doc); err != nil {
		d.cfg.Logger.Error("a description in the store was not taken", "thing", id, "error", err)
	}
}

// Fix describes a thing by a description that only its source may change, such
// as "the file pump.json". Two sources of one thing are a conflict.
func (d *Directory) Fix(source string, td []byte) (id string, err error) {
	doc, problem := parse(td)
	if problem != nil {
		return "", problem
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if other := d.fixed[doc.id]; other != "" && other != source {
		return doc.id, &realtime.Problem{Code: realtime.CodeConflict, At: "/id", Message: fmt.Sprintf("%s is described by %s already", doc.id, other)}
	}
	if err := d.cfg.Twins.put(doc); err != nil {
		return doc.id, err
	}
	d.fixed[doc.id] = source
	return doc.id, nil
}

// Unfix takes back what Fix described. The description of the store comes to
// light again, if there is one.
func (d *Directory) Unfix(ctx context.Context, source, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fixed[id] != source {
		return nil
	}
	td, _, err := d.read(ctx, id)
	if err != nil {
		return err
	}
	delete(d.fixed, id)
	delete(d.applied, id)
	if len(td) == 0 {
		d.cfg.Twins.Undescribe(id)
		return nil
	}
	d.take(id, td)
	return nil
}

// Put describes a thing. An id in td must be that of the thing; it may be left
// out. It says whether there was no description before.
func (d *Directory) Put(ctx context.Context, id string, td []byte, m Match) (created bool, err error) {
	return d.change(ctx, id, m, func([]byte) ([]byte, error) { return withID(td, id) })
}

// Patch changes a description by a JSON Merge Patch.
func (d *Directory) Patch(ctx context.Context, id string, patch []byte, m Match) error {
	p, err := decode(patch)
	if err != nil {
		return &realtime.Problem{Code: realtime.CodeMalformed, Message: "not a JSON document: " + err.Error()}
	}
	if _, ok := p.(map[string]any); !ok {
		return &realtime.Problem{Code: realtime.CodeInvalid, Message: "a merge patch of a description is a JSON object"}
	}
	_, err = d.change(ctx, id, m, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, &realtime.Problem{Code: realtime.CodeNotFound, Message: fmt.Sprintf("%s has no description to be changed; PUT gives it one", id)}
		}
		doc, err := decode(old)
		if err != nil {
			return nil, err
		}
		next, ok := mergePatch(doc, p, 0)
		if !ok {
			return nil, &realtime.Problem{Code: realtime.CodeTooLarge, Message: fmt.Sprintf("a merge patch goes at most %d objects deep", maxPatch)}
		}
		b, err := marshal(next)
		if err != nil {
			return nil, err
		}
		return withID(b, id)
	})
	return err
}

// Remove takes away the description of a thing and, unless keep, forgets all
// that it ever said. Forgetting is one place in the log: what the device says
// later makes it an undescribed thing. History reads it there, too.
func (d *Directory) Remove(ctx context.Context, id string, m Match, keep bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.free(id); err != nil {
		return err
	}
	td, revision, err := d.read(ctx, id)
	if err != nil {
		return err
	}
	if _, ok := d.cfg.Twins.Tag(id); !ok && td == nil || td == nil && keep {
		return &realtime.Problem{Code: realtime.CodeNotFound, Message: "there is no thing " + id}
	}
	if err := m.check(td); err != nil {
		return err
	}
	if td != nil {
		// In two steps, because a key is deleted whatever its revision is.
		if _, err := d.cfg.Store.Update(ctx, id, nil, revision); errors.Is(err, d.cfg.Changed) {
			return &realtime.Problem{Code: realtime.CodeChanged, Message: "the description was changed just now; read it again"}
		} else if err != nil {
			return err
		}
		if err := d.cfg.Store.Delete(ctx, id); err != nil {
			return err
		}
		delete(d.applied, id)
		d.cfg.Twins.Undescribe(id)
	}
	if keep {
		return nil
	}
	return d.cfg.Twins.forget(ctx, id)
}

// free says whether a thing can be changed here.
func (d *Directory) free(id string) error {
	if err := realtime.CheckThing(id); err != nil {
		return err
	}
	if source := d.fixed[id]; source != "" {
		return &realtime.Problem{Code: realtime.CodeConflict, Message: fmt.Sprintf("%s is described by %s and can be changed only there", id, source)}
	}
	return nil
}

// change replaces a description by what next makes of it.
func (d *Directory) change(ctx context.Context, id string, m Match, next func(old []byte) ([]byte, error)) (created bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.free(id); err != nil {
		return false, err
	}
	for range 5 { // another node may be first; each time it has the next word
		created, err = d.try(ctx, id, m, next)
		if !errors.Is(err, d.cfg.Changed) && !errors.Is(err, d.cfg.Exists) {
			return created, err
		}
	}
	return false, &realtime.Problem{Code: realtime.CodeConflict, Message: "others change this description all the time; try again"}
}

func (d *Directory) try(ctx context.Context, id string, m Match, next func(old []byte) ([]byte, error)) (created bool, err error) {
	old, revision, err := d.read(ctx, id)
	if err == nil {
		err = m.check(old)
	}
	if err != nil {
		return false, err
	}
	td, err := next(old)
	if err != nil {
		return false, err
	}
	doc, problem := parse(td)
	if problem != nil {
		return false, problem
	}
	if err := d.cfg.Twins.room(id); err != nil {
		return false, err
	}
	if revision == 0 {
		err = d.cfg.Store.Create(ctx, id, td)
	} else {
		_, err = d.cfg.Store.Update(ctx, id, td, revision)
	}
	if err != nil {
		return false, err
	}
	d.put(id, td, doc)
	return old == nil, nil
}

// withID is a description with the id of its thing.
func withID(td []byte, id string) ([]byte, error) {
	if len(td) > maxDescription {
		return td, nil // parse says so
	}
	v, err := decode(td)
	if err != nil {
		return nil, &realtime.Problem{Code: realtime.CodeMalformed, Message: "not a JSON document: " + err.Error()}
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return td, nil
	}
	given, ok := doc["id"].(string)
	if doc["id"] != nil && (!ok || strings.TrimPrefix(given, idPrefix) != id) {
		return nil, &realtime.Problem{Code: realtime.CodeInvalid, At: "/id", Message: fmt.Sprintf("the id is not that of the thing at this place: %s, or leave it out", URN(id))}
	}
	if doc["id"] != nil {
		return td, nil
	}
	doc["id"] = URN(id)
	return marshal(doc)
}

// room says whether there can be a thing of that id.
func (t *Twins) room(id string) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.things[id] == nil && len(t.things) >= t.cfg.MaxThings {
		return t.full()
	}
	return nil
}

func (t *Twins) full() error {
	return &realtime.Problem{Code: realtime.CodeTooMany, Message: fmt.Sprintf("there are %d things already", t.cfg.MaxThings)}
}
