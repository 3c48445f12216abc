package mqtt

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
)

func TestAcknowledgedOnlyWhenStored(t *testing.T) {
	d, s := open(t, Config{})
	gate := make(chan struct{})
	s.failWith(func(string) error { <-gate; return nil })

	r := dial311(t, d.Addr(), connect311("slow", "", "", ""))
	r.send(publish311("telemetry/plant/pump", `{"speed":1}`, 1, 7))
	r.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := r.r.ReadByte(); err == nil {
		t.Fatalf("byte 0x%02x came before the reading was stored", b)
	}
	r.SetReadDeadline(time.Now().Add(patient))
	close(gate)
	r.want(0x40, 0, 7)
	s.wait(t, `telemetry plant/pump {"speed":1}`)
}

func TestEveryTopicReachesItsPlace(t *testing.T) {
	d, s := open(t, Config{})
	c := dial5(t, d.Addr(), nil)
	for _, tt := range []struct{ topic, payload, want string }{
		{"telemetry/plant/line1/pump", `{"speed":1}`, `telemetry plant/line1/pump {"speed":1}`},
		{"telemetry/pump", `[]`, `telemetry pump []`},
		{"telemetry/plant/pump/properties/speed", `60.4`, `property plant/pump speed 60.4`},
		{"event/plant/pump/jam", `{"why":1}`, `event plant/pump jam {"why":1}`},
		{"status/plant/pump", `online`, `status plant/pump online`},
	} {
		for qos := range byte(2) {
			if code, why := c.pub(tt.topic, tt.payload, qos); code != 0 {
				t.Errorf("%s was refused with 0x%02x %s", tt.topic, code, why)
			}
		}
		s.wait(t, tt.want)
		eventually(t, tt.topic+" stored for both QoS", func() bool {
			n := 0
			for _, l := range s.lines() {
				if l == tt.want {
					n++
				}
			}
			return n == 2
		})
	}
	if n := d.Stats().Messages; n != 10 {
		t.Errorf("counted %d messages, want 10", n)
	}
}

func TestRefusalsOfMQTT5HaveAReason(t *testing.T) {
	for _, tt := range []struct {
		topic string
		fail  func(string) error
		code  byte
		why   string
		count string
	}{
		{"telemetry/plant/pump", problem(realtime.CodeInvalid), 0x99, "/speed: no", realtime.CodeInvalid},
		{"telemetry/plant/pump", problem(realtime.CodeOutOfRange), 0x99, "no", realtime.CodeOutOfRange},
		{"telemetry/plant/pump", problem(realtime.CodeTooMany), 0x97, "no", realtime.CodeTooMany},
		{"telemetry/plant/pump", problem(realtime.CodeTooLarge), 0x97, "no", realtime.CodeTooLarge},
		{"telemetry/plant/pump", problem(realtime.CodeUnavailable), 0x83, "send it again", realtime.CodeUnavailable},
		{"telemetry/plant/pump", func(string) error { return errors.New("disk") }, 0x83, "send it again", realtime.CodeUnavailable},
		{"telemetry", nil, 0x99, "not a thing id", realtime.CodeMalformed},
		{"telemetry/plant/ö", nil, 0x99, "not a thing id", realtime.CodeMalformed},
		{"event/plant/pump/a b", nil, 0x99, "not a name", realtime.CodeMalformed},
		{"event/plant", nil, 0x99, "event/<thing>/<name>", realtime.CodeMalformed},
		{"command/plant/pump/setSpeed/1", nil, 0x87, "only the server", realtime.CodeForbidden},
		{"chat/room", nil, 0x90, "telemetry/<thing>", realtime.CodeNotFound},
		{"$SYS/broker/uptime", nil, 0x90, "telemetry/<thing>", realtime.CodeNotFound},
		{"result/01JD", nil, 0x90, "no command", realtime.CodeNotFound},
	} {
		d, s := open(t, Config{})
		s.failWith(tt.fail)
		c := dial5(t, d.Addr(), nil)
		code, why := c.pub(tt.topic, "1", 1)
		if code != tt.code || !strings.Contains(why, tt.why) {
			t.Errorf("%s: got 0x%02x %q, want 0x%02x %q", tt.topic, code, why, tt.code, tt.why)
		}
		if n := d.Stats().Refused[tt.count]; n != 1 {
			t.Errorf("%s: counted %v, want one %s", tt.topic, d.Stats().Refused, tt.count)
		}
		c.pub(tt.topic, "1", 0) // no answer to give, and none that hurts
		if c.sub("telemetry/#", 0) != 0 {
			t.Errorf("%s: the connection does not work any more", tt.topic)
		}
	}
}

func TestRefusalIsToldToTheThing(t *testing.T) {
	d, s := open(t, Config{})
	s.failWith(problem(realtime.CodeInvalid))
	c := dial5(t, d.Addr(), nil)
	for range 5 {
		c.pub("telemetry/plant/pump", "x", 1)
	}
	line := s.wait(t, "event plant/pump refused ")
	var data map[string]any
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "event plant/pump refused ")), &data); err != nil {
		t.Fatal(err)
	}
	if data["code"] != "invalid" || data["at"] != "/speed" || data["message"] != "no: invalid" || data["count"] != 1.0 {
		t.Errorf("got %v", data)
	}
	if n := len(s.lines()); n != 1 {
		t.Errorf("%d events for 5 refusals in a row, want 1: a device gone wrong would fill the log", n)
	}
	if n := d.Stats().Refused["invalid"]; n != 5 {
		t.Errorf("counted %d refusals, want 5", n)
	}
}

func TestWhatIsRightBesideWrongIsAcknowledged(t *testing.T) {
	d, s := open(t, Config{})
	s.failWith(func(l string) error {
		if strings.HasPrefix(l, "event") {
			return nil
		}
		return &Partly{Refused: 2, First: &realtime.Problem{Code: realtime.CodeInvalid, Message: "a list"}}
	})
	c := dial5(t, d.Addr(), nil)
	if code, _ := c.pub("telemetry/plant/pump", "[]", 1); code != 0 {
		t.Errorf("got reason 0x%02x: the device would send the good samples again", code)
	}
	if l := s.wait(t, "event plant/pump refused "); !strings.Contains(l, `"count":2`) {
		t.Errorf("got %s", l)
	}
	if n := d.Stats().Refused["invalid"]; n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
}

// A device of 3.1.1 has no reason codes: without its PUBACK it would send the
// same wrong message for ever.
func TestRefusalsOfMQTT311AreAcknowledgedAndRecorded(t *testing.T) {
	// Wrong, and right without a place for it.
	for _, code := range []string{realtime.CodeInvalid, realtime.CodeTooMany} {
		t.Run(code, func(t *testing.T) {
			d, s := open(t, Config{})
			s.failWith(problem(code))
			look := dial5(t, d.Addr(), nil)
			look.sub("#", 0)
			r := dial311(t, d.Addr(), connect311("old", "", "", ""))
			for i, topic := range []string{"telemetry/plant/pump", "telemetry/plant/ö", "chat/room", "$SYS/x", "command/plant/pump/setSpeed/1", "result/1"} {
				r.send(publish311(topic, "1", 1, uint16(i+1)))
				r.want(0x40, 0, byte(i+1))
			}
			s.wait(t, "event plant/pump refused ")
			r.send(publish311("telemetry/plant/pump", "0", 0, 0))
			r.send(packet(0xC0))
			r.want(0xD0)
			s.failWith(nil)
			r.send(publish311("telemetry/plant/pump", "2", 1, 99))
			r.want(0x40, 0, 99)
			if p := look.next(); string(p.Payload) != "2" {
				t.Errorf("a looker got %s %s, which was refused", p.Topic, p.Payload)
			}
		})
	}
}

// QoS 0 has no answer: what is refused, or cannot be stored, is nobody's news
// and costs nobody the connection.
func TestRefusedQoS0(t *testing.T) {
	d, s := open(t, Config{})
	look := dial5(t, d.Addr(), func(cp *paho.Connect) { cp.ClientID = "look" })
	look.sub("#", 0)
	five, old := dial5(t, d.Addr(), nil), dial311(t, d.Addr(), connect311("old", "", "", ""))
	for _, code := range []string{realtime.CodeInvalid, realtime.CodeUnavailable} {
		s.failWith(problem(code))
		five.pub("telemetry/plant/pump", "1", 0)
		old.send(publish311("telemetry/plant/pump", "1", 0, 0))
		eventually(t, "both are counted", func() bool { return d.Stats().Refused[code] == 2 })
	}
	s.failWith(nil)
	old.send(publish311("telemetry/plant/pump", "2", 1, 1))
	old.want(0x40, 0, 1)
	if code, _ := five.pub("telemetry/plant/pump", "2", 1); code != 0 {
		t.Errorf("got 0x%02x", code)
	}
	if p := look.next(); string(p.Payload) != "2" {
		t.Errorf("a looker got %s, which was refused", p.Payload)
	}
}

func TestMQTT311WaitsForTheLogAndThenLosesItsConnection(t *testing.T) {
	d, s := open(t, Config{})
	d.side.(*broker).patience = 400 * time.Millisecond
	down := problem(realtime.CodeUnavailable)
	s.failWith(down)
	r := dial311(t, d.Addr(), connect311("old", "", "", ""))
	r.send(publish311("telemetry/plant/pump", "1", 1, 1))
	if first, b, err := r.recv(); err == nil {
		t.Fatalf("got % x % x, want no answer and the end of the connection", first, b)
	}

	tries := 0
	s.failWith(func(l string) error {
		if tries++; tries < 2 {
			return down(l)
		}
		return nil
	})
	r = dial311(t, d.Addr(), connect311("old", "", "", ""))
	r.send(publish311("telemetry/plant/pump", "1", 1, 1))
	r.want(0x40, 0, 1) // the log came back while it waited
}

func TestQoS2(t *testing.T) {
	d, s := open(t, Config{})
	r := dial311(t, d.Addr(), connect311("exact", "", "", ""))
	r.send(publish311("telemetry/plant/pump", `{"speed":1}`, 2, 5))
	r.want(0x50, 0, 5)
	r.send(publish311("telemetry/plant/pump", `{"speed":1}`, 2, 5)) // again: not stored again
	r.want(0x50, 0, 5)
	r.send(packet(0x62, []byte{0, 5}))
	r.want(0x70, 0, 5)
	if l := s.lines(); len(l) != 1 {
		t.Errorf("stored %q, want one reading", l)
	}
	s.failWith(problem(realtime.CodeInvalid))
	r.send(publish311("telemetry/plant/pump", `x`, 2, 6))
	r.want(0x50, 0, 6)
	r.send(packet(0x62, []byte{0, 6}))
	r.want(0x70, 0, 6)

	// MQTT 5 is told in CONNACK, and a client that does not care is told why it goes.
	_, ack, err := connect5(t, d.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if ack.Properties.MaximumQoS == nil || *ack.Properties.MaximumQoS != 1 {
		t.Errorf("maximum QoS %v, want 1", ack.Properties.MaximumQoS)
	}
	r = dialRaw(t, d.Addr())
	r.send(packet(0x10, str("MQTT"), []byte{5, 2, 0, 30, 0}, str("five")))
	if first, _, _ := r.recv(); first != 0x20 {
		t.Fatalf("got 0x%02x", first)
	}
	r.send(packet(0x34, str("telemetry/plant/pump"), []byte{0, 1, 0}, []byte("1")))
	if first, b, err := r.recv(); err != nil || first != 0xE0 || b[0] != 0x9B {
		t.Errorf("got % x % x %v, want DISCONNECT 0x9B", first, b, err)
	}
}

func TestConnackTellsTheLimits(t *testing.T) {
	d, _ := open(t, Config{})
	week := uint32(7 * 24 * 3600)
	_, ack, err := connect5(t, d.Addr(), func(cp *paho.Connect) {
		cp.KeepAlive, cp.CleanStart = 0, false
		cp.Properties = &paho.ConnectProperties{SessionExpiryInterval: &week}
	})
	if err != nil {
		t.Fatal(err)
	}
	p := ack.Properties
	if p.MaximumPacketSize == nil || *p.MaximumPacketSize != maxPacket || p.ReceiveMaximum == nil || *p.ReceiveMaximum != receiveMaximum ||
		p.ServerKeepAlive == nil || *p.ServerKeepAlive != maxKeepalive || p.SessionExpiryInterval == nil || *p.SessionExpiryInterval != 0 || ack.SessionPresent {
		t.Errorf("got %+v", p)
	}
}

func TestRetainedIsNotKept(t *testing.T) {
	d, s := open(t, Config{})
	r := dial311(t, d.Addr(), connect311("retains", "", "", ""))
	p := publish311("telemetry/plant/pump", `{"speed":1}`, 1, 1)
	p[0] |= 1
	r.send(p)
	r.want(0x40, 0, 1)
	r.send(packet(0xC0))
	r.want(0xD0) // whoever looked at the first message has been given it
	s.wait(t, "telemetry plant/pump")
	look := dial5(t, d.Addr(), nil)
	look.sub("telemetry/#", 1)
	r.send(publish311("telemetry/plant/pump", `{"speed":2}`, 1, 2))
	if m := look.next(); m.Retain || string(m.Payload) != `{"speed":2}` {
		t.Errorf("got %s, retained %v; want only what came after the subscription", m.Payload, m.Retain)
	}
}
