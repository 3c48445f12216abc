package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"log/slog"
	"net/url"

	"echotwin/realtime"
	"echotwin/realtime/mqtt"
	"echotwin/realtime/simulator"
)

// A demoLine is the credentials of the demo bottling line, which it needs
// where the MQTT door is not open. They are new at each start and never leave
// the process.
type demoLine struct {
	password string // "" when there is no demo line
}

const (
	demoUser   = "demo-line"
	demoThings = "plant/line1/**"
)

func newDemoLine(cfg *config) demoLine {
	if !cfg.demo() {
		return demoLine{}
	}
	return demoLine{rand.Text()}
}

func (d demoLine) authenticate(username, password string) (mqtt.Credential, bool) {
	if d.password == "" || username != demoUser || subtle.ConstantTimeCompare([]byte(password), []byte(d.password)) != 1 {
		return mqtt.Credential{}, false
	}
	return mqtt.Credential{Owns: func(thing string) bool { return realtime.Match(demoThings, thing) }}, true
}

// run has the line's devices speak through our door, or through an outside
// broker as whoever we are there: it does not know the line's credentials.
func (d demoLine) run(ctx context.Context, outside string, door *mqtt.Door, log *slog.Logger) error {
	to := simulator.Config{URL: outside, Log: log}
	if outside == "" {
		to.URL = (&url.URL{Scheme: "mqtt", User: url.UserPassword(demoUser, d.password), Host: door.Addr()}).String()
	}
	return simulator.Run(ctx, to)
}
