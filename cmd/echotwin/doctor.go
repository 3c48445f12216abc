package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"echotwin/realtime/bus"
	"echotwin/realtime/twin"
)

// A patient is a data folder that is looked through. Nothing is changed without
// fix, and NATS is not started before it is known that no server runs there:
// it would cut off what is damaged.
type patient struct {
	data string
	fix  bool
	out  io.Writer
	bad  int // what is wrong and was not mended
}

// errIll is the answer when something is wrong.
var errIll = errors.New("something is wrong with the data folder, see above")

// doctor looks through the data folder and says what it finds and would do.
func doctor(ctx context.Context, c *commands, out io.Writer) error {
	p := &patient{data: c.Data, fix: c.Doctor.Fix, out: out}
	if info, err := os.Stat(c.Data); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no data folder %s: name another with --data (ECHOTWIN_DATA)", c.Data)
	}
	p.say("ok", "data folder %s", c.Data)
	known := p.version()
	p.permissions()
	p.disk(int64(c.DiskReserve))
	p.leftovers()
	p.things()
	p.history()
	if known && p.free() {
		p.log(ctx, c)
	}
	if p.bad > 0 {
		return errIll
	}
	p.say("ok", "nothing is wrong")
	return nil
}

func (p *patient) say(word, format string, args ...any) {
	fmt.Fprintf(p.out, "%-6s %s\n", word, fmt.Sprintf(format, args...))
}

// wrong says what is wrong and what is to be done, which is done by mend with
// --fix. A nil mend means that only a person can.
func (p *patient) wrong(what, todo string, mend func() error) {
	switch {
	case mend == nil:
		p.say("WRONG", "%s. To do: %s", what, todo)
	case !p.fix:
		p.say("WRONG", "%s. Would do with --fix: %s", what, todo)
	default:
		err := mend()
		if err == nil {
			p.say("FIXED", "%s. Done: %s", what, todo)
			return
		}
		p.say("WRONG", "%s. Could not %s: %v", what, todo, err)
	}
	p.bad++
}

func (p *patient) version() bool {
	v, err := readVersion(p.data)
	switch {
	case err != nil:
		p.wrong("the version file cannot be read", "write version 2 into it", func() error { return writeVersion(p.data, dataVersion) })
		return p.fix
	case v > dataVersion:
		p.wrong(newer(p.data, v).Error(), "nothing that this program could", nil)
		return false
	case v == 1:
		p.say("ok", "version 1: the next start brings it to version %d; nothing is copied", dataVersion)
	case v == 0:
		p.say("ok", "there is no log yet")
		return false
	default:
		p.say("ok", "version %d", v)
	}
	return true
}

func (p *patient) permissions() {
	probe, err := os.CreateTemp(p.data, ".doctor-")
	if err != nil {
		p.wrong(fmt.Sprintf("the folder cannot be written to: %v", err), "give it to the user that runs echotwin", nil)
		return
	}
	name := probe.Name()
	_ = errors.Join(probe.Close(), os.Remove(name))
	secret := filepath.Join(p.data, "session-secret")
	if info, err := os.Stat(secret); err == nil && info.Mode().Perm()&0o077 != 0 {
		p.wrong("others may read session-secret", "chmod 600", func() error { return os.Chmod(secret, 0o600) })
		return
	}
	p.say("ok", "permissions")
}

func (p *patient) disk(reserve int64) {
	free, err := bus.FreeBytes(p.data)
	switch {
	case err != nil:
		p.say("note", "how much of the disk is free cannot be told here: %v", err)
	case free < reserve:
		p.wrong(fmt.Sprintf("%d MB of the disk are free, and %d MB have to stay free: nothing would be stored", free>>20, reserve>>20), "make room, or set ECHOTWIN_RAW_SIZE smaller", nil)
	default:
		p.say("ok", "%d MB of the disk are free", free>>20)
	}
}

// leftovers are what a kill left of backups.
func (p *patient) leftovers() {
	found, _ := filepath.Glob(filepath.Join(p.data, copies+"*"))
	for _, f := range found {
		p.wrong(f+" is left of a backup that was cut off", "delete it, as the next start does", func() error { return os.RemoveAll(f) })
	}
}

func (p *patient) things() {
	files, _ := filepath.Glob(filepath.Join(p.data, "things", "*.json"))
	things, wrong := twin.NewDirectory(twin.DirectoryConfig{Twins: twin.New(twin.Config{}), Logger: slog.New(slog.DiscardHandler)}), 0
	for _, f := range files {
		info, err := os.Stat(f)
		var td []byte
		if err == nil {
			td, err = readThings(f, info)
		}
		if err == nil {
			_, err = things.Fix(f, td)
		}
		if err != nil {
			wrong++
			p.wrong(fmt.Sprintf("%s is not taken: %v", f, err), "correct it; its device shows as undescribed until then", nil)
		}
	}
	if wrong == 0 {
		p.say("ok", "%d descriptions in things/", len(files))
	}
}

// history looks at its blocks from outside.
func (p *patient) history() {
	root := filepath.Join(p.data, "history", "samples")
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		p.say("ok", "there is no history yet; what the log holds goes into it at the next start")
		return
	}
	blocks, wrong := 0, 0
	for _, e := range entries {
		if !e.IsDir() || len(e.Name()) != 26 { // a block is named by a ULID
			continue
		}
		blocks++
		dir := filepath.Join(root, e.Name())
		if err := checkBlock(dir); err != nil {
			wrong++
			aside := dir + ".damaged"
			p.wrong(fmt.Sprintf("the block %s of history is damaged: %v", e.Name(), err), "move it aside, to "+aside, func() error { return os.Rename(dir, aside) })
		}
	}
	if wrong == 0 {
		p.say("ok", "%d blocks of history", blocks)
	}
}

func checkBlock(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return err
	}
	var meta struct {
		MinTime int64 `json:"minTime"`
		MaxTime int64 `json:"maxTime"`
		Version int   `json:"version"`
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return fmt.Errorf("meta.json: %w", err)
	}
	if meta.Version != 1 || meta.MinTime > meta.MaxTime {
		return fmt.Errorf("meta.json: version %d, from %d to %d", meta.Version, meta.MinTime, meta.MaxTime)
	}
	info, err := os.Stat(filepath.Join(dir, "index"))
	if err == nil && info.Size() == 0 {
		err = errors.New("its index is empty")
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "chunks"))
	}
	return err
}

// free says whether no server runs in the folder.
func (p *patient) free() bool {
	release, err := bus.Lock(filepath.Join(p.data, "nats"))
	if err != nil {
		p.say("note", "%v: the log is not looked at while a server runs; ask its /readyz", err)
		return false
	}
	release()
	p.say("ok", "no server runs in it")
	return true
}

// log reads every block of the log, as NATS wrote it, and then, when nothing
// would be cut off, opens it to look at the checkpoint and the clock.
func (p *patient) log(ctx context.Context, c *commands) {
	report, err := bus.Examine(filepath.Join(p.data, "nats"))
	if err != nil {
		p.wrong(fmt.Sprintf("the log cannot be read: %v", err), "restore a backup", nil)
		return
	}
	for _, d := range report.Damaged {
		p.wrong(d.String(), d.Remedy(), d.Mend)
	}
	if len(report.Damaged) > 0 && !p.fix {
		p.say("note", "the log is not opened, since NATS would cut off what is damaged")
		return
	}
	p.say("ok", "the log has %d segments with %d blocks and %d messages, %d MB", report.Segments, report.Blocks, report.Messages, report.Bytes>>20)
	b, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(p.data, "nats"), MaxBytes: 1 << 50, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.wrong(fmt.Sprintf("the log does not open: %v", err), "restore a backup", nil)
		return
	}
	defer b.Close()
	p.checkpoint(ctx, b)
	if newest := b.Newest(ctx); newest.After(time.Now().Add(time.Minute)) {
		p.wrong(fmt.Sprintf("the newest bundle is of %s, in the future: the clock of this machine is, or was, wrong", newest.Format(time.RFC3339)), "set the clock", nil)
	} else if !newest.IsZero() {
		p.say("ok", "the clock: the newest bundle is of %s", newest.UTC().Format(time.RFC3339))
	}
}

func (p *patient) checkpoint(ctx context.Context, b *bus.Bus) {
	bucket, err := b.Bucket(ctx, "checkpoint")
	if err != nil {
		p.wrong(fmt.Sprintf("the checkpoint cannot be read: %v", err), "nothing: a start reads the log instead", nil)
		return
	}
	var said warned
	k := &checkpoints{bucket: bucket, bus: b, hold: b.Hold("doctor", 0)}
	twins := twin.New(twin.Config{})
	if err := k.restore(ctx, twins, slog.New(&said)); err != nil || said != "" {
		p.wrong(fmt.Sprintf("the checkpoint is not used: %v %s", err, said), "forget it; a start reads the log from its beginning", func() error { return bucket.Delete(ctx, headKey) })
		return
	}
	p.say("ok", "the checkpoint is of bundle %d of %d and has %d things", twins.Seq(), b.Last(), twins.Stats().Things)
}

// warned is a log that keeps the last warning.
type warned string

func (w *warned) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w *warned) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w *warned) WithGroup(string) slog.Handler                { return w }
func (w *warned) Handle(_ context.Context, r slog.Record) error {
	*w = warned(r.Message)
	return nil
}
