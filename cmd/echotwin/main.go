// Command echotwin puts a machine line live on a screen and lets people ask it
// questions. See run for how its stages are connected.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Getenv, func(addresses) {}); err != nil {
		fmt.Fprintln(os.Stderr, "echotwin:", err)
		os.Exit(1)
	}
}
