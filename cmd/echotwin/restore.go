package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"echotwin/realtime/bus"
)

// restoreFrom is the command echotwin restore.
func restoreFrom(ctx context.Context, c *commands) error {
	in := os.Stdin
	if c.Restore.File != "-" {
		f, err := os.Open(c.Restore.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	return restore(ctx, in, c.Data, c.Restore.Replace)
}

// restore makes a data folder from a backup. It is made beside its place and put
// there when the backup was whole, so that a damaged one leaves nothing behind.
func restore(ctx context.Context, r io.Reader, data string, replace bool) (err error) {
	u, err := newUnarchiver(r)
	if err != nil {
		return err
	}
	data, err = filepath.Abs(data)
	if err != nil {
		return err
	}
	old, err := os.ReadDir(data)
	if err == nil && len(old) > 0 && !replace {
		return fmt.Errorf("%s is not empty; --replace moves what is there aside", data)
	}
	if len(old) > 0 {
		release, err := bus.Lock(filepath.Join(data, "nats"))
		if err != nil {
			return err
		}
		release()
	}
	if err := os.MkdirAll(filepath.Dir(data), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(data), filepath.Base(data)+".restoring-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := unpack(ctx, u, tmp); err != nil {
		return err
	}
	if err := writeVersion(tmp, u.head.Version); err != nil {
		return err
	}
	if len(old) > 0 {
		aside := tmp + ".before"
		if err := os.Rename(data, aside); err != nil {
			return err
		}
		fmt.Printf("what was in %s is now in %s\n", data, aside)
	} else if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(tmp, data)
}

func unpack(ctx context.Context, u *unarchiver, dir string) error {
	nats, err := bus.Restore(filepath.Join(dir, "nats"), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer nats.Close()
	for {
		p, err := u.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.n != 1 {
			return fmt.Errorf("%w: the beginning of %s is missing", errNotWhole, p.name)
		}
		if stream, ok := strings.CutPrefix(p.name, streamsPart); ok {
			err = nats.Stream(ctx, stream, bytes.Clone(p.bytes), func() ([]byte, error) { return u.more(p.name, 1) })
		} else if name, ok := strings.CutPrefix(p.name, filesPart); ok {
			err = u.toFile(dir, name, p)
		} else {
			err = fmt.Errorf("%w: nobody knows what %s is", errNotWhole, p.name)
		}
		if err != nil {
			return err
		}
	}
}

// more is the next part of the same, or nothing at its end.
func (u *unarchiver) more(name string, least int) ([]byte, error) {
	p, err := u.next()
	if errors.Is(err, io.EOF) {
		u.ended = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.name != name {
		u.back(p)
		return nil, nil
	}
	if p.n <= least {
		return nil, fmt.Errorf("%w: part %d of %s comes twice", errNotWhole, p.n, name)
	}
	return p.bytes, nil
}

func (u *unarchiver) toFile(dir, name string, p part) (err error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("%w: %q leads out of the folder", errNotWhole, name)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
	for b := p.bytes; ; {
		if _, err := f.Write(b); err != nil {
			return err
		}
		if b, err = u.more(p.name, 1); err != nil || len(b) == 0 {
			return err
		}
	}
}
