// Command echotwin puts a machine line live on a screen and lets people ask it
// questions. See run for how its stages are connected.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(untilStopped(), os.Args[1:], os.Getenv, func(addresses) {}); err != nil {
		fmt.Fprintln(os.Stderr, "echotwin:", err)
		os.Exit(1)
	}
}
