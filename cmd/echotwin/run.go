package main

import (
	"context"
	"errors"
)

// addresses are where a running Echotwin can be reached.
type addresses struct {
	HTTP string
	MQTT string // "" without a door
}

// run is the program. It reads the configuration, builds the stages, connects
// them, calls ready once it serves, and stops them in order when ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, ready func(addresses)) error {
	cfg, err := readConfig(args, getenv)
	if errors.Is(err, errHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	log, closeLog := newLogger(cfg)
	defer closeLog.Close()
	if err := prepare(cfg); err != nil {
		return err
	}
	s, err := build(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer s.close()
	return s.serve(ctx, ready)
}
