package hub

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// A poller waits for what WebSocket clients say, for all plain TCP connections
// of a hub in one goroutine, so that an idle one has none: a stack would be the
// largest part of it. Its epoll is one more descriptor for the runtime's own, so
// no thread waits either.
//
// A connection is told of once and then not again until its reader asks for it,
// so that one goroutine at most reads it.
type poller struct {
	once sync.Once
	file *os.File // nil when there is no epoll; then each reader has a goroutine
	raw  syscall.RawConn

	mu sync.Mutex
	at []*reader // by descriptor
}

// begin opens the epoll and starts its goroutine.
func (p *poller) begin(h *Hub) error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // so that os takes it for what can be waited for
		syscall.Close(fd)
		return err
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return err
	}
	context.AfterFunc(h.ctx, func() { file.Close() })
	p.file, p.raw = file, raw
	if !h.spawn(func() { p.run(h) }) {
		file.Close()
	}
	return nil
}

// await has the client's next words read when they come. Nobody else reads from
// it meanwhile.
func (h *Hub) await(r *reader) {
	p := &h.poller
	k, ok := r.conn.sink.(*socket)
	if ok {
		p.once.Do(func() {
			if err := p.begin(h); err != nil {
				h.log.Warn("there is no epoll; an idle WebSocket takes more memory", "error", err)
			}
		})
	}
	if !ok || p.file == nil {
		h.spawn(r.run)
		return
	}
	if err := p.arm(k, r); err != nil {
		r.ended(0, err)
	}
}

// arm has run told of the connection once.
func (p *poller) arm(k *socket, r *reader) error {
	var failed error
	// Within Control neither number can become another's.
	err := p.raw.Control(func(epoll uintptr) {
		failed = k.raw.Control(func(fd uintptr) {
			op := p.enter(int(fd), r)
			if op == 0 {
				failed = net.ErrClosed
				return
			}
			e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(fd), Pad: r.stamp()}
			failed = syscall.EpollCtl(int(epoll), op, int(fd), &e)
		})
	})
	if err == nil {
		err = failed
	}
	return err
}

// stamp tells the connection from an earlier one with the same descriptor, of
// which epoll may have spoken before it was closed.
func (r *reader) stamp() int32 { return int32(uint32(r.conn.num)) }

// enter is what epoll is to be asked for, or zero when the shard has let go of
// the connection.
func (p *poller) enter(fd int, r *reader) (op int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.conn.deaf {
		return 0
	}
	for len(p.at) <= fd {
		p.at = append(p.at, nil)
	}
	p.at[fd] = r
	if r.watched {
		return syscall.EPOLL_CTL_MOD
	}
	r.watched = true
	return syscall.EPOLL_CTL_ADD
}

// forget lets go of a connection whose socket is about to be closed.
func (p *poller) forget(c *conn) {
	k, ok := c.sink.(*socket)
	if !ok || c.wire != webSocket {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.deaf = true
	if k.fd < len(p.at) && p.at[k.fd] != nil && p.at[k.fd].conn == c {
		p.at[k.fd] = nil
	}
}

// take is the reader that an event is about, which is not told of any more.
func (p *poller) take(e *syscall.EpollEvent) *reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(e.Fd) >= len(p.at) || p.at[e.Fd] == nil || p.at[e.Fd].stamp() != e.Pad {
		return nil
	}
	r := p.at[e.Fd]
	p.at[e.Fd] = nil
	return r
}

// run reads what has come, until the hub ends.
func (p *poller) run(h *Hub) {
	events := make([]syscall.EpollEvent, 128)
	for {
		n := 0
		var failed error
		err := p.raw.Read(func(epoll uintptr) bool {
			for {
				if n, failed = syscall.EpollWait(int(epoll), events, 0); failed != syscall.EINTR {
					return n != 0
				}
			}
		})
		if err != nil || failed != nil {
			if h.ctx.Err() == nil {
				h.log.Error("what WebSocket clients say is not heard any more", "error", errors.Join(err, failed))
			}
			return
		}
		for i := range events[:n] {
			if r := p.take(&events[i]); r != nil {
				p.ready(h, r)
			}
		}
	}
}

// ready reads from a connection, without waiting. An idle client says nothing
// but that it is there; what others say is dealt with in a goroutine of its own,
// since that may take its time.
func (p *poller) ready(h *Hub, r *reader) {
	buf := readBuffers.Get().(*[]byte)
	n, err := r.conn.sink.(*socket).read(*buf)
	if err == syscall.EAGAIN || err == nil && r.onlyThere((*buf)[:n]) {
		readBuffers.Put(buf)
		h.await(r)
		return
	}
	h.spawn(func() {
		defer readBuffers.Put(buf)
		if r.took((*buf)[:n], err) {
			h.await(r)
		}
	})
}

// read takes what is there.
func (k *socket) read(b []byte) (n int, err error) {
	closed := k.raw.Read(func(fd uintptr) bool {
		for {
			if n, err = syscall.Read(int(fd), b); err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case closed != nil:
		return 0, closed
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return max(n, 0), err
}
