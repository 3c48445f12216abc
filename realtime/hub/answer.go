package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"echotwin/realtime"
)

// An errorFrame is a problem with the id of what it answers.
type errorFrame struct {
	Type string          `json:"type"`
	ID   json.RawMessage `json:"id,omitempty"`
	*realtime.Problem
	Types   []string        `json:"types,omitempty"`
	Example json.RawMessage `json:"example,omitempty"`
}

func (s *shard) sayError(c *conn, id json.RawMessage, p *realtime.Problem) {
	s.say(c, "error", errorFrame{Type: "error", ID: id, Problem: p})
}

type plain struct {
	Type string          `json:"type"`
	ID   json.RawMessage `json:"id,omitempty"`
	User string          `json:"user,omitempty"`
	TS   string          `json:"ts,omitempty"`
}

// hear answers one message. Old is what was recalled for a resume.
func (s *shard) hear(c *conn, m *message, old *recalled) {
	if c.gone || c.closing != nil {
		old.free()
		return
	}
	if c.signBy > 0 && m.Type != "ping" && m.Type != "help" {
		old.free()
		s.sayError(c, m.ID, &realtime.Problem{Code: codeSignIn, Message: `sign in first: {"type":"auth","token":"…"}`})
		return
	}
	if c.viewer.Allow != nil && c.signBy == 0 {
		if p := c.viewer.Allow(m.Type); p != nil {
			old.free()
			s.sayError(c, m.ID, p)
			return
		}
	}
	var p *realtime.Problem
	switch m.Type {
	case "sub":
		if c.replay != nil {
			p = s.subPast(c, &m.subRequest, m.ID)
		} else {
			p = s.sub(c, &m.subRequest, m.ID, "/")
		}
	case "unsub":
		if c.replay != nil {
			p = s.unsubPast(c, m.Sub)
		} else {
			p = s.unsub(c, m.Sub)
		}
		if p == nil {
			s.say(c, "ok", plain{Type: "ok", ID: m.ID})
		}
	case "resume":
		p = s.resumeAsked(c, m, old)
	case "replay":
		p = s.replayAsked(c, m)
	case "live":
		s.live(c, m.ID)
	case "cmd":
		if p = refuseInPast(); !c.past() {
			p = s.command(c, m)
		}
	case "ping":
		s.say(c, "pong", plain{Type: "pong", ID: m.ID, TS: realtime.Stamp(time.Now())})
	case "help":
		s.help(c, m.ID)
	default:
		s.unknown(c, m)
	}
	if p != nil {
		s.sayError(c, m.ID, p)
	}
}

// codeSignIn answers what needs somebody signed in.
const codeSignIn = "unauthorized"

func (s *shard) unknown(c *conn, m *message) {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.name
	}
	s.say(c, "error", errorFrame{Type: "error", ID: m.ID, Types: names, Example: json.RawMessage(types[0].example),
		Problem: &realtime.Problem{Code: realtime.CodeUnknownType, At: "/type",
			Message: fmt.Sprintf("%.40q is no type here; the types are %s. For example %s", m.Type, strings.Join(names, ", "), types[0].example)}})
}

func (s *shard) help(c *conn, id json.RawMessage) {
	examples := make([]json.RawMessage, len(types))
	for i, t := range types {
		examples[i] = json.RawMessage(t.example)
	}
	s.say(c, "help", struct {
		Type     string            `json:"type"`
		ID       json.RawMessage   `json:"id,omitempty"`
		Message  string            `json:"message"`
		Words    []string          `json:"words"`
		Examples []json.RawMessage `json:"examples"`
	}{"help", id, "Say " + teachSay + ". Here " + aPath + ".", []string{"sub <path>", "unsub [s1]", "replay <time> [speed]", "live", "ping", "help"}, examples})
}

// resumeAsked checks a resume as a whole, so that half of it is never done.
func (s *shard) resumeAsked(c *conn, m *message, old *recalled) *realtime.Problem {
	if p := m.checkResume(&s.hub.limits); p != nil {
		old.free()
		return p
	}
	s.resume(c, cursor{m.Epoch, m.Seq}, m.Subs, m.ID, old)
	return nil
}

func (m *message) checkResume(l *Limits) *realtime.Problem {
	if len(m.Subs) > l.Subscriptions {
		return tooMany(l)
	}
	if len(m.Subs) == 0 {
		return &realtime.Problem{Code: realtime.CodeMalformed, At: "/subs", Message: `resume says what to go on with, such as "subs":[{"path":"plant/**"}]`}
	}
	for i := range m.Subs {
		if p := m.Subs[i].check(l, fmt.Sprintf("/subs/%d/", i)); p != nil {
			return p
		}
	}
	return nil
}

// greet is the first that the server says.
func (s *shard) greet(c *conn) {
	type limits struct {
		Rate          float64 `json:"rate"`
		Subscriptions int     `json:"subscriptions"`
		Frame         int     `json:"frame"`
	}
	l := &s.hub.limits
	ping := pingSocket
	if c.wire != webSocket {
		ping = pingEvents
	}
	s.say(c, "hello", struct {
		Type   string `json:"type"`
		V      int    `json:"v"`
		Epoch  string `json:"epoch"`
		Seq    uint64 `json:"seq"`
		User   string `json:"user"`
		Ping   int    `json:"ping"`
		Limits limits `json:"limits"`
	}{"hello", 1, s.hub.epoch, s.seq, c.viewer.User, int(ping.Seconds()), limits{l.Rate, l.Subscriptions, l.Frame}})
	if s.hub.fault.Load() != nil {
		s.sayStatus(c)
	}
}

// ping is the heartbeat. It repeats the client's cursor and does not move it.
func (s *shard) ping(c *conn) {
	c.pinged = s.now
	seq := c.last
	if seq == 0 {
		seq = s.seq
	}
	at := ""
	if s.hub.clock != nil {
		at = realtime.Stamp(s.hub.clock())
	}
	s.say(c, "ping", struct {
		Type   string `json:"type"`
		Seq    uint64 `json:"seq"`
		TS     string `json:"ts"`
		Replay bool   `json:"replay,omitempty"`
		At     string `json:"at,omitempty"` // where a replay is
	}{"ping", seq, realtime.Stamp(time.Now()), at != "", at})
}

// setViewer makes somebody the connection's owner: the one who signs in, or the
// same with a renewed session. What may be seen can have changed, so everything
// is told anew when it is restricted.
func (s *shard) setViewer(c *conn, v Viewer, id json.RawMessage) {
	if c.gone || c.closing != nil {
		return
	}
	if c.viewer.User != "" && c.viewer.User != v.User {
		s.sayError(c, id, &realtime.Problem{Code: realtime.CodeForbidden, Message: "this connection belongs to " + c.viewer.User + "; open another for somebody else"})
		return
	}
	fresh := c.viewer.User == ""
	if fresh {
		if r := s.hub.door.signIn(v.User); r != nil {
			s.sayError(c, id, &r.Problem)
			s.bye(c, goodbye{code: 4029, word: r.Code, reconnectIn: r.retry})
			return
		}
	}
	restricted := c.viewer.See != nil || v.See != nil
	c.signBy = 0
	s.say(c, "ok", plain{Type: "ok", ID: id, User: v.User})
	s.reveal(c, v, restricted, id)
	pending := c.pending
	c.pending = nil
	for i := range pending {
		if p := s.sub(c, &pending[i], nil, "?"); p != nil {
			s.sayError(c, nil, p)
		}
	}
}

// reveal makes v the connection's viewer and, when what may be seen can have
// changed, starts its subscriptions anew.
func (s *shard) reveal(c *conn, v Viewer, changed bool, id json.RawMessage) {
	s.own(c, v)
	c.setExpiry(s.now)
	s.wheel.put(c, s.now, s.check(c))
	if changed {
		for _, n := range s.regroup(c) {
			s.leave(c, n)
			s.sayError(c, id, tooManyGroves("?"))
		}
	}
	for _, n := range c.subs {
		if n.see = v.See; changed {
			s.startSnapshot(n)
		}
	}
	if changed {
		s.recountWaiting(c)
	}
	// One replay is for all of them; opened for each, every opening but the last
	// would be cut off by the next.
	if len(c.subs) > 0 && c.past() {
		if p := s.open(c, c.course(), nil); p != nil {
			s.sayError(c, id, p)
		}
	}
}

// setExpiry notes when the session ends.
func (c *conn) setExpiry(now time.Duration) {
	c.expires = 0
	if !c.viewer.Expires.IsZero() {
		c.expires = max(1, now+time.Until(c.viewer.Expires))
	}
}
