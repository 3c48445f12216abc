//go:build linux

package crowd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A loop is the child: its commands, its clients and its epoll.
type loop struct {
	epoll   int
	groups  []*group
	clients map[int32]*client
	buf     []byte
	ticked  time.Time
}

// A group is a Group with its clients.
type group struct {
	Group
	clients []*client
	stats   Stats
	begin   time.Time
	woken   int64 // when Read was called, as "at"
	ages    histogram
	screen  histogram
}

func newLoop() *loop { return &loop{clients: map[int32]*client{}, buf: make([]byte, 256<<10)} }

// run does what it is told until in ends.
func (l *loop) run(in io.Reader, out io.Writer) error {
	var err error
	if l.epoll, err = syscall.EpollCreate1(0); err != nil {
		return err
	}
	requests := make(chan request)
	go func() {
		defer close(requests)
		for s := bufio.NewReader(in); ; {
			line, err := s.ReadBytes('\n')
			var r request
			if err != nil || json.Unmarshal(line, &r) != nil {
				return
			}
			requests <- r
		}
	}()
	answers := json.NewEncoder(out)
	events := make([]syscall.EpollEvent, 512)
	for {
		select {
		case r, ok := <-requests:
			if !ok {
				return nil
			}
			if err := answers.Encode(l.do(r)); err != nil {
				return err
			}
		default:
		}
		n, err := syscall.EpollWait(l.epoll, events, 5)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if c := l.clients[e.Fd]; c != nil {
				l.ready(c)
			}
		}
		if now := time.Now(); now.Sub(l.ticked) >= 20*time.Millisecond {
			l.ticked = now
			l.tick()
		}
	}
}

func (l *loop) do(r request) Stats {
	if r.Do == "open" {
		g := &group{Group: r.What, begin: time.Now()}
		l.groups = append(l.groups, g)
		for i := range g.N {
			l.open(g, i)
		}
		return g.stats
	}
	g := l.groups[r.Group]
	switch r.Do {
	case "stats":
		s := g.stats
		s.P50, s.P99, s.Max = g.ages.quantile(.5), g.ages.quantile(.99), g.ages.quantile(1)
		s.ScreenP50, s.ScreenP99, s.ScreenMax = g.screen.quantile(.5), g.screen.quantile(.99), g.screen.quantile(1)
		return s
	case "reset":
		s := &g.stats
		g.stats = Stats{Open: s.Open, Ready: s.Ready, Closed: s.Closed, Err: s.Err, ReadyAfter: s.ReadyAfter}
		g.ages, g.screen = histogram{}, histogram{}
	case "read":
		g.woken = time.Now().UnixNano()
		for _, c := range g.clients {
			if c.muted {
				c.muted, c.old = false, 0
				l.watch(c)
			}
		}
	}
	return g.stats
}

// open begins to connect. Sockets are ours from the start, because what the
// net package puts around one would cost more than the client.
func (l *loop) open(g *group, i int) {
	c := &client{group: g, head: true}
	err := func() (err error) {
		if c.fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if g.Segment > 0 {
			syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, g.Segment)
		}
		if g.Pace > 0 {
			syscall.SetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2304)
		}
		host, port, err := net.SplitHostPort(g.Addr)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return err
		}
		to := syscall.SockaddrInet4{Port: n}
		copy(to.Addr[:], net.ParseIP(host).To4())
		// From several addresses: limits by address are not what is measured.
		from := syscall.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + i/500)}}
		if err := syscall.Bind(c.fd, &from); err != nil {
			return err
		}
		if err := syscall.Connect(c.fd, &to); err != nil && err != syscall.EINPROGRESS {
			return err
		}
		c.say = g.request(i)
		l.clients[int32(c.fd)] = c
		l.watch(c)
		return nil
	}()
	g.clients = append(g.clients, c)
	g.stats.Open++
	if err != nil {
		l.close(c, err.Error())
	}
}

func (g *group) request(i int) string {
	if g.Raw {
		return ""
	}
	target, upgrade := g.Targets[i%len(g.Targets)], ""
	if strings.HasPrefix(target, "/ws") {
		upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	}
	return "GET " + target + " HTTP/1.1\r\nHost: " + g.Addr + "\r\n" + g.Header + upgrade + "\r\n"
}

// watch has epoll tell of the client: when it is connected, and then when
// there is something to read. Paced ones are read by the clock.
func (l *loop) watch(c *client) {
	e := syscall.EpollEvent{Fd: int32(c.fd), Events: syscall.EPOLLIN}
	if c.say != "" || c.group.Raw && !c.connected {
		e.Events = syscall.EPOLLOUT
	}
	op := syscall.EPOLL_CTL_MOD
	if !c.watched {
		op, c.watched = syscall.EPOLL_CTL_ADD, true
	}
	if err := syscall.EpollCtl(l.epoll, op, c.fd, &e); err != nil {
		l.close(c, err.Error())
	}
}

func (l *loop) unwatch(c *client) {
	if c.watched {
		c.watched = false
		_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil) // it is not watched either way
	}
}

// ready goes on with a client that epoll has something of.
func (l *loop) ready(c *client) {
	if c.say != "" || !c.connected {
		if e, err := syscall.GetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil || e != 0 {
			l.close(c, syscall.Errno(e).Error())
			return
		}
		c.connected = true
		if c.say != "" {
			if n, err := syscall.Write(c.fd, []byte(c.say)); err != nil || n < len(c.say) {
				l.close(c, fmt.Sprintf("wrote %d bytes of the request: %v", n, err))
				return
			}
		}
		c.say = ""
		if c.group.Raw {
			c.group.isReady(c)
		}
		l.watch(c)
		return
	}
	l.read(c, len(l.buf))
	if c.closed {
		return
	}
	if c.group.Mute && c.isReady && c.group.woken == 0 || c.group.Pace > 0 && c.isReady {
		c.muted = c.group.Mute
		l.unwatch(c)
	}
}

func (l *loop) read(c *client, most int) {
	n, err := syscall.Read(c.fd, l.buf[:most])
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
	case err != nil:
		l.close(c, err.Error())
	case n == 0:
		l.close(c, "the server closed")
	default:
		if why := c.take(l.buf[:n]); why != "" {
			l.close(c, why)
		}
	}
}

// tick reads paced clients and looks at their screens.
func (l *loop) tick() {
	for _, g := range l.groups {
		if g.Pace == 0 {
			continue
		}
		now := time.Now()
		for _, c := range g.clients {
			if c.closed || !c.isReady {
				continue
			}
			due := int(now.Sub(g.begin).Seconds() * float64(g.Pace))
			if c.paced == 0 || due-c.paced > g.Pace/10 { // what it did not use is lost
				c.paced = max(c.paced, due-g.Pace/10)
			}
			if before := c.group.stats.Bytes; due > c.paced {
				l.read(c, due-c.paced)
				c.paced += int(c.group.stats.Bytes - before)
			}
			if c.seen > 0 {
				g.screen.add(time.Duration(now.UnixNano() - c.seen))
			}
		}
	}
}

func (l *loop) close(c *client, why string) {
	if c.closed {
		return
	}
	c.closed = true
	delete(l.clients, int32(c.fd))
	syscall.Close(c.fd)
	c.group.stats.Closed++
	if c.group.stats.Err == "" {
		c.group.stats.Err = why
	}
}
