//go:build !darwin && !dragonfly && !freebsd && !linux && !windows

package bus

import "errors"

// FreeBytes cannot be told here; a full disk is noticed when a write fails.
func FreeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }
