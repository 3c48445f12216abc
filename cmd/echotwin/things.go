package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"echotwin/realtime/twin"
)

const (
	maxTD      = 4 << 20 // one file of descriptions
	filesEvery = 2 * time.Second
)

// thingFiles are the Thing Descriptions and Thing Models of a folder, one or a
// list of them in each .json file.
// They are looked at again and again, by size and time, which also works on
// shared and mounted folders where no system tells of changes.
type thingFiles struct {
	things *twin.Directory
	dir    string
	log    *slog.Logger

	mu   sync.Mutex
	seen map[string]thingFile // by name
}

// A thingFile is what a file was when it was read last.
type thingFile struct {
	size int64
	mod  time.Time
	keys []twin.Key // what it describes; nil when it never could be read
}

func newThingFiles(things *twin.Directory, dir string, log *slog.Logger) *thingFiles {
	return &thingFiles{things: things, dir: dir, log: log, seen: map[string]thingFile{}}
}

// run follows the folder until ctx ends.
func (f *thingFiles) run(ctx context.Context) error {
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.read(ctx)
		}
	}
}

// read takes what changed. A wrong file is reported with its place and does not
// keep the others out: what it described before stays, and the device of a new
// one shows as undescribed, so that nothing that it sends is lost.
func (f *thingFiles) read(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names, err := filepath.Glob(filepath.Join(f.dir, "*.json"))
	if err != nil {
		f.log.Error("the folder of things cannot be read", "folder", f.dir, "error", err)
		return
	}
	// A description that moved to another file must leave the old one first.
	for _, name := range slices.Sorted(maps.Keys(f.seen)) {
		if slices.Contains(names, name) {
			continue
		}
		if was := f.seen[name]; len(was.keys) > 0 {
			if err := f.unfix(ctx, name, was.keys); err != nil {
				f.log.Error("a file of things is gone, and its descriptions could not be taken back", "file", name, "error", err)
				continue
			}
			f.log.Info("a file of things is gone", "file", name, "described", was.keys)
		}
		delete(f.seen, name)
	}
	// Checking a thousand takes a noticeable part of a start. Models come first, so
	// that what is made of them need not wait.
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex // of f.seen, from when things are read side by side
	var things []func()
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			continue // gone just now; the next look sees that
		}
		was, known := f.seen[name]
		if known && was.size == info.Size() && was.mod.Equal(info.ModTime()) {
			continue
		}
		take := func(content []byte) {
			is := thingFile{info.Size(), info.ModTime(), was.keys}
			if content != nil {
				is.keys = f.describe(ctx, name, content, was.keys)
			}
			mu.Lock()
			defer mu.Unlock()
			f.seen[name] = is
		}
		content := f.content(name, info)
		if bytes.Contains(content, []byte("tm:ThingModel")) {
			take(content)
			continue
		}
		things = append(things, func() { take(content) })
	}
	for _, take := range things {
		all.Go(func() error { take(); return nil })
	}
	_ = all.Wait() // each reports for itself
}

// content is what stands in a file; nil, and a line in the log, when that cannot
// be told.
func (f *thingFiles) content(name string, info fs.FileInfo) []byte {
	b, err := readThings(name, info)
	if err != nil {
		f.log.Error("a file of things cannot be read", "file", name, "error", err)
		return nil
	}
	return b
}

// readThings reads a file of descriptions. It opens nothing but files: who opens
// a pipe waits until somebody writes it.
func readThings(name string, info fs.FileInfo) ([]byte, error) {
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file")
	case info.Size() > maxTD:
		return nil, errors.New("it is larger than 4 MB")
	}
	return os.ReadFile(name)
}

// describe takes what stands in a file. Was is what it described before.
func (f *thingFiles) describe(ctx context.Context, name string, content []byte, was []twin.Key) []twin.Key {
	keys, err := f.things.Fix(source(name), content)
	if err != nil {
		f.log.Error("a Thing Description was not taken", "file", name, "error", err)
		if keys == nil {
			return was
		}
	}
	gone := slices.DeleteFunc(slices.Clone(was), func(k twin.Key) bool { return slices.Contains(keys, k) })
	if err := f.unfix(ctx, name, gone); err != nil {
		f.log.Error("a file describes other things now, and former descriptions could not be taken back", "file", name, "described", gone, "error", err)
	}
	return keys
}

func (f *thingFiles) unfix(ctx context.Context, name string, keys []twin.Key) error {
	var errs []error
	for _, k := range keys {
		errs = append(errs, f.things.Unfix(ctx, source(name), k))
	}
	return errors.Join(errs...)
}

// source is what the API says where a description comes from.
func source(name string) string { return "the file " + filepath.Base(name) }
