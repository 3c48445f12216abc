package hub

import (
	"net"
	"sync"
)

// A pipe is the sink of a connection inside a hub of the past. It holds one
// write until the socket of the true connection, the outer one, has taken it,
// and its hub keeps merging behind it.
type pipe struct {
	outer, inner *conn

	mu     sync.Mutex
	buf    []byte
	full   bool
	closed bool
	over   bool // closed in good order: the outer connection ends with it
}

func (p *pipe) offer(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, net.ErrClosed
	case p.full:
		return 0, nil
	}
	p.full = true
	p.buf = append(p.buf[:0], b...)
	p.outer.shard.post(func(s *shard) { s.touch(p.outer) })
	return len(b), nil
}

func (p *pipe) close(orderly bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if orderly {
		p.over = true
		p.outer.shard.post(func(s *shard) { s.touch(p.outer) })
	}
}

func (p *pipe) closeWrite() {}

func (p *pipe) left() bool { return false }

// look is what waits, for the outer connection to write.
func (p *pipe) look() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.full {
		return nil
	}
	return p.buf
}

// taken makes room again.
func (p *pipe) taken() {
	p.mu.Lock()
	p.full = false
	if cap(p.buf) > 2*usualSizes.turn {
		p.buf = nil
	}
	p.mu.Unlock()
	p.inner.shard.post(func(s *shard) {
		if !p.inner.gone {
			s.drained(p.inner)
		}
	})
}

// finished says whether all is out and nothing more comes.
func (p *pipe) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over && !p.full
}
