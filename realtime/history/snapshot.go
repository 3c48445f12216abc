package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb"
)

// Snapshot makes a copy of what is kept in a folder of its own, which is then a
// whole Config.Dir, while history goes on. Blocks are linked where the file
// system can.
func (h *History) Snapshot(dir string) error {
	if err := h.use(func(db *tsdb.DB) error { return db.Snapshot(filepath.Join(dir, "samples"), true) }); err != nil {
		return err
	}
	// Names are on disk before the samples that need them, and only grow.
	b, err := os.ReadFile(h.names.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filepath.Base(h.names.path)), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("history: a copy of the names: %w", err)
	}
	return nil
}
