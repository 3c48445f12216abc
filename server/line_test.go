package server

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/history"
	"echotwin/realtime/hub"
	"echotwin/realtime/ingest"
	"echotwin/realtime/twin"
)

// A line is a site with a real log, ingest and twins behind it.
type line struct {
	*site
	bus     *bus.Bus
	twins   *twin.Twins
	devices *devices
}

const pumpTD = `{
	"@context": ["https://www.w3.org/2019/wot/td/v1", "https://www.w3.org/2022/wot/td/v1.1", {"echotwin": "urn:echotwin:td#"}],
	"id": "urn:echotwin:plant/pump", "title": "Pump", "titles": {"en": "Pump", "vi": "Bơm"}, "@type": ["Pump", "saref:Device"], "echotwin:tag": "P-101",
	"security": "nosec", "securityDefinitions": {"nosec": {"scheme": "nosec"}},
	"properties": {
		"speed": {"type": "number", "unit": "%", "minimum": 0, "maximum": 120},
		"running": {"type": "boolean"}
	},
	"actions": {"setSpeed": {"input": {"type": "object", "required": ["speed"], "properties": {"speed": {"type": "number", "minimum": 20, "maximum": 100, "unit": "%"}}}, "echotwin:feedback": "speed"}},
	"events": {"overheat": {"data": {"type": "object"}}}
}`

// devices take commands and answer as they are told.
type devices struct {
	mu     sync.Mutex
	ingest *ingest.Ingest
	result string // "" answers nothing
	err    error
	inputs []string
}

func (d *devices) Send(ctx context.Context, thing, action, cmd string, input []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	d.inputs = append(d.inputs, string(input))
	if d.result != "" {
		go func(result string) { _ = d.ingest.Result(context.WithoutCancel(ctx), cmd, []byte(result)) }(d.result)
	}
	return nil
}

func (d *devices) answer(result string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result, d.err, d.inputs = result, err, nil
}

func newLine(t *testing.T, change ...func(*Deps)) *line {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	ctx, cancel := context.WithCancel(context.Background())
	b, err := bus.Open(ctx, bus.Config{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	in := ingest.New(ingest.Config{Log: b, Logger: quiet})
	l := &line{bus: b, devices: &devices{ingest: in, result: `{"ok":true}`}}
	l.twins = twin.New(twin.Config{Log: in, Devices: l.devices})
	if err := l.twins.Describe([]byte(pumpTD)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.Consume(ctx, 0, l.twins.Apply) })
	wg.Go(func() { _ = l.twins.Run(ctx) })
	h := hub.New(hub.Config{Epoch: b.Epoch(), Commander: l.twins, Authenticate: func(ctx context.Context, token string) (hub.Viewer, error) { return l.Viewer(ctx, token) }})
	descriptions, err := b.Bucket(ctx, "things")
	if err != nil {
		t.Fatal(err)
	}
	things := twin.NewDirectory(twin.DirectoryConfig{Twins: l.twins, Store: descriptions, Logger: quiet,
		Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound})
	wg.Go(func() { _ = things.Run(ctx) })
	kept, err := b.Bucket(ctx, "alarmrules")
	if err != nil {
		t.Fatal(err)
	}
	rules := twin.NewRulebook(twin.RulebookConfig{Twins: l.twins, Store: kept, Logger: quiet, Check: history.CheckQuery,
		Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound})
	if err := rules.Load(ctx); err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { _ = rules.Run(ctx) })
	l.site = newSite(t, append([]func(*Deps){func(d *Deps) { d.Things, d.Rules = things, rules }, func(d *Deps) { d.Twins, d.Ingest, d.Hub = l.twins, in, h }}, change...)...)
	l.twins.OnChange(func(u realtime.Update) {
		h.Publish(u)
		l.Publish(u)
	})
	t.Cleanup(func() {
		l.Close()
		h.Close()
		in.Close()
		cancel()
		wg.Wait()
		b.Close()
	})
	return l
}

// settle waits until everything stored is shown.
func (l *line) settle() {
	l.Helper()
	for deadline := time.Now().Add(10 * time.Second); l.twins.Seq() < l.bus.Last(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatal("the twins do not follow the log")
		}
	}
}
