package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/twin"
)

// From exec to the first answer of /readyz, after kill -9, with 1,000 described
// things, a checkpoint and a log that is full: 4 GB, or ECHOTWIN_BENCH_LOG such
// as 512MB. Beside it the CPU time of the process until then, which a busy
// machine does not change.
func BenchmarkStartToServing(b *testing.B) {
	size := bytesize(4 << 30)
	if v := os.Getenv("ECHOTWIN_BENCH_LOG"); v != "" {
		if err := size.UnmarshalText([]byte(v)); err != nil {
			b.Fatal(err)
		}
	}
	env := settings(b, map[string]string{"ECHOTWIN_RAW_SIZE": strconv.FormatInt(int64(size), 10)})
	fillLog(b, env["ECHOTWIN_DATA"], int64(size))
	var times, cpu []time.Duration
	for range 5 {
		begin := time.Now()
		a, p := startProcess(b, env)
		res, err := http.Get("http://" + a.HTTP + "/readyz")
		if err != nil || res.StatusCode != 200 {
			b.Fatal(res, err)
		}
		res.Body.Close()
		times = append(times, time.Since(begin))
		c := signIn(b, a)
		if got := c.value("plant/line1/press-999", "p9"); got == "" {
			b.Fatal("the last values are not there")
		}
		for range 20 { // so that the log is written to when it is killed
			if code, body := c.do("POST", "/api/telemetry/plant/line1/press-1", `{"p1":1.5}`); code != 202 {
				b.Fatal(code, body)
			}
		}
		p.Process.Kill()
		p.Wait()
		use := p.ProcessState.SysUsage().(*syscall.Rusage)
		cpu = append(cpu, time.Duration(use.Utime.Nano()+use.Stime.Nano()))
	}
	report(b, "GB-log", float64(size)/(1<<30))
	report(b, "ms-p50", ms(quantile(times, .5)))
	report(b, "ms-max", ms(quantile(times, 1)))
	report(b, "ms-cpu-p50", ms(quantile(cpu, .5)))
	report(b, "ms-budget", 500)
}

// fillLog makes a data folder of 1,000 things of ten properties, with a log of
// that size, of which the newest 4 MB are after the checkpoint: what these things say in a
// second at 10 Hz, and some more.
func fillLog(b *testing.B, data string, size int64) {
	b.Helper()
	ctx := context.Background()
	dir := filepath.Join(data, "things")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	twins := twin.New(twin.Config{})
	for i := range 1000 {
		td := benchTD(i)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("press-%d.json", i)), td, 0o600); err != nil {
			b.Fatal(err)
		}
		if err := twins.Describe(td); err != nil {
			b.Fatal(err)
		}
	}
	log, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(data, "nats"), MaxBytes: 2 * size, Segment: min(size/16, 64<<20), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	round := 0
	put := func(bytes int64) (last uint64, bundle []byte) {
		for bytes > 0 {
			bundle = benchBundle(round)
			round++
			if last, err = log.Append(ctx, bundle); err != nil {
				b.Fatal(err)
			}
			bytes -= int64(len(bundle))
		}
		return last, bundle
	}
	put(size - 9<<20)
	var last uint64
	for range 4 { // every thing once
		var bundle []byte
		last, bundle = put(1)
		records, err := realtime.ParseRecords(bundle)
		if err != nil {
			b.Fatal(err)
		}
		twins.Apply(realtime.Bundle{Seq: last, Records: records})
	}
	bucket, err := log.Bucket(ctx, "checkpoint")
	if err != nil {
		b.Fatal(err)
	}
	k := &checkpoints{bucket: bucket, bus: log, alone: true, hold: log.Hold("checkpoint", 0),
		filed: func(context.Context, uint64) error { return nil }} // the log holds readings only
	k.save(ctx, twins, slog.Default())
	put(4 << 20)
}

// benchBundle is the readings of 250 things, as ingest writes them.
func benchBundle(round int) (lines []byte) {
	now := time.Now()
	for i := range 250 {
		var values []realtime.Value
		for p := range 10 {
			values = append(values, realtime.Value{Name: fmt.Sprintf("p%d", p), JSON: fmt.Appendf(nil, "%d.%02d", 20+p, (round+i)%100)})
		}
		lines = realtime.AppendRecord(lines, realtime.Record{Kind: realtime.Telemetry, Thing: fmt.Sprintf("plant/line1/press-%d", round%4*250+i), TS: now, At: now, Values: values})
	}
	return lines
}

func benchTD(i int) []byte {
	td := fmt.Appendf(nil, `{"@context":["https://www.w3.org/2019/wot/td/v1","https://www.w3.org/2022/wot/td/v1.1"],"id":"urn:echotwin:plant/line1/press-%d","title":"Press %d","securityDefinitions":{"s":{"scheme":"nosec"}},"security":"s","properties":{`, i, i)
	for p := range 10 {
		if p > 0 {
			td = append(td, ',')
		}
		td = fmt.Appendf(td, `"p%d":{"type":"number","minimum":0,"maximum":200,"readOnly":true,"observable":true,"forms":[{"href":"properties/p%d"}]}`, p, p)
	}
	return append(td, "}}"...)
}
