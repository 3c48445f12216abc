package main

import (
	"context"
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
	maxTD      = 1 << 20 // one Thing Description
	filesEvery = 2 * time.Second
)

// thingFiles are the Thing Descriptions of a folder, one in each .json file.
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
	size  int64
	mod   time.Time
	thing string // what it describes; "" when it never could be read
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
		if was := f.seen[name]; was.thing != "" {
			if err := f.things.Unfix(ctx, source(name), was.thing); err != nil {
				f.log.Error("a file of a thing is gone, and its description could not be taken back", "file", name, "error", err)
				continue
			}
			f.log.Info("a file of a thing is gone", "file", name, "thing", was.thing)
		}
		delete(f.seen, name)
	}
	// Checking a thousand takes a noticeable part of a start.
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex // of f.seen
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			continue // gone just now; the next look sees that
		}
		mu.Lock() // files before this one may be being read
		was, known := f.seen[name]
		mu.Unlock()
		if known && was.size == info.Size() && was.mod.Equal(info.ModTime()) {
			continue
		}
		all.Go(func() error {
			is := was
			if info.Size() > maxTD {
				f.log.Error("a Thing Description is larger than 1 MB", "file", name)
			} else {
				is = f.describe(ctx, name, was)
			}
			is.size, is.mod = info.Size(), info.ModTime()
			mu.Lock()
			defer mu.Unlock()
			f.seen[name] = is
			return nil
		})
	}
	_ = all.Wait() // each reports for itself
}

// describe reads one file. Was is what it described before.
func (f *thingFiles) describe(ctx context.Context, name string, was thingFile) thingFile {
	td, err := os.ReadFile(name)
	id := ""
	if err == nil {
		id, err = f.things.Fix(source(name), td)
	}
	if err != nil {
		f.log.Error("a Thing Description was not taken", "file", name, "error", err)
		return was
	}
	if was.thing != "" && was.thing != id {
		if err := f.things.Unfix(ctx, source(name), was.thing); err != nil {
			f.log.Error("a file describes another thing now, and the former description could not be taken back", "file", name, "thing", was.thing, "error", err)
		}
	}
	return thingFile{thing: id}
}

// source is what the API says where a description comes from.
func source(name string) string { return "the file " + filepath.Base(name) }
