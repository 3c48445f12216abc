package history

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb"
)

// Snapshot makes a copy of what is kept in a folder of its own, which is then a
// whole Config.Dir, while history goes on. Blocks are linked where the file
// system can. Of a store outside it is the place in the log and the names.
func (h *History) Snapshot(dir string) error {
	if h.outside != nil {
		return h.copyFiles(dir, h.placePath(), h.names.path)
	}
	// No file of buckets is made meanwhile, so that they, their marks and the
	// samples go together.
	h.rolling.Lock()
	defer h.rolling.Unlock()
	err := h.useDB(func(db *tsdb.DB) error {
		// A snapshot of the store leaves out what came late and is in no block yet.
		if err := h.blockLate(db); err != nil {
			return err
		}
		return db.Snapshot(filepath.Join(dir, "samples"), true)
	})
	if err != nil {
		return err
	}
	if err := h.rollups.copyTo(filepath.Join(dir, "rollups")); err != nil {
		return fmt.Errorf("history: a copy of the buckets: %w", err)
	}
	// Names are on disk before the samples that need them, and only grow.
	return h.copyFiles(dir, h.names.path)
}

// blockLate makes blocks of what came late.
func (h *History) blockLate(db *tsdb.DB) error {
	h.gate.hold()
	defer h.gate.let()
	return db.CompactOOOHead(h.closing)
}

func (h *History) copyFiles(dir string, paths ...string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, path := range paths {
		if err := copyFile(path, filepath.Join(dir, filepath.Base(path))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("history: a copy of %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// copyTo copies the segments and marks.
func (r *rollups) copyTo(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := []string{r.marksPath()}
	for _, s := range r.segments {
		paths = append(paths, s.path)
	}
	for _, path := range paths {
		to := filepath.Join(dir, filepath.Base(path))
		if os.Link(path, to) == nil { // neither is ever written into, only replaced
			continue
		}
		if err := copyFile(path, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
