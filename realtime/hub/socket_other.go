//go:build !unix

package hub

import "net"

// Without non-blocking writes every connection has a goroutine of its own.
type rawWriter struct{}

func (*rawWriter) init() {}

func newSocket(net.Conn) (sink, bool) { return nil, false }
