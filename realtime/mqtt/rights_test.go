package mqtt

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

func TestWhoMaySignIn(t *testing.T) {
	d, _ := open(t, Config{Authenticate: password})
	for _, tt := range []struct {
		user, pass string
		code       byte
	}{
		{"ana", "secret", 0},
		{"ana", "guess", 0x86},
		{"", "", 0x86},
	} {
		_, ack, err := connect5(t, d.Addr(), func(cp *paho.Connect) {
			cp.Username, cp.UsernameFlag = tt.user, tt.user != ""
			cp.Password, cp.PasswordFlag = []byte(tt.pass), tt.pass != ""
		})
		if ack == nil || ack.ReasonCode != tt.code {
			t.Errorf("%s/%s: got %+v %v, want reason 0x%02x", tt.user, tt.pass, ack, err, tt.code)
		}
	}
	r := dialRaw(t, d.Addr())
	r.send(connect311("old", "", "", ""))
	r.want(0x20, 0, 5)
	if n := d.Stats().Refused["sign_in"]; n != 3 {
		t.Errorf("counted %d refused sign-ins, want 3", n)
	}
}

func TestGuessingIsSlowedDownForTheOneWhoGuesses(t *testing.T) {
	var asked atomic.Int32
	d, _ := open(t, Config{Authenticate: func(u, p, remote string) (Credential, bool) {
		asked.Add(1)
		return password(u, p, remote)
	}})
	var last byte
	for range 14 {
		_, ack, _ := connect5(t, d.Addr(), func(cp *paho.Connect) {
			as("ana")(cp)
			cp.Password = []byte("guess")
		})
		last = ack.ReasonCode
	}
	if last != 0x9F || asked.Load() != 10 {
		t.Errorf("after 14 guesses: reason 0x%02x, %d passwords hashed; want 0x9f and 10", last, asked.Load())
	}
	dial5(t, d.Addr(), as("ben")) // same address, and nothing wrong with it
}

func TestWhoMayPublish(t *testing.T) {
	d, s := open(t, Config{Authenticate: password})
	ana := dial5(t, d.Addr(), as("ana"))
	for _, tt := range []struct {
		topic string
		code  byte
	}{
		{"telemetry/ana/pump", 0},
		{"telemetry/ana/pump/properties/speed", 0},
		{"event/ana/pump/jam", 0},
		{"status/ana/pump", 0},
		{"telemetry/ben/pump", 0x87},
		{"telemetry/ben/pump/properties/speed", 0x87},
		{"event/ben/pump/jam", 0x87},
		{"status/ben/pump", 0x87},
		{"command/ana/pump/setSpeed/1", 0x87},
	} {
		if code, why := ana.pub(tt.topic, "online", 1); code != tt.code {
			t.Errorf("%s: got 0x%02x %s, want 0x%02x", tt.topic, code, why, tt.code)
		}
	}
	for _, l := range s.lines() {
		if strings.Contains(l, "ben/") {
			t.Errorf("stored %q: a stranger wrote it", l)
		}
	}
}

func TestWhoMaySubscribe(t *testing.T) {
	for _, tt := range []struct {
		filter     string
		open, ours byte // the answer to QoS 1
	}{
		{"command/ana/pump/#", 1, 1},
		{"command/ana/pump/+/+", 1, 1},
		{"command/ana/pump/setSpeed/+", 1, 1},
		{"command/ana/pump/setSpeed/1", 1, 1},
		{"command/ben/pump/#", 1, 0x87},
		{"command/ben/pump/setSpeed/1", 1, 0x87},
		{"command/+/pump/#", 1, 0x87},
		{"command/#", 1, 0x87},
		{"#", 0, 0x87},
		{"telemetry/#", 0, 0x87},
		{"telemetry/ana/pump", 0, 0x87},
		{"event/#", 0, 0x87},
		{"status/#", 0, 0x87},
		{"$SYS/#", 0x87, 0x87},
		{"command/ana/" + strings.Repeat("x/", maxFilter) + "#", 0x8F, 0x8F},
	} {
		d, _ := open(t, Config{})
		if code := dial5(t, d.Addr(), nil).sub(tt.filter, 1); code != tt.open {
			t.Errorf("open door, %.40s: got 0x%02x, want 0x%02x", tt.filter, code, tt.open)
		}
		d, _ = open(t, Config{Authenticate: password})
		if code := dial5(t, d.Addr(), as("ana")).sub(tt.filter, 1); code != tt.ours {
			t.Errorf("closed door, %.40s: got 0x%02x, want 0x%02x", tt.filter, code, tt.ours)
		}
	}
}

// A paho client does not even ask, since CONNACK says that there are none.
func TestNoSharedSubscriptions(t *testing.T) {
	d, _ := open(t, Config{})
	r := dial311(t, d.Addr(), connect311("shares", "", "", ""))
	r.send(packet(0x82, []byte{0, 1}, str("$share/group/telemetry/#"), []byte{1}))
	r.want(0x90, 0, 1, 0x80)
}

func TestSubscriptionsAreBounded(t *testing.T) {
	d, _ := open(t, Config{})
	c := dial5(t, d.Addr(), nil)
	var subs []paho.SubscribeOptions
	for i := range maxSubscriptions + 5 {
		subs = append(subs, paho.SubscribeOptions{Topic: "telemetry/a" + strings.Repeat("b", i%60) + "/" + strings.Repeat("c", i/60+1)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	a, _ := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: subs})
	granted := 0
	for _, r := range a.Reasons {
		if r == 0 {
			granted++
		}
	}
	if granted != maxSubscriptions {
		t.Errorf("%d subscriptions granted, want %d", granted, maxSubscriptions)
	}
}

func TestWillIsCheckedWhenTheDeviceConnects(t *testing.T) {
	d, _ := open(t, Config{Authenticate: password})
	will := func(topic string) func(*paho.Connect) {
		return func(cp *paho.Connect) {
			as("ana")(cp)
			cp.WillMessage = &paho.WillMessage{Topic: topic, Payload: []byte("offline"), QoS: 1}
		}
	}
	if _, _, err := connect5(t, d.Addr(), will("status/ana/pump")); err != nil {
		t.Error(err)
	}
	for _, topic := range []string{"status/ben/pump", "command/ana/pump/setSpeed/1", "chat/room"} {
		_, ack, _ := connect5(t, d.Addr(), will(topic))
		if ack == nil || ack.ReasonCode != 0x87 || !strings.Contains(ack.Properties.ReasonString, "last will") {
			t.Errorf("will on %s: got %+v, want reason 0x87", topic, ack)
		}
	}
	r := dialRaw(t, d.Addr())
	r.send(connect311("old", "status/ben/pump", "offline", "ana"))
	r.want(0x20, 0, 5)
}

func TestOnlyTheDeviceAnswersForItsCommand(t *testing.T) {
	d, s := open(t, Config{Authenticate: password})
	ana, ben := dial5(t, d.Addr(), as("ana")), dial5(t, d.Addr(), as("ben"))
	ana.sub("command/ana/pump/#", 1)
	if err := d.Send(t.Context(), "ana/pump", "setSpeed", "01JD", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if code, _ := ben.pub("result/01JD", `{"ok":true}`, 1); code != 0x87 {
		t.Errorf("a stranger's result got 0x%02x, want 0x87", code)
	}
	if code, why := ana.pub("result/01JD", `{"ok":true}`, 1); code != 0 {
		t.Errorf("the device's result got 0x%02x %s", code, why)
	}
	s.wait(t, `result 01JD {"ok":true}`)
	if n := len(s.lines()); n != 1 {
		t.Errorf("stored %q", s.lines())
	}
}

// command/plant/pump/# is for the action pump of the thing plant, which is
// ana's, and would be for the thing plant/pump, which is not.
func TestOwnCommandsOnly(t *testing.T) {
	d, _ := open(t, Config{Authenticate: func(string, string, string) (Credential, bool) {
		return Credential{Owns: func(thing string) bool { return thing == "plant" }}, true
	}})
	ana := dial5(t, d.Addr(), as("ana"))
	if code := ana.sub("command/plant/pump/#", 1); code != 1 {
		t.Fatalf("got 0x%02x", code)
	}
	offline(t, d.Send(t.Context(), "plant/pump", "setSpeed", "1", nil))
	if err := d.Send(t.Context(), "plant", "pump", "2", nil); err != nil {
		t.Error(err)
	}
}

func TestTheSameClientIDOfTwoUsersIsTwoClients(t *testing.T) {
	d, _ := open(t, Config{Authenticate: password})
	same := func(user string) func(*paho.Connect) {
		return func(cp *paho.Connect) { as(user)(cp); cp.ClientID = "gateway" }
	}
	ana := dial5(t, d.Addr(), same("ana"))
	dial5(t, d.Addr(), same("ben"))
	if code, why := ana.pub("telemetry/ana/pump", "{}", 1); code != 0 {
		t.Errorf("got 0x%02x %s: ben has thrown ana out", code, why)
	}
}

func TestAskedForgetsTheOldest(t *testing.T) {
	a := newAsked()
	a.remember("first", "ana", "t")
	for i := range maxAsked {
		a.remember(time.Duration(i).String(), "ana", "t")
	}
	if to, ok := a.whom("first"); ok || len(a.to) != maxAsked {
		t.Errorf("got %v with %d remembered", to, len(a.to))
	}
}
