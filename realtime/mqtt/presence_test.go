package mqtt

import (
	"slices"
	"testing"

	"github.com/eclipse/paho.golang/paho"
)

func TestWillIsStoredWhenTheConnectionBreaks(t *testing.T) {
	d, s := open(t, Config{})
	look := dial5(t, d.Addr(), nil)
	look.sub("status/#", 0)
	r := dial311(t, d.Addr(), connect311("pump", "status/plant/pump", "offline", ""))
	r.send(publish311("status/plant/pump", "online", 1, 1))
	r.want(0x40, 0, 1)
	look.next()
	r.Close()
	s.wait(t, "status plant/pump offline")
	if p := look.next(); p.Topic != "status/plant/pump" || string(p.Payload) != "offline" {
		t.Errorf("a looker got %s %s", p.Topic, p.Payload)
	}
	look.pub("event/plant/pump/x", "1", 1)
	look.sub("event/#", 0)
	look.pub("event/plant/pump/x", "2", 1)
	if p := look.next(); string(p.Payload) != "2" {
		t.Errorf("a looker got %s %s once more", p.Topic, p.Payload)
	}
	eventually(t, "one client left", func() bool { return d.Stats().Clients == 1 })
	if want := []string{"status plant/pump online", "status plant/pump offline", "event plant/pump x 1", "event plant/pump x 2"}; !slices.Equal(s.lines(), want) {
		t.Errorf("stored %q, want %q", s.lines(), want)
	}
}

func TestBrokenConnectionWithoutWillIsOffline(t *testing.T) {
	d, s := open(t, Config{})
	r := dial311(t, d.Addr(), connect311("gateway", "", "", ""))
	for i, p := range [][]byte{
		publish311("status/plant/pump", "online", 1, 1),
		publish311("status/plant/valve", "online", 1, 2),
		publish311("status/plant/valve", "offline", 1, 3),
		publish311("telemetry/plant/tank", "{}", 1, 4), // never said online
	} {
		r.send(p)
		r.want(0x40, 0, byte(i+1))
	}
	r.Close()
	s.wait(t, "status plant/pump offline")
	eventually(t, "the client is gone", func() bool { return d.Stats().Clients == 0 })
	if n := len(s.lines()); n != 5 {
		t.Errorf("stored %q, want offline for the pump alone", s.lines())
	}
}

// A device with random client ids comes back before its old connection is
// noticed to be dead.
func TestOldConnectionDoesNotTakeTheNewOneOffline(t *testing.T) {
	d, s := open(t, Config{})
	join := func(id, will string) *raw {
		r := dial311(t, d.Addr(), connect311(id, will, "offline", ""))
		r.send(publish311("status/plant/pump", "online", 1, 1))
		r.want(0x40, 0, 1)
		return r
	}
	for _, will := range []string{"status/plant/pump", ""} {
		old := join("old", will)
		young := join("young", will)
		old.Close()
		eventually(t, "the old one is gone", func() bool { return d.Stats().Clients == 1 })
		if slices.Contains(s.lines(), "status plant/pump offline") {
			t.Errorf("will %q: offline though a connection is there: %q", will, s.lines())
		}
		young.send([]byte{0xE0, 0})
		eventually(t, "nobody is there", func() bool { return d.Stats().Clients == 0 })
	}
}

func TestGoodbyeIsNoDrop(t *testing.T) {
	d, s := open(t, Config{})
	r := dial311(t, d.Addr(), connect311("pump", "status/plant/pump", "offline", ""))
	r.send(publish311("status/plant/pump", "online", 1, 1))
	r.want(0x40, 0, 1)
	r.send([]byte{0xE0, 0})
	eventually(t, "the client is gone", func() bool { return d.Stats().Clients == 0 })
	if n := len(s.lines()); n != 1 {
		t.Errorf("stored %q after DISCONNECT", s.lines())
	}
}

// A device that reconnects faster than its old connection is noticed to be
// dead must end as online: the old will has to come first.
func TestTakeover(t *testing.T) {
	d, s := open(t, Config{})
	will := func(cp *paho.Connect) {
		cp.ClientID = "pump"
		cp.WillMessage = &paho.WillMessage{Topic: "status/plant/pump", Payload: []byte("offline")}
	}
	var last *device
	for range 20 {
		c := dial5(t, d.Addr(), will)
		if last != nil {
			if code := <-last.down; code != 0x8E {
				t.Fatalf("the old connection was told 0x%02x, want 0x8e", code)
			}
		}
		c.pub("status/plant/pump", "online", 1)
		c.sub("command/plant/pump/#", 1)
		if err := d.Send(t.Context(), "plant/pump", "setSpeed", "1", nil); err != nil {
			t.Fatal(err)
		}
		c.next()
		last = c
	}
	want := []string{}
	for range 19 {
		want = append(want, "status plant/pump online", "status plant/pump offline")
	}
	want = append(want, "status plant/pump online")
	if got := s.lines(); !slices.Equal(got, want) {
		t.Errorf("stored %q", got)
	}
	if n := d.Stats().Clients; n != 1 {
		t.Errorf("%d clients, want 1", n)
	}
}

func TestCloseSaysOfflineForAll(t *testing.T) {
	d, s := open(t, Config{})
	for _, id := range []string{"a", "b", "c"} {
		r := dial311(t, d.Addr(), connect311(id, "status/"+id, "offline", ""))
		r.send(publish311("status/"+id, "online", 1, 1))
		r.want(0x40, 0, 1)
	}
	d.Close()
	for _, id := range []string{"a", "b", "c"} {
		if !slices.Contains(s.lines(), "status "+id+" offline") {
			t.Errorf("%s is still online: %q", id, s.lines())
		}
	}
	if d.Ready() == nil {
		t.Error("a closed door says it is ready")
	}
	d.Close()
}
