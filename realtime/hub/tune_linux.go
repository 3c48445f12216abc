package hub

import (
	"net"
	"syscall"
	"time"
)

const (
	tcpUserTimeout  = 18
	tcpNotSentLowat = 25
)

// tune keeps old data out of the kernel: what waits there cannot be merged any
// more, and half a megabyte of it is many seconds on a slow line. A peer that
// confirms nothing for so long as stall is given up by the kernel too.
func tune(tcp *net.TCPConn, stall time.Duration) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// Options that are refused leave a socket that works, only less well.
	raw.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, 4<<10)
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(stall.Milliseconds()))
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 32<<10)
	})
}
