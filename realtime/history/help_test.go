package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
)

// A memoryLog is a log that a test writes.
type memoryLog struct {
	mu      sync.Mutex
	bundles []realtime.Bundle
	grown   chan struct{} // closed with every append
	epoch   string
	before  string // the epoch that it had before it was mended
}

func newLog() *memoryLog { return &memoryLog{grown: make(chan struct{}), epoch: "e1"} }

func (l *memoryLog) Epoch() string { return l.epoch }

func (l *memoryLog) Continues(epoch string) bool {
	return epoch == l.epoch || epoch == l.before && epoch != ""
}

func (l *memoryLog) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.bundles))
}

func (l *memoryLog) append(rs ...realtime.Record) realtime.Bundle {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := realtime.Bundle{Seq: uint64(len(l.bundles)) + 1, Records: rs}
	l.bundles = append(l.bundles, b)
	close(l.grown)
	l.grown = make(chan struct{})
	return b
}

func (l *memoryLog) Consume(ctx context.Context, after uint64, apply func(realtime.Bundle)) error {
	for {
		l.mu.Lock()
		have, grown := l.bundles, l.grown
		l.mu.Unlock()
		for ; after < uint64(len(have)); after++ {
			if ctx.Err() != nil {
				return nil
			}
			apply(have[after])
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
	}
}

// said is what a device said at a moment.
func said(thing string, ts int64, values ...any) realtime.Record {
	r := realtime.Record{Kind: realtime.Telemetry, Thing: thing, TS: time.UnixMilli(ts), At: time.UnixMilli(ts)}
	for i := 0; i < len(values); i += 2 {
		b, err := json.Marshal(values[i+1])
		if err != nil {
			panic(err)
		}
		r.Values = append(r.Values, realtime.Value{Name: values[i].(string), JSON: b})
	}
	return r
}

// A plant is a history with its log.
type plant struct {
	*History
	t    testing.TB
	log  *memoryLog
	cfg  Config
	stop func()
}

func newPlant(t testing.TB, change ...func(*Config)) *plant {
	t.Helper()
	p := &plant{t: t, log: newLog()}
	p.cfg = Config{Dir: t.TempDir(), Log: p.log, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&p.cfg)
	}
	p.start()
	return p
}

func (p *plant) start() {
	p.t.Helper()
	p.History = New(p.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("Run: %v", err)
		}
	})
	p.t.Cleanup(p.stop)
	p.settle()
}

func (p *plant) restart() {
	p.t.Helper()
	p.stop()
	p.start()
}

// say appends one bundle and offers it.
func (p *plant) say(rs ...realtime.Record) { p.Offer(p.log.append(rs...)) }

// settle waits until history has what the log has.
func (p *plant) settle() {
	p.t.Helper()
	eventually(p.t, "history has read the log", func() bool { return p.Ready() == nil && p.Seq() == p.log.Last() })
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("it never came about that %s", what)
}

// raw is all samples of a property as ts=value.
func (p *plant) raw(thing, property string) []string {
	p.t.Helper()
	out := []string{}
	for s, err := range p.Samples(p.t.Context(), Which{Path: thing, Properties: []string{property}}, time.UnixMilli(base-day), time.UnixMilli(base+10*day)) {
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d=%s", s.TS-base, s.JSON))
	}
	return out
}

func (p *plant) trend(thing string, from, to int64, buckets int, properties ...string) *Trend {
	p.t.Helper()
	t, err := p.Trend(p.t.Context(), TrendQuery{Thing: thing, Properties: properties, From: time.UnixMilli(base + from), To: time.UnixMilli(base + to), Buckets: buckets})
	if err != nil {
		p.t.Fatal(err)
	}
	return t
}

// base is the zero of the tests' times, a whole hour some days ago.
var base = floor(time.Now().UnixMilli()-48*hour, hour)

func code(err error) string {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return fmt.Sprint(err)
}
