package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// Whatever kills the process, what was acknowledged is in history once.
func TestHistoryHasWhatWasAcknowledgedOnceAfterKill9(t *testing.T) {
	env := settings(t, nil)
	acked := map[int]bool{}
	next := 0
	for range 3 {
		a, process := startProcess(t, env)
		dev := device(t, a, "counter")
		var mu sync.Mutex
		enough, done := make(chan struct{}), make(chan struct{})
		alive, killed := context.WithCancel(t.Context()) // or the last one waits for an acknowledgement in vain
		go func() {
			defer close(done)
			for n := 0; ; n++ {
				next++
				ctx, cancel := context.WithTimeout(alive, time.Minute)
				// No ts: many arrive in the same millisecond.
				_, err := dev.Publish(ctx, &paho.Publish{Topic: "telemetry/bench/counter", QoS: 1, Payload: fmt.Appendf(nil, `{"n":%d}`, next)})
				cancel()
				if err != nil {
					return
				}
				mu.Lock()
				acked[next] = true
				mu.Unlock()
				if n == 200 {
					close(enough)
				}
			}
		}()
		<-enough
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		process.Wait()
		killed()
		<-done
	}
	a, _ := start(t, env)
	c := signIn(t, a)
	ready := func() bool { _, b := c.do("GET", "/readyz", ""); return strings.Contains(b, `"history":"ok"`) }
	eventually(t, "history is open", ready)
	code, body := c.do("GET", "/api/history?thing=bench/counter&property=n&format=ndjson", "")
	if code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	counts, last := map[int]int{}, int64(0)
	for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
		row := decode[struct {
			TS    int64
			Value json.Number
		}](t, s.Text())
		n, _ := row.Value.Int64()
		counts[int(n)]++
		if row.TS <= last {
			t.Errorf("%s comes after %d", s.Text(), last)
		}
		last = row.TS
	}
	for n := range acked {
		if counts[n] != 1 {
			t.Errorf("reading %d was acknowledged and is %d times in history", n, counts[n])
		}
	}
	for n, times := range counts {
		if times != 1 {
			t.Errorf("reading %d is %d times in history", n, times)
		}
	}
	if len(acked) < 600 {
		t.Errorf("only %d readings were acknowledged: the test did not test", len(acked))
	}
}
