//go:build !unix

package hub

import "net"

// Without non-blocking writes every connection has a goroutine of its own.
func newSocket(net.Conn) (sink, bool) { return nil, false }
