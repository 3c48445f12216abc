package simulator

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"
)

// tick is how often the line moves and instruments are looked at.
const tick = 50 * time.Millisecond

// maxBehind is how much time the line makes up for after the program was held
// up, at Speed 1.
const maxBehind = time.Second

// Config says which door the line's devices use.
type Config struct {
	URL   string  // of the MQTT door: mqtt://host:port, with user:password@ where it is not open, or mqtts://…
	Seed  uint64  // of everything that is left to chance
	Speed float64 // seconds of the line in one second; zero means 1
	Log   *slog.Logger

	door *url.URL // URL, read
}

// Run runs the line and its devices until ctx ends. The devices say that they
// are offline before they go.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Speed <= 0 {
		cfg.Speed = 1
	}
	var err error
	if cfg.door, err = url.Parse(cfg.URL); err != nil || cfg.door.Host == "" {
		return fmt.Errorf("simulator: %q is no address of an MQTT door, such as mqtt://127.0.0.1:1883", cfg.URL)
	}
	all, err := specs()
	if err != nil {
		return err
	}
	p := &plant{line: newLine(cfg.Seed), devices: map[string]*device{}}
	var wg sync.WaitGroup
	for i, name := range names {
		d := newDevice(name, all[name], p.command)
		// Apart from each other, so that not everything is said at the same moment.
		d.due = time.Now().Add(d.spec.period * time.Duration(i) / time.Duration(len(names)))
		p.devices[name] = d
		wg.Go(func() { d.run(ctx, cfg) })
	}
	p.run(ctx, cfg.Speed)
	wg.Wait()
	return nil
}

// A plant is the line and who speaks for it.
type plant struct {
	mu      sync.Mutex // guards line
	line    *line
	devices map[string]*device
}

func (p *plant) run(ctx context.Context, speed float64) {
	clock := time.NewTicker(tick)
	defer clock.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-clock.C:
			passed := min(now.Sub(last), maxBehind)
			last = now
			p.advance(now, passed.Seconds()*speed)
		}
	}
}

// advance moves the line and hands what is due to the devices, which never
// block: a device whose door is away drops what is oldest.
func (p *plant) advance(now time.Time, seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.advance(seconds)
	for _, name := range names {
		d := p.devices[name]
		if now.Before(d.due) {
			continue
		}
		d.due = d.due.Add(d.spec.period)
		if d.due.Before(now) {
			d.due = now.Add(d.spec.period)
		}
		d.offer(saying{"telemetry/" + site + name, p.line.read(name, d.spec, now)})
	}
	for _, e := range p.line.events {
		p.devices[e.thing].offer(saying{"event/" + site + e.thing + "/" + e.name, e.data})
	}
	p.line.events = p.line.events[:0]
}

// command obeys a setSpeed.
func (p *plant) command(thing string, speed float64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, name := range belts {
		if name == thing {
			return p.line.belts[i].set(speed)
		}
	}
	return errNoSuchAction
}
