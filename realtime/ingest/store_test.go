package ingest_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/ingest"
)

// Many devices at once on the real log: what was acknowledged is there once,
// with the number that was told, and each device's readings in its order.
func TestEverythingAcknowledgedIsInTheLogOnce(t *testing.T) {
	const devices, readings = 50, 20
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	in := ingest.New(ingest.Config{Log: b})
	defer in.Close()

	type sample struct{ thing, n string }
	var mu sync.Mutex
	told := map[sample]uint64{}
	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			thing := fmt.Sprintf("plant/device-%d", d)
			for n := range readings {
				a, err := in.Telemetry(t.Context(), thing, fmt.Appendf(nil, `{"n":%d,"speed":60.40}`, n))
				if err != nil || a.Accepted != 1 {
					t.Errorf("%s %d: %+v, %v", thing, n, a, err)
				}
				mu.Lock()
				told[sample{thing, strconv.Itoa(n)}] = a.Seq
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	in.Close()

	got := map[sample]uint64{}
	last := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = b.Consume(ctx, 0, func(u realtime.Bundle) {
		for _, r := range u.Records {
			n, _ := strconv.Atoi(string(r.Values[0].JSON))
			if n != last[r.Thing] || string(r.Values[1].JSON) != "60.40" {
				t.Errorf("%s: got %s after %d", r.Thing, r.Values, last[r.Thing])
			}
			last[r.Thing]++
			got[sample{r.Thing, strconv.Itoa(n)}] = u.Seq
		}
		if u.Seq == b.Last() {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != devices*readings || len(told) != len(got) {
		t.Errorf("%d are in the log, %d were acknowledged, %d were sent", len(got), len(told), devices*readings)
	}
	for s, seq := range told {
		if got[s] != seq {
			t.Errorf("%v was told to be in %d and is in %d", s, seq, got[s])
		}
	}
	if s := in.Stats(); s.Bundles >= devices*readings || s.Readings != devices*readings {
		t.Errorf("nothing was gathered: %+v", s)
	}
}

// nowhere is a log that costs nothing, so that a benchmark sees only ingest.
type nowhere struct{ n uint64 }

func (l *nowhere) Append(context.Context, []byte) (uint64, error) { l.n++; return l.n, nil }

// One reading of ten numbers, alone and in an HTTP batch of a hundred.
func BenchmarkDecodeAndEncode(b *testing.B) {
	one := `{"ts":%d,"speed":60.4,"temperature":41.25,"current":3.17,"vibration":1.2,"pressure":2.5,"level":71.03,"flow":12.8,"torque":1.9,"rate":402,"energy":123456.7}`
	for _, samples := range []int{1, 100} {
		payload := "["
		for i := range samples {
			payload += fmt.Sprintf(one, 1795434000000+i) + ","
		}
		payload = payload[:len(payload)-1] + "]"
		b.Run(strconv.Itoa(samples), func(b *testing.B) {
			in := ingest.New(ingest.Config{Log: &nowhere{}, Now: func() time.Time { return time.UnixMilli(1795434000000) }})
			defer in.Close()
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if a, err := in.Telemetry(b.Context(), "plant/line1/pump", []byte(payload)); err != nil || a.Accepted != samples {
					b.Fatal(a, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/reading")
		})
	}
}
