package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/labstack/echo/v4"

	"echotwin/gpt/upstreamtest"
)

// make bench prints what the design promises, against a floor that is measured
// in the same run, so that a slow machine moves both. Nothing here fails for
// being slow: a budget that is missed is read, not hidden in a red test.
//
// Each benchmark does its own rounds, so -benchtime 1x is meant.

func quantile(d []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func report(b *testing.B, unit string, v float64) { b.ReportMetric(v, unit) }

// Resident memory of the shipped binary with the demo line and one viewer.
func BenchmarkMemoryWithDemoLine(b *testing.B) {
	bin := shipped(b)
	env := settings(b, map[string]string{"ECHOTWIN_DEMO": "true", "PORT": freePort(b), "ECHOTWIN_LOG_LEVEL": "info"})
	cmd := exec.Command(bin)
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	a := addresses{HTTP: "127.0.0.1:" + env["PORT"]}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if res, err := http.Get("http://" + a.HTTP + "/livez"); err == nil {
			res.Body.Close()
			break
		}
	}
	c := signIn(b, a)
	v := c.watch("?path=**&rate=10")
	highest := 0.0
	for begin := time.Now(); time.Since(begin) < 20*time.Second; {
		v.until("an update", func(f frame) bool { return f.Type == "update" })
		highest = max(highest, residentMB(b, cmd.Process.Pid))
	}
	report(b, "MB-resident", highest)
	report(b, "MB-budget", 120)
}

func shipped(b *testing.B) string {
	bin, err := filepath.Abs(filepath.Join("..", "..", "bin", "echotwin"))
	if err == nil {
		_, err = os.Stat(bin)
	}
	if err != nil {
		b.Fatal("make build first: ", err)
	}
	return bin
}

func freePort(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func residentMB(b *testing.B, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, _ := strconv.Atoi(strings.Fields(rest)[0])
	return float64(kb) / 1024
}

// GET /api/me with a session, against a bare Echo handler that answers the
// same bytes, over the same kind of connection, in turns.
func BenchmarkMeAgainstBareEcho(b *testing.B) {
	a, _ := start(b, settings(b, nil))
	c := signIn(b, a)
	_, body := c.do("GET", "/api/me", "")

	e := echo.New()
	e.HideBanner = true
	e.GET("/api/me", func(c echo.Context) error { return c.JSONBlob(200, []byte(body)) })
	bare := httptest.NewServer(e)
	defer bare.Close()

	get := func(url string) time.Duration {
		const n = 2000
		begin := time.Now()
		for range n {
			res, err := c.http.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return time.Since(begin) / n
	}
	var ours, floor, ratios []float64
	for range 7 {
		o, f := get(c.base+"/api/me"), get(bare.URL+"/api/me")
		ours, floor, ratios = append(ours, float64(o.Microseconds())), append(floor, float64(f.Microseconds())), append(ratios, float64(o)/float64(f))
	}
	slices.Sort(ratios)
	slices.Sort(ours)
	slices.Sort(floor)
	report(b, "µs-ours", ours[3])
	report(b, "µs-bare", floor[3])
	report(b, "ratio", ratios[3])
	report(b, "ratio-budget", 1.3)
}

// What we add to the first token: from the moment the upstream writes it until
// a client of ours has it, against a client that asks the upstream itself.
func BenchmarkFirstToken(b *testing.B) {
	written := make(chan time.Time, 1)
	up := upstreamtest.Start(upstreamtest.Do(func(c *upstreamtest.Call) {
		c.Head()
		c.Wait(20 * time.Millisecond)
		written <- time.Now()
		c.Text("word ")
		c.Finish("stop")
		c.Done()
	}))
	b.Cleanup(up.Close)
	a, _ := start(b, settings(b, map[string]string{"OPENAI_BASE_URL": up.URL, "ECHOTWIN_GPT_PER_MINUTE": "100000"}))
	c := signIn(b, a)
	first := func(url, body, accept, mark string) time.Duration {
		req, _ := http.NewRequest("POST", url, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", accept)
		res, err := c.http.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			if strings.Contains(s.Text(), mark) {
				now := time.Now()
				io.Copy(io.Discard, res.Body)
				return now.Sub(<-written)
			}
		}
		b.Fatal("no token came")
		return 0
	}
	var ours, floor []time.Duration
	for i := range 220 {
		o := first(c.base+"/api/gpt", `{"question":"Hello?"}`, "text/event-stream", `"word `)
		f := first(up.URL+"/chat/completions", `{"model":"m","stream":true,"messages":[{"role":"user","content":"Hello?"}]}`, "text/event-stream", `"word `)
		if i >= 20 {
			ours, floor = append(ours, o), append(floor, f)
		}
	}
	report(b, "ms-p50", ms(quantile(ours, .5)))
	report(b, "ms-p99", ms(quantile(ours, .99)))
	report(b, "ms-p50-direct", ms(quantile(floor, .5)))
	report(b, "ms-added-p50", ms(quantile(ours, .5)-quantile(floor, .5)))
	report(b, "ms-budget", 2)
}

// From MQTT publish (QoS 1) to the frame on a WebSocket, with nothing else
// going on and a client that takes 20 frames a second; the log is on disk in
// between. The floor is one write and fsync of the same bytes on that disk, at
// the same pace: a disk that now and then takes long does so for both.
func BenchmarkReadingToFrame(b *testing.B) {
	env := settings(b, nil)
	a, _ := start(b, env)
	c := signIn(b, a)
	v := c.watch("?path=bench/**&rate=20")
	v.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })
	dev := device(b, a, "bench")
	times := readingToFrame(b, v, dev, 320)
	report(b, "ms-p50", ms(quantile(times, .5)))
	report(b, "ms-p99", ms(quantile(times, .99)))
	report(b, "ms-p99-budget", 20)
	floor := fsyncs(b, env["ECHOTWIN_DATA"])
	report(b, "ms-fsync-p50", ms(quantile(floor, .5)))
	report(b, "ms-fsync-p99", ms(quantile(floor, .99)))
}

// readingToFrame is how long n readings took from publish to frame, below the
// client's rate and without the first few.
func readingToFrame(b *testing.B, v *viewer, dev *autopaho.ConnectionManager, n int) (times []time.Duration) {
	for i := range n {
		begin := time.Now()
		acked := make(chan error, 1)
		go func() { acked <- publish(dev, "telemetry/bench/press", fmt.Sprintf(`{"n":%d}`, i)) }()
		v.until("the reading", func(f frame) bool { return f.value("bench/press", "n") == strconv.Itoa(i) })
		if i >= 20 {
			times = append(times, time.Since(begin))
		}
		if err := <-acked; err != nil {
			b.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
	}
	return times
}

func fsyncs(b *testing.B, dir string) []time.Duration {
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var times []time.Duration
	for range 300 {
		begin := time.Now()
		f.Write(make([]byte, 200))
		f.Sync()
		times = append(times, time.Since(begin))
		time.Sleep(60 * time.Millisecond)
	}
	return times
}
