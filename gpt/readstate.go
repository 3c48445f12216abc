package gpt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// States is what read_state needs of the twins.
type States interface {
	// ReadState returns the things that match q, sorted by id, at most q.Limit.
	// No match is no error.
	ReadState(ctx context.Context, user string, q StateQuery) ([]ThingState, error)
}

// A StateQuery asks for things by path or pattern ("plant/line1/*", "**").
type StateQuery struct {
	Path       string
	Properties []string // all when empty
	Limit      int
	See        func(thing string) bool // nil means all; things it refuses do not count to Limit
}

// A ThingState is a thing and its latest values.
type ThingState struct {
	Thing, Title string
	Online       string // online, offline, or empty when nobody said
	Properties   []PropertyState
}

// A PropertyState is a value and how far it can be trusted.
type PropertyState struct {
	Name, Unit string
	Value      json.RawMessage
	At         time.Time     // when it was measured
	Age        time.Duration // since then
	Quality    string        // good, stale, out_of_range or bad
}

const (
	maxThings     = 40  // of one result
	maxProperties = 200 // of one result
	maxValueRunes = 200 // of a value that is a string
	maxValueBytes = 512 // of any other
	knownThings   = 20  // named when nothing matched
)

// ReadState is the tool by which the model sees live values.
func ReadState(s States) Tool { return readState{s} }

type readState struct{ states States }

func (readState) Name() string { return "read_state" }

func (readState) Description() string {
	return "Read the latest values of things now, each with unit, age in seconds and quality. " +
		"Path is a thing's id or a pattern: * stands for one segment, a last ** for one or more."
}

func (readState) Schema() map[string]any {
	return map[string]any{
		"type": "object",
		"properties": map[string]any{
			"path":       map[string]any{"type": "string", "description": `for example "plant/line1/conveyor-2" or "plant/line1/**"`},
			"properties": map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "description": "names of properties; all when left out"},
		},
		"required":             []string{"path"},
		"additionalProperties": false,
	}
}

type stateOut struct {
	Things []thingOut `json:"things"`
	Note   string     `json:"note,omitempty"`
	Known  []string   `json:"known,omitempty"`
}

type thingOut struct {
	Thing      string              `json:"thing"`
	Title      string              `json:"title,omitempty"`
	Online     string              `json:"online,omitempty"`
	Properties map[string]valueOut `json:"properties"`
}

type valueOut struct {
	Value   json.RawMessage `json:"value"`
	Unit    string          `json:"unit,omitempty"`
	AgeS    float64         `json:"age_s"`
	Quality string          `json:"quality"`
}

func (t readState) Call(ctx context.Context, who Asker, args json.RawMessage) (Result, error) {
	var in struct {
		Path       string   `json:"path"`
		Properties []string `json:"properties"`
	}
	if err := json.Unmarshal(args, &in); err != nil {
		return Result{}, errors.New(`arguments are {"path": string, "properties": [string]}`)
	}
	if len(in.Path) > 512 || len(in.Properties) > 64 {
		return Result{}, errors.New("path has more than 512 characters or properties more than 64 names")
	}
	q := StateQuery{Path: or(strings.Trim(in.Path, "/ "), "**"), Properties: in.Properties, Limit: maxThings + 1, See: who.See}
	found, err := t.read(ctx, who, q)
	if err != nil {
		return Result{}, err
	}
	if countValues(found) == 0 {
		return t.nothing(ctx, who, q, found)
	}
	return stateResult(found), nil
}

// read leaves out what the asker may not see once more, so that a States that
// forgets to is not a leak.
func (t readState) read(ctx context.Context, who Asker, q StateQuery) ([]ThingState, error) {
	found, err := t.states.ReadState(ctx, who.User, q)
	return slices.DeleteFunc(slices.Clone(found), func(th ThingState) bool { return !who.Sees(th.Thing) }), err
}

// nothing helps the model to the right name instead of leaving it to guess: it
// names the properties of the things that matched or, without any, some things.
func (t readState) nothing(ctx context.Context, who Asker, q StateQuery, found []ThingState) (Result, error) {
	out := stateOut{Things: []thingOut{}, Note: "nothing matches this path"}
	at := "**"
	if len(found) > 0 {
		out.Note = "the thing is there, but has no value of this name"
		at = q.Path
	}
	all, err := t.read(ctx, who, StateQuery{Path: at, Limit: knownThings, See: who.See})
	if err != nil {
		return Result{}, err
	}
	for _, th := range all {
		line := th.Thing
		if len(found) > 0 {
			var names []string
			for _, p := range th.Properties {
				names = append(names, p.Name)
			}
			line += ": " + strings.Join(names, ", ")
		}
		out.Known = append(out.Known, clip(line, 400))
	}
	return Result{Data: out, Summary: "no value at " + clip(q.Path, 80)}, nil
}

func countValues(things []ThingState) int {
	n := 0
	for _, t := range things {
		n += len(t.Properties)
	}
	return n
}

func stateResult(found []ThingState) Result {
	out := stateOut{Things: []thingOut{}}
	var res Result
	left, size := maxProperties, 0
	for i, t := range found {
		if i == maxThings || left < len(t.Properties) && i > 0 {
			break
		}
		var vs []Value
		o := thingOut{Thing: t.Thing, Title: oneLine(t.Title, maxTitle), Online: t.Online, Properties: map[string]valueOut{}}
		for _, p := range t.Properties[:min(left, len(t.Properties))] {
			v := valueOut{Value: boundedValue(p.Value), Unit: oneLine(p.Unit, 20), AgeS: math.Round(p.Age.Seconds()*10) / 10, Quality: p.Quality}
			o.Properties[p.Name] = v
			vs = append(vs, Value{t.Thing, p.Name, v.Value, v.Unit, v.AgeS, v.Quality})
		}
		b, _ := json.Marshal(o)
		if size += len(b) + 1; size > maxResult-512 {
			break
		}
		left -= len(o.Properties)
		out.Things = append(out.Things, o)
		res.Values = append(res.Values, vs...)
		res.Citations = append(res.Citations, citeState(t))
	}
	n := len(out.Things)
	if n < len(found) {
		out.Note = fmt.Sprintf("only the first %d things; there are more, ask for a narrower path or for some properties", n)
	}
	values := maxProperties - left
	res.Summary = fmt.Sprintf("%d values of %d things", values, n)
	if n == 1 {
		res.Summary = fmt.Sprintf("%d values of %s", values, or(out.Things[0].Title, out.Things[0].Thing))
	}
	res.Data = out
	return res
}

// boundedValue is v as JSON that is certainly JSON and not large.
func boundedValue(v json.RawMessage) json.RawMessage {
	var s string
	switch {
	case !json.Valid(v):
		return json.RawMessage("null")
	case json.Unmarshal(v, &s) == nil && bytes.HasPrefix(bytes.TrimSpace(v), []byte(`"`)):
		return quoted(clip(s, maxValueRunes))
	case len(v) > maxValueBytes:
		return quoted(clip(string(v), maxValueRunes))
	}
	return v
}

// citeState quotes what was read, as a person would write it down.
func citeState(t ThingState) Citation {
	c := Citation{Kind: "state", Title: or(oneLine(t.Title, maxTitle), t.Thing), Ref: t.Thing}
	var parts []string
	for i, p := range t.Properties {
		if i == 8 {
			parts = append(parts, "…")
			break
		}
		s := p.Name + " " + oneLine(strings.Trim(string(boundedValue(p.Value)), `"`), 40)
		if p.Unit != "" {
			s += " " + oneLine(p.Unit, 20)
		}
		if p.Quality != "" && p.Quality != "good" {
			s += fmt.Sprintf(" (%s, %s old)", p.Quality, p.Age.Round(time.Second))
		}
		parts = append(parts, s)
		if p.At.After(c.At) {
			c.At = p.At
		}
	}
	c.Quote = strings.Join(parts, " · ")
	if t.Online == "offline" {
		c.Quote = "offline · " + c.Quote
	}
	return c
}
