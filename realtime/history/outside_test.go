package history

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"echotwin/realtime"
)

// victoria starts VictoriaMetrics, Debian's package, which is installed when it
// is not there and may be. It is false where it cannot be had.
func victoria(t *testing.T) (address string, ok bool) {
	t.Helper()
	bin, err := exec.LookPath("victoria-metrics")
	if err != nil && os.Getuid() == 0 {
		out, aptErr := exec.CommandContext(t.Context(), "apt-get", "install", "-y", "-qq", "--no-install-recommends", "victoria-metrics").CombinedOutput()
		if aptErr != nil {
			t.Logf("victoria-metrics cannot be installed: %v %s", aptErr, out)
		}
		bin, err = exec.LookPath("victoria-metrics")
	}
	if err != nil {
		t.Logf("not tried against VictoriaMetrics: %v", err)
		return "", false
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	cmd := exec.Command(bin, "-httpListenAddr="+address, "-storageDataPath="+t.TempDir(), "-retentionPeriod=1y", "-dedup.minScrapeInterval=1ms", "-loggerLevel=ERROR", "-memory.allowedBytes=64MB")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "VictoriaMetrics serves", func() bool {
		res, err := http.Get("http://" + address + "/health")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
	return address, true
}

// A door that can be shut stands before the store: it passes bytes on, or hangs up.
type door struct {
	address string
	mu      sync.Mutex
	closed  bool
	open    map[net.Conn]bool
}

func newDoor(t *testing.T, address string) (*door, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{address: address, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); d.shut(true) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.pass(c)
		}
	}()
	return d, "http://" + l.Addr().String()
}

func (d *door) shut(yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = yes
	for c := range d.open {
		c.Close()
	}
	clear(d.open)
}

func (d *door) pass(c net.Conn) {
	to, err := net.Dial("tcp", d.address)
	if err != nil {
		c.Close()
		return
	}
	d.mu.Lock()
	d.open[c], d.open[to] = true, true
	closed := d.closed
	d.mu.Unlock()
	if !closed {
		go func() { _, _ = io.Copy(to, c); to.Close() }()
		_, _ = io.Copy(c, to)
	}
	c.Close()
	to.Close()
}

// What is asked of VictoriaMetrics is answered as by our own store, and what is
// sent while it is away is there when it is back.
func TestHistoryInVictoriaMetrics(t *testing.T) {
	address, ok := victoria(t)
	if !ok {
		return
	}
	gate, url := newDoor(t, address)
	out := newPlant(t, func(c *Config) { c.URL = url })
	own := newPlant(t)
	both := func(rs ...realtime.Record) { out.say(rs...); own.say(rs...) }
	rnd := rand.New(rand.NewPCG(1, 1))
	sometime := func(from, to int64) {
		for ts := from; ts < to; ts += 1000 + rnd.Int64N(4000) {
			both(said("plant/pump", base+ts, "speed", float64(rnd.IntN(1000))/4, "on", rnd.IntN(2) == 0, "mode", fmt.Sprint("m", rnd.IntN(3))))
		}
	}
	both(said("other/fan", base, "speed", 7))
	sometime(0, hour)
	out.settle()
	gate.shut(true)
	sometime(hour, 2*hour)
	eventually(t, "history says that its store is away", func() bool { return out.Ready() != nil })
	if _, err := out.Trend(t.Context(), TrendQuery{Thing: "plant/pump", Properties: []string{"speed"}, From: time.UnixMilli(base), To: time.UnixMilli(base + hour), Buckets: 10}); code(err) != realtime.CodeUnavailable {
		t.Errorf("while it is away: %v", err)
	}
	if status, body := out.prom("query", "query", "1"); status != 503 || strings.Contains(body, address) {
		t.Errorf("while it is away: %d %s", status, body)
	}
	out.stop() // what was not sent is in the log
	gate.shut(false)
	out.start()
	sometime(2*hour, 3*hour)
	out.settle()
	own.settle()
	want := own.raw("plant/pump", "speed")
	eventually(t, "all of it can be read", func() bool { return len(out.raw("plant/pump", "speed")) == len(want) })

	for _, property := range []string{"speed", "on", "mode"} {
		same(t, property, out.raw("plant/pump", property), own.raw("plant/pump", property))
		got, want := out.trend("plant/pump", 0, 3*hour-1, 18, property), own.trend("plant/pump", 0, 3*hour-1, 18, property)
		same(t, property+" step", got.Step, want.Step)
		same(t, property+" type", got.Series[0].Type, want.Series[0].Type)
		same(t, property+" names", got.Series[0].Names, want.Series[0].Names)
		for i, b := range got.Series[0].Buckets {
			w := want.Series[0].Buckets[i]
			if d := b.Mean - w.Mean; d > 1e-9 || d < -1e-9 {
				t.Errorf("%s: mean %v, want %v", property, b.Mean, w.Mean)
			}
			b.Mean = w.Mean
			same(t, property, b, w)
		}
	}
	// Its index is by day, and shows a day some time after the other: around
	// midnight an hour that is there for a longer question is not for its own.
	eventually(t, "each hour of it can be read", func() bool {
		return len(out.trend("plant/pump", hour, hour+20*second, 300, "speed").Series[0].Buckets) > 0
	})
	few := out.trend("plant/pump", hour, hour+20*second, 300, "speed")
	if few.Step != 1 || len(few.Series[0].Buckets) == 0 {
		t.Errorf("few samples: %+v", few)
	}
	moment := fmt.Sprint((base + 2*hour) / 1000)
	for _, q := range [][]string{
		{"query", "query", `echotwin_value{thing="plant/pump",property="speed"}`, "time", moment},
		{"query", "query", `sum(max_over_time(echotwin_value{property="speed"}[1h]))`, "time", moment},
		{"query_range", "query", `echotwin_value{property="speed"}`, "start", fmt.Sprint(base / 1000), "end", moment, "step", "600"},
		{"series", "match[]", `{property="on"}`},
		{"label/thing/values"},
		{"labels"},
	} {
		for _, scope := range []Scope{nil, {{"plant/*"}}} {
			status, got := out.promAs(scope, q[0], q[1:]...)
			_, want := own.promAs(scope, q[0], q[1:]...)
			if status != 200 || len(scope) > 0 && contains(got, "other") || contains(got, "plant/pump") != contains(want, "plant/pump") || contains(got, "other") != contains(want, "other") {
				t.Errorf("%v %q: %d %s, want %s", scope, q, status, got, want)
			}
		}
	}
	all, err := out.At(t.Context(), Which{Path: "plant/pump"}, time.UnixMilli(base+2*hour))
	if err != nil || len(all) != 3 {
		t.Errorf("at a moment: %v %v", all, err)
	}
	if err := out.Delete(t.Context(), "plant/pump"); err != nil {
		t.Error(err)
	}
	eventually(t, "what was deleted is gone", func() bool { return len(out.raw("plant/pump", "speed")) == 0 })
}

// A store that will not have a sample does not stop those behind it.
func TestAStoreThatRefusesSamples(t *testing.T) {
	var writes atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tenant/api/v1/push" {
			t.Errorf("asked %s", r.URL.Path)
		}
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			t.Errorf("as %s %s", user, password)
		}
		if writes.Add(1) == 1 {
			http.Error(w, "out of bounds", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer s.Close()
	p := newPlant(t, func(c *Config) { c.URL = strings.Replace(s.URL, "http://", "http://u:p@", 1) + "/tenant/prometheus" })
	p.say(said("plant/pump", base, "n", 1))
	p.settle()
	p.say(said("plant/pump", base+1, "n", 2))
	p.settle()
	if got := p.Stats(); got.Outside != 1 || writes.Load() != 2 {
		t.Errorf("%+v after %d writes", got, writes.Load())
	}
	for address, ok := range map[string]bool{"http://v:8428": true, "https://m/prometheus": true, "v:8428": false, "ftp://v": false, "http://": false, "": false} {
		if err := CheckURL(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
