package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"echotwin/realtime"
)

const (
	connectTimeout = 10 * time.Second // for the first packet, and again for signing in
	writeTimeout   = 10 * time.Second // for a peer that takes no byte
	lastWrite      = time.Second      // for one that is being shown out
	maxHandshakes  = 256
)

// A port is the listener that mochi serves. It reads the first packet of every
// connection itself, so that neither garbage nor silence reaches mochi, which
// would allot what a header claims before anybody has signed in. When too many
// strangers are in the doorway the one that has stood there longest goes, as
// a real device needs milliseconds.
type port struct {
	net.Listener
	b  *broker
	wg sync.WaitGroup // connections

	mu      sync.Mutex
	doorway []*socket // not signed in, oldest first
	closed  bool
}

func newPort(l net.Listener, b *broker) *port { return &port{Listener: l, b: b} }

// The methods that mochi asks for.
func (p *port) ID() string              { return "door" }
func (p *port) Address() string         { return p.Addr().String() }
func (p *port) Protocol() string        { return "tcp" }
func (p *port) Init(*slog.Logger) error { return nil }
func (p *port) Serve(establish listeners.EstablishFn) {
	for wait := time.Duration(0); ; {
		nc, err := p.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: the devices inside stay served.
			wait = min(max(2*wait, 10*time.Millisecond), time.Second)
			p.b.desk.count("busy", 1, "a connection could not be accepted", "err", err)
			time.Sleep(wait)
			continue
		}
		wait = 0
		s := &socket{Conn: nc}
		if !p.enter(s) {
			nc.Close()
			return
		}
		go func() {
			defer p.wg.Done()
			p.serve(s, establish)
		}()
	}
}

// enter puts a new connection into the doorway, unless the port is closed.
func (p *port) enter(s *socket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if len(p.doorway) >= maxHandshakes {
		p.doorway[0].Close() // its goroutine takes it out
		p.doorway = p.doorway[1:]
		p.b.desk.count("busy", 1, "a connection was closed before it had signed in, for others")
	}
	p.doorway = append(p.doorway, s)
	p.wg.Add(1)
	return true
}

// signedIn takes a connection out of the doorway.
func (p *port) signedIn(s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.doorway, s); i >= 0 {
		p.doorway = slices.Delete(p.doorway, i, i+1)
	}
}

// serve runs one connection to its end.
func (p *port) serve(s *socket, establish listeners.EstablishFn) {
	defer func() {
		if r := recover(); r != nil { // a fault in the broker ends one connection, not the plant
			p.b.log.Error("a connection made the broker panic", "remote", s.RemoteAddr().String(), "panic", r, "stack", string(debug.Stack()))
		}
		s.Close()
		p.signedIn(s)
		if s.conn != nil {
			p.b.leave(s.conn)
		}
	}()
	_ = s.Conn.SetReadDeadline(time.Now().Add(connectTimeout))
	first, err := readConnect(s.Conn)
	if err != nil {
		if len(first) > 0 { // a bare connect and close is a health check
			p.b.desk.count("handshake", 1, "a connection did not begin with CONNECT", "remote", s.RemoteAddr().String(), "err", err)
		}
		return
	}
	s.first.Reset(first)
	p.account(s, establish(p.ID(), s))
}

// account counts what ended a connection when it was the device's own doing.
func (p *port) account(s *socket, err error) {
	var code packets.Code
	if !errors.As(err, &code) || code.Code < packets.ErrUnspecifiedError.Code {
		return // the line, or a goodbye
	}
	if s.conn == nil {
		return // refused by OnConnect, which has counted it, or before that
	}
	problem := &realtime.Problem{Code: "protocol", Message: "the connection was closed: " + code.Reason}
	if code == packets.ErrPacketTooLarge {
		problem = &realtime.Problem{Code: realtime.CodeTooLarge, Message: fmt.Sprintf("the connection was closed: a packet is larger than %d bytes", maxPacket)}
	}
	p.b.refuse(s.conn, s.conn.speaks, problem)
}

// Close ends every connection and waits for them. mochi's own way, which
// closes one after the other and misses those that are signing in, is not used.
func (p *port) Close(listeners.CloseFn) {
	p.mu.Lock()
	p.closed = true
	for _, s := range p.doorway {
		s.Close()
	}
	p.mu.Unlock()
	_ = p.Listener.Close()
	p.b.kickAll()
	p.wg.Wait()
}

// readConnect reads one CONNECT packet. With an error it returns what it had read.
func readConnect(r io.Reader) ([]byte, error) {
	head := make([]byte, 0, 5)
	length, shift := 0, 0
	for {
		head = head[:len(head)+1]
		if _, err := io.ReadFull(r, head[len(head)-1:]); err != nil {
			return head[:len(head)-1], err
		}
		if len(head) == 1 {
			if head[0] != 0x10 {
				return head, fmt.Errorf("the first byte is 0x%02x, not 0x10", head[0])
			}
			continue
		}
		c := head[len(head)-1]
		length |= int(c&0x7f) << shift
		shift += 7
		if c < 0x80 {
			break
		}
		if len(head) == cap(head) {
			return head, errors.New("the length has no end")
		}
	}
	if length > maxConnect {
		return head, fmt.Errorf("a CONNECT of %d bytes is above %d", length, maxConnect)
	}
	all := append(make([]byte, 0, len(head)+length), head...)
	n, err := io.ReadFull(r, all[len(head):cap(all)])
	return all[:len(head)+n], err
}

// A socket is a connection as mochi sees it: the packet already read comes
// first, and every write has its own deadline. mochi's deadline is for both
// directions and follows the keepalive, so it would cut off the answer to a
// device that waited long for the log, and would let a peer that takes no byte
// block its writers for ever when the keepalive is 0.
type socket struct {
	net.Conn
	first bytes.Reader
	conn  *conn // once signed in; set and read by the connection's goroutine
	leave atomic.Bool
}

func (s *socket) Read(b []byte) (int, error) {
	if s.first.Len() > 0 {
		return s.first.Read(b)
	}
	return s.Conn.Read(b)
}

func (s *socket) Write(b []byte) (int, error) {
	limit := writeTimeout
	if s.leave.Load() {
		limit = lastWrite
	}
	if err := s.Conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(b)
	if err != nil {
		s.Conn.Close() // half a packet may be out: nothing sensible can follow
	}
	return n, err
}

// showOut lets a write that hangs end soon, so that nobody waits long for one
// who takes nothing.
func (s *socket) showOut() {
	s.leave.Store(true)
	_ = s.Conn.SetWriteDeadline(time.Now().Add(lastWrite))
}

func (s *socket) SetDeadline(t time.Time) error { return s.Conn.SetReadDeadline(t) }
