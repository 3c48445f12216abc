package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// untilStopped ends with the signal to stop. A second one ends the process at
// once.
//
// SIGHUP means that the terminal was closed, and then all ends in order, too.
// To a server without one it is what people send to have settings read anew or
// a log file changed: it must not cut every stream, as it does by default.
func untilStopped() context.Context {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		if hasTerminal() {
			ends = append(ends, syscall.SIGHUP)
		} else {
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			go func() {
				for range hangups {
					fmt.Fprintln(os.Stderr, "echotwin: SIGHUP changes nothing: settings are read at the start, and the log file is rotated without it; SIGTERM stops")
				}
			}()
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop)
	return ctx
}

func hasTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err == nil {
		err = tty.Close()
	}
	return err == nil
}
