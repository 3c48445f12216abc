package hub

import (
	"cmp"
	"context"
	"net"
	"sync"
	"time"
)

// A sink takes a connection's bytes without ever waiting.
type sink interface {
	// offer takes as much of b as it can now, and nothing is no error.
	offer(b []byte) (int, error)

	// close ends it. Orderly means that what it took still goes out.
	close(orderly bool)

	// closeWrite says that nothing follows, while the client may still speak.
	closeWrite()

	// left says whether it is known that the client is not there any more.
	left() bool
}

// A relay is the sink where a write may wait: TLS, HTTP/2, a pipe. Its goroutine
// has at most one write in its hands, and the shard keeps merging behind it.
type relay struct {
	conn *conn
	next chan []byte // nil ends it

	mu    sync.Mutex
	busy  bool
	ended bool
	done  bool // run has returned: what it wrote to may not be touched any more
	err   error
	buf   []byte
	hard  func() // unblocks a write at once
}

func newRelay(c *conn, hard func()) *relay {
	return &relay{conn: c, next: make(chan []byte, 1), hard: hard}
}

func (r *relay) offer(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.ended {
		return 0, cmp.Or(r.err, net.ErrClosed)
	}
	if r.busy {
		return 0, nil
	}
	r.busy = true
	r.buf = append(r.buf[:0], b...)
	r.next <- r.buf
	return len(b), nil
}

func (r *relay) close(orderly bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		close(r.next)
	}
	if !orderly && !r.done {
		r.hard()
	}
}

func (r *relay) closeWrite() {}

func (r *relay) left() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}

// run writes what is offered until the sink is closed, a write fails or ctx
// ends.
func (r *relay) run(ctx context.Context, write func([]byte) error) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.done = true
	}()
	for {
		select {
		case b, ok := <-r.next:
			if !ok {
				return
			}
			err := write(b)
			r.mu.Lock()
			r.busy, r.err = false, err
			if cap(r.buf) > usualSizes.turn {
				r.buf = nil
			}
			r.mu.Unlock()
			r.conn.shard.post(func(s *shard) { s.drained(r.conn) })
			if err != nil {
				return
			}
		case <-ctx.Done():
			r.mu.Lock()
			r.err = ctx.Err()
			r.mu.Unlock()
			r.conn.shard.post(func(s *shard) { s.drop(r.conn, "1006") })
			return
		}
	}
}

// toConn runs the relay over a connection of its own, and closes it at the end.
func (r *relay) toConn(nc net.Conn, stall time.Duration) {
	defer nc.Close()
	r.run(context.Background(), func(b []byte) error {
		if err := nc.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		_, err := nc.Write(b)
		return err
	})
}
