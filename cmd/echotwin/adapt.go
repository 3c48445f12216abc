package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"echotwin/gpt"
	"echotwin/realtime"
	"echotwin/realtime/history"
	"echotwin/realtime/ingest"
	"echotwin/realtime/mqtt"
	"echotwin/realtime/twin"
)

// The stages do not know each other; what little their words differ by is
// bridged here.

// intake is the way in as the MQTT door wants it: a device reads no Answer.
type intake struct{ in *ingest.Ingest }

func (i intake) Telemetry(ctx context.Context, thing string, payload []byte) error {
	return refusal(i.in.Telemetry(ctx, thing, payload))
}

func (i intake) Property(ctx context.Context, thing, name string, payload []byte) error {
	return refusal(i.in.Property(ctx, thing, name, payload))
}

func (i intake) Event(ctx context.Context, thing, name string, payload []byte) error {
	return i.in.Event(ctx, thing, name, payload)
}

func (i intake) Status(ctx context.Context, thing, word string) error {
	return i.in.Status(ctx, thing, word)
}

func (i intake) Result(ctx context.Context, cmd string, payload []byte) error {
	return i.in.Result(ctx, cmd, payload)
}

// TelemetryNoWait is for QoS 0, which asks for no evidence.
func (i intake) TelemetryNoWait(ctx context.Context, thing string, payload []byte) error {
	return refusal(i.in.TelemetryNoWait(ctx, thing, payload))
}

// refusal makes of an Answer what a device can be told: the rest is stored,
// and what was refused beside it is counted and kept as a fact.
func refusal(a ingest.Answer, err error) error {
	if err == nil && len(a.Rejected) > 0 {
		return &mqtt.Partly{Refused: a.RejectedTotal, First: &a.Rejected[0]}
	}
	return err
}

// admit says what would not be shown of a sample. The door is open before there
// are twins: what comes then is not much, and if it is too much only counted.
func (s *stages) admit(thing string, values []realtime.Value) ([]int, *realtime.Problem) {
	if twins := s.known.Load(); twins != nil {
		return twins.Admit(thing, values)
	}
	return nil, nil
}

// describe is what history wants to know about a property.
func (s *stages) describe(thing, property string) (history.Description, bool) {
	d, ok := s.twins.Described(thing, property)
	return history.Description{Type: d.Type, Unit: d.Unit, MultipleOf: d.MultipleOf, Names: d.Enum}, ok
}

// plant is what the assistant may read of the twins.
type plant struct{ twins *twin.Twins }

func (p plant) things() []gpt.Thing {
	states := p.twins.States(nil)
	out := make([]gpt.Thing, len(states))
	for i, s := range states {
		out[i] = gpt.Thing{ID: s.Thing, Title: s.Title}
	}
	return out
}

// ReadState implements gpt.States.
func (p plant) ReadState(_ context.Context, _ string, q gpt.StateQuery) ([]gpt.ThingState, error) {
	if err := realtime.CheckPattern(q.Path); err != nil {
		return nil, err
	}
	states := p.twins.States(func(id string) bool { return realtime.Match(q.Path, id) && (q.See == nil || q.See(id)) })
	states = states[:min(len(states), q.Limit)]
	out := make([]gpt.ThingState, 0, len(states))
	for _, s := range states {
		t := gpt.ThingState{Thing: s.Thing, Title: s.Title, Online: s.Online}
		for name, v := range s.Properties {
			if len(v.Value) == 0 || len(q.Properties) > 0 && !slices.Contains(q.Properties, name) {
				continue
			}
			t.Properties = append(t.Properties, gpt.PropertyState{
				Name: name, Unit: v.Unit, Value: v.Value, At: v.TS, Age: time.Duration(v.Age * float64(time.Second)), Quality: v.Quality,
			})
		}
		slices.SortFunc(t.Properties, func(a, b gpt.PropertyState) int { return strings.Compare(a.Name, b.Name) })
		out = append(out, t)
	}
	return out, nil
}

// ReadAlarms implements gpt.Alarms.
func (p plant) ReadAlarms(_ context.Context, q gpt.AlarmQuery) ([]gpt.Alarm, error) {
	if err := realtime.CheckPattern(q.Path); err != nil {
		return nil, err
	}
	see := func(id string) bool { return realtime.Match(q.Path, id) && (q.See == nil || q.See(id)) }
	var out []gpt.Alarm
	for _, a := range p.twins.Alarms(twin.AlarmQuery{See: see}) {
		if len(out) == q.Limit {
			break
		}
		one := gpt.Alarm{
			ID: a.ID, Thing: a.Thing, Property: a.Property, Rule: a.Rule, Severity: a.Severity, State: a.State, Message: a.Message,
			Raised: a.Raised, Count: a.Count, Suppressed: a.Suppressed,
		}
		if a.Acked != nil {
			one.AckedBy, one.Comment = a.Acked.By, a.Acked.Comment
		}
		if a.Shelved != nil {
			one.ShelvedBy, one.Reason = a.Shelved.By, a.Shelved.Reason
		}
		out = append(out, one)
	}
	return out, nil
}
