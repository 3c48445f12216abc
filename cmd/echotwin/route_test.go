package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/mqtt"
)

// deaf is an intake that forgets what devices say.
type deaf struct{}

func (deaf) Telemetry(context.Context, string, []byte) error        { return nil }
func (deaf) Property(context.Context, string, string, []byte) error { return nil }
func (deaf) Event(context.Context, string, string, []byte) error    { return nil }
func (deaf) Status(context.Context, string, string) error           { return nil }
func (deaf) Result(context.Context, string, []byte) error           { return nil }

// node is a door with its router, on a bus that several share.
func node(t *testing.T, b *bus.Bus) *router {
	t.Helper()
	r := &router{bus: b, log: slog.New(slog.DiscardHandler)}
	door, err := mqtt.Open(mqtt.Config{Addr: "127.0.0.1:0", Open: true, Ingest: deaf{}, Heard: r.heard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(door.Close)
	r.door.Store(door)
	return r
}

// plug connects a device that listens for a thing's commands.
func plug(t *testing.T, addr, filter string) (got chan string, leave func()) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan string, 10)
	c := paho.NewClient(paho.ClientConfig{Conn: nc, OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
		got <- p.Packet.Topic + " " + string(p.Packet.Payload)
		return true, nil
	}}})
	if _, err := c.Connect(t.Context(), &paho.Connect{ClientID: filter, KeepAlive: 30, CleanStart: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	leave = func() { _ = c.Disconnect(&paho.Disconnect{}); <-c.Done() }
	t.Cleanup(leave)
	return got, leave
}

// A command reaches its device on whichever node it is connected to, once, with
// the device's own PUBACK; and who is nowhere is offline at once.
func TestACommandFindsTheNodeOfItsDevice(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	one, two := node(t, b), node(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	send := func(r *router, thing string) error {
		return r.Send(ctx, thing, "setSpeed", "01JD", []byte(`{"speed":60}`))
	}
	offline := func(err error) bool {
		var p *realtime.Problem
		return errors.As(err, &p) && p.Code == realtime.CodeOffline
	}
	if err := send(one, "plant/pump"); !offline(err) {
		t.Errorf("nobody is there, and got %v", err)
	}
	got, leave := plug(t, two.door.Load().Addr(), "command/plant/pump/#")
	plug(t, one.door.Load().Addr(), "command/#") // a looker is nobody's device
	for _, r := range []*router{one, two} {
		if err := send(r, "plant/pump"); err != nil {
			t.Fatal(err)
		}
		if text := <-got; text != `command/plant/pump/setSpeed/01JD {"speed":60}` || len(got) != 0 {
			t.Errorf("the device got %s, and %d more", text, len(got))
		}
	}
	if err := send(one, "plant/valve"); !offline(err) {
		t.Errorf("another thing: got %v", err)
	}
	leave()
	for end := time.Now().Add(time.Minute); !offline(send(one, "plant/pump")); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a device that has gone is still asked for")
		}
	}
	left := func() int {
		two.mu.Lock()
		defer two.mu.Unlock()
		return len(two.answers)
	}
	for end := time.Now().Add(10 * time.Second); left() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d answers are left", left())
		}
	}
}
