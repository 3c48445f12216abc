package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"echotwin/realtime"
)

// publishBoth publishes readings and facts in one bundle.
func (g *rig) publishBoth(change realtime.Change, facts ...realtime.Fact) uint64 {
	g.seq++
	for i := range facts {
		facts[i].Seq = g.seq
	}
	g.hub.Publish(realtime.Update{Seq: g.seq, Changes: []realtime.Change{change}, Facts: facts})
	return g.seq
}

// State before facts: a client cut off right after a fact has all state up to
// it, and the update before claims no more than the fact's seq-1, so that one
// cut off in between gets the fact again.
func TestUpdateBeforeFactsClaimsNoMore(t *testing.T) {
	g := newRig(t, Config{})
	g.set("a", `{"x":1}`)
	c := g.dial("?path=**")
	c.want("snapshot")
	g.publishBoth(reading(t, "a", `{"x":2}`), event("a", "one"), event("a", "two"))
	u, one, two := c.want("update"), c.want("event"), c.want("event")
	if u.Prev != 1 || u.Seq != 1 || string(u.Things["a"]) == "" {
		t.Errorf("update %s, want it to claim 1", u.raw)
	}
	if one.Seq != 2 || !one.More || two.Seq != 2 || two.More {
		t.Errorf("facts %s %s, want both at 2 and more only on the first", one.raw, two.raw)
	}
	g.set("a", `{"x":3}`)
	if u = c.want("update"); u.Prev != 2 || u.Seq != 3 {
		t.Errorf("update %s", u.raw)
	}
}

func TestCutBetweenTwoFactsOfOneBundle(t *testing.T) {
	g := newRig(t, Config{})
	g.set("a", `{"x":1}`)
	ws := g.dial("?path=**")
	sse := g.events("?path=**")
	ws.want("snapshot")
	if f := sse.want("snapshot"); f.cursor != "k3f9.1" {
		t.Errorf("id %q on %s", f.cursor, f.raw)
	}
	g.publishBoth(reading(t, "a", `{"x":2}`), event("a", "one"), event("a", "two"))
	ws.want("update")
	if f := sse.want("update"); f.cursor != "k3f9.1" {
		t.Errorf("id %q on %s: the facts of 2 are still to come", f.cursor, f.raw)
	}
	one := ws.want("event")
	if f := sse.want("event"); f.cursor != "" || f.Name != "one" {
		t.Errorf("id %q on %s: a reader cut off here would never get the second", f.cursor, f.raw)
	}
	if f := sse.want("event"); f.cursor != "k3f9.2" || f.Name != "two" {
		t.Errorf("id %q on %s", f.cursor, f.raw)
	}

	// Cut after the first: more says that it is no cursor, so the client still
	// stands at 1 and gets both.
	if !one.More {
		t.Fatalf("%s does not say that another shares its seq", one.raw)
	}
	for _, again := range []*client{g.dial(""), g.events("?path=**", "Last-Event-ID", "k3f9.1"), g.events("?path=**&since=k3f9.1&format=ndjson")} {
		if again.ws != nil {
			again.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"**"}]}`)
		}
		if f := again.want("resumed"); f.Mode != "delta" || f.From != 1 || f.Seq != 2 {
			t.Errorf("%s", f.raw)
		}
		state := again.want("update")
		a, b := again.want("event"), again.want("event")
		end := again.want("update")
		if state.Prev != 1 || state.Seq != 1 || !strings.Contains(state.raw, `"x":2`) || a.Name != "one" || b.Name != "two" || end.Prev != 2 || end.Seq != 2 {
			t.Errorf("%s\n%s\n%s\n%s", state.raw, a.raw, b.raw, end.raw)
		}
	}
}

// Two rates on one connection: the slow subscription is due later, and until
// then no update may claim what it has not been given.
func TestSlowSubscriptionHoldsTheClaim(t *testing.T) {
	g := newRig(t, Config{})
	g.set("fast", `{"x":1}`)
	g.set("slow", `{"x":1}`)
	c := g.dial("")
	c.say(`{"type":"sub","path":"slow","rate":0.2}`)
	c.say(`{"type":"sub","path":"fast","rate":20}`)
	c.want("snapshot")
	c.want("snapshot")
	g.set("slow", `{"x":2}`) // 3, at once after quiet
	if f := c.want("update"); f.Seq != 3 {
		t.Errorf("%s", f.raw)
	}
	g.set("slow", `{"x":3}`) // 4, not due for 5 s
	g.settle()
	g.set("fast", `{"x":2}`) // 5
	f := c.want("update")
	if f.Prev != 3 || f.Seq != 3 || strings.Contains(f.raw, "slow") {
		t.Errorf("%s claims what slow has not been given", f.raw)
	}
	// A client that goes on from there gets the slow one's change.
	again := g.dial("")
	again.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"*"}]}`, f.Seq)
	again.want("resumed")
	if f := again.want("update"); !strings.Contains(f.raw, `"slow":{"ts":"2026-11-23T12:00:00.120Z","set":{"x":3}}`) || f.Seq != 5 {
		t.Errorf("%s", f.raw)
	}
	// A fact does not wait for the slow rate, and brings the state before it.
	g.fact(event("fast", "e")) // 6
	if f := c.want("update"); f.Seq != 5 || !strings.Contains(f.raw, `"slow"`) {
		t.Errorf("%s", f.raw)
	}
	if f := c.want("event"); f.Seq != 6 {
		t.Errorf("%s", f.raw)
	}
}

func TestResumeByDelta(t *testing.T) {
	g := newRig(t, Config{})
	g.set("a", `{"x":1,"y":1}`)
	g.set("b", `{"x":1}`)
	g.set("a", `{"y":2}`)
	g.fact(event("b", "e"))
	g.seq++
	g.hub.Publish(realtime.Update{Seq: g.seq, Changes: []realtime.Change{{Thing: "b", Removed: true}}})
	g.settle()
	c := g.dial("")
	c.say(`{"type":"resume","id":"r","epoch":"k3f9","seq":2,"subs":[{"path":"*"},{"path":"a","fields":["x"]}]}`)
	f := c.want("resumed")
	if f.Mode != "delta" || f.From != 2 || f.Seq != 5 || string(f.ID) != `"r"` || fmt.Sprint(f.Subs) != "[s1 s2]" {
		t.Errorf("%s", f.raw)
	}
	f = c.want("update")
	if f.Prev != 2 || f.Seq != 3 || string(f.Things["b"]) != "null" || !strings.HasSuffix(string(f.Things["a"]), `"set":{"y":2}}`) {
		t.Errorf("%s", f.raw)
	}
	c.want("event")
	if f = c.want("update"); f.Prev != 4 || f.Seq != 5 || len(f.Things) != 0 {
		t.Errorf("%s", f.raw)
	}
	// What is new follows, and a resume of a live connection replaces its
	// subscriptions.
	c.say(`{"type":"resume","epoch":"k3f9","seq":5,"subs":[{"path":"a"}]}`)
	if f = c.want("resumed"); fmt.Sprint(f.Subs) != "[s3]" {
		t.Errorf("%s", f.raw)
	}
	if f = c.want("update"); f.Prev != 5 || f.Seq != 5 || len(f.Things) != 0 {
		t.Errorf("%s", f.raw)
	}
	g.set("a", `{"x":9}`)
	if f = c.want("update"); f.Prev != 5 || f.Seq != 6 {
		t.Errorf("%s", f.raw)
	}
	c.quiet()
}

// Marks that the time changed share the seq of the bundle before; a cursor at
// that seq may or may not have them, so a resume tells them.
func TestResumeTellsMarksOfTheTime(t *testing.T) {
	g := newRig(t, Config{})
	seq := g.set("a", `{"x":1}`)
	g.hub.Publish(realtime.Update{Seq: seq, Changes: []realtime.Change{{Thing: "a", Marks: &realtime.Marks{Stale: []string{"x"}}}}})
	g.settle()
	c := g.events("?path=a&since=k3f9.1")
	c.want("resumed")
	if f := c.want("update"); string(f.Things["a"]) != `{"ts":"2026-11-23T12:00:00.120Z","stale":["x"],"quality":{}}` {
		t.Errorf("%s", f.raw)
	}
}

func TestCursorsThatCannotGoOn(t *testing.T) {
	g := newRig(t, Config{})
	g.seq = 99 // a log that was there before this server
	g.set("a", `{"x":1}`)
	g.fact(event("a", "e"))
	g.settle()
	for _, tt := range []struct {
		cursor, reason string
		resync         bool
		facts          int
	}{
		{"other.100", "another log", false, 0},
		{"k3f9.9000", "ahead of this server, which is at 101", false, 0},
		{"k3f9.7", "older than what this server remembers, which begins at 100", true, 1},
		{"nonsense", "names no epoch", false, 0},
		{"k3f9.-1", "names no epoch", false, 0},
	} {
		c := g.events("?path=**&since=" + tt.cursor)
		f := c.want("resumed")
		if f.Mode != "snapshot" || !strings.Contains(f.Reason, tt.reason) || fmt.Sprint(f.Subs) != "[s1]" {
			t.Errorf("%s: %s, want a snapshot because %q", tt.cursor, f.raw, tt.reason)
		}
		if tt.resync {
			if f = c.want("resync"); !f.AtLeast || f.Missed != 0 || f.From != 7 {
				t.Errorf("%s: %s", tt.cursor, f.raw)
			}
		}
		f = c.want("snapshot")
		if want := uint64(101 - tt.facts); f.Seq != want || f.cursor != fmt.Sprintf("k3f9.%d", want) {
			t.Errorf("%s: %s with id %s, want seq %d", tt.cursor, f.raw, f.cursor, want)
		}
		for range tt.facts {
			c.want("event")
		}
	}
}

// What fell out of the ring is counted for each client by its own paths.
func TestResyncSaysHowMany(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{Facts: 4}})
	g.set("a", `{"x":1}`)
	for i := range 10 {
		g.fact(event([]string{"a", "b"}[i%2], fmt.Sprint("e", i))) // 2 to 11, kept are 8 to 11
	}
	g.settle()
	c := g.events("?path=a&since=k3f9.1")
	c.want("resumed")
	f := c.want("resync")
	if f.Missed != 3 || f.AtLeast {
		t.Errorf("%s, want 3 of a missed", f.raw)
	}
	if a, b := c.want("event"), c.want("event"); a.Name != "e6" || b.Name != "e8" {
		t.Errorf("%s %s", a.raw, b.raw)
	}
	c.want("update")
	// Nothing of its own was lost: then nothing is said.
	c = g.events("?path=c&since=k3f9.1")
	c.want("resumed")
	c.want("update")
}

func TestCursorMovesOnAfterFactsNobodyKnows(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{Facts: 2}})
	g.set("plant/a", `{"x":1}`)
	c := g.dial("?path=plant/a")
	last := c.want("snapshot").Seq
	facts := make([]realtime.Fact, 40) // more than the hub remembers to have had
	for i := range facts {
		facts[i] = event("plant/b", "jam")
	}
	g.seq++
	g.hub.Publish(realtime.Update{Seq: g.seq, Changes: []realtime.Change{reading(t, "plant/a", `{"x":2}`)}, Facts: facts})
	if f := c.want("update"); f.Seq != last {
		t.Errorf("%s claims facts that may have been its", f.raw)
	}
	if f := c.want("resync"); !f.AtLeast || f.Missed != 0 {
		t.Errorf("%s, but nobody knows how many", f.raw)
	}
	if f := c.want("update"); f.Seq != g.seq || len(f.Things) != 0 {
		t.Errorf("%s, want the cursor to move on to %d", f.raw, g.seq)
	}
}

func TestRingForgetsByBytes(t *testing.T) {
	r := newRing(100, 1000)
	for i := range 50 {
		r.add(fact{seq: uint64(i + 1), thing: "a", body: make([]byte, 300)})
	}
	if n := r.end - r.start; n != 3 || r.bytes > 1000 {
		t.Errorf("%d facts of %d bytes are kept", n, r.bytes)
	}
	n, exact := r.lost(10, func(string, uint64) bool { return true })
	if n != 37 || !exact {
		t.Errorf("lost %d, exact %v, want 37", n, exact)
	}
	r.add(fact{seq: 51, thing: "a", body: make([]byte, 5000)}) // one that is too large alone is kept all the same
	if r.end-r.start != 1 || r.find(50) != r.start || r.find(51) != r.end {
		t.Errorf("the ring holds %d to %d", r.start, r.end)
	}
	for i := range 2000 {
		r.add(fact{seq: uint64(100 + i), thing: "a"})
	}
	if _, exact := r.lost(10, func(string, uint64) bool { return true }); exact {
		t.Error("a count from beyond all memory passes for exact")
	}
}

// While a large snapshot goes out in pages, everything changes; then the
// screen is right, and no claim was ever too large.
func TestPagesUnderPublish(t *testing.T) {
	g := newRig(t, Config{})
	g.hub.sizes.page = 500
	want := screen{}
	put := func(i, v int) {
		id := fmt.Sprintf("p/t%d", i)
		g.set(id, fmt.Sprintf(`{"v":%d}`, v))
		want[id] = map[string]string{"v": fmt.Sprint(v)}
	}
	for i := range 200 {
		put(i, 0)
	}
	for _, stream := range []bool{false, true} {
		g.settle()
		begin := g.seq
		var c *client
		if stream {
			c = g.events("?path=p/*&path=p/t7")
		} else {
			c = g.dial("?path=p/*&path=p/t7")
		}
		for i := range 300 {
			put(i%220, i)
		}
		got, pages, last := screen{}, 0, uint64(0)
		for !got.equal(want) || last < g.seq {
			f := c.next()
			switch f.Type {
			case "snapshot":
				pages++
				final := !f.More && f.Sub == "s2"
				if stream && (f.cursor != "") != final {
					t.Errorf("id %q on a page with more %v of %s", f.cursor, f.More, f.Sub)
				}
				if f.Seq < begin {
					t.Errorf("a page claims %d, before the subscription", f.Seq)
				}
			case "update":
				if f.Prev != last {
					t.Errorf("prev %d after %d", f.Prev, last)
				}
			default:
				t.Fatalf("%s", f.raw)
			}
			got.apply(t, f)
			last = f.Seq
		}
		if pages < 10 {
			t.Errorf("%d pages, want many", pages)
		}
	}
}

func TestOverlappingSubscriptions(t *testing.T) {
	g := newRig(t, Config{})
	g.set("p/a", `{"x":1,"y":1,"z":1}`)
	c := g.dial("")
	c.say(`{"type":"sub","path":"p/*","fields":["x"]}`)
	c.say(`{"type":"sub","path":"**","fields":["y"]}`)
	c.say(`{"type":"sub","path":"p/a","fields":["x","y"],"rate":10}`)
	for range 3 {
		c.want("snapshot") // parseFrame fails on a key that stands twice
	}
	g.set("p/a", `{"x":2,"y":2,"z":2}`)
	f := c.want("update")
	var th struct{ Set map[string]int }
	if err := json.Unmarshal(f.Things["p/a"], &th); err != nil || fmt.Sprint(th.Set) != "map[x:2 y:2]" || f.Merged != 1 {
		t.Errorf("%s, want x and y once, for one sample", f.raw)
	}
	g.set("p/a", `{"z":3}`)
	g.settle()
	c.quiet()
}
