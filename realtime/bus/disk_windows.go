package bus

import (
	"syscall"

	"golang.org/x/sys/windows"
)

const (
	errQuota    = syscall.Errno(1295) // ERROR_DISK_QUOTA_EXCEEDED
	errReadOnly = syscall.Errno(19)   // ERROR_WRITE_PROTECT
)

// FreeBytes is how much of the disk is left for us.
func FreeBytes(dir string) (int64, error) {
	name, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(free), nil
}
