package twin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
)

// conveyor is a described thing as the demo line has it.
const conveyor = `{
	"@context": ["https://www.w3.org/2019/wot/td/v1", "https://www.w3.org/2022/wot/td/v1.1", {"echotwin": "urn:echotwin:td#"}],
	"id": "urn:echotwin:plant/line1/conveyor-2",
	"title": "Conveyor 2", "titles": {"en": "Conveyor 2", "vi": "Băng tải 2"},
	"echotwin:tag": "CV-02",
	"properties": {
		"speed": {"title": "Speed", "type": "number", "unit": "%", "minimum": 0, "maximum": 100, "readOnly": true, "echotwin:tag": "ST-202", "echotwin:period": 1},
		"temperature": {"type": "number", "unit": "°C", "minimum": -20, "maximum": 150, "echotwin:band": [30, 70]},
		"running": {"type": "boolean"},
		"count": {"type": "integer"},
		"above": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 5}
	},
	"actions": {
		"setSpeed": {
			"input": {"type": "object", "required": ["speed"], "properties": {"speed": {"type": "number", "unit": "%", "minimum": 20, "maximum": 100}}},
			"echotwin:feedback": "speed"
		},
		"stop": {}
	},
	"events": {"overheat": {"data": {"type": "object"}}}
}`

const conveyorID = "plant/line1/conveyor-2"

// A plant is one log with the nodes that apply it, and the devices.
type plant struct {
	t *testing.T

	mu      sync.Mutex
	nodes   []*Twins
	bundles []realtime.Bundle
	down    error // what Put answers instead of storing

	hold chan struct{} // when not nil, Put waits for it to be closed
	lag  time.Duration // how long after Put the nodes get to read it

	devices sync.Map // thing → func(cmd string, input []byte) error; others are offline
}

// node adds a node that has applied the whole log.
func (p *plant) node(tds ...string) (*Twins, *listener) {
	p.t.Helper()
	tw := New(Config{Log: p, Devices: p})
	l := &listener{t: p.t}
	tw.OnChange(l.hear)
	for _, td := range tds {
		if err := tw.Describe([]byte(td)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.join(tw)
	return tw, l
}

func (p *plant) join(tw *Twins) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = append(p.nodes, tw)
	p.catchUp()
}

// leave takes a node away, as when its process dies.
func (p *plant) leave(tw *Twins) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, n := range p.nodes {
		if n == tw {
			p.nodes = append(p.nodes[:i:i], p.nodes[i+1:]...)
		}
	}
}

// Put stores records as the real log does: as lines, which every node reads.
func (p *plant) Put(ctx context.Context, rs ...realtime.Record) (uint64, error) {
	if p.hold != nil {
		<-p.hold
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down != nil {
		return 0, p.down
	}
	var lines []byte
	for _, r := range rs {
		lines = realtime.AppendRecord(lines, r)
	}
	read, err := realtime.ParseRecords(lines)
	if err != nil {
		p.t.Errorf("the log cannot read %s: %v", lines, err)
	}
	seq := uint64(len(p.bundles) + 1)
	p.bundles = append(p.bundles, realtime.Bundle{Seq: seq, Records: read})
	if p.lag > 0 {
		time.AfterFunc(p.lag, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.catchUp()
		})
	} else {
		p.catchUp()
	}
	return seq, ctx.Err()
}

// catchUp lets every node read what is in the log.
func (p *plant) catchUp() {
	for _, tw := range p.nodes {
		for _, b := range p.bundles[min(int(tw.Seq()), len(p.bundles)):] {
			tw.Apply(b)
		}
	}
}

func (p *plant) say(rs ...realtime.Record) {
	p.t.Helper()
	if _, err := p.Put(context.Background(), rs...); err != nil {
		p.t.Error(err)
	}
}

func (p *plant) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = err
}

func (p *plant) Send(_ context.Context, thing, action, cmd string, input []byte) error {
	d, ok := p.devices.Load(thing)
	if !ok {
		return &realtime.Problem{Code: realtime.CodeOffline, Message: thing + " is not connected"}
	}
	return d.(func(string, []byte) error)(cmd, input)
}

func (p *plant) device(thing string, take func(cmd string, input []byte) error) {
	p.devices.Store(thing, take)
}

// answer is what a device says of a command.
func (p *plant) answer(cmd, data string) {
	now := time.Now()
	p.say(realtime.Record{Kind: realtime.Result, TS: now, At: now, Cmd: cmd, Data: json.RawMessage(data)})
}

// A listener keeps all it was told.
type listener struct {
	t       testing.TB // hears of sentences without their codes; nil: nobody does
	mu      sync.Mutex
	updates []realtime.Update
	looks   []string // how things were described, which is no change of state
	texts   []string // each update as it was when it was told
}

func (l *listener) hear(u realtime.Update) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range u.Described {
		l.looks = append(l.looks, strings.TrimSpace(d.How+" "+d.Thing+" "+string(d.Diff)))
	}
	if len(u.Described) > 0 && len(u.Changes)+len(u.Facts) == 0 {
		return
	}
	if l.t != nil {
		for _, wrong := range unsaid(u) {
			l.t.Error(wrong)
		}
	}
	l.updates = append(l.updates, u)
	l.texts = append(l.texts, fmt.Sprintf("%+v", asText(u)))
}

// last is the update told last.
func (l *listener) last() realtime.Update {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.updates) == 0 {
		return realtime.Update{}
	}
	return l.updates[len(l.updates)-1]
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.updates)
}

// facts are the bodies of all facts of a type.
func (l *listener) facts(frame string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.updates {
		for _, f := range u.Facts {
			if f.Type == frame {
				out = append(out, string(f.Body))
			}
		}
	}
	return out
}

// steps are the states of all commands in the order told.
func (l *listener) steps() (out []string) {
	for _, body := range l.facts("cmd") {
		var c realtime.Invoked
		if json.Unmarshal([]byte(body), &c) == nil {
			out = append(out, c.Status)
		}
	}
	return out
}

func asText(u realtime.Update) string {
	b, err := json.Marshal(u)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// reading is a telemetry record measured and arrived at ts.
func reading(thing string, ts time.Time, set string) realtime.Record {
	vs, err := realtime.ParseValues([]byte(set))
	if err != nil {
		panic(err)
	}
	return realtime.Record{Kind: realtime.Telemetry, Thing: thing, TS: ts, At: ts, Values: vs}
}

// value is the JSON of a property, with its quality.
func value(tw *Twins, thing, name string) string {
	p, ok := tw.Property(thing, name)
	if !ok {
		return "none"
	}
	return string(p.Value) + " " + p.Quality
}

// problem is err as a problem that was to be expected.
func problem(t *testing.T, err error) *realtime.Problem {
	t.Helper()
	var p *realtime.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got error %v, want a *realtime.Problem", err)
	}
	return p
}
