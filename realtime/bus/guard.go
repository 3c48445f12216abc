package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"echotwin/realtime"
)

// A guard looks after the folder. NATS does not try again what it could not
// write once, and a half-written block is the last thing that one wants on a full
// disk; so nothing is stored from a little before the disk is full.
type guard struct {
	fault   atomic.Pointer[realtime.Fault]
	broken  atomic.Bool   // NATS itself has failed
	reserve atomic.Int64  // what has to stay free
	hurry   chan struct{} // holds a token when there is reason to look now
}

// What NATS answers when it has given up.
const (
	errNotEnabled        = 10076
	errNotEnabledAccount = 10039
)

// Fault is why the log cannot store now; nil means that it can.
func (b *Bus) Fault() *realtime.Fault { return b.guard.fault.Load() }

// suspect is told of every failure to store. When it is NATS that has failed,
// nothing more is given to it until it was started anew.
func (b *Bus) suspect(err error) {
	if b.inside == nil || b.closing.Err() != nil {
		return
	}
	switch code := apiCode(err); {
	case code == errStoreFailed, code == errNotEnabled, code == errNotEnabledAccount, code == errNoStorage, code == errNoResources:
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
	default:
		return
	}
	b.guard.broken.Store(true)
	b.blame(&realtime.Fault{Code: realtime.FaultFailing, Message: "the log does not store: " + err.Error()})
	select {
	case b.guard.hurry <- struct{}{}:
	default:
	}
}

// blame sets the fault, or takes it away. One that stays keeps its beginning.
func (b *Bus) blame(f *realtime.Fault) {
	was := b.guard.fault.Load()
	switch {
	case f == nil && was == nil:
		return
	case f == nil:
		b.guard.fault.Store(nil)
		b.log.Warn("the log stores again", "after", time.Since(was.Since).Round(time.Millisecond))
		return
	case was != nil && was.Code == f.Code:
		f.Since = was.Since
	default:
		f.Since = time.Now()
		b.log.Error("the log cannot store: nothing is acknowledged", "fault", f.Code, "why", f.Message)
	}
	b.guard.fault.Store(f)
}

// watch looks after the folder until the bus is closed.
func (b *Bus) watch() {
	wait, pause := b.cfg.Look, b.cfg.Look
	for {
		t := time.NewTimer(wait)
		select {
		case <-b.closing.Done():
			t.Stop()
			return
		case <-b.guard.hurry:
			t.Stop()
		case <-t.C:
		}
		wait = b.cfg.Look
		if f := b.look(); f != nil {
			b.blame(f)
			continue
		}
		if !b.guard.broken.Load() {
			b.blame(nil)
			pause = b.cfg.Look
			continue
		}
		if err := b.heal(); err != nil {
			b.log.Error("the log could not be opened again", "error", err, "next", pause)
			wait, pause = pause, min(2*pause, 30*time.Second)
			continue
		}
		b.blame(nil)
		// What is not mended after all fails at the next Append; then NATS is not
		// started in a circle.
		wait, pause = pause, min(2*pause, 30*time.Second)
	}
}

// look tries what NATS would do.
func (b *Bus) look() *realtime.Fault {
	dir := b.cfg.Dir
	free, err := FreeBytes(dir)
	if err == nil && free < b.guard.reserve.Load() {
		return &realtime.Fault{Code: realtime.FaultDisk, Message: fmt.Sprintf("the disk is full: %d MB are free, %d MB have to stay free", free>>20, b.guard.reserve.Load()>>20)}
	}
	if err == nil {
		err = tryWrite(filepath.Join(dir, ".probe"), b.guard.broken.Load())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, errQuota):
		return &realtime.Fault{Code: realtime.FaultDisk, Message: "the disk is full"}
	case errors.Is(err, errReadOnly), errors.Is(err, fs.ErrPermission):
		return &realtime.Fault{Code: realtime.FaultReadOnly, Message: "the data folder cannot be written to"}
	}
	b.log.Warn("the data folder", "error", err)
	return &realtime.Fault{Code: realtime.FaultFailing, Message: "the data folder does not take what is written"}
}

// tryWrite makes a small file. Hard writes as much as a commit does, to the disk.
func tryWrite(name string, hard bool) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.Remove(name))
	}()
	if !hard {
		_, err = f.Write([]byte("probe"))
		return err
	}
	if _, err = f.Write(make([]byte, 1<<20)); err != nil {
		return err
	}
	return f.Sync()
}

// heal starts NATS anew in its folder, with everything that it holds.
func (b *Bus) heal() error {
	b.row.turn.Lock()
	defer b.row.turn.Unlock()
	began := time.Now()
	if err := b.inside.restart(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(b.closing, 10*time.Second)
	defer cancel()
	for !b.nc.IsConnected() || b.nc.ConnectedServerId() != b.inside.id() {
		if !pause(ctx, 10*time.Millisecond) {
			return errors.New("the connection to nats did not come back")
		}
	}
	list, infos, err := b.segments(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 || infos[len(infos)-1].Config.Metadata[epochKey] != b.epoch {
		return errOtherLog
	}
	if err := b.adopt(ctx, list, infos); err != nil {
		return err
	}
	b.guard.broken.Store(false)
	b.log.Warn("nats was started anew", "took", time.Since(began).Round(time.Millisecond))
	return nil
}
