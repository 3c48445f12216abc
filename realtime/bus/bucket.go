package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The answers of a Bucket that a caller decides by.
var (
	ErrNotFound = errors.New("no such key")
	ErrExists   = errors.New("the key exists")
	ErrChanged  = errors.New("the key was changed by another")
)

// deletedFor is how long the mark of a deleted key is kept, for watchers that
// were away. Without an end, every session that ever was would leave a mark.
const deletedFor = time.Hour

// A Bucket is a named map from strings to bytes, kept on disk. A value has at
// most 1 MB, a key at most maxKey bytes.
type Bucket struct {
	bus *Bus
	kv  jetstream.KeyValue
}

// Bucket opens the bucket of that name (letters, digits, _ and -) and makes it
// when it is not there.
func (b *Bus) Bucket(ctx context.Context, name string) (*Bucket, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.leave()
	cfg := bucketConfig(name)
	s, err := b.js.Stream(ctx, cfg.Name)
	switch {
	case err == nil:
		b.raise(ctx, s)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if _, err = b.create(ctx, cfg); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			err = nil // another node was first
		}
	}
	var kv jetstream.KeyValue
	if err == nil {
		kv, err = b.js.KeyValue(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("bus: open bucket %q: %w", name, err)
	}
	return &Bucket{bus: b, kv: kv}, nil
}

// bucketConfig is what the library would make, but for two things: reads go to
// the leader (no AllowDirect), so that a token made on one node is valid on
// the next at once, and the marks of deleted keys go after a while.
func bucketConfig(name string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                   "KV_" + name,
		Subjects:               []string{"$KV." + name + ".>"},
		Storage:                jetstream.FileStorage,
		MaxMsgsPerSubject:      1,
		Discard:                jetstream.DiscardNew,
		AllowRollup:            true,
		DenyDelete:             true,
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: deletedFor,
	}
}

// Get returns the value of the key, or ErrNotFound.
func (k *Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	v, _, err := k.GetRevision(ctx, key)
	return v, err
}

// GetRevision is Get with the revision that Update wants.
func (k *Bucket) GetRevision(ctx context.Context, key string) ([]byte, uint64, error) {
	name, err := escape(key)
	if err != nil {
		return nil, 0, ErrNotFound // it cannot have been put
	}
	e, err := k.kv.Get(ctx, name)
	if err != nil {
		return nil, 0, k.failed("get", key, err)
	}
	return value(e), e.Revision(), nil
}

// Put sets the value of the key.
func (k *Bucket) Put(ctx context.Context, key string, value []byte) error {
	name, err := escape(key)
	if err != nil {
		return err
	}
	_, err = k.kv.Put(ctx, name, value)
	return k.failed("put", key, err)
}

// Create sets the value of a key that is not there, or returns ErrExists. It
// returns the revision, which belongs to this value and to nobody's after it.
func (k *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	name, err := escape(key)
	if err != nil {
		return 0, err
	}
	rev, err := k.kv.Create(ctx, name, value)
	return rev, k.failed("create", key, err)
}

// Update sets the value if the key is still at that revision, or returns
// ErrChanged. It returns the new revision.
func (k *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	name, err := escape(key)
	if err != nil {
		return 0, err
	}
	rev, err := k.kv.Update(ctx, name, value, revision)
	return rev, k.failed("update", key, err)
}

// Delete removes the key. Deleting what is not there is no error.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	name, err := escape(key)
	if err != nil {
		return nil // it cannot have been put
	}
	return k.failed("delete", key, k.kv.Purge(ctx, name, jetstream.PurgeTTL(deletedFor)))
}

// DeleteRevision removes the key if it is still at that revision, or returns
// ErrChanged.
func (k *Bucket) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	name, err := escape(key)
	if err != nil {
		return ErrChanged // it cannot have been put
	}
	return k.failed("delete", key, k.kv.Purge(ctx, name, jetstream.LastRevision(revision), jetstream.PurgeTTL(deletedFor)))
}

// failed puts our name on the library's errors.
func (k *Bucket) failed(what, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		return ErrNotFound
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return ErrChanged
	case errors.Is(err, jetstream.ErrKeyExists):
		return ErrExists
	case k.bus.closing.Err() != nil:
		return ErrClosed
	}
	return fmt.Errorf("bus: %s %s/%q: %w", what, k.kv.Bucket(), key, err)
}

// Keys returns all keys, sorted.
func (k *Bucket) Keys(ctx context.Context) ([]string, error) {
	var keys []string
	err := k.each(ctx, true, func(key string, _ []byte) { keys = append(keys, key) }, jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	slices.Sort(keys)
	return keys, err
}

// All returns every key with its value.
func (k *Bucket) All(ctx context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := k.each(ctx, true, func(key string, v []byte) { all[key] = v }, jetstream.IgnoreDeletes())
	return all, err
}

// Watch calls fn with every key and value that is there, and then with every
// change, until ctx ends; then it returns nil. The value of a deleted key is
// nil, an empty one is not. Of changes in quick succession to one key only the
// last is certain to be told.
func (k *Bucket) Watch(ctx context.Context, fn func(key string, value []byte)) error {
	if err := k.bus.enter(); err != nil {
		return err
	}
	defer k.bus.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.bus.closing, cancel)()
	err := k.each(ctx, false, fn)
	switch {
	case k.bus.closing.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return nil
	}
	return err
}

// each calls fn with what is there, and, unless once, with what comes.
func (k *Bucket) each(ctx context.Context, once bool, fn func(key string, value []byte), opts ...jetstream.WatchOpt) error {
	w, err := k.kv.WatchAll(ctx, opts...)
	if err != nil {
		return k.failed("read", "*", err)
	}
	defer func() {
		w.Stop()
		for range w.Updates() { // the library waits for somebody to take what it holds
		}
	}()
	for {
		select {
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.Join(ctx.Err(), fmt.Errorf("bus: the watch of %s ended", k.kv.Bucket()))
			case e != nil:
				k.tell(e, fn)
			case once:
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (k *Bucket) tell(e jetstream.KeyValueEntry, fn func(string, []byte)) {
	key, err := unescape(e.Key())
	if err != nil {
		k.bus.log.Warn("a key that is not ours", "bucket", k.kv.Bucket(), "key", e.Key(), "error", err)
		return
	}
	if e.Operation() != jetstream.KeyValuePut {
		fn(key, nil)
		return
	}
	fn(key, value(e))
}

// value is never nil, since nil means deleted.
func value(e jetstream.KeyValueEntry) []byte {
	if v := e.Value(); v != nil {
		return v
	}
	return []byte{}
}
