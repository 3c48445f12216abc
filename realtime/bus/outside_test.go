package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"echotwin/realtime"
)

// outside starts a NATS server as somebody else would run it.
func outside(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.JetStream, o.NoSigs, o.NoLog = "127.0.0.1", true, true, true
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats is not ready")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// follow consumes from the beginning and returns the names as they come.
func follow(t *testing.T, b *Bus) (names chan string, stop func()) {
	names = make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- b.Consume(ctx, 0, func(u realtime.Bundle) {
			for _, r := range u.Records {
				names <- r.Name
			}
		})
	}()
	return names, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Consume: %v", err)
		}
	}
}

func expect(t *testing.T, names chan string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		select {
		case name := <-names:
			if name != fmt.Sprint(n) {
				t.Fatalf("got %s, want %d", name, n)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%d did not come", n)
		}
	}
}

func TestAnOutsideServerThatGoesAndComesBack(t *testing.T) {
	dir := t.TempDir()
	s := outside(t, server.Options{Port: -1, StoreDir: dir})
	port := s.Addr().(*net.TCPAddr).Port
	var said transcript
	b := open(t, Config{URL: s.ClientURL(), Log: slog.New(slog.NewTextHandler(&said, nil))})
	epoch := b.Epoch()
	names, stop := follow(t, b)
	mustAppend(t, b, 1, 3)
	expect(t, names, 1, 3)

	s.Shutdown()
	s.WaitForShutdown()
	if err := b.Ready(); err == nil {
		t.Error("ready without a server")
	}
	appended := make(chan error, 1)
	go func() {
		_, err := b.Append(t.Context(), line(4))
		appended <- err
	}()
	time.Sleep(300 * time.Millisecond)
	outside(t, server.Options{Port: port, StoreDir: dir})
	if err := <-appended; err != nil {
		t.Errorf("an Append while the server was away: %v", err)
	}
	mustAppend(t, b, 5, 6)
	expect(t, names, 4, 6)
	stop()
	if b.Epoch() != epoch || b.Last() != 6 || b.Ready() != nil {
		t.Errorf("epoch %q, was %q; last %d; %v", b.Epoch(), epoch, b.Last(), b.Ready())
	}
	if !strings.Contains(said.String(), "one replica") {
		t.Errorf("nobody is told that there is one replica: %s", said.String())
	}
}

func TestAnOutsideServerThatStaysAwayIsAnError(t *testing.T) {
	s := outside(t, server.Options{Port: -1, StoreDir: t.TempDir()})
	b := open(t, Config{URL: s.ClientURL()})
	mustAppend(t, b, 1, 1)
	s.Shutdown()
	s.WaitForShutdown()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := b.Append(ctx, line(2)); err == nil {
		t.Error("no error")
	}
	if _, err := Open(t.Context(), Config{URL: s.ClientURL()}); err == nil {
		t.Error("Open without a server")
	}
}

func TestALogThatWasReplacedIsNoticed(t *testing.T) {
	s := outside(t, server.Options{Port: -1, StoreDir: t.TempDir()})
	b := open(t, Config{URL: s.ClientURL()})
	mustAppend(t, b, 1, 3)
	if err := b.js.DeleteStream(t.Context(), logName); err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(); err == nil {
		t.Error("ready without a log")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := b.Append(ctx, line(4)); err == nil {
		t.Error("stored without a log")
	}
	if _, err := b.create(t.Context(), b.logConfig("another")); err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("got %v", err)
	}
	if err := b.Consume(t.Context(), 0, func(realtime.Bundle) {}); err == nil {
		t.Error("the other log is read as if it were this one")
	}
}

func TestAClusterThatLosesItsLeader(t *testing.T) {
	var routes []*url.URL
	ports := make([]int, 3)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		l.Close()
	}
	servers := map[string]*server.Server{}
	var urls []string
	for i, port := range ports {
		name := fmt.Sprintf("n%d", i)
		o := server.Options{ServerName: name, Port: -1, StoreDir: t.TempDir(), Routes: routes,
			Cluster: server.ClusterOpts{Name: "plant", Host: "127.0.0.1", Port: port}}
		servers[name] = outside(t, o)
		urls = append(urls, servers[name].ClientURL())
	}
	one := openWhenReady(t, strings.Join(urls, ","))
	cfg := one.row.active().stream.CachedInfo().Config
	cfg.Replicas = 1 // as if it had been made before the servers met
	if _, err := one.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	two := openWhenReady(t, strings.Join(urls, ","))
	if one.Epoch() != two.Epoch() {
		t.Errorf("two nodes, two epochs: %q and %q", one.Epoch(), two.Epoch())
	}
	if n := one.row.active().stream.CachedInfo().Config.Replicas; n != 3 {
		t.Errorf("%d replicas", n)
	}
	names, stop := follow(t, two)
	mustAppend(t, one, 1, 20)
	expect(t, names, 1, 20)
	bucketIsTheSameEverywhere(t, one, two)

	info, err := one.row.active().stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	servers[info.Cluster.Leader].Shutdown()
	mustAppend(t, one, 21, 40)
	expect(t, names, 21, 40)
	if two.Last() != 40 {
		t.Errorf("the other node knows of %d", two.Last())
	}
	stop()
}

func openWhenReady(t *testing.T, url string) *Bus {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		b, err := Open(t.Context(), Config{URL: url, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Cleanup(b.Close)
			if b.row.active().stream.CachedInfo().Config.Replicas == 3 {
				return b
			}
			b.Close() // made before all servers had met; the next Open makes up for it
		}
		if time.Now().After(until) {
			t.Fatalf("no log with three replicas: %v", err)
		}
	}
}

// A token that one node made is valid on the next at once.
func bucketIsTheSameEverywhere(t *testing.T, one, two *Bus) {
	t.Helper()
	a, err := one.Bucket(t.Context(), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	b, err := two.Bucket(t.Context(), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	// Reads of a follower are right nearly always, so that no test sees it;
	// this does.
	if s, err := one.js.Stream(t.Context(), "KV_tokens"); err != nil || s.CachedInfo().Config.AllowDirect {
		t.Errorf("followers answer reads: %v", err)
	}
	for i := range 20 {
		key := fmt.Sprint(i)
		if _, err := a.Create(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		if v, err := b.Get(t.Context(), key); err != nil || string(v) != key {
			t.Fatalf("%s: %q, %v", key, v, err)
		}
		if _, err := b.Create(t.Context(), key, nil); err != ErrExists {
			t.Fatalf("created twice: %v", err)
		}
	}
}
