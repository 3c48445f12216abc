package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"echotwin/realtime/twin"
)

// maxTD bounds one Thing Description.
const maxTD = 1 << 20

// describeFiles reads the Thing Descriptions of a folder, one in each .json
// file. A wrong one is reported with its place and does not keep the others
// out: its device then shows as undescribed, and nothing that it sends is lost.
func describeFiles(twins *twin.Twins, dir string, log *slog.Logger) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return
	}
	// Checking a thousand takes a noticeable part of a start.
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	defer func() { _ = all.Wait() }() // each reports for itself
	for _, f := range files {
		all.Go(func() error {
			describeFile(twins, f, log)
			return nil
		})
	}
}

func describeFile(twins *twin.Twins, f string, log *slog.Logger) {
	if info, err := os.Stat(f); err == nil && info.Size() > maxTD {
		log.Error("a Thing Description is larger than 1 MB", "file", f)
		return
	}
	td, err := os.ReadFile(f)
	if err == nil {
		err = twins.Describe(td)
	}
	if err != nil {
		log.Error("a Thing Description was not taken", "file", f, "error", err)
	}
}
