package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
	"echotwin/realtime/bus"
)

// A reading that was acknowledged is on disk: whatever kills the process then,
// it is in the log once, and the twin shows the last of them after the restart.
func TestAcknowledgedReadingsSurviveKill9(t *testing.T) {
	env := settings(t, nil)
	var mu sync.Mutex
	acked := map[int]bool{}
	next := 0
	for round := range 3 {
		a, process := startProcess(t, env)
		if round > 0 {
			c := signIn(t, a)
			mu.Lock()
			want := 0
			for n := range acked {
				want = max(want, n)
			}
			mu.Unlock()
			got, _ := strconv.Atoi(c.value("bench/counter", "n"))
			if got < want {
				t.Errorf("after kill %d the twin shows %d, but %d was acknowledged", round, got, want)
			}
		}
		dev := device(t, a, "counter")
		alive, killed := context.WithCancel(t.Context()) // or the last one waits for an acknowledgement in vain
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				next++
				ctx, cancel := context.WithTimeout(alive, time.Minute)
				_, err := dev.Publish(ctx, &paho.Publish{Topic: "telemetry/bench/counter", QoS: 1, Payload: fmt.Appendf(nil, `{"n":%d}`, next)})
				cancel()
				if err != nil {
					return
				}
				mu.Lock()
				acked[next] = true
				mu.Unlock()
			}
		}()
		before := len(acked)
		eventually(t, "readings are acknowledged", func() bool { mu.Lock(); defer mu.Unlock(); return len(acked) >= before+200 })
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		process.Wait()
		killed()
		<-done
	}

	counts := map[int]int{}
	readLog(t, env, func(r realtime.Record) {
		if r.Kind == realtime.Telemetry && r.Thing == "bench/counter" {
			n, _ := strconv.Atoi(string(r.Values[0].JSON))
			counts[n]++
		}
	})
	for n := range acked {
		if counts[n] != 1 {
			t.Errorf("reading %d was acknowledged and is %d times in the log", n, counts[n])
		}
	}
	if len(acked) < 600 {
		t.Errorf("only %d readings were acknowledged: the test did not test", len(acked))
	}
}

// readLog gives every record that the log of a stopped server holds.
func readLog(t testing.TB, env map[string]string, f func(realtime.Record)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(env["ECHOTWIN_DATA"], "nats")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	last := b.Last()
	if last == 0 {
		return
	}
	if err := b.Consume(ctx, 0, func(bundle realtime.Bundle) {
		for _, r := range bundle.Records {
			f(r)
		}
		if bundle.Seq == last {
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
}
