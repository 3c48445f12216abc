//go:build linux

package crowd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Floor is the CPU of one raw write of size bytes, in µs: by one goroutine of
// this process, to as many sockets as there are clients, with a stream's socket
// options and at a stream's pace, a part of the sockets every 5 ms, as rounds
// are.
func (c *Crowd) Floor(clients, size int, perSecond float64, d time.Duration) float64 {
	c.tb.Helper()
	fds := c.rawSockets(clients)
	b := []byte(strings.Repeat("x", size))
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	writes, cpu, begin := 0, CPU(), time.Now()
	for i := 0; time.Since(begin) < d; {
		<-t.C
		for due := int(time.Since(begin).Seconds() * perSecond); i < due; i++ {
			if k, _ := syscall.Write(fds[i%clients], b); k == size {
				writes++
			}
		}
	}
	return float64((CPU() - cpu).Nanoseconds()) / 1000 / float64(max(1, writes))
}

// rawSockets are connections to clients that only read.
func (c *Crowd) rawSockets(n int) []int {
	c.tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.tb.Fatal(err)
	}
	defer l.Close()
	c.Open(Group{Addr: l.Addr().String(), N: n, Raw: true})
	fds := make([]int, n)
	for i := range fds {
		nc, err := l.Accept()
		if err != nil {
			c.tb.Fatal(err)
		}
		c.tb.Cleanup(func() { nc.Close() })
		raw, err := nc.(*net.TCPConn).SyscallConn()
		if err != nil {
			c.tb.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			const notSentLowat = 25
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, 4<<10)
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 32<<10)
			fds[i] = int(fd)
		})
		if err != nil {
			c.tb.Fatal(err)
		}
	}
	return fds
}

// CPU is what this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// CPUOf is what another process has used, to 10 ms.
func CPUOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // behind the name, which may hold anything
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
