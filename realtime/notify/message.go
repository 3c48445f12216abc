package notify

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"echotwin/realtime"
)

const (
	maxListed = 20       // steps that a message of many shows
	maxBody   = 32 << 10 // and how many bytes of them
)

// A taken step waits to become a message, or part of one.
type taken struct {
	cursor string
	fact   realtime.Fact
	alarm  realtime.AlarmState
}

// A pile is what came for a channel since its cursor.
type pile struct {
	first      time.Time // when the oldest was stored
	n          int
	listed     []taken // the most urgent, in their order
	steps      map[string]int
	priorities map[string]int
	from, to   time.Time // of the steps
	last       string    // the cursor of the newest
}

// put adds a step. Only the most urgent are kept whole.
func (p *pile) put(t taken, stored time.Time) {
	if p.n == 0 {
		p.first, p.from = stored, t.alarm.TS
		p.steps, p.priorities = map[string]int{}, map[string]int{}
	}
	p.n++
	p.steps[t.alarm.Step]++
	p.priorities[strconv.Itoa(t.alarm.Priority)]++
	p.to, p.last = t.alarm.TS, t.cursor
	p.listed = append(p.listed, t)
	if len(p.listed) <= maxListed {
		return
	}
	worst := 0
	for i, l := range p.listed {
		if l.alarm.Priority >= p.listed[worst].alarm.Priority { // among equals the first stay
			worst = i
		}
	}
	p.listed = slices.Delete(p.listed, worst, worst+1)
}

// id names a message by the place of its newest step: the same whoever makes it.
func id(cursor string, n int) string {
	parts := strings.Split(cursor, ".") // epoch, seq, index and a number that may differ
	text := "msg_" + strings.Join(parts[:min(3, len(parts))], "-")
	if n > 1 {
		text += "-" + strconv.Itoa(n)
	}
	return text
}

// link leads to what a message is about; "" when nobody knows our address.
func link(public, thing string) string {
	if public == "" {
		return ""
	}
	to := strings.TrimSuffix(public, "/") + "/app/alarms"
	if thing != "" {
		to += "?thing=" + strings.ReplaceAll(url.QueryEscape(thing), "%2F", "/")
	}
	return to
}

// single is the message of one step: the frame of the wire, with a link.
func single(t taken, public string) *open {
	body := frame(t)
	if to := link(public, t.alarm.Thing); to != "" {
		text, _ := json.Marshal(to) // a string
		body = slices.Concat(body[:len(body)-1], []byte(`,"link":`), text, []byte("}"))
	}
	return &open{Body: body, Delivery: Delivery{
		ID: id(t.cursor, 1), Kind: kindAlarm, Count: 1,
		Thing: t.alarm.Thing, Step: t.alarm.Step, Priority: t.alarm.Priority, Message: t.alarm.Message,
	}}
}

// frame is a step as a viewer gets it.
func frame(t taken) []byte {
	head := fmt.Appendf(nil, `{"type":"alarm","seq":%d`, t.fact.Seq)
	rest := bytes.TrimSpace(t.fact.Body)
	if len(rest) <= 2 { // not with any alarm
		return append(head, '}')
	}
	return append(append(head, ','), rest[1:]...)
}

// many is the message of a pile.
func (p *pile) many(public string) *open {
	slices.SortStableFunc(p.listed, func(a, b taken) int { return cmp.Compare(a.alarm.Priority, b.alarm.Priority) })
	frames, size := make([]json.RawMessage, 0, len(p.listed)), 0
	for _, t := range p.listed {
		f := frame(t)
		if size += len(f); size > maxBody {
			break
		}
		frames = append(frames, f)
	}
	body, err := json.Marshal(struct {
		Type       string            `json:"type"`
		Count      int               `json:"count"`
		From       time.Time         `json:"from"`
		To         time.Time         `json:"to"`
		Steps      map[string]int    `json:"steps"`
		Priorities map[string]int    `json:"priorities"`
		Alarms     []json.RawMessage `json:"alarms"`
		Link       string            `json:"link,omitempty"`
	}{kindAlarms, p.n, p.from, p.to, p.steps, p.priorities, frames, link(public, "")})
	if err != nil { // a frame that is no JSON; the log has none
		body = fmt.Appendf(nil, `{"type":"alarms","count":%d,"alarms":[]}`, p.n)
	}
	first := p.listed[0].alarm
	return &open{Body: body, Delivery: Delivery{
		ID: id(p.last, p.n), Kind: kindAlarms, Count: p.n,
		Thing: first.Thing, Step: first.Step, Priority: first.Priority, Message: first.Message,
	}}
}

// lost is the message that steps were dropped before they could be sent: at most
// so many, or -1 when nobody knows.
func lost(cursor string, facts int64, since, until time.Time, public string) *open {
	body, _ := json.Marshal(struct { // it can be written
		Type  string    `json:"type"`
		Facts int64     `json:"facts,omitempty"`
		Since time.Time `json:"since,omitzero"`
		Until time.Time `json:"until"`
		Link  string    `json:"link,omitempty"`
	}{kindLost, max(facts, 0), since, until, link(public, "")})
	text := "steps of alarms may have been dropped from the store of facts before they could be sent"
	if facts > 0 {
		text = fmt.Sprintf("%d facts were dropped from the store before they could be read; steps of alarms may be among them", facts)
	}
	return &open{Body: body, Delivery: Delivery{ID: id(cursor, 1) + "-lost", Kind: kindLost, Message: text}}
}

// probe is the message of a test.
func probe(k *kept, now time.Time, public string) *open {
	body, _ := json.Marshal(struct { // it can be written
		Type    string    `json:"type"`
		Channel string    `json:"channel"`
		Name    string    `json:"name,omitempty"`
		TS      time.Time `json:"ts"`
		Link    string    `json:"link,omitempty"`
	}{kindTest, k.ID, k.Name, now, link(public, "")})
	return &open{Body: body, Delivery: Delivery{ID: "msg_test-" + strings.ToLower(rand.Text()[:16]), Kind: kindTest, Created: now}}
}
