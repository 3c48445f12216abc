package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/mqtt"
)

// A router carries commands to their device on whichever node it is connected
// to. Each node answers on the bus for the devices at its own door, so a node
// that does not have the device asks, and hears at once when nobody has it. A
// question waits nowhere: who is not there does not get it later.
type router struct {
	bus interface {
		Ask(ctx context.Context, subject string, question []byte) ([]byte, error)
		Answer(subject string, f func(question []byte) []byte) (stop func(), err error)
	}
	log  *slog.Logger
	door atomic.Pointer[mqtt.Door] // its own; nil until it is open

	mu      sync.Mutex
	answers map[string]func() // what stops answering, by the devices' filter
}

// A carried is a command on its way to another node.
type carried struct {
	Thing  string          `json:"thing"`
	Action string          `json:"action"`
	Cmd    string          `json:"cmd"`
	Input  json.RawMessage `json:"input"`
	Until  int64           `json:"until"` // ms since 1970
}

// A receipt is what became of it there: nothing when the device has taken it.
type receipt struct {
	Problem *realtime.Problem `json:"problem,omitempty"` // it certainly did not get it
	Unknown string            `json:"unknown,omitempty"` // nobody knows
}

var subjects = strings.NewReplacer("/", ".", "+", "*", "#", ">")

// subjectOf turns a topic or a filter of commands into a subject of the bus.
func subjectOf(topic string) string { return "echotwin." + subjects.Replace(topic) }

// heard is the door's Heard.
func (r *router) heard(filter string, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !on {
		if stop := r.answers[filter]; stop != nil {
			stop()
		}
		delete(r.answers, filter)
		return
	}
	stop, err := r.bus.Answer(subjectOf(filter), r.take)
	if err != nil {
		r.log.Warn("other nodes cannot reach a device here", "filter", filter, "err", err)
		return
	}
	if r.answers == nil {
		r.answers = map[string]func(){}
	}
	r.answers[filter] = stop
}

// take sends what another node has asked to send.
func (r *router) take(question []byte) []byte {
	var c carried
	var out receipt
	err := json.Unmarshal(question, &c)
	if door := r.door.Load(); err == nil && door == nil {
		err = &realtime.Problem{Code: realtime.CodeOffline, Message: "the node is only starting"}
	} else if err == nil {
		ctx, cancel := context.WithDeadline(context.Background(), time.UnixMilli(c.Until))
		defer cancel()
		err = door.Send(ctx, c.Thing, c.Action, c.Cmd, c.Input)
	}
	var p *realtime.Problem
	switch {
	case errors.As(err, &p):
		out.Problem = p
	case err != nil:
		out.Unknown = err.Error()
	}
	b, err := json.Marshal(out)
	if err != nil { // texts and numbers always encode
		return []byte(`{"unknown":"no receipt"}`)
	}
	return b
}

// Send implements twin.Sender: through the own door, or another node's.
func (r *router) Send(ctx context.Context, thing, action, cmd string, input []byte) error {
	err := r.door.Load().Send(ctx, thing, action, cmd, input)
	var p *realtime.Problem
	if !errors.As(err, &p) || p.Code != realtime.CodeOffline {
		return err
	}
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(10 * time.Second)
	}
	question, merr := json.Marshal(carried{thing, action, cmd, input, until.UnixMilli()})
	if merr != nil {
		return err
	}
	answer, asked := r.bus.Ask(ctx, subjectOf("command/"+thing+"/"+action+"/"+cmd), question)
	switch {
	case errors.Is(asked, bus.ErrNobody):
		return err
	case asked != nil:
		return fmt.Errorf("the node that has the device did not answer; whether the device took it is unknown: %w", asked)
	}
	var got receipt
	switch jerr := json.Unmarshal(answer, &got); {
	case jerr != nil:
		return fmt.Errorf("the node that has the device answered in words unknown here: %w", jerr)
	case got.Problem != nil:
		return got.Problem
	case got.Unknown != "":
		return errors.New(got.Unknown)
	}
	return nil
}
