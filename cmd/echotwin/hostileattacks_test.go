package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// halfHandshakes leaves requests half sent, and sends headers a byte at a time.
func (h *hostile) halfHandshakes() {
	for i, text := range []string{"", "G", "GET /ws HTTP/1.1\r\n", "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n", "POST /api/telemetry/plant/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"} {
		for range 40 {
			nc := h.tcp()
			io.WriteString(nc, text)
			if i%2 == 0 {
				h.hold(nc)
			} else {
				nc.Close()
			}
		}
	}
	for range 100 { // slow headers; the server ends them when their time is up
		nc := h.tcp()
		h.hold(nc)
		go func() {
			for _, c := range []byte("GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: " + strings.Repeat("x", 300)) {
				if _, err := nc.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
}

// messages floods without ever reading.
func (h *hostile) messages() {
	h.flood(masked(0x81, `{"type":"help"}`), masked(0x81, `{"type":"sub","path":"**"}`), masked(0x81, "x"), masked(0x01, "{")+strings.Repeat(masked(0x00, ""), 500))
}

func (h *hostile) control() {
	h.flood(masked(0x89, strings.Repeat("p", 125)), masked(0x8a, ""), masked(0x89, ""))
}

// flood sends each text for a while from many sockets that do not read.
func (h *hostile) flood(texts ...string) {
	var wg sync.WaitGroup
	var sent atomic.Int64
	for _, text := range texts {
		for range 5 {
			nc, _ := h.socket("?path=plant/**")
			wg.Go(func() {
				defer nc.Close()
				many := strings.Repeat(text, 1+8<<10/len(text))
				nc.SetWriteDeadline(time.Now().Add(1500 * time.Millisecond))
				for {
					n, err := io.WriteString(nc, many)
					sent.Add(int64(n))
					if err != nil {
						return // the server, or the time, has ended it
					}
				}
			})
		}
	}
	wg.Wait()
	if sent.Load() == 0 {
		h.t.Error("nothing was sent: the attack has lost its teeth")
	}
}

// subscriptions takes all that some connections may have, and one more.
func (h *hostile) subscriptions() {
	var wg sync.WaitGroup
	for range 10 {
		nc, br := h.socket("")
		h.hold(nc)
		nc.SetDeadline(time.Now().Add(60 * time.Second))
		wg.Go(func() {
			for i := range 64 {
				path := []string{"**", "plant/*", fmt.Sprintf("x/*/z%d", i)}[i%3]
				io.WriteString(nc, masked(0x81, fmt.Sprintf(`{"type":"sub","path":%q,"rate":0.01}`, path)))
			}
			io.WriteString(nc, masked(0x81, `{"type":"sub","id":"over","path":"**"}`))
			for {
				_, payload, err := readFrame(br)
				if err != nil {
					h.t.Errorf("waiting for the answer: %v", err)
					return
				}
				if strings.Contains(payload, `"over"`) {
					if !strings.Contains(payload, `"too_many"`) || !strings.Contains(payload, "64") {
						h.t.Errorf("%s, want the limit of 64 subscriptions", payload)
					}
					return
				}
			}
		})
	}
	wg.Wait()
}

// dribble reads a byte now and then while much is sent.
func (h *hostile) dribble() {
	for i := range 30 {
		var nc net.Conn
		if i%2 == 0 {
			nc, _ = h.socket("?path=plant/**")
		} else {
			nc = h.tcp()
			fmt.Fprintf(nc, "GET /events?path=plant/** HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", h.addr, h.cookie())
		}
		h.hold(nc)
		go func() {
			for one := make([]byte, 1); ; time.Sleep(time.Second) {
				if _, err := nc.Read(one); err != nil {
					return
				}
			}
		}()
	}
	pad := strings.Repeat("x", 20_000)
	for i := range 100 {
		if code, body := h.client.do("POST", "/api/telemetry/plant/large", fmt.Sprintf(`{"pad%d":%q}`, i%10, pad)); code != http.StatusAccepted {
			h.t.Fatalf("telemetry: %d %s", code, body)
		}
		if i%20 == 0 {
			h.see()
		}
	}
}

// requests are too large, or have no end.
func (h *hostile) requests() {
	var wg sync.WaitGroup
	for _, head := range []string{
		"GET /ws?path=" + strings.Repeat("x", 200_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /events?" + strings.Repeat("path=a&", 8000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /ws HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 50_000) + "\r\n",
		"GET /events?path=** HTTP/1.1\r\nHost: x\r\nLast-Event-ID: " + strings.Repeat("9", 50_000) + "\r\n\r\n",
		strings.Repeat("\x00", 100_000), strings.Repeat("\r\n", 50_000), strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2000),
	} {
		for range 3 {
			nc := h.tcp()
			wg.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(2 * time.Second))
				io.WriteString(nc, head) // it may be cut off halfway
				io.Copy(io.Discard, nc)
			})
		}
	}
	wg.Wait()
}

// neverUpgraded opens very many connections that say nothing.
func (h *hostile) neverUpgraded() {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		h.t.Fatal(err)
	}
	n := min(10_000, int(l.Cur)-1000)
	for i := range n {
		h.hold(h.tcp())
		if i%2000 == 0 {
			h.see()
		}
	}
	h.t.Logf("%d connections were opened and never upgraded", n)
}
