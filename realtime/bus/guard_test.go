package bus

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"echotwin/realtime"
)

// disk is a file system of its own, as small as told; "" without the right to
// mount one.
func disk(t *testing.T, size string) (dir string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return ""
	}
	dir = t.TempDir()
	if exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).Run() != nil {
		return "" // a container without the right to
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", "-l", dir).Run(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// stuff fills the disk up to so many free bytes.
func stuff(t *testing.T, dir string, leave int64) (name string) {
	t.Helper()
	name = filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	free, err := FreeBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, zeros{}, free-leave); err != nil && leave > 0 {
		t.Fatal(err)
	}
	return name
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func refuses(t *testing.T, b *Bus, code string) {
	t.Helper()
	eventually(t, "it is noticed that the log cannot store: "+code, func() bool {
		f := b.Fault()
		return f != nil && f.Code == code
	})
	var f *realtime.Fault
	if _, err := b.Append(t.Context(), line(1)); !errors.As(err, &f) || f.Code != code {
		t.Errorf("Append: %v, want %s", err, code)
	}
	if err := b.Ready(); !errors.As(err, &f) {
		t.Errorf("Ready: %v", err)
	}
}

func recovers(t *testing.T, b *Bus, n int) {
	t.Helper()
	eventually(t, "it stores again", func() bool { return b.Fault() == nil })
	mustAppend(t, b, n, n)
}

func TestAFullDiskIsNoticedBeforeItIsFull(t *testing.T) {
	dir := disk(t, "64m")
	mounted := dir != ""
	if !mounted {
		dir = t.TempDir()
	}
	cfg := small(filepath.Join(dir, "nats"))
	cfg.Reserve = 16 << 20
	b := open(t, cfg)
	mustAppend(t, b, 1, 3)
	names, stop := follow(t, b)
	defer stop()
	expect(t, names, 1, 3)

	undo := func() { b.guard.reserve.Store(cfg.Reserve) }
	if mounted {
		ballast := stuff(t, dir, 8<<20)
		undo = func() { os.Remove(ballast) }
	} else { // more has to stay free than any disk has
		b.guard.reserve.Store(1 << 60)
	}
	refuses(t, b, realtime.FaultDisk)
	if got, _ := read(t, b, 0, 3); len(got) != 3 {
		t.Errorf("what is stored cannot be read: %v", got)
	}
	undo()
	recovers(t, b, 4)
	expect(t, names, 4, 4)
}

// A disk that is full all at once: NATS itself fails, and is started anew.
func TestNATSIsStartedAnewWhenTheDiskHasRoomAgain(t *testing.T) {
	dir := disk(t, "64m")
	if dir == "" {
		t.Log("no right to mount a small disk: nothing here can be full all at once")
		return
	}
	cfg := small(filepath.Join(dir, "nats"))
	cfg.Reserve = 1
	b := open(t, cfg)
	mustAppend(t, b, 1, 3)
	k, err := b.Bucket(t.Context(), "things")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Put(t.Context(), "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	names, stop := follow(t, b)
	defer stop()
	expect(t, names, 1, 3)
	epoch := b.Epoch()

	ballast := stuff(t, dir, 0)
	stored := 3
	eventually(t, "the log fails", func() bool {
		if _, err := b.Append(t.Context(), line(stored+1)); err == nil {
			stored++
			return false
		}
		return b.Fault() != nil
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	recovers(t, b, stored+1)
	expect(t, names, 4, stored+1)
	if v, err := k.Get(t.Context(), "a"); err != nil || string(v) != "1" {
		t.Errorf("the bucket: %q, %v", v, err)
	}
	if b.Epoch() != epoch {
		t.Errorf("the epoch was %s and is %s", epoch, b.Epoch())
	}
}

// A folder that nothing new can be made in, as on a file system that the kernel
// has made read-only after an error.
func TestAFolderThatCannotBeWrittenTo(t *testing.T) {
	cfg := small(t.TempDir())
	b := open(t, cfg)
	mustAppend(t, b, 1, 3)
	probe := filepath.Join(cfg.Dir, ".probe")
	undo := func() { os.Chmod(cfg.Dir, 0o750) }
	if os.Geteuid() != 0 {
		os.Chmod(cfg.Dir, 0o550)
	} else {
		// chmod is nothing to root; a read-only mount over the folder is.
		if exec.Command("mount", "--bind", cfg.Dir, cfg.Dir).Run() != nil || exec.Command("mount", "-o", "remount,ro,bind", cfg.Dir).Run() != nil {
			exec.Command("umount", "-l", cfg.Dir).Run()
			t.Log("no right to mount: a folder in the place of the probe stands for it")
			if err := os.MkdirAll(filepath.Join(probe, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			undo = func() { os.RemoveAll(probe) }
			eventually(t, "it is noticed", func() bool { return b.Fault() != nil })
			undo()
			recovers(t, b, 4)
			return
		}
		undo = func() { exec.Command("umount", "-l", cfg.Dir).Run() }
	}
	t.Cleanup(undo)
	refuses(t, b, realtime.FaultReadOnly)
	if got, _ := read(t, b, 0, 3); len(got) != 3 {
		t.Errorf("what is stored cannot be read: %v", got)
	}
	undo()
	recovers(t, b, 4)
}
