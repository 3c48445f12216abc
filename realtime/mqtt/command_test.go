package mqtt

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
)

func offline(t *testing.T, err error) {
	t.Helper()
	var p *realtime.Problem
	if !errors.As(err, &p) || p.Code != realtime.CodeOffline {
		t.Errorf("got %v, want a problem with code offline", err)
	}
}

func TestSendReturnsWithTheDevicesPuback(t *testing.T) {
	d, _ := open(t, Config{})
	r := dial311(t, d.Addr(), connect311("pump", "", "", ""))
	r.send(packet(0x82, []byte{0, 1}, str("command/plant/pump/#"), []byte{1}))
	r.want(0x90, 0, 1, 1)

	sent := make(chan error, 1)
	go func() {
		sent <- d.Send(context.Background(), "plant/pump", "setSpeed", "01JD", []byte(`{"speed":60}`))
	}()
	first, body, err := r.recv()
	want := append(str("command/plant/pump/setSpeed/01JD"), body[len(body)-14:]...)
	if err != nil || first != 0x32 || string(body) != string(want) || string(body[len(body)-12:]) != `{"speed":60}` {
		t.Fatalf("got 0x%02x %q %v", first, body, err)
	}
	select {
	case err := <-sent:
		t.Fatalf("Send returned %v before the device's PUBACK", err)
	case <-time.After(50 * time.Millisecond):
	}
	r.send(packet(0x40, body[len(body)-14:len(body)-12]))
	if err := <-sent; err != nil {
		t.Errorf("got %v, want nil after the PUBACK", err)
	}
	if s := d.Stats(); s.Commands != 1 {
		t.Errorf("counted %+v, want 1 command", s)
	}
}

func TestNobodyThere(t *testing.T) {
	d, _ := open(t, Config{})
	send := func() error { return d.Send(t.Context(), "plant/pump", "setSpeed", "1", nil) }
	offline(t, send())

	c := dial5(t, d.Addr(), nil)
	for _, f := range []string{"command/#", "command/plant/+/#", "command/plant/pump2/#", "command/plant/pump/stop/+", "#"} {
		c.sub(f, 1)
	}
	offline(t, send()) // lookers and other devices

	c.sub("command/plant/pump/#", 0)
	offline(t, send()) // QoS 0 cannot be evidence

	c.sub("command/plant/pump/#", 1)
	if err := send(); err != nil {
		t.Error(err)
	}
	if _, err := c.Unsubscribe(t.Context(), &paho.Unsubscribe{Topics: []string{"command/plant/pump/#"}}); err != nil {
		t.Fatal(err)
	}
	offline(t, send())

	c.sub("command/plant/pump/#", 1)
	_ = c.Client.Disconnect(&paho.Disconnect{})
	eventually(t, "the client is gone", func() bool { return d.Stats().Clients == 0 })
	offline(t, send())
	if s := d.Stats(); s.Unsent["offline"] != 5 {
		t.Errorf("counted %v, want 5 offline", s.Unsent)
	}
}

func TestTheNewestSubscriberIsTheDevice(t *testing.T) {
	d, _ := open(t, Config{})
	old := dial5(t, d.Addr(), func(cp *paho.Connect) { cp.ClientID = "old" })
	old.sub("command/plant/pump/#", 1)
	young := dial5(t, d.Addr(), func(cp *paho.Connect) { cp.ClientID = "young" })
	young.sub("command/plant/pump/#", 1)
	if err := d.Send(t.Context(), "plant/pump", "setSpeed", "1", nil); err != nil {
		t.Fatal(err)
	}
	young.next()
	if len(old.got) != 0 {
		t.Error("both got the command")
	}
}

// dead is a device that subscribes and never acknowledges.
func dead(t *testing.T, d *Door) *raw {
	r := dial311(t, d.Addr(), connect311("dead", "", "", ""))
	r.send(packet(0x82, []byte{0, 1}, str("command/plant/pump/#"), []byte{1}))
	r.want(0x90, 0, 1, 1)
	return r
}

func TestDeviceDiesWithTheCommand(t *testing.T) {
	d, _ := open(t, Config{})
	r := dead(t, d)
	sent := make(chan error, 1)
	go func() { sent <- d.Send(context.Background(), "plant/pump", "setSpeed", "1", []byte("{}")) }()
	if first, _, err := r.recv(); err != nil || first != 0x32 {
		t.Fatal(first, err)
	}
	r.Close()
	err := <-sent
	var p *realtime.Problem
	if err == nil || errors.As(err, &p) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an error that says the outcome is unknown", err)
	}

	// It is not sent again to whoever comes with the same client id.
	again := dead(t, d)
	again.send(packet(0xC0)) // PINGREQ
	again.want(0xD0)
	if n := d.Stats().Unsent["unknown"]; n != 1 {
		t.Errorf("counted %v", d.Stats().Unsent)
	}
}

func TestSendIsBoundByItsContext(t *testing.T) {
	d, _ := open(t, Config{})
	r := dead(t, d)
	for range maxPending {
		go d.Send(t.Context(), "plant/pump", "setSpeed", "1", nil)
	}
	for range maxPending {
		if first, _, err := r.recv(); err != nil || first != 0x32 {
			t.Fatal(first, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := d.Send(ctx, "plant/pump", "setSpeed", "2", nil)
	var p *realtime.Problem
	if !errors.As(err, &p) || p.Code != realtime.CodeTooMany {
		t.Errorf("one above %d unacknowledged: got %v", maxPending, err)
	}

	d2, _ := open(t, Config{})
	dead(t, d2)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d2.Send(ctx, "plant/pump", "setSpeed", "1", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestDeviceRefusesTheMessage(t *testing.T) {
	d, _ := open(t, Config{})
	r := dialRaw(t, d.Addr())
	r.send(packet(0x10, str("MQTT"), []byte{5, 2, 0, 30, 0}, str("five")))
	if first, _, _ := r.recv(); first != 0x20 {
		t.Fatal("no CONNACK")
	}
	r.send(packet(0x82, []byte{0, 1, 0}, str("command/plant/pump/#"), []byte{1}))
	r.recv()
	sent := make(chan error, 1)
	go func() { sent <- d.Send(context.Background(), "plant/pump", "setSpeed", "1", nil) }()
	_, body, _ := r.recv()
	id := body[2+len("command/plant/pump/setSpeed/1"):][:2]
	r.send(packet(0x40, id, []byte{packets.PubackNotAuthorized, 0}))
	var p *realtime.Problem
	if err := <-sent; !errors.As(err, &p) || p.Code != realtime.CodeConflict {
		t.Errorf("got %v, want a problem", err)
	}
}

// A peer that takes no byte must not hold up commands for others, or the door.
func TestPeerThatNeverReads(t *testing.T) {
	d, _ := open(t, Config{})
	r := dead(t, d)
	_ = r.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	big := make([]byte, 900<<10)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for range 12 { // more than the line between holds
		go d.Send(ctx, "plant/pump", "setSpeed", "1", big)
	}
	<-ctx.Done()
	c := dial5(t, d.Addr(), nil)
	c.sub("command/plant/valve/#", 1)
	if err := d.Send(t.Context(), "plant/valve", "open", "2", nil); err != nil {
		t.Errorf("another device: %v", err)
	}
	if code, _ := c.pub("telemetry/plant/valve", "{}", 1); code != 0 {
		t.Errorf("another device's reading: 0x%02x", code)
	}
	d.Close() // returns though a write hangs
}
