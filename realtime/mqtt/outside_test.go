package mqtt

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"echotwin/realtime"
)

// foreign is somebody else's broker: mochi as it comes, for all to use. It
// hears the acknowledgements that it gets.
type foreign struct {
	mochi.HookBase
	*mochi.Server
	addr string

	mu    sync.Mutex
	acked []string
}

func (f *foreign) ID() string { return "foreign" }
func (f *foreign) Provides(b byte) bool {
	return b == mochi.OnPacketRead || b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (f *foreign) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (f *foreign) OnACLCheck(*mochi.Client, string, bool) bool              { return true }
func (f *foreign) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Puback {
		if m, ok := cl.State.Inflight.Get(pk.PacketID); ok {
			f.mu.Lock()
			f.acked = append(f.acked, m.TopicName)
			f.mu.Unlock()
		}
	}
	return pk, nil
}

func (f *foreign) acks() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.acked)
}

func startForeign(t *testing.T, addr string) *foreign {
	t.Helper()
	f := &foreign{Server: mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})}
	var l net.Listener
	eventually(t, "the address is free", func() bool {
		var err error
		l, err = net.Listen("tcp", addr)
		return err == nil
	})
	f.addr = l.Addr().String()
	if err := errors.Join(f.AddHook(f, nil),
		f.AddListener(listeners.NewNet("foreign", l)), f.Serve()); err != nil {
		t.Fatal(err)
	}
	return f
}

func openForeign(t *testing.T, query string) (*foreign, *Door, *store) {
	t.Helper()
	f := startForeign(t, "127.0.0.1:0")
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { f.Server.Close() }) })
	d, s := open(t, Config{URL: "mqtt://" + f.addr + query})
	eventually(t, "the door is ready", func() bool { return d.Ready() == nil })
	return f, d, s
}

func TestOutsideBrokerHearsOfWhatIsStored(t *testing.T) {
	f, d, s := openForeign(t, "")
	gate := make(chan struct{})
	s.failWith(func(l string) error { <-gate; return nil })
	c := dial5(t, f.addr, nil)
	c.pub("telemetry/plant/pump", `{"speed":1}`, 1)
	c.pub("event/plant/pump/jam", `1`, 1)
	time.Sleep(50 * time.Millisecond)
	if a := f.acks(); len(a) != 0 {
		t.Errorf("acknowledged %q before anything was stored", a)
	}
	close(gate)
	s.wait(t, `telemetry plant/pump {"speed":1}`)
	s.wait(t, `event plant/pump jam 1`)
	eventually(t, "both are acknowledged", func() bool { return len(f.acks()) == 2 })

	c.pub("telemetry/plant/pump", `{"speed":2}`, 0)
	s.wait(t, `telemetry plant/pump {"speed":2}`)
	if n := d.Stats().Messages; n != 3 {
		t.Errorf("counted %d messages, want 3", n)
	}
}

func TestOutsideRefusalIsAcknowledgedAndRecorded(t *testing.T) {
	f, d, s := openForeign(t, "")
	s.failWith(problem(realtime.CodeInvalid))
	c := dial5(t, f.addr, nil)
	c.pub("telemetry/plant/pump", `x`, 1)
	s.wait(t, "event plant/pump refused ")
	eventually(t, "it is acknowledged, or it would come for ever", func() bool { return len(f.acks()) == 1 })
	if n := d.Stats().Refused["invalid"]; n != 1 {
		t.Errorf("counted %v", d.Stats().Refused)
	}
}

func TestOutsideResultThatIsRefusedIsToldToTheThing(t *testing.T) {
	f := startForeign(t, "127.0.0.1:0")
	t.Cleanup(func() { f.Server.Close() })
	d, s := open(t, Config{URL: "mqtt://" + f.addr, Commanded: func(cmd string) (string, bool) { return "plant/pump", cmd == "01JD" }})
	eventually(t, "the door is ready", func() bool { return d.Ready() == nil })
	s.failWith(problem(realtime.CodeInvalid))
	c := dial5(t, f.addr, nil)
	c.pub("result/01JD", `done`, 1)
	s.wait(t, "event plant/pump refused ")
}

func TestOutsideWaitsForTheLog(t *testing.T) {
	f, _, s := openForeign(t, "")
	s.failWith(problem(realtime.CodeUnavailable))
	c := dial5(t, f.addr, nil)
	c.pub("telemetry/plant/pump", `{}`, 1)
	time.Sleep(50 * time.Millisecond)
	if a := f.acks(); len(a) != 0 {
		t.Errorf("acknowledged %q, which is nowhere", a)
	}
	s.failWith(nil)
	s.wait(t, "telemetry plant/pump {}")
	eventually(t, "it is acknowledged", func() bool { return len(f.acks()) == 1 })
}

func TestOutsideKeepsTheOrderOfAThing(t *testing.T) {
	f, _, s := openForeign(t, "")
	c := dial5(t, f.addr, nil)
	for i := range 200 {
		c.pub("telemetry/plant/pump/properties/n", string(rune('0'+i%10)), 1)
	}
	eventually(t, "all are stored", func() bool { return len(s.lines()) == 200 })
	for i, l := range s.lines() {
		if !strings.HasSuffix(l, string(rune('0'+i%10))) {
			t.Fatalf("reading %d is %q", i, l)
		}
	}
}

func TestOutsideCommand(t *testing.T) {
	f, d, _ := openForeign(t, "")
	c := dial5(t, f.addr, nil)
	c.sub("command/plant/pump/#", 1)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if err := d.Send(ctx, "plant/pump", "setSpeed", "01JD", []byte(`{"speed":60}`)); err != nil {
		t.Fatal(err)
	}
	m := c.next()
	if m.Topic != "command/plant/pump/setSpeed/01JD" || m.QoS != 1 || m.Properties.MessageExpiry == nil || *m.Properties.MessageExpiry > 10 {
		t.Errorf("got %v, which should expire with the command", m)
	}
}

func TestOutsideBrokerGoesAndComesBack(t *testing.T) {
	f := startForeign(t, "127.0.0.1:0")
	d, s := open(t, Config{URL: "mqtt://" + f.addr + "?clientid=us"})
	eventually(t, "the door is ready", func() bool { return d.Ready() == nil })
	f.Server.Close()
	eventually(t, "the door says that it is not ready", func() bool { return d.Ready() != nil })
	var p *realtime.Problem
	if err := d.Send(t.Context(), "plant/pump", "setSpeed", "1", nil); !errors.As(err, &p) || p.Code != realtime.CodeUnavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	f = startForeign(t, f.addr)
	defer f.Server.Close()
	eventually(t, "the door is ready again", func() bool { return d.Ready() == nil })
	dial5(t, f.addr, nil).pub("telemetry/plant/pump", `{}`, 1)
	s.wait(t, "telemetry plant/pump {}")
}

func TestOutsideNobodySubscribed(t *testing.T) {
	// mochi does not say that nobody is subscribed; EMQX and Mosquitto do. This
	// broker answers one PUBLISH as they do.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		r := &raw{t, nc, bufio.NewReader(nc)}
		for {
			first, body, err := r.recv()
			if err != nil {
				return
			}
			switch first >> 4 {
			case 1: // CONNECT
				nc.Write([]byte{0x20, 3, 0, 0, 0})
			case 8: // SUBSCRIBE
				nc.Write([]byte{0x90, 7, body[0], body[1], 0, 1, 1, 1, 1})
			case 3: // PUBLISH
				id := body[2+len("command/plant/pump/setSpeed/1"):]
				nc.Write([]byte{0x40, 4, id[0], id[1], 0x10, 0})
			}
		}
	}()
	d, _ := open(t, Config{URL: "mqtt://" + l.Addr().String()})
	eventually(t, "the door is ready", func() bool { return d.Ready() == nil })
	offline(t, d.Send(t.Context(), "plant/pump", "setSpeed", "1", nil))
}

func TestOutsideAddresses(t *testing.T) {
	for _, u := range []string{"::", "localhost", "mqtt://"} {
		if d, err := Open(Config{URL: u, Ingest: &store{}}); err == nil {
			d.Close()
			t.Errorf("%q was taken for a broker's address", u)
		}
	}
	d, _ := open(t, Config{URL: "mqtt://ana:secret@127.0.0.1:1"})
	if strings.Contains(d.Addr(), "secret") || strings.Contains(d.Ready().Error(), "secret") {
		t.Errorf("the password is told: %s, %v", d.Addr(), d.Ready())
	}
}
