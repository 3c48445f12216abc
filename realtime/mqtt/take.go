package mqtt

import (
	"fmt"
	"sync"
	"time"

	"echotwin/realtime"
)

// address says what a topic means and whether c may publish to it.
func (b *broker) address(c *conn, name string) (topic, *realtime.Problem) {
	t, err := parseTopic(name)
	if err != nil {
		if !c.owns(t.thing) {
			t.thing = "" // not to be told about by a stranger
		}
		return t, refusal(err)
	}
	if t.kind == result {
		thing, p := b.mayAnswer(c, t.cmd)
		t.thing = thing
		return t, p
	}
	if !c.owns(t.thing) {
		return topic{}, &realtime.Problem{Code: realtime.CodeForbidden, Message: fmt.Sprintf("%s is not one of your things", t.thing)}
	}
	return t, nil
}

// take stores what c said and returns why not. While the log cannot store it
// tries again until giveUp; nil means once.
func (b *broker) take(c *conn, name string, payload []byte, qos byte, giveUp <-chan time.Time) error {
	t, p := b.address(c, name)
	if p != nil {
		b.refuse(c, t.thing, p)
		return p
	}
	c.speaks = t.thing
	err := b.desk.store(t, payload, qos, c.partly)
	for err != nil && refusal(err) == nil && giveUp != nil {
		select {
		case <-time.After(200 * time.Millisecond):
			err = b.desk.store(t, payload, qos, c.partly)
			continue
		case <-giveUp:
		case <-b.desk.ctx.Done():
		}
		break
	}
	if err == nil {
		if t.kind == status {
			c.presence(t.thing, string(payload))
		}
		return nil
	}
	if p := refusal(err); p != nil {
		b.refuse(c, t.thing, p)
	} else {
		b.desk.count(realtime.CodeUnavailable, 1, "what a device said could not be stored", "thing", t.thing, "client", c.name(), "err", err)
	}
	return err
}

// refuse keeps account of what c said and was not taken, and tells of it.
func (b *broker) refuse(c *conn, thing string, p *realtime.Problem) {
	b.desk.refuse(thing, p, c.name(), 1)
	c.partly(p)
}

// How many commands are remembered, and how long, for their results.
const (
	maxAsked = 10_000
	askedFor = 15 * time.Minute
)

// asked remembers which credentials each command was sent to, and for what thing.
type asked struct {
	mu    sync.Mutex
	to    map[string]addressee // by command
	order []ask                // oldest first
}

type addressee struct{ user, thing string }

type ask struct {
	cmd string
	at  time.Time
}

func newAsked() *asked { return &asked{to: map[string]addressee{}} }

func (a *asked) remember(cmd, user, thing string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for len(a.order) > 0 && (len(a.order) >= maxAsked || now.Sub(a.order[0].at) > askedFor) {
		delete(a.to, a.order[0].cmd)
		a.order = a.order[1:]
	}
	a.to[cmd] = addressee{user, thing}
	a.order = append(a.order, ask{cmd, now})
}

func (a *asked) whom(cmd string) (addressee, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	to, ok := a.to[cmd]
	return to, ok
}

// mayAnswer is the thing of a command whose result c may publish, or why it may
// not: it answers for its own things only, and for what was sent to its own
// credentials. A command that was sent before a restart, or by another node, is
// known by its thing alone. With an open door all users are the same.
func (b *broker) mayAnswer(c *conn, cmd string) (thing string, problem *realtime.Problem) {
	to, ok := b.asked.whom(cmd)
	if !ok && b.cfg.Commanded != nil {
		to.thing, ok = b.cfg.Commanded(cmd)
		to.user = c.user
	}
	switch {
	case !ok:
		return "", &realtime.Problem{Code: realtime.CodeNotFound, Message: fmt.Sprintf("no command %q was sent from here in the last %v", cmd, askedFor)}
	case to.user != c.user || !c.owns(to.thing):
		return "", &realtime.Problem{Code: realtime.CodeForbidden, Message: fmt.Sprintf("command %q was sent to somebody else", cmd)}
	}
	return to.thing, nil
}
