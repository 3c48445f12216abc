package hub

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
	"unique"

	"echotwin/realtime"
)

// A Connection is one open connection as an administrator sees it.
type Connection struct {
	ID        string    `json:"id"`
	User      string    `json:"user"`      // empty until somebody has signed in
	Address   string    `json:"address"`   // as limits count it
	Agent     string    `json:"agent"`     // what the client calls itself, shortened
	Transport string    `json:"transport"` // ws, sse or ndjson
	Since     time.Time `json:"since"`
	Closing   bool      `json:"closing"` // it was told to go

	Subscriptions []Subscription `json:"subscriptions"`
	Seq           uint64         `json:"seq"` // its cursor
	Lag           Lag            `json:"lag"`
	Stalled       int64          `json:"stalled"` // ms since its socket took the last byte; 0 while it takes some

	Frames  uint64 `json:"frames"`
	Bytes   uint64 `json:"bytes"`
	Updates uint64 `json:"updates"` // thing-updates
	Merged  uint64 `json:"merged"`  // samples that went into a newer one
	Facts   uint64 `json:"facts"`
	Missed  uint64 `json:"missed"` // facts that it was told it has missed
	Stalls  uint64 `json:"stalls"` // writes that its socket did not take at once

	Session string `json:"-"` // see Viewer
}

// A Subscription is one of a connection.
type Subscription struct {
	ID       string   `json:"id"`
	Path     string   `json:"path"`
	Fields   []string `json:"fields,omitempty"`
	Rate     float64  `json:"rate"`     // updates a second at most
	Things   int      `json:"things"`   // that the path covers now
	Snapshot bool     `json:"snapshot"` // it is on its way
}

// Lag is how far a connection is behind what it follows: zero when it has
// everything. A slow rate of its own is lag, too.
type Lag struct {
	Seq   uint64 `json:"seq"`   // places of the log
	MS    int64  `json:"ms"`    // since the oldest change or fact that it has not
	Facts int    `json:"facts"` // that wait
}

// tally is what a connection was sent. It belongs to its shard.
type tally struct {
	frames, bytes, updates, merged, facts, missed, stalls uint64

	counted uint64 // of frames, in the counts of the shard
}

// maxAgent bounds, in bytes, what is kept of a User-Agent.
const maxAgent = 160

// agentOf is what a client calls itself: printable, short, and kept once for
// all that say the same.
func agentOf(r *http.Request) unique.Handle[string] {
	agent := strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, r.UserAgent())
	if len(agent) > maxAgent {
		agent = strings.ToValidUTF8(agent[:maxAgent], "") + "…"
	}
	return unique.Make(agent)
}

// survey has every shard answer f and gathers the answers, until ctx ends.
func survey[T any](ctx context.Context, h *Hub, f func(*shard) T) ([]T, error) {
	answers := make(chan T, len(h.shards))
	asked := 0
	for _, s := range h.shards {
		if s.post(func(s *shard) { answers <- f(s) }) {
			asked++
		}
	}
	all := make([]T, 0, asked)
	for range asked {
		select {
		case a := <-answers:
			all = append(all, a)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}

// connID names a connection for as long as this process runs. Another process
// has another prefix, so that an old id never means somebody else.
func (h *Hub) connID(num uint64) string { return h.name + "-" + strconv.FormatUint(num, 10) }

func (h *Hub) connNum(id string) (uint64, bool) {
	name, text, _ := strings.Cut(id, "-")
	num, err := strconv.ParseUint(text, 10, 64)
	return num, err == nil && name == h.name
}

// Connections are the open connections in the order in which they came: at most
// limit of them after the one with the id after, and only those of user unless
// that is empty. More says that there are more.
func (h *Hub) Connections(ctx context.Context, after, user string, limit int) (page []Connection, more bool, err error) {
	from := uint64(0)
	if after != "" {
		num, ok := h.connNum(after)
		if !ok {
			return nil, false, &realtime.Problem{Code: realtime.CodeMalformed, At: "?after", Message: fmt.Sprintf("%.40q is not the id of a connection of this server, which may have restarted: begin without it", after)}
		}
		from = num
	}
	type numbered struct {
		num uint64
		Connection
	}
	pages, err := survey(ctx, h, func(s *shard) []numbered {
		var cs []*conn
		for c := range s.conns {
			if c.num > from && (user == "" || c.viewer.User == user) {
				cs = append(cs, c)
			}
		}
		slices.SortFunc(cs, func(a, b *conn) int { return cmp.Compare(a.num, b.num) })
		cs = cs[:min(len(cs), limit+1)]
		out := make([]numbered, len(cs))
		h.mu.RLock()
		defer h.mu.RUnlock()
		for i, c := range cs {
			out[i] = numbered{c.num, s.describe(c)}
		}
		return out
	})
	if err != nil {
		return nil, false, err
	}
	all := slices.Concat(pages...)
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(a.num, b.num) })
	more = len(all) > limit
	page = []Connection{}
	for _, n := range all[:min(len(all), limit)] {
		page = append(page, n.Connection)
	}
	return page, more, nil
}

// describe tells what is known of a connection. The caller holds Hub.mu.
func (s *shard) describe(c *conn) Connection {
	n := Connection{
		ID: s.hub.connID(c.num), User: c.viewer.User, Address: c.address, Agent: c.agent.Value(), Transport: c.wire.String(),
		Since: s.hub.begin.Add(c.since).UTC().Truncate(time.Millisecond), Closing: c.closing != nil,
		Subscriptions: []Subscription{}, Seq: c.last, Lag: s.lag(c),
		Frames: c.frames, Bytes: c.bytes, Updates: c.updates, Merged: c.merged, Facts: c.tally.facts, Missed: c.missed, Stalls: c.stalls,
		Session: c.viewer.Session,
	}
	if s.blocked(c) {
		n.Stalled = max(1, (s.now - c.took).Milliseconds())
	}
	for _, sub := range c.subs {
		n.Subscriptions = append(n.Subscriptions, Subscription{ID: sub.id, Path: sub.group.pattern, Fields: sub.fields,
			Rate: float64(time.Second) / float64(sub.period), Things: len(sub.group.things), Snapshot: sub.paging})
	}
	return n
}

// blocked says whether the socket had no room when it was last tried.
func (s *shard) blocked(c *conn) bool { return len(c.tail) > 0 || c.backoff > 0 }

// lag is how far a connection is behind. The caller holds Hub.mu.
func (s *shard) lag(c *conn) Lag {
	has, since := s.seq, s.now
	for _, sub := range c.subs {
		if sub.dirty {
			has, since = min(has, sub.hold), min(since, sub.dirtyAt)
		}
	}
	if c.facts > 0 {
		since = min(since, c.factAt)
		if ring := &s.hub.ring; c.factNext >= ring.start && c.factNext < ring.end {
			has = min(has, ring.at(c.factNext).seq-1)
		}
	}
	return Lag{Seq: s.seq - has, MS: (s.now - since).Milliseconds(), Facts: c.facts}
}

// A Dismissal is how an administrator closes a connection.
type Dismissal struct {
	Message string        // why, for the client; at most 200 bytes
	Again   time.Duration // after which it may come back; negative means not at all
}

// The close codes of a Dismissal.
const (
	dismissed       = 4002 // come back later
	dismissedForAll = 4502 // do not come back
)

// CloseConnection says goodbye to one connection. It is false when there is no
// such connection any more.
func (h *Hub) CloseConnection(ctx context.Context, id string, d Dismissal) (bool, error) {
	num, ok := h.connNum(id)
	if !ok {
		return false, nil
	}
	g := goodbye{code: dismissed, word: "closed", message: d.Message, reconnectIn: d.Again}
	if d.Again < 0 {
		g.code, g.reconnectIn = dismissedForAll, 0
	}
	found, err := survey(ctx, h, func(s *shard) bool {
		for c := range s.conns {
			if c.num == num && c.closing == nil {
				s.bye(c, g)
				return true
			}
		}
		return false
	})
	return slices.Contains(found, true), err
}
