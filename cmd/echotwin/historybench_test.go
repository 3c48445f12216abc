package main

import (
	"context"
	"log/slog"
	"math"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/history"
)

// A generated log: one property, once a second, for 30 days.
type monthLog struct{ bundles uint64 }

const (
	monthDays    = 30
	monthInABite = 3600 // samples of one bundle
)

func (l monthLog) Epoch() string               { return "bench" }
func (l monthLog) Last() uint64                { return l.bundles }
func (l monthLog) Continues(epoch string) bool { return epoch == "bench" }
func (l monthLog) Consume(ctx context.Context, after uint64, apply func(realtime.Bundle)) error {
	begin := time.Now().Truncate(time.Hour).Add(-monthDays * 24 * time.Hour)
	for seq := after + 1; seq <= l.bundles && ctx.Err() == nil; seq++ {
		b := realtime.Bundle{Seq: seq}
		for i := range monthInABite {
			n := int(seq-1)*monthInABite + i
			at := begin.Add(time.Duration(n) * time.Second)
			v := 60 + 5*math.Sin(float64(n)/600) + float64(n%7)/100
			b.Records = append(b.Records, realtime.Record{Kind: realtime.Telemetry, Thing: "bench/pump", TS: at, At: at,
				Values: []realtime.Value{{Name: "speed", JSON: strconv.AppendFloat(nil, v, 'f', 2, 64)}}})
		}
		apply(b)
	}
	<-ctx.Done()
	return nil
}

// rolled says whether the hours of whole days have become days.
func rolled(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "rollups", "*.roll"))
	return err == nil && len(files) >= monthDays && len(files) < 3*24
}

// A trend over 30 days at 1 Hz, and over shorter ranges, from an open history.
func BenchmarkTrendOf30Days(b *testing.B) {
	dir := b.TempDir()
	h := history.New(history.Config{Dir: dir, Log: monthLog{monthDays * 24}, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	begin := time.Now()
	for deadline := begin.Add(10 * time.Minute); h.Ready() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("history did not read the log: ", h.Ready())
		}
	}
	report(b, "µs-a-sample-stored", float64(time.Since(begin).Microseconds())/(monthDays*86400))
	ask := func(span time.Duration, buckets int) float64 {
		var times []time.Duration
		for range 15 {
			now := time.Now()
			begin := time.Now()
			t, err := h.Trend(ctx, history.TrendQuery{Thing: "bench/pump", Properties: []string{"speed"}, From: now.Add(-span), To: now, Buckets: buckets})
			if err != nil || len(t.Series[0].Buckets) == 0 {
				b.Fatal(t, err)
			}
			times = append(times, time.Since(begin))
		}
		return ms(quantile(times, .5))
	}
	report(b, "ms-30d-from-samples", ask(monthDays*24*time.Hour, 300))
	for deadline := time.Now().Add(10 * time.Minute); !rolled(dir); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("the buckets were not made")
		}
	}
	report(b, "ms-30d", ask(monthDays*24*time.Hour, 300))
	report(b, "ms-30d-2000-buckets", ask(monthDays*24*time.Hour, 2000))
	report(b, "ms-1d", ask(24*time.Hour, 300))
	report(b, "ms-2h", ask(2*time.Hour, 300))
	report(b, "ms-budget", 100)
}
