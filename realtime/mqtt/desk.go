package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"echotwin/realtime"
)

// storeTimeout bounds one call of Ingest, far above what a commit takes.
const storeTimeout = 30 * time.Second

// refusedEvery is how often one thing gets the event "refused".
const refusedEvery = 10 * time.Second

// maxNoted bounds for how many things the time of the last refusal is kept.
const maxNoted = 4096

// A desk hands what devices say to Ingest and keeps account of what was
// refused. Both kinds of door have one.
type desk struct {
	ctx    context.Context
	ingest Ingest
	log    *slog.Logger

	mu       sync.Mutex
	messages uint64
	commands uint64
	refused  map[string]uint64
	unsent   map[string]uint64
	noted    map[string]*note // by thing
	say      rate.Sometimes   // keeps a device gone wrong from filling the log
}

// A note is the last refusal that a thing was told, and how many came since.
type note struct {
	at    time.Time
	count int
}

func newDesk(ctx context.Context, in Ingest, log *slog.Logger) *desk {
	return &desk{
		ctx: ctx, ingest: in, log: log,
		refused: map[string]uint64{}, unsent: map[string]uint64{}, noted: map[string]*note{},
		say: rate.Sometimes{First: 20, Interval: time.Second},
	}
}

// store returns when Ingest has stored what a device said, or, for QoS 0, will.
// When it stored a part only, partly is told what was wrong with the rest, if
// it is not nil.
func (d *desk) store(t topic, payload []byte, qos byte, partly func(*realtime.Problem)) error {
	ctx, cancel := context.WithTimeout(d.ctx, storeTimeout)
	defer cancel()
	var err error
	switch t.kind {
	case telemetry:
		if e, ok := d.ingest.(eager); ok && qos == 0 {
			err = e.TelemetryNoWait(ctx, t.thing, payload)
			break
		}
		err = d.ingest.Telemetry(ctx, t.thing, payload)
	case property:
		err = d.ingest.Property(ctx, t.thing, t.name, payload)
	case event:
		err = d.ingest.Event(ctx, t.thing, t.name, payload)
	case status:
		err = d.ingest.Status(ctx, t.thing, string(payload))
	case result:
		err = d.ingest.Result(ctx, t.cmd, payload)
	}
	var part *Partly
	if errors.As(err, &part) {
		d.refuse(t.thing, part.First, "", max(part.Refused, 1))
		if partly != nil {
			partly(part.First)
		}
		return nil
	}
	return err
}

// refusal is the problem that a device should read, or nil when err only means
// that the log cannot store now.
func refusal(err error) *realtime.Problem {
	var p *realtime.Problem
	if errors.As(err, &p) && p.Code != realtime.CodeUnavailable {
		return p
	}
	return nil
}

// refuse keeps account of n refusals for the same reason. thing is empty when
// the refusal is nobody's, or not for its owner to see.
func (d *desk) refuse(thing string, p *realtime.Problem, from string, n int) {
	d.count(p.Code, n, "what a device said was refused", "thing", thing, "at", p.At, "why", p.Message, "from", from)
	if thing == "" {
		return
	}
	if n = d.due(thing, n); n == 0 {
		return
	}
	data, err := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		At      string `json:"at,omitempty"`
		Count   int    `json:"count"`
	}{p.Code, clip(p.Message, 300), clip(p.At, 100), n})
	if err != nil {
		return // strings and a number always encode
	}
	ctx, cancel := context.WithTimeout(d.ctx, storeTimeout)
	defer cancel()
	if err := d.ingest.Event(ctx, thing, "refused", data); err != nil {
		d.log.Warn("a refusal could not be recorded", "thing", thing, "err", err)
	}
}

// due adds n refusals to what the thing has not been told yet, and returns
// them all when it is time to tell.
func (d *desk) due(thing string, n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	t := d.noted[thing]
	if t == nil {
		if len(d.noted) >= maxNoted {
			clear(d.noted)
		}
		t = &note{}
		d.noted[thing] = t
	}
	t.count += n
	if now.Sub(t.at) < refusedEvery {
		return 0
	}
	n, t.count, t.at = t.count, 0, now
	return n
}

// count adds n to a reason and logs why, not more often than a log can bear.
func (d *desk) count(reason string, n int, msg string, why ...any) {
	d.mu.Lock()
	d.refused[reason] += uint64(n)
	total := d.refused[reason]
	d.mu.Unlock()
	d.say.Do(func() { d.log.Warn(msg, append(why, "reason", reason, "so_far", total)...) })
}

// took counts a message that a device published.
func (d *desk) took() {
	d.mu.Lock()
	d.messages++
	d.mu.Unlock()
}

// sent counts what became of a command.
func (d *desk) sent(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var p *realtime.Problem
	switch {
	case err == nil:
		d.commands++
	case !errors.As(err, &p):
		d.unsent["unknown"]++
	case p.Code == realtime.CodeOffline:
		d.unsent["offline"]++
	default:
		d.unsent["refused"]++
	}
}

func (d *desk) stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Messages: d.messages, Commands: d.commands, Refused: maps.Clone(d.refused), Unsent: maps.Clone(d.unsent)}
}
