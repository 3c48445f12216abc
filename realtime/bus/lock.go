package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// errLocked is what hold returns when another process has the file.
var errLocked = errors.New("held by another process")

// lockDir takes the folder for this process until the file is closed, by
// whatever means, kill -9 included. Two servers on one folder would destroy
// the log.
func lockDir(dir string) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("neither a folder nor the address of a NATS server is given")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "lock")
	f, err := hold(name)
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("the folder %s is in use%s", dir, holder(name))
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	// The number is only for the message above; the lock is the system's.
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

func holder(name string) string {
	b, err := os.ReadFile(name)
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return " by process " + pid
	}
	return " by another process"
}

// Lock takes a folder as Open does, so that no server can run in it, until the
// returned function is called.
func Lock(dir string) (release func(), err error) {
	f, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return func() { f.Close() }, nil
}
