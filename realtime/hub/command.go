package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"echotwin/realtime"
)

// maxAsks bounds the asks that wait for more than the outcome of their command.
const maxAsks = 4096

// An ask is one cmd frame until its last step is told. Its steps are facts, which
// come back to the one who asked with the id of the frame, whether or not the
// thing is subscribed to.
type ask struct {
	conn *conn
	id   json.RawMessage

	// Guarded by Hub.mu.
	cmd      string // empty until Invoke has told it
	accepted bool   // that step was published
	told     bool   // the outcome was published, so the lane answers
	end      []byte // that step
}

// hear notes a published step. The caller holds Hub.mu.
func (a *ask) hear(f *fact) {
	a.accepted = a.accepted || f.status == realtime.Accepted
	if f.ended() && a.follows(f) {
		a.told, a.end = true, f.body
	}
}

// follows says whether a step answers the asker. A command that was refused
// before anything else is answered by an error, which says more.
func (a *ask) follows(f *fact) bool { return f.status != realtime.Rejected || a.accepted }

// A step waits to be answered when the lock is free.
type step struct {
	ask  *ask
	body []byte
	last bool
}

// answerSteps tells the askers that have no subscription that would.
func (s *shard) answerSteps() {
	for i, st := range s.steps {
		s.steps[i] = step{}
		if !st.ask.conn.gone {
			b := append([]byte(`{"type":"cmd"`), appendID(nil, st.ask.id)...)
			b = append(append(append(b, ','), st.body...), '}')
			s.sayRaw(st.ask.conn, "cmd", b)
		}
		if st.last {
			s.hub.forgetAsk(st.ask)
		}
	}
	s.steps = s.steps[:0]
}

func (h *Hub) forgetAsk(a *ask) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asks[a.cmd] == a {
		delete(h.asks, a.cmd)
	}
}

// forgetAsks is for a connection that has ended. Its commands go on.
func (s *shard) forgetAsks(c *conn) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for cmd, a := range s.hub.asks {
		if a.conn == c {
			delete(s.hub.asks, cmd)
		}
	}
}

// command starts a command. It runs apart from the connection, which may end
// before it does: what was asked of a device is not taken back by a lost line.
func (s *shard) command(c *conn, m *message) *realtime.Problem {
	h := s.hub
	switch {
	case h.commander == nil:
		return &realtime.Problem{Code: realtime.CodeUnavailable, Message: "this server sends no commands"}
	case m.Thing == "" || realtime.CheckThing(m.Thing) != nil:
		return &realtime.Problem{Code: realtime.CodeMalformed, At: "/thing", Message: "cmd needs a thing, such as plant/line1/conveyor-1"}
	case m.Action == "":
		return &realtime.Problem{Code: realtime.CodeMalformed, At: "/action", Message: "cmd needs an action, such as setSpeed"}
	case c.viewer.May == nil || !c.viewer.May(m.Thing):
		return realtime.Wrong("may_not_command", "{user} may not command {thing}", "user", c.viewer.User, "thing", m.Thing).Of(realtime.CodeForbidden).In("/thing")
	case c.running >= h.limits.Commands:
		most := float64(h.limits.Commands)
		return &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: fmt.Sprintf("%d commands of this connection are under way; wait for one to end", c.running)}
	}
	timeout, problem := m.timeout()
	if problem != nil {
		return problem
	}
	c.running++
	a := &ask{conn: c, id: m.ID}
	i := realtime.Invocation{Thing: m.Thing, Action: m.Action, Input: m.Input, Timeout: timeout, Key: m.Key, Reason: m.Reason, Confirm: m.Confirm, User: c.viewer.User, Via: "ws"}
	h.wg.Go(func() { h.invoke(a, i) })
	return nil
}

func (h *Hub) invoke(a *ask, i realtime.Invocation) {
	ctx := realtime.OnCommandID(h.ctx, func(id string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.asks[id] == nil { // with a repeated key the first asker keeps the steps
			a.cmd, h.asks[id] = id, a
		}
	})
	out, err := h.commander.Invoke(ctx, i)
	h.mu.Lock()
	told := a.told
	if !told && h.asks[a.cmd] == a {
		delete(h.asks, a.cmd)
	}
	h.mu.Unlock()
	a.conn.shard.post(func(s *shard) {
		a.conn.running--
		switch {
		case told || a.conn.gone:
		case err != nil:
			s.sayError(a.conn, a.id, problemOf(err, h))
		default:
			s.say(a.conn, "cmd", struct {
				Type string          `json:"type"`
				ID   json.RawMessage `json:"id,omitempty"`
				realtime.Invoked
			}{"cmd", a.id, out})
		}
	})
}

// problemOf is what a client may be told of an error.
func problemOf(err error, h *Hub) *realtime.Problem {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p
	}
	if !errors.Is(err, context.Canceled) {
		h.log.Error("a command failed here", "error", err)
	}
	return &realtime.Problem{Code: realtime.CodeUnavailable, Message: "the outcome is not known here: " + contextWord(err)}
}

func contextWord(err error) string {
	if errors.Is(err, context.Canceled) {
		return "this server is stopping"
	}
	return "see /api/commands"
}

const maxTimeout = time.Minute

// timeout is how long the device may take; zero leaves it to the twin.
func (m *message) timeout() (time.Duration, *realtime.Problem) {
	if m.Timeout == nil {
		return 0, nil
	}
	least, most := 0.0, maxTimeout.Seconds()
	if t := *m.Timeout; t > least && t <= most {
		return time.Duration(t * float64(time.Second)), nil
	}
	return 0, &realtime.Problem{Code: realtime.CodeOutOfRange, At: "/timeout", Message: fmt.Sprintf("timeout is in seconds, above 0 and at most %v", most), Minimum: &least, Maximum: &most}
}
