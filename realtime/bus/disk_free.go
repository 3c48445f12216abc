//go:build darwin || dragonfly || freebsd || linux

package bus

import "golang.org/x/sys/unix"

// FreeBytes is how much of the disk is left for us.
func FreeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
