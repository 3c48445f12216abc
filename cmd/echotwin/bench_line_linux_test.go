package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"echotwin/realtime/hub/crowd"
)

// The whole of Echotwin as a process of its own, whose CPU is counted: readings
// come by HTTP, are on disk before they are shown, and go out to a crowd of
// clients. docs/benchmarks.md explains the figures.

func init() { crowd.Child() }

const (
	benchFor = 10 * time.Second
	floorFor = 4 * time.Second
	perLine  = 20 // things that a client of one line follows
	gateways = 20 // that send readings, each over a connection of its own
)

// A benchPlant is a server under load.
type benchPlant struct {
	b      *testing.B
	addr   addresses
	server *exec.Cmd
	web    *client
	crowd  *crowd.Crowd
}

func newPlant(b *testing.B) *benchPlant {
	env := settings(b, nil)
	for _, limit := range []string{"MAX_CONNECTIONS", "MAX_PER_USER", "MAX_PER_ADDRESS", "ACCEPT_RATE", "ACCEPT_PER_ADDRESS"} {
		env["ECHOTWIN_"+limit] = "100000"
	}
	a, server := startProcess(b, env)
	p := &benchPlant{b: b, addr: a, server: server, web: signIn(b, a), crowd: crowd.Start(b)}
	// A gateway keeps its connection. Go's client would keep two for all of them,
	// and have the server accept a new one for every third request.
	p.web.http.Transport = &http.Transport{MaxIdleConnsPerHost: gateways}
	return p
}

func thingOf(i int) string { return fmt.Sprintf("plant/l%d/m%d", i/perLine, i%perLine) }

// group is n clients with these targets, signed in.
func (p *benchPlant) group(n int, targets []string) crowd.Group {
	u, err := url.Parse(p.web.base)
	if err != nil {
		p.b.Fatal(err)
	}
	var cookies []string
	for _, c := range p.web.http.Jar.Cookies(u) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return crowd.Group{Addr: p.addr.HTTP, N: n, Targets: targets, Header: "Origin: " + p.web.base + "\r\nCookie: " + strings.Join(cookies, "; ") + "\r\n"}
}

// post sends one batch and returns when it is on disk.
func (p *benchPlant) post(batch []byte) {
	req, err := http.NewRequest("POST", p.web.base+"/api/telemetry", bytes.NewReader(batch))
	if err != nil {
		p.b.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.web.http.Do(req)
	if err != nil {
		p.b.Error(err)
		return
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusAccepted {
		p.b.Errorf("telemetry: %d %.200s", res.StatusCode, answer)
	}
}

// readings is a batch with one reading of each of these things.
func readings(things []int) []byte {
	b := []byte{'{'}
	at := strconv.FormatInt(time.Now().UnixNano(), 10)
	for i, n := range things {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(strconv.AppendQuote(b, thingOf(n)), `:{"at":`...), at...), '}')
	}
	return append(b, '}')
}

// load is n things that are sent to the plant.
func (p *benchPlant) load(n int, rate float64) (stop func()) {
	return load(n, rate, func(things []int) { p.post(readings(things)) })
}

// load is gateways with their share of n things each, which they send rate times a
// second, each at its own time and one thing of every line. It ends with the
// returned function.
func load(n int, rate float64, send func(things []int)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, gateways)
	period := time.Duration(float64(time.Second) / rate)
	for g := range gateways {
		var mine []int
		for i := g; i < n; i += gateways {
			mine = append(mine, i)
		}
		go func() {
			defer func() { ended <- struct{}{} }()
			time.Sleep(period * time.Duration(g) / gateways)
			for t := time.NewTicker(period); ; {
				select {
				case <-t.C:
					send(mine)
				case <-ctx.Done():
					t.Stop()
					return
				}
			}
		}()
	}
	return func() {
		cancel()
		for range gateways {
			<-ended
		}
	}
}

// CPU per thing-update delivered, ingest and log included: 1,000 things at 10
// Hz, clients with 20 each; and with one thing each, so that every frame has one
// update.
func BenchmarkWholeFanOut(b *testing.B) {
	for _, c := range []struct {
		name    string
		clients int
		targets []string
	}{
		{"clients=1000", 1000, lineTargets()},
		{"clients=5000", 5000, lineTargets()},
		{"one-update-a-frame/clients=1000", 1000, thingTargets()},
		{"one-update-a-frame/clients=5000", 5000, thingTargets()},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPlant(b)
			all := make([]int, 1000)
			for i := range all {
				all[i] = i
			}
			p.post(readings(all))
			group := p.crowd.Ready(p.group(c.clients, c.targets))
			stop := p.load(1000, 10)
			measure(b, p.crowd, group, c.clients, p.server.Process.Pid, stop)
		})
	}
}

// measure reports what a server uses under a load, which it then stops to
// measure the floor.
func measure(b *testing.B, people *crowd.Crowd, group, clients, pid int, stop func()) {
	time.Sleep(2 * time.Second)
	people.Reset(group)
	begin, cpu := time.Now(), crowd.CPUOf(pid)
	time.Sleep(benchFor)
	cpu, wall := crowd.CPUOf(pid)-cpu, time.Since(begin)
	s := people.Stats(group)
	stop()
	perFrame, size := micros(cpu)/float64(max(1, s.Frames)), int(s.Bytes/max(1, s.Frames))
	floor := people.Floor(clients, size, float64(s.Frames)/wall.Seconds(), floorFor)
	report(b, "µs/update", micros(cpu)/float64(max(1, s.Things)))
	report(b, "µs/frame", perFrame)
	report(b, "µs/raw-write", floor)
	report(b, "frame/raw-write", perFrame/floor)
	report(b, "updates/frame", float64(s.Things)/float64(max(1, s.Frames)))
	report(b, "B/frame", float64(size))
	report(b, "updates/s", float64(s.Things)/wall.Seconds())
	report(b, "cores", cpu.Seconds()/wall.Seconds())
	report(b, "ms-age-p50", ms(s.P50))
	report(b, "ms-age-p99", ms(s.P99))
	report(b, "ns/op", 0)
}

// From MQTT publish to the frame on a WebSocket beside half of the fan-out's
// load: 1,000 things at 5 Hz, 1,000 clients with 20 each.
func BenchmarkReadingToFrameAtHalfLoad(b *testing.B) {
	p := newPlant(b)
	p.crowd.Ready(p.group(1000, lineTargets()))
	stop := p.load(1000, 5)
	defer stop()
	v := p.web.watch("?path=bench/**&rate=20")
	v.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })
	times := readingToFrame(b, v, device(b, p.addr, "bench"), 220)
	report(b, "ms-p50", ms(quantile(times, .5)))
	report(b, "ms-p99", ms(quantile(times, .99)))
	report(b, "ns/op", 0)
}

func lineTargets() (t []string) {
	for i := range 1000 / perLine {
		t = append(t, fmt.Sprintf("/ws?rate=10&path=plant/l%d/**", i))
	}
	return t
}

func thingTargets() (t []string) {
	for i := range 1000 {
		t = append(t, "/ws?rate=20&path="+thingOf(i))
	}
	return t
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// CPU of a reading of ten numbers, from an HTTP batch of 100 until it is on
// disk, in the twin and in the history, as fast as four senders can.
func BenchmarkIngest(b *testing.B) {
	p := newPlant(b)
	var sent atomic.Int64
	ctx, cancel := context.WithTimeout(context.Background(), benchFor+2*time.Second)
	defer cancel()
	const senders, batch = 4, 100
	ended := make(chan struct{}, senders)
	for s := range senders {
		go func() {
			defer func() { ended <- struct{}{} }()
			for n := 0; ctx.Err() == nil; n++ {
				p.post(tenNumbers(s*batch, batch, n))
				sent.Add(batch)
			}
		}()
	}
	time.Sleep(2 * time.Second)
	commits := p.metric("echotwin_ingest_bundles_total")
	begin, cpu, before := time.Now(), crowd.CPUOf(p.server.Process.Pid), sent.Load()
	for range senders {
		<-ended
	}
	n, wall := float64(sent.Load()-before), time.Since(begin)
	report(b, "µs/reading", micros(crowd.CPUOf(p.server.Process.Pid)-cpu)/n)
	report(b, "µs-budget", 10)
	report(b, "readings/s", n/wall.Seconds())
	report(b, "readings/commit", n/(p.metric("echotwin_ingest_bundles_total")-commits))
	report(b, "ns/op", 0)
}

// metric is one figure of /metrics.
func (p *benchPlant) metric(name string) float64 {
	_, text := p.web.do("GET", "/metrics", "")
	_, rest, _ := strings.Cut(string(text), "\n"+name+" ")
	first, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		p.b.Errorf("/metrics has no %s", name)
	}
	return v
}

// tenNumbers is a batch of readings of ten numbers each.
func tenNumbers(first, things, n int) []byte {
	b := []byte{'{'}
	for i := range things {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, thingOf(first+i)), ":{"...)
		for k := range 10 {
			if k > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `"value%d":%.2f`, k, float64((n*7+i*3+k*11)%1000)/10)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}
