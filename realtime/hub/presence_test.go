package hub

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Viewers are connections that cover a thing and may see it, each once, however
// its subscriptions overlap, come and go.
func TestViewersAreCountedOnceEach(t *testing.T) {
	g := newRig(t, Config{})
	g.set("a/1", `{"x":1}`)
	g.set("b/1", `{"x":1}`)
	all := g.dial("")
	all.say(`{"type":"sub","path":"**"}`)
	all.want("snapshot")
	want := func(thing string, n int) {
		t.Helper()
		if got := g.hub.Viewers(thing); got != n {
			t.Errorf("%s has %d viewers, want %d", thing, got, n)
		}
	}
	want("a/1", 1)
	all.say(`{"type":"sub","path":"a/*"}`) // overlaps
	all.want("snapshot")
	want("a/1", 1)
	all.say(`{"type":"unsub","sub":"s1"}`)
	all.want("ok")
	want("a/1", 1)
	want("b/1", 0)

	g.view = func(*http.Request) Viewer {
		return Viewer{User: "bob", See: func(thing string) bool { return strings.HasPrefix(thing, "b/") }}
	}
	some := g.dial("?path=**")
	some.want("snapshot")
	want("a/1", 1)
	want("b/1", 1)
	want("b/of-which-nothing-came", 1)
	if got, _ := g.hub.Viewed("**", "", 10, nil); !slices.Equal(got, []Viewed{{"a/1", 1}, {"b/1", 1}}) {
		t.Errorf("got %v", got)
	}
}

// Against a count from scratch: random subscriptions of random viewers.
func TestPresenceIsWhatACountFromScratchSays(t *testing.T) {
	h := New(Config{Epoch: "e"})
	defer h.Close()
	r := rand.New(rand.NewPCG(1, 2))
	patterns := []string{"**", "a/**", "a/*", "a/1", "*/1", "b/**", "b/2", "*/*"}
	s := h.shards[0]
	var conns []*conn
	for range 40 {
		c := &conn{shard: s}
		if r.IntN(2) == 0 {
			only := []string{"a/", "b/"}[r.IntN(2)]
			c.viewer.See = func(thing string) bool { return strings.HasPrefix(thing, only) }
		}
		conns = append(conns, c)
	}
	for step := range 3000 {
		c := conns[r.IntN(len(conns))]
		if len(c.subs) > 0 && r.IntN(2) == 0 {
			s.leave(c, c.subs[r.IntN(len(c.subs))])
		} else if len(c.subs) < 4 {
			s.subscribe(c, &subRequest{Path: patterns[r.IntN(len(patterns))]})
		}
		if r.IntN(20) == 0 {
			v := c.viewer
			v.See = nil
			s.own(c, v)
		}
		for _, thing := range []string{"a/1", "a/2", "b/1", "b/2"} {
			want := 0
			for _, c := range conns {
				if c.sees(thing) && slices.ContainsFunc(c.subs, func(s *sub) bool { return match(s.group.pattern, thing) }) {
					want++
				}
			}
			if got := h.Viewers(thing); got != want {
				t.Fatalf("step %d: %s has %d viewers, want %d", step, thing, got, want)
			}
		}
	}
}

// Ten thousand connections that follow everything cost a thing one number.
func TestManyViewersCostNothingPerThing(t *testing.T) {
	h := New(Config{Epoch: "e"})
	defer h.Close()
	s := h.shards[0]
	for range 10_000 {
		s.subscribe(&conn{shard: s}, &subRequest{Path: "**"})
	}
	h.mu.RLock()
	g := h.index.patterns.get("**")
	h.mu.RUnlock()
	if g.plain != 10_000 || len(g.odd) != 0 {
		t.Errorf("%d are plain and %d odd", g.plain, len(g.odd))
	}
	if got := h.Viewers("a/1"); got != 10_000 {
		t.Errorf("got %d", got)
	}
}

// The metrics name no more things than they say, however many there are.
func TestOnlyTheMostViewedThingsAreSeries(t *testing.T) {
	g := newRig(t, Config{})
	for i := range mostViewed + 50 {
		g.set(fmt.Sprintf("p/%d", i), `{"x":1}`)
	}
	all := g.dial("?path=**&path=p/7")
	all.want("snapshot")
	all.want("snapshot")
	g.dial("?path=p/9").want("snapshot")
	c := g.hub.audience(mostViewed)
	if c.followed != mostViewed+50 || len(c.most) != mostViewed {
		t.Errorf("%d are followed, %d told", c.followed, len(c.most))
	}
	if !slices.Contains(c.most, Viewed{"p/9", 2}) || !slices.Contains(c.most, Viewed{"p/7", 1}) {
		t.Errorf("got %v", c.most[:4])
	}
}
