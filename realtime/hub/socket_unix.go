//go:build unix

package hub

import (
	"net"
	"syscall"
)

// rawWriter does a shard's non-blocking writes. Its function is made once: a
// closure for each write would be one allocation for each frame.
type rawWriter struct {
	write func(fd uintptr) bool
	in    []byte
	n     int
	err   error
}

func (w *rawWriter) init() {
	w.write = func(fd uintptr) bool {
		for {
			w.n, w.err = syscall.Write(int(fd), w.in)
			if w.err != syscall.EINTR {
				return true // whatever came of it: the shard does not wait
			}
		}
	}
}

// A socket is the sink of a plain TCP connection.
type socket struct {
	net *net.TCPConn
	raw syscall.RawConn
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
	return &socket{tcp, raw}, true
}

func (k *socket) offer(s *shard, b []byte) (int, error) {
	w := &s.raw
	w.in = b
	err := k.raw.Write(w.write)
	w.in = nil
	switch {
	case err != nil:
		return 0, err
	case w.err == syscall.EAGAIN:
		return 0, nil
	case w.err != nil:
		return 0, w.err
	}
	return w.n, nil
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
