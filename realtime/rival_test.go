package realtime

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Ten tries without a pause were ten losses against a node that wrote ten rules
// in a row: "others change the rules all the time".
func TestPastRivals(t *testing.T) {
	first, broken := errors.New("another was first"), errors.New("broken")
	lost := func(err error) bool { return errors.Is(err, first) }
	synctest.Test(t, func(t *testing.T) {
		begin, tries := time.Now(), 0
		rival := func() error { // writes for 20 ms
			tries++
			if time.Since(begin) < 20*time.Millisecond {
				return first
			}
			return nil
		}
		if err := PastRivals(t.Context(), lost, rival); err != nil || tries < 4 {
			t.Errorf("%v after %d tries", err, tries)
		}
		begin = time.Now()
		if err := PastRivals(t.Context(), lost, func() error { return first }); !lost(err) || time.Since(begin) > 1023*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		begin, tries = time.Now(), 0
		if err := PastRivals(t.Context(), lost, func() error { tries++; return broken }); err != broken || tries != 1 {
			t.Errorf("%v after %d tries", err, tries)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := PastRivals(ctx, lost, func() error { cancel(); return first }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
