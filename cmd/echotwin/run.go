package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"slices"
)

// addresses are where a running Echotwin can be reached.
type addresses struct {
	HTTP string
	MQTT string // "" without a door
}

// run is the program. It reads the configuration, builds the stages, connects
// them, calls ready once it serves, and stops them in order when ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, ready func(addresses)) error {
	c, err := readCommand(args, getenv)
	if errors.Is(err, errHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if slices.Contains(accountWords, c.do) {
		return accounts(ctx, c, os.Stdin, os.Stdout)
	}
	switch c.do {
	case "backup":
		return backupTo(ctx, c)
	case "restore":
		return restoreFrom(ctx, c)
	case "doctor":
		return doctor(ctx, c, os.Stdout)
	}
	return serve(ctx, &c.config, ready)
}

// serve is the server.
func serve(ctx context.Context, cfg *config, ready func(addresses)) error {
	log, closeLog, err := newLogger(cfg)
	if err != nil {
		return err
	}
	defer closeLog.Close()
	if err := prepare(cfg, log); err != nil {
		return err
	}
	// A start makes much and frees little; collecting would take a fifth of it.
	collect := debug.SetGCPercent(400)
	s, err := build(ctx, cfg, log)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // it was to stop before it was built
	}
	if err != nil {
		return err
	}
	defer s.close()
	return s.serve(ctx, func(a addresses) {
		debug.SetGCPercent(collect)
		ready(a)
	})
}
