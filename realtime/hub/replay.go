package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"time"

	"echotwin/realtime"
)

// A Replayer reads the past for those who look at it.
type Replayer interface {
	// Replay yields what the things were at p.From, as one Moment, another one with
	// the facts that still stood then, if there are any, and then each later moment
	// at which something changed, in order, until p.To or, when that is zero, until
	// it has come up to the present. A moment may be empty:
	// it says how far the replay has come, and yield returns when it is shown.
	// A *realtime.Problem may be shown to the client, and ends the replay like
	// every other error. It runs in a goroutine of its own.
	Replay(ctx context.Context, p Past) iter.Seq2[Moment, error]
}

// A Past says what is to be read again.
type Past struct {
	Patterns []string
	// See says whose past may be read; nil means all. Things beyond it are
	// named in the first moment, without values, so that they can be counted.
	See      func(thing string) bool
	From, To time.Time
}

// A Moment is everything that changed at one time. Moments are whole
// milliseconds, and no two that say something share one, but for the first.
type Moment struct {
	At      time.Time
	Changes []realtime.Change
	Facts   []realtime.Fact
}

const (
	minSpeed = 1.0
	maxSpeed = 600.0

	// lookAhead is how many moments may wait to be shown.
	lookAhead = 64

	replayEpoch = "replay-" // begins the epoch of every replay and of no log
)

// A replayRequest is what a client may ask of a replay. All of it is optional
// while one runs; from is needed to begin.
type replayRequest struct {
	From  json.RawMessage `json:"from"`
	To    json.RawMessage `json:"to"`
	Speed *float64        `json:"speed"`
	Pause *bool           `json:"pause"`
}

// A course is a checked request: how to go through the past.
type course struct {
	from, to time.Time // to is zero for up to the present
	speed    float64
	paused   bool
}

// read checks the request over what is so already. At is where it stands.
func (r *replayRequest) read(was course, now time.Time, at string) (course, *realtime.Problem) {
	c := was
	if len(r.From) > 0 {
		var p *realtime.Problem
		if c.from, p = moment(r.From, now, at+"from"); p != nil {
			return c, p
		}
		c.to = time.Time{}
	}
	if len(r.To) > 0 {
		var p *realtime.Problem
		if c.to, p = moment(r.To, now, at+"to"); p != nil {
			return c, p
		}
	}
	if r.Speed != nil {
		c.speed = *r.Speed
	}
	if r.Pause != nil {
		c.paused = *r.Pause
	}
	least, most, latest := minSpeed, maxSpeed, float64(now.UnixMilli())
	earliest := float64(c.from.UnixMilli())
	switch {
	case !(c.speed >= least && c.speed <= most):
		return c, &realtime.Problem{Code: realtime.CodeOutOfRange, At: at + "speed", Minimum: &least, Maximum: &most, Message: fmt.Sprintf("speed %v is not between %v and %v times", c.speed, least, most)}
	case len(r.From) > 0 && c.from.After(now):
		return c, &realtime.Problem{Code: realtime.CodeOutOfRange, At: at + "from", Maximum: &latest, Message: fmt.Sprintf("%s is still to come; it is now %s", realtime.Stamp(c.from), realtime.Stamp(now))}
	case !c.to.IsZero() && !c.to.After(c.from):
		return c, &realtime.Problem{Code: realtime.CodeOutOfRange, At: at + "to", Minimum: &earliest, Message: fmt.Sprintf("to, %s, is not after from, %s", realtime.Stamp(c.to), realtime.Stamp(c.from))}
	}
	if c.to.After(now) {
		c.to = time.Time{} // it ends at the present anyway
	}
	return c, nil
}

// moment reads a point in time, which is text or a number.
func moment(raw json.RawMessage, now time.Time, at string) (time.Time, *realtime.Problem) {
	text := string(bytes.TrimSpace(raw))
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	return realtime.ParseMoment(text, now, at)
}

// A gallery counts who looks at the past. A replay reads the history again and
// keeps its own copy of what it shows, so there are fewer of them than of
// connections.
type gallery struct {
	limits Limits

	mu     sync.Mutex
	in     int
	byUser map[string]int
}

func (g *gallery) enter(user string) *realtime.Problem {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := func(who string, limit int) *realtime.Problem {
		most := float64(limit)
		return &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: fmt.Sprintf("%s %d replays under way, and each reads the history anew; end one, or try again in a moment", who, limit)}
	}
	switch {
	case g.in >= g.limits.Replays:
		return full("the server has", g.limits.Replays)
	case g.byUser[user] >= g.limits.ReplaysPerUser:
		return full(user+" has", g.limits.ReplaysPerUser)
	}
	g.in++
	g.byUser[user]++
	return nil
}

func (g *gallery) leave(user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in--
	if g.byUser[user]--; g.byUser[user] == 0 {
		delete(g.byUser, user)
	}
}

func (g *gallery) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.in
}
