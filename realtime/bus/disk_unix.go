//go:build unix

package bus

import "syscall"

const (
	errQuota    = syscall.EDQUOT
	errReadOnly = syscall.EROFS
)
