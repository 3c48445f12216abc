package realtime

import (
	"context"
	"math/rand/v2"
	"time"
)

// PastRivals does what another node may be first to do, again while lost says that
// it was. In between it waits, longer each time, half a second in all or as
// long as ctx lasts: a rival that writes without a pause would win every time.
func PastRivals(ctx context.Context, lost func(error) bool, do func() error) (err error) {
	for try := range 10 {
		if err = do(); !lost(err) {
			return err
		}
		select {
		case <-time.After(rand.N(time.Millisecond << try)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}
