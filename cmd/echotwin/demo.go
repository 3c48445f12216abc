package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"log/slog"

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

func (d demoLine) run(ctx context.Context, addr string, log *slog.Logger) error {
	return simulator.Run(ctx, simulator.Config{Addr: addr, Username: demoUser, Password: d.password, Log: log})
}
