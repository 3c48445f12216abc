package mqtt

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// A log and a refusal name a device as its owner does, not with a NUL in it.
func TestConnectionsHaveNamesForPeople(t *testing.T) {
	for id, want := range map[string]string{"\x00sensor-1": "sensor-1", "press-1\x00esp32": "press-1/esp32", "press-1\x00": "press-1/"} {
		if got := (&conn{id: id}).name(); got != want {
			t.Errorf("%q is called %q, want %q", id, got, want)
		}
	}
}

// Before MQTT 5 a refusal of CONNECT is one of five numbers, and clients look
// them up to say what is wrong.
func TestRefusedConnectHasACodeOfItsProtocol(t *testing.T) {
	d, _ := open(t, Config{})
	connect := func(name string, version, flags byte, id string) []byte {
		body := append([]byte{0, byte(len(name))}, name...)
		body = append(body, version, flags, 0, 60, 0, byte(len(id)))
		body = append(body, id...)
		return append([]byte{0x10, byte(len(body))}, body...)
	}
	for _, tt := range []struct {
		name string
		pk   []byte
		code byte
	}{
		{"MQTT 3.1", connect("MQIsdp", 3, 2, "x"), 1},
		{"a version to come", connect("MQTT", 9, 2, "x"), 1},
		{"a nameless session to be kept", connect("MQTT", 4, 0, ""), 2},
	} {
		r := dialRaw(t, d.Addr())
		r.send(tt.pk)
		r.want(0x20, 0, tt.code)
	}
}

func TestFloodOfQoS0IsStoredInOrder(t *testing.T) {
	d, s := open(t, Config{})
	r := dial311(t, d.Addr(), connect311("flood", "", "", ""))
	var all []byte
	const n = 5000
	for i := range n {
		all = append(all, publish311("telemetry/plant/pump/properties/n", fmt.Sprint(i), 0, 0)...)
	}
	r.send(all)
	eventually(t, "everything is stored", func() bool { return len(s.lines()) == n })
	for i, l := range s.lines() {
		if l != fmt.Sprintf("property plant/pump n %d", i) {
			t.Fatalf("message %d is %q", i, l)
		}
	}
}

// While the log stands still a flood is held back by TCP, not kept in memory,
// and others are served as before.
func TestFloodAgainstALogThatStandsStill(t *testing.T) {
	d, s := open(t, Config{})
	gate := make(chan struct{})
	s.failWith(func(l string) error {
		if strings.Contains(l, "plant/flood") {
			<-gate
		}
		return nil
	})
	r := dialRaw(t, d.Addr())
	r.send(connect311("flood", "", "", ""))
	r.want(0x20, 0, 0)
	r.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	one, wrote := publish311("telemetry/plant/flood", strings.Repeat("x", 60_000), 0, 0), 0
	for wrote < 64<<20 {
		n, err := r.Write(one)
		wrote += n
		if err != nil {
			break
		}
	}
	if wrote >= 64<<20 {
		t.Error("64 MB were taken in while nothing could be stored")
	}
	c := dial5(t, d.Addr(), nil)
	if code, _ := c.pub("telemetry/plant/pump", "{}", 1); code != 0 {
		t.Errorf("another device got 0x%02x", code)
	}
	close(gate)
}

func TestGarbage(t *testing.T) {
	d, s := open(t, Config{})
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	hello := connect311("x", "", "", "")
	five := packet(0x10, str("MQTT"), []byte{5, 2, 0, 30, 0}, str("five"))
	for i := range 400 {
		nc, err := net.Dial("tcp", d.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patient))
		switch i % 8 {
		case 0: // anything
			nc.Write(noise(1 + rnd.IntN(300)))
		case 1: // a CONNECT of noise
			nc.Write(packet(0x10, noise(rnd.IntN(200))))
		case 2: // a damaged CONNECT
			b := bytes.Clone(hello)
			b[2+rnd.IntN(len(b)-2)] ^= byte(1 << rnd.IntN(8))
			nc.Write(b)
		case 3: // another protocol
			io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		case 4: // noise after a good CONNECT
			nc.Write(append(bytes.Clone(hello), noise(1+rnd.IntN(300))...))
		case 5: // every packet type with a body of noise, both versions
			nc.Write(append(bytes.Clone(hello), packet(byte(rnd.Uint32()), noise(rnd.IntN(100)))...))
		case 6:
			nc.Write(append(bytes.Clone(five), packet(byte(rnd.Uint32()), noise(rnd.IntN(100)))...))
		case 7: // PUBLISH with properties of noise
			nc.Write(append(bytes.Clone(five), packet(0x32, str("telemetry/a"), []byte{0, 1, byte(rnd.IntN(50))}, noise(rnd.IntN(60)))...))
		}
		nc.Close()
	}
	eventually(t, "all of them are gone", func() bool { return d.Stats().Clients == 0 })
	c := dial5(t, d.Addr(), nil)
	if code, _ := c.pub("telemetry/plant/pump", "{}", 1); code != 0 {
		t.Errorf("got 0x%02x after the garbage", code)
	}
	s.wait(t, "telemetry plant/pump {}")
	if d.Stats().Refused["handshake"] == 0 {
		t.Error("nothing was counted")
	}
}

func TestLyingHeaders(t *testing.T) {
	d, _ := open(t, Config{})
	for name, first := range map[string][]byte{
		"a CONNECT of 256 MB":     {0x10, 0xff, 0xff, 0xff, 0x7f},
		"a length without an end": {0x10, 0xff, 0xff, 0xff, 0xff, 0xff},
		"PUBLISH first":           publish311("telemetry/a", "1", 1, 1),
		"TLS":                     {0x16, 0x03, 0x01},
	} {
		r := dialRaw(t, d.Addr())
		_ = r.SetDeadline(time.Now().Add(connectTimeout / 2)) // closed at once, not for taking too long
		r.send(first)
		if _, _, err := r.recv(); err == nil {
			t.Errorf("%s: got an answer", name)
		}
	}
	r := dial311(t, d.Addr(), connect311("big", "", "", ""))
	r.send(publish311("telemetry/plant/pump", "{}", 1, 1))
	r.want(0x40, 0, 1)
	r.send([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	if _, _, err := r.recv(); err == nil {
		t.Error("a PUBLISH of 256 MB was waited for")
	}
	eventually(t, "it is counted", func() bool { return d.Stats().Refused["too_large"] == 1 })
}

func TestStrangersInTheDoorwayMakeRoom(t *testing.T) {
	d, _ := open(t, Config{})
	var silent []net.Conn
	for range maxHandshakes + 20 {
		nc, err := net.Dial("tcp", d.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		silent = append(silent, nc)
	}
	dial5(t, d.Addr(), nil)
	_ = silent[0].SetReadDeadline(time.Now().Add(connectTimeout / 2)) // for the others, not for taking too long
	if _, err := silent[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the oldest stranger: %v, want to be shown out", err)
	}
}

func TestMaxClients(t *testing.T) {
	d, _ := open(t, Config{MaxClients: 2})
	id := func(s string) func(*paho.Connect) { return func(cp *paho.Connect) { cp.ClientID = s } }
	dial5(t, d.Addr(), id("a"))
	b := dial5(t, d.Addr(), id("b"))
	if _, ack, _ := connect5(t, d.Addr(), id("c")); ack == nil || ack.ReasonCode != 0x89 {
		t.Errorf("got %+v, want 0x89", ack)
	}
	r := dialRaw(t, d.Addr())
	r.send(connect311("d", "", "", ""))
	r.want(0x20, 0, 3)
	_ = b.Client.Disconnect(&paho.Disconnect{})
	eventually(t, "one has left", func() bool { return d.Stats().Clients == 1 })
	dial5(t, d.Addr(), id("c"))
}

func TestKeepaliveIsEnforced(t *testing.T) {
	d, s := open(t, Config{})
	connect := connect311("quiet", "status/plant/pump", "offline", "")
	connect[11] = 1 // second
	dial311(t, d.Addr(), connect)
	s.wait(t, "status plant/pump offline") // after one and a half, and nobody had to ask
}

// The largest keepalives overflow mochi's arithmetic to nothing.
func TestLargeKeepalive(t *testing.T) {
	d, _ := open(t, Config{})
	for _, k := range []uint16{0, 43690, 43691, 65535} {
		connect := connect311(fmt.Sprint(k), "", "", "")
		connect[10], connect[11] = byte(k>>8), byte(k)
		r := dial311(t, d.Addr(), connect)
		r.send(packet(0xC0))
		r.want(0xD0)
	}
}

func TestSlowLookerLosesMessagesAndHoldsNobodyUp(t *testing.T) {
	d, s := open(t, Config{})
	look := dial311(t, d.Addr(), connect311("look", "", "", ""))
	_ = look.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	look.send(packet(0x82, []byte{0, 1}, str("#"), []byte{1}))
	look.want(0x90, 0, 1, 0) // granted QoS 0
	c := dial5(t, d.Addr(), nil)
	big := strings.Repeat("x", 100<<10)
	for range 200 {
		if code, _ := c.pub("telemetry/plant/pump", big, 1); code != 0 {
			t.Fatalf("got 0x%02x", code)
		}
	}
	if n := len(s.lines()); n != 200 {
		t.Errorf("%d stored, want 200", n)
	}
}

func FuzzReadConnect(f *testing.F) {
	f.Add(connect311("x", "", "", ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readConnect(bytes.NewReader(b))
		if !bytes.HasPrefix(b, got) || len(got) > maxConnect+5 {
			t.Errorf("readConnect(% x) = % x, %v", b, got, err)
		}
	})
}
