//go:build !linux

package hub

import (
	"net"
	"time"
)

func tune(tcp *net.TCPConn, _ time.Duration) { tcp.SetWriteBuffer(32 << 10) }
