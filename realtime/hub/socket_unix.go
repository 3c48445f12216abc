//go:build unix

package hub

import (
	"net"
	"syscall"
)

// A socket is the sink of a plain TCP connection.
//
// It writes to the descriptor itself: going through net costs two cold places
// of memory for each frame. Only its shard closes it, and after the last write,
// so the number cannot have become another's.
type socket struct {
	net *net.TCPConn
	raw syscall.RawConn
	fd  int
}

// newSocket is false when the connection is none that can be written to without
// waiting.
func newSocket(nc net.Conn) (sink, bool) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, false
	}
	k := &socket{net: tcp, raw: raw}
	err = raw.Control(func(fd uintptr) { k.fd = int(fd) })
	return k, err == nil
}

func (k *socket) offer(b []byte) (int, error) {
	for {
		switch n, err := syscall.Write(k.fd, b); err {
		case nil:
			return n, nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

func (k *socket) close(bool) { k.net.Close() }

func (k *socket) closeWrite() { k.net.CloseWrite() }

// wait returns when there is something to read, or the connection is over.
func (k *socket) wait() error { return k.raw.Read(readable) }

// readable looks without taking anything.
func readable(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err != syscall.EAGAIN
}

// left looks whether the client has closed its side, without taking anything of
// what it sent.
func (k *socket) left() bool {
	gone := false
	err := k.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return gone || err != nil
}
