package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

const conveyor = "plant/line1/conveyor-2"

// The demo line moves, obeys SPEED, and SPEED is held against the limits of
// the Thing Description.
func TestDemoLineMovesAndObeys(t *testing.T) {
	a, _ := start(t, settings(t, map[string]string{"ECHOTWIN_DEMO": "true"}))
	c := signIn(t, a)
	ws := c.watch("?path=plant/line1/**&rate=10")
	first := ws.until("values of the pump", func(f frame) bool { return f.value("plant/line1/pump", "pressure") != "" })
	was := first.value("plant/line1/pump", "pressure")
	ws.until("another value of the pump", func(f frame) bool {
		v := f.value("plant/line1/pump", "pressure")
		return v != "" && v != was
	})

	for _, tt := range []struct{ input, want string }{
		{`{"speed":999}`, `"maximum":100`},
		{`{"speed":1}`, `"minimum":20`},
	} {
		code, body := c.do("POST", "/api/things/"+conveyor+"/actions/setSpeed", tt.input)
		if code != 422 || !strings.Contains(body, tt.want) || !strings.Contains(body, `"at":"/input/speed"`) && !strings.Contains(body, `"at":"/speed"`) {
			t.Errorf("setSpeed %s: %d %s, want 422 with %s and the place", tt.input, code, body, tt.want)
		}
	}

	code, body := c.do("POST", "/api/things/"+conveyor+"/actions/setSpeed", `{"speed":40}`)
	if code != 200 || decode[struct{ Status string }](t, body).Status != "done" {
		t.Fatalf("setSpeed 40: %d %s", code, body)
	}
	ws.until("the conveyor slows down", func(f frame) bool {
		v, err := strconv.ParseFloat(f.value(conveyor, "speed"), 64)
		return err == nil && v < 45
	})
}

// Enough instruments for the pictures, each described, and each alive.
func TestDemoLineHasItsInstruments(t *testing.T) {
	a, _ := start(t, settings(t, map[string]string{"ECHOTWIN_DEMO": "true"}))
	c := signIn(t, a)
	things := []string{"tank", "pump", "valve", "filler", "capper", "inspection", "labeller", "packer", "conveyor-1", "conveyor-2", "conveyor-3", "air", "power"}
	readings := 0
	eventually(t, "40 readings of all machines are there", func() bool {
		readings = 0
		for _, th := range things {
			_, body := c.do("GET", "/api/things/plant/line1/"+th+"/state", "")
			var s struct {
				Properties map[string]struct {
					Value   json.RawMessage
					Quality string
				}
			}
			if json.Unmarshal([]byte(body), &s) != nil || len(s.Properties) == 0 {
				return false
			}
			readings += len(s.Properties)
		}
		return readings >= 40
	})
	_, body := c.do("GET", "/api/things?path=plant/line1/**", "")
	if tds := decode[[]map[string]any](t, body); len(tds) < len(things) {
		t.Errorf("%d Thing Descriptions, want at least %d", len(tds), len(things))
	}
}

// plantOnly is who a foreign broker lets in.
type plantOnly struct{ mochi.HookBase }

func (*plantOnly) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (*plantOnly) OnACLCheck(*mochi.Client, string, bool) bool { return true }
func (*plantOnly) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	return string(pk.Connect.Username) == "plant" && string(pk.Connect.Password) == "secret"
}

// With MQTT_URL the line speaks through that broker, as whoever we are there.
// It used to take the address for host and port, and end the server.
func TestDemoLineSpeaksThroughAnOutsideBroker(t *testing.T) {
	broker := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := errors.Join(broker.AddHook(new(plantOnly), nil), broker.AddListener(l), broker.Serve()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	a, _ := start(t, settings(t, map[string]string{"ECHOTWIN_DEMO": "true", "MQTT_URL": "mqtt://plant:secret@" + l.Address()}))
	c := signIn(t, a)
	eventually(t, "readings come through the broker", func() bool {
		// The belt obeys only while its bearing is known to be cool.
		return c.value("plant/line1/pump", "pressure") != "" && c.value(conveyor, "temperature") != ""
	})
	code, body := c.do("POST", "/api/things/"+conveyor+"/actions/setSpeed", `{"speed":40}`)
	if code != 200 || decode[struct{ Status string }](t, body).Status != "done" {
		t.Errorf("setSpeed 40: %d %s", code, body)
	}
}

// What was switched off is not there.
func TestDemoOff(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	if _, body := c.do("GET", "/api/things", ""); strings.TrimSpace(body) != "[]" {
		t.Errorf("without the demo line there are things: %.200s", body)
	}
}
