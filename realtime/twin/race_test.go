package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
)

// Readers of every sort while bundles come, descriptions change and commands
// run: made for the race detector, and to see that nothing waits for itself.
func TestReadersWhileItMoves(t *testing.T) {
	p := &plant{t: t}
	tw, _ := p.node(conveyor)
	// A listener may read what it was just told of.
	tw.OnChange(func(u realtime.Update) {
		for _, c := range u.Changes {
			if s, ok := tw.State(c.Thing); !ok || s.Seq < u.Seq {
				t.Errorf("told of %d in %s, and its state is at %d", u.Seq, c.Thing, s.Seq)
			}
		}
	})
	p.device(conveyorID, func(cmd string, _ []byte) error { go p.answer(cmd, `{"ok":true}`); return nil })
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { tw.Run(ctx) })
	for _, read := range []func(){
		func() { tw.States(nil) },
		func() { tw.Things("/", nil) },
		func() { tw.TD(conveyorID, "/"); tw.Property(conveyorID, "speed") },
		func() { tw.Checkpoint() },
		func() { tw.Commands(10, ""); tw.Stats(); tw.Seq() },
		func() { tw.sweep() },
		func() {
			if err := tw.Describe([]byte(conveyor)); err != nil {
				t.Error(err)
			}
		},
		func() {
			if got, err := tw.Invoke(ctx, speed(`{"speed":50}`)); err == nil && got.Status != realtime.Done {
				t.Errorf("got %+v", got)
			}
		},
	} {
		wg.Go(func() {
			for ctx.Err() == nil {
				read()
				time.Sleep(time.Millisecond)
			}
		})
	}
	for i := range 300 {
		p.say(reading(conveyorID, time.Now(), fmt.Sprintf(`{"speed":%d,"p%d":1}`, i%120, i%30)), reading(fmt.Sprintf("plant/t%d", i%40), time.Now(), `{"x":1}`))
		time.Sleep(100 * time.Microsecond)
	}
	stop()
	wg.Wait()
}

// BenchmarkApply is a bundle of 100 readings of 10 numbers, of 1,000 things at
// 10 Hz that are described with a range and a period: without alarms, and with
// one limit a number, 10,000 in all.
func BenchmarkApply(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchApply(b, nil) })
	b.Run("10000-limits", func(b *testing.B) { benchApply(b, map[string]any{"high": 90, "hysteresis": 1, "onDelay": 1}) })
}

func benchApply(b *testing.B, alarms map[string]any) {
	const things, perBundle, numbers = 1000, 100, 10
	now := noon
	tw := New(Config{Now: func() time.Time { return now }})
	tw.OnChange(func(realtime.Update) {})
	props := map[string]any{}
	for n := range numbers {
		props[fmt.Sprintf("property%d", n)] = map[string]any{"type": "number", "minimum": 0, "maximum": 100, "echotwin:period": 0.1}
		if alarms != nil {
			props[fmt.Sprintf("property%d", n)].(map[string]any)["echotwin:alarms"] = alarms
		}
	}
	for i := range things {
		td, err := json.Marshal(map[string]any{"id": fmt.Sprintf("plant/line1/thing-%d", i), "title": "t", "properties": props})
		if err != nil {
			b.Fatal(err)
		}
		if err := tw.Describe(td); err != nil {
			b.Fatal(err)
		}
	}
	bundles := make([]realtime.Bundle, things/perBundle)
	for i := range bundles {
		for j := range perBundle {
			r := realtime.Record{Kind: realtime.Telemetry, Thing: fmt.Sprintf("plant/line1/thing-%d", i*perBundle+j)}
			for n := range numbers {
				r.Values = append(r.Values, realtime.Value{Name: fmt.Sprintf("property%d", n), JSON: json.RawMessage(fmt.Sprintf("%d.%d", 10+n, j%100))})
			}
			bundles[i].Records = append(bundles[i].Records, r)
		}
	}
	seq := uint64(0)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		now = now.Add(10 * time.Millisecond)
		bundle := bundles[seq%uint64(len(bundles))]
		for i := range bundle.Records {
			bundle.Records[i].TS, bundle.Records[i].At = now, now
		}
		seq++
		bundle.Seq = seq
		tw.Apply(bundle)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(seq*perBundle), "ns/reading")
}

// BenchmarkCheckpoint is 1,000 things of 10 numbers.
func BenchmarkCheckpoint(b *testing.B) {
	tw := New(Config{})
	var rs []realtime.Record
	for i := range 1000 {
		rs = append(rs, reading(fmt.Sprintf("plant/line1/thing-%d", i), noon, `{"a":1.5,"b":2.5,"c":3.5,"d":4.5,"e":5.5,"f":6.5,"g":7.5,"h":8.5,"i":9.5,"j":10.5}`))
	}
	tw.Apply(realtime.Bundle{Seq: 1, Records: rs})
	_, chunks := tw.Checkpoint()
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			tw.Checkpoint()
		}
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			if _, err := New(Config{}).Restore(chunks); err != nil {
				b.Fatal(err)
			}
		}
	})
}
