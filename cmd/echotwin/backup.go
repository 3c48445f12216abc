package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"echotwin/realtime/bus"
)

// What a backup holds, by the beginning of its names.
const (
	streamsPart = "streams/" // of NATS: log, facts, buckets
	filesPart   = "files/"   // of the data folder
)

// keptFiles are what is copied as it is, beside NATS and history.
var keptFiles = []string{"things", "session-secret"}

// backup writes everything that is kept, while the server runs. History comes
// first and the log last: what was made from the log is never ahead of it.
func (s *stages) backup(ctx context.Context, w io.Writer) error {
	a, err := newArchiver(w, archiveHead{Format: archiveFormat, Version: dataVersion, At: time.Now().UTC(), Epoch: s.bus.Epoch()})
	if err != nil {
		return err
	}
	// Where the log is deleted meanwhile, history could miss what it has not read.
	h := s.bus.Hold("backup", 0)
	defer h.Release()
	if err := s.backupHistory(a); err != nil {
		return err
	}
	for _, name := range keptFiles {
		if err := archiveFiles(a, s.cfg.Data, name); err != nil {
			return err
		}
	}
	if err := s.backupStreams(ctx, a); err != nil {
		return err
	}
	return a.close()
}

// copies names the folders in which a backup has its copy of history.
const copies = ".backup-"

// sweepCopies removes what kills left of backups. Nobody else may be using the
// folder.
func sweepCopies(data string, log *slog.Logger) {
	left, _ := filepath.Glob(filepath.Join(data, copies+"*")) // the pattern is a good one
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			log.Warn("what is left of a backup was not removed", "folder", dir, "error", err)
		}
	}
}

func (s *stages) backupHistory(a *archiver) error {
	tmp, err := os.MkdirTemp(s.cfg.Data, copies)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := s.history.Snapshot(filepath.Join(tmp, "history")); err != nil {
		return err
	}
	return archiveFiles(a, tmp, "history")
}

// backupStreams holds the checkpoint still, so that its parts belong together.
func (s *stages) backupStreams(ctx context.Context, a *archiver) error {
	s.saved.save(ctx, s.twins, s.log)
	s.saved.mu.Lock()
	defer s.saved.mu.Unlock()
	return archiveStreams(ctx, a, s.bus)
}

func archiveStreams(ctx context.Context, a *archiver, b *bus.Bus) error {
	return b.Snapshot(ctx, func(stream string, description, part []byte) error {
		if description != nil {
			if err := a.put(streamsPart+stream, description); err != nil {
				return err
			}
		}
		return a.put(streamsPart+stream, part)
	})
}

// archiveFiles adds a file, or all files of a folder.
func archiveFiles(a *archiver, root, name string) error {
	return filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() || d.Name() == "lock" {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return a.file(filesPart+filepath.ToSlash(rel), f)
	})
}

// backupFolder is backup of a server that does not run.
func backupFolder(ctx context.Context, data string, w io.Writer) error {
	b, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(data, "nats"), Log: slog.New(slog.DiscardHandler), MaxBytes: 1 << 50, MaxAge: 1 << 62})
	if err != nil {
		return err
	}
	defer b.Close()
	a, err := newArchiver(w, archiveHead{Format: archiveFormat, Version: dataVersion, At: time.Now().UTC(), Epoch: b.Epoch()})
	if err != nil {
		return err
	}
	for _, name := range append([]string{"history"}, keptFiles...) {
		if err := archiveFiles(a, data, name); err != nil {
			return err
		}
	}
	if err := archiveStreams(ctx, a, b); err != nil {
		return err
	}
	return a.close()
}

// backupTo is the command echotwin backup.
func backupTo(ctx context.Context, c *commands) (err error) {
	if c.Nats != "" {
		return bus.ErrOutside
	}
	at, err := serverAt(c.Backup.URL, c.Backup.Token)
	if err != nil {
		return err
	}
	if at == "" {
		if err := c.kept(); err != nil {
			return err
		}
	}
	w, done, err := output(c.Backup.File)
	if err != nil {
		return err
	}
	defer func() { err = done(err) }()
	if at == "" {
		if err = backupFolder(ctx, c.Data, w); err != nil {
			return fmt.Errorf("%w (a running server wants --token of an administrator)", err)
		}
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(at, "/")+"/api/backup", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Backup.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return fmt.Errorf("the server answers %s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	// What is written is what was checked: a backup that nobody can read is none.
	u, err := newUnarchiver(io.TeeReader(res.Body, w))
	for err == nil {
		_, err = u.next()
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	_, err = io.Copy(w, res.Body) // the padding of tar
	return err
}

// output is a new file that is there only when it is whole, or standard output.
func output(name string) (io.Writer, func(error) error, error) {
	if name == "-" {
		return os.Stdout, func(err error) error { return err }, nil
	}
	if _, err := os.Stat(name); err == nil {
		return nil, nil, fmt.Errorf("%s is there already", name)
	}
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return f, func(err error) error {
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
		if err == nil {
			return os.Rename(f.Name(), name)
		}
		return errors.Join(err, os.Remove(f.Name()))
	}, nil
}
