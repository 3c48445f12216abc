package hub

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"echotwin/realtime"
)

// A replay is what a connection is shown instead of the present. It belongs to
// the connection's shard.
type replay struct {
	reel   *reel
	pipe   *pipe
	inner  *conn // the connection, as the hub of the past knows it
	places []place
}

// A place is a subscription while its connection looks at the past.
type place struct {
	id      string
	request subRequest
	answer  json.RawMessage // the id of the frame that asked and has no snapshot yet
	shown   bool
}

// An opening is a replay that is asked for and not shown yet. The newest wish
// counts, and every frame that asked is answered with what came of it. At most
// one reading of a connection is under way.
type opening struct {
	course   course
	ids      []json.RawMessage
	patterns []string
	changed  bool // since the reading began
	cancel   context.CancelFunc
}

// maxWishes bounds the frames that wait for one opening.
const maxWishes = 64

// past says whether the connection shows the past, or is about to.
func (c *conn) past() bool { return c.replay != nil || c.opening != nil }

// course is how the replay goes at this moment.
func (c *conn) course() course {
	switch {
	case c.opening != nil:
		return c.opening.course
	case c.replay != nil:
		return c.replay.reel.state()
	}
	return course{speed: 1}
}

// places are the subscriptions of the connection, live or not.
func (c *conn) places() []place {
	if c.replay != nil {
		return c.replay.places
	}
	ps := make([]place, len(c.subs))
	for i, n := range c.subs {
		rate := float64(time.Second) / float64(n.period)
		ps[i] = place{id: n.id, answer: n.answer, request: subRequest{Path: n.group.pattern, Fields: n.fields, Rate: &rate}}
	}
	return ps
}

func (c *conn) patterns() []string {
	var ps []string
	for _, p := range c.places() {
		ps = append(ps, p.request.Path)
	}
	return ps
}

// replayAsked begins a replay, or changes the one under way.
func (s *shard) replayAsked(c *conn, m *message) *realtime.Problem {
	switch {
	case s.hub.replayer == nil:
		return &realtime.Problem{Code: realtime.CodeUnavailable, Message: "this server keeps no history to replay"}
	case !c.past() && len(m.From) == 0:
		return &realtime.Problem{Code: realtime.CodeMalformed, At: "/from", Message: `from when? {"type":"replay","from":"2026-11-23T08:00:00Z","speed":10}`}
	}
	to, p := m.replayRequest.read(c.course(), time.Now(), "/")
	if p != nil {
		return p
	}
	if c.opening == nil && c.replay != nil && len(m.From)+len(m.To) == 0 {
		c.replay.reel.steer(to.speed, to.paused)
		s.sayReplaying(c, m.ID)
		return nil
	}
	return s.open(c, to, m.ID)
}

// open has the past read, to be shown when its first moment is there.
func (s *shard) open(c *conn, to course, id json.RawMessage) *realtime.Problem {
	if !c.visitor {
		if p := s.hub.gallery.enter(c.viewer.User); p != nil {
			return p
		}
		c.visitor = true
	}
	o := c.opening
	switch {
	case o == nil:
		o = &opening{}
		c.opening = o
	case len(o.ids) >= maxWishes:
		most := float64(maxWishes)
		return &realtime.Problem{Code: realtime.CodeTooMany, Maximum: &most, Message: "wait for an answer before asking for another moment"}
	default:
		o.changed = true
		o.cancel()
	}
	if o.course = to; id != nil {
		o.ids = append(o.ids, id)
	}
	if !o.changed {
		s.readPast(c, o)
	}
	return nil
}

// readPast opens the history in a goroutine of its own, which then plays it.
func (s *shard) readPast(c *conn, o *opening) {
	h, to := s.hub, o.course
	ctx, cancel := context.WithCancel(h.ctx)
	o.changed, o.cancel, o.patterns = false, cancel, c.patterns()
	p := Past{Patterns: o.patterns, See: c.viewer.See}
	h.wg.Go(func() {
		defer cancel()
		r, err := h.openReel(ctx, p, to)
		taken := make(chan bool, 1)
		if !s.post(func(s *shard) { taken <- s.opened(c, o, r, err) }) {
			taken <- false
		}
		if err != nil {
			return
		}
		defer r.close()
		if <-taken {
			r.play()
		}
	})
}

// opened shows what was opened, unless it is not what is wanted any more.
func (s *shard) opened(c *conn, o *opening, r *reel, err error) bool {
	switch {
	case c.gone || c.closing != nil || c.opening != o:
		return false
	case o.changed || !slices.Equal(o.patterns, c.patterns()):
		s.readPast(c, o)
		return false
	case err != nil:
		s.notOpened(c, o, err)
		return false
	}
	c.opening = nil
	s.showPast(c, r, c.places())
	for _, id := range o.ids {
		s.sayReplaying(c, id)
	}
	if len(o.ids) == 0 {
		s.sayReplaying(c, nil)
	}
	return true
}

// notOpened answers all that waited. What the connection was shown stays.
func (s *shard) notOpened(c *conn, o *opening, err error) {
	c.opening = nil
	p := s.hub.pastProblem(err)
	ids := o.ids
	if c.replay == nil {
		s.leaveGallery(c)
	} else {
		c.replay.places = slices.DeleteFunc(c.replay.places, func(p place) bool {
			if !p.shown && p.answer != nil {
				ids = append(ids, p.answer)
			}
			return !p.shown
		})
	}
	for _, id := range ids {
		s.sayError(c, id, p)
	}
	if len(ids) == 0 {
		s.sayError(c, nil, p)
	}
}

// pastProblem is what a client may be told of an error of the history.
func (h *Hub) pastProblem(err error) *realtime.Problem {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p
	}
	if !errors.Is(err, context.Canceled) {
		h.log.Error("the past could not be read", "error", err)
	}
	return &realtime.Problem{Code: realtime.CodeUnavailable, Message: "the history cannot be read now"}
}

// showPast puts the reel in place of what the connection was shown.
func (s *shard) showPast(c *conn, r *reel, places []place) {
	if c.replay != nil {
		c.replay.stop()
	}
	for len(c.subs) > 0 {
		s.leave(c, c.subs[0])
	}
	c.facts, c.last, c.vague, c.resumed = 0, 0, false, false
	inner := &conn{wire: c.wire, viewer: Viewer{User: c.viewer.User, See: c.viewer.See, Rights: c.viewer.Rights}, bucket: -1, shard: r.hub.shards[0]}
	p := &pipe{outer: c, inner: inner}
	inner.sink = p
	r.inner = inner
	for i := range places {
		places[i].shown = true
	}
	c.replay = &replay{reel: r, pipe: p, inner: inner, places: places}
	shown := slices.Clone(places)
	inner.shard.post(func(in *shard) { in.seat(inner, shown) })
	for i := range places {
		places[i].answer = nil
	}
}

// beginPast is for a stream that begins in the past.
func (s *shard) beginPast(c *conn, r *reel, subs []subRequest) {
	c.visitor = true
	places := make([]place, len(subs))
	for i := range subs {
		c.lastSub++
		places[i] = place{id: "s" + strconv.Itoa(c.lastSub), request: subs[i]}
	}
	s.showPast(c, r, places)
	s.sayReplaying(c, nil)
	s.hub.wg.Go(func() {
		defer r.close()
		r.play()
	})
}

// seat runs in the hub of the past: it subscribes what the client follows.
func (s *shard) seat(c *conn, places []place) {
	s.hub.door.enter(c.viewer.User, c.address)
	s.hub.stats.began(c.wire)
	s.add(c)
	for i := range places {
		n := s.subscribe(c, &places[i].request)
		n.id, n.answer = places[i].id, places[i].answer
		s.startSnapshot(n)
	}
}

func (r *replay) stop() {
	r.pipe.close(false)
	r.reel.cancel()
}

// live goes back to the present: everything is told anew.
func (s *shard) live(c *conn, id json.RawMessage) {
	places := s.leavePast(c)
	subs := make([]string, 0, len(places)+len(c.subs))
	for _, p := range append(places, c.places()...) {
		subs = append(subs, p.id)
	}
	s.say(c, "live", struct {
		Type  string          `json:"type"`
		ID    json.RawMessage `json:"id,omitempty"`
		Epoch string          `json:"epoch"`
		Seq   uint64          `json:"seq"`
		Subs  []string        `json:"subs"`
	}{"live", id, s.hub.epoch, s.seq, subs})
	for i := range places {
		last := c.lastSub
		n := s.subscribe(c, &places[i].request)
		n.id, n.answer, c.lastSub = places[i].id, places[i].answer, last
		s.startSnapshot(n)
	}
}

// leavePast ends the replay, or what was to become one. The connection is left
// without the subscriptions that it returns.
func (s *shard) leavePast(c *conn) []place {
	if o := c.opening; o != nil {
		c.opening = nil
		o.cancel()
		for _, id := range o.ids {
			s.sayError(c, id, &realtime.Problem{Code: realtime.CodeConflict, Message: "the replay was called off before it began"})
		}
	}
	var places []place
	if c.replay != nil {
		places = c.replay.places
		c.replay.stop()
		c.replay = nil
	}
	s.leaveGallery(c)
	return places
}

func (s *shard) leaveGallery(c *conn) {
	if c.visitor {
		c.visitor = false
		s.hub.gallery.leave(c.viewer.User)
	}
}

// subPast is sub for a connection that looks at the past, which is opened anew
// where it is, with one more subscription.
func (s *shard) subPast(c *conn, r *subRequest, id json.RawMessage) *realtime.Problem {
	if p := r.check(&s.hub.limits, "/"); p != nil {
		return p
	}
	if len(c.replay.places) >= s.hub.limits.Subscriptions {
		return tooMany(&s.hub.limits)
	}
	c.lastSub++
	c.replay.places = append(c.replay.places, place{id: "s" + strconv.Itoa(c.lastSub), request: *r, answer: id})
	return s.open(c, c.course(), nil)
}

// unsubPast is unsub for a connection that looks at the past.
func (s *shard) unsubPast(c *conn, name string) *realtime.Problem {
	r, names := c.replay, ""
	left := slices.DeleteFunc(slices.Clone(r.places), func(p place) bool {
		names += " " + p.id
		return name == "" || p.id == name
	})
	if len(left) == len(r.places) && name != "" {
		return noSub(name, names)
	}
	r.places = left
	r.inner.shard.post(func(in *shard) { in.unsub(r.inner, name) })
	return nil
}

// refuseInPast answers a command: what it was decided on is not the present.
func refuseInPast() *realtime.Problem {
	return &realtime.Problem{Code: realtime.CodeConflict, Message: `this connection shows the past, so it sends no commands; go back with {"type":"live"} first`}
}

func (s *shard) sayReplaying(c *conn, id json.RawMessage) {
	r := c.replay.reel
	at := r.state()
	to := ""
	if !at.to.IsZero() {
		to = realtime.Stamp(at.to)
	}
	subs := make([]string, len(c.replay.places))
	for i, p := range c.replay.places {
		subs[i] = p.id
	}
	s.say(c, "replaying", struct {
		Type   string          `json:"type"`
		ID     json.RawMessage `json:"id,omitempty"`
		Replay bool            `json:"replay"`
		At     string          `json:"at"`
		Epoch  string          `json:"epoch"`
		From   string          `json:"from"`
		To     string          `json:"to,omitempty"`
		Speed  float64         `json:"speed"`
		Paused bool            `json:"paused"`
		TS     string          `json:"ts"`
		Subs   []string        `json:"subs"`
	}{"replaying", id, true, realtime.Stamp(at.from), r.hub.epoch, realtime.Stamp(r.course.from), to, at.speed, at.paused, realtime.Stamp(time.Now()), subs})
}

// appendPast marks a frame as one of the past, in a hub of the past.
func (s *shard) appendPast(dst []byte, seq uint64) []byte {
	if s.hub.clock == nil {
		return dst
	}
	dst = append(dst, `,"replay":true,"at":`...)
	return appendTime(dst, time.UnixMilli(int64(seq)))
}
