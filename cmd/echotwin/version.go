package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// dataVersion is the version of the data folder that this program writes.
//
//	1  the log is one stream; there is no version file
//	2  the log is a row of segments
const dataVersion = 2

const versionFile = "echotwin.json"

type versionNote struct {
	Version int    `json:"version"`
	Note    string `json:"note"`
}

// readVersion is the version of a data folder, 0 for one that holds nothing yet.
func readVersion(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, versionFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(data, "nats")); err == nil {
			return 1, nil
		}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var v versionNote
	if err := json.Unmarshal(b, &v); err != nil || v.Version < 1 {
		return 0, fmt.Errorf("%s says no version: echotwin doctor tells more", filepath.Join(data, versionFile))
	}
	return v.Version, nil
}

// writeVersion writes it so that a kill leaves the old one or the new one.
func writeVersion(data string, version int) error {
	b, err := json.Marshal(versionNote{version, "the version of this data folder; echotwin doctor looks through it"})
	if err != nil {
		return err
	}
	tmp := filepath.Join(data, versionFile+".new")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(data, versionFile))
}

// newer is the word for a folder of a later program.
func newer(data string, version int) error {
	return fmt.Errorf("the data folder %s is of version %d, and this program knows up to %d: use the newer echotwin that wrote it, or restore a backup of before into another folder", data, version, dataVersion)
}

// migrate brings an older folder to this version. A newer one is refused before
// anything is touched.
func migrate(data string, log *slog.Logger) error {
	have, err := readVersion(data)
	switch {
	case err != nil:
		return err
	case have > dataVersion:
		return newer(data, have)
	case have == dataVersion:
		return nil
	case have == 1:
		// The one stream of the log becomes its first segment when the bus opens it:
		// nothing is copied.
		log.Warn("the data folder is brought to a newer version; an older echotwin must not open it any more", "from", have, "to", dataVersion)
	}
	return writeVersion(data, dataVersion)
}
