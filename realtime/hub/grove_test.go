package hub

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// link says what a thing contains from now on. Descriptions have no place in the
// log of their own.
func (g *rig) link(thing string, contains ...string) {
	g.hub.Publish(realtime.Update{Seq: g.seq, Linked: []realtime.Linked{{Thing: thing, Contains: contains}}})
}

func (f *frame) ids() string {
	var ids []string
	for id, raw := range f.Things {
		if string(raw) == "null" {
			id = "-" + id
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// A place is followed as its tree is: what is linked in comes whole, what is linked
// out goes, by links and by paths, and both follow what moves above them.
func TestAPlaceIsFollowed(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/line1/a", `{"x":1}`)
	g.set("depot/robot", `{"y":2}`)
	g.set("depot/robot/arm", `{"z":3}`)
	c := g.dial("?path=under:plant/line1")
	if f := c.want("snapshot"); f.ids() != "plant/line1/a" || f.Matched != 1 {
		t.Fatalf("%s", f.raw)
	}
	g.link("plant/line1", "depot/robot")
	f := c.want("update")
	if f.ids() != "depot/robot depot/robot/arm" || f.value(t, "depot/robot", "y") != "2" || len(f.Joined["s1"]) != 2 || f.Left != nil {
		t.Fatalf("%s", f.raw)
	}
	g.set("depot/robot/arm", `{"z":4}`)
	if f := c.want("update"); f.ids() != "depot/robot/arm" || f.Joined != nil {
		t.Fatalf("%s", f.raw)
	}
	g.set("plant/line1/b", `{"x":5}`)
	if f := c.want("update"); fmt.Sprint(f.Joined) != "map[s1:[plant/line1/b]]" {
		t.Fatalf("%s", f.raw)
	}
	g.fact(event("depot/robot", "jam"))
	if f := c.want("event"); f.Thing != "depot/robot" {
		t.Fatalf("%s", f.raw)
	}
	g.link("plant/line1")
	if f := c.want("update"); f.ids() != "-depot/robot -depot/robot/arm" || len(f.Left["s1"]) != 2 {
		t.Fatalf("%s", f.raw)
	}
	g.set("depot/robot", `{"y":6}`)
	g.fact(event("depot/robot", "jam"))
	g.settle()
	c.quiet()
	g.link("hall", "plant/line1/a") // a path gives way to a link
	if f := c.want("update"); f.ids() != "-plant/line1/a" {
		t.Fatalf("%s", f.raw)
	}
	if n := g.hub.Viewers("plant/line1/b"); n != 1 {
		t.Errorf("%d viewers of what is there", n)
	}
	if n := g.hub.Viewers("plant/line1/a"); n != 0 {
		t.Errorf("%d viewers of what has left", n)
	}
}

// Who was away is told what joined and what left since the cursor, though nobody
// followed the place meanwhile, over every wire.
func TestAPlaceIsResumed(t *testing.T) {
	for _, wire := range []string{"ws", "sse", "lines"} {
		g := newRig(t, Config{})
		g.set("plant/line1/a", `{"x":1}`)
		g.set("depot/robot", `{"y":2}`)
		g.set("depot/cart", `{"z":3}`)
		g.link("plant/line1", "depot/cart")
		at := g.set("other", `{"n":1}`)
		g.link("plant/line1", "depot/robot")
		at2 := g.set("other", `{"n":2}`)
		g.settle()
		resume := func(at uint64) *client {
			switch wire {
			case "ws":
				c := g.dial("")
				c.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"under:plant/line1"}]}`, at)
				return c
			case "sse":
				return g.events("?path=under:plant/line1", "Last-Event-ID", fmt.Sprint("k3f9.", at))
			}
			return g.events("?format=ndjson&path=under:plant/line1&since=k3f9." + fmt.Sprint(at))
		}
		c := resume(at)
		if f := c.want("resumed"); f.Mode != "delta" {
			t.Fatalf("%s: %s", wire, f.raw)
		}
		f := c.want("update")
		if f.ids() != "-depot/cart depot/robot" || fmt.Sprint(f.Joined, f.Left) != "map[s1:[depot/robot]] map[s1:[depot/cart]]" {
			t.Fatalf("%s: %s", wire, f.raw)
		}
		c = resume(at2)
		c.want("resumed")
		if f := c.want("update"); f.ids() != "" || f.Joined != nil || f.Left != nil {
			t.Fatalf("%s: %s", wire, f.raw)
		}
		g.link("plant/line1") // and nothing else changes
		c = resume(at2)
		c.want("resumed")
		if f := c.want("update"); f.ids() != "-depot/robot" || len(f.Left["s1"]) != 1 {
			t.Fatalf("%s: %s", wire, f.raw)
		}
	}
}

// What left a place before a restart, longer ago than is remembered, or on another
// server, is not known: then a cursor gets a snapshot and the reason.
func TestAPlaceIsToldAnewWhenItMustBe(t *testing.T) {
	for name, cfg := range map[string]Config{"forgotten": {}, "restarted": {Placed: 7}, "shared": {Shared: true}} {
		g := newRig(t, cfg)
		if name == "restarted" {
			g.seq = 3 // of the checkpoint
			g.hub.Begin(g.seq, nil, 0, 0)
			g.seq = 7
		}
		at := g.set("plant/line1/a", `{"x":1}`)
		g.set("depot/robot", `{"y":2}`)
		switch name {
		case "forgotten":
			for range usualSizes.ghosts + 1 {
				g.link("plant/line1", "depot/robot")
				g.link("plant/line1")
			}
		case "restarted":
			at = 7
		}
		g.settle()
		c := g.dial("")
		c.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"under:plant/line1"}]}`, at)
		if f := c.want("resumed"); f.Mode != "snapshot" || !strings.Contains(f.Reason, "below plant/line1") {
			t.Errorf("%s: %s", name, f.raw)
		}
		if f := c.want("snapshot"); f.ids() != "plant/line1/a" {
			t.Errorf("%s: %s", name, f.raw)
		}
		c.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"plant/line1/**"}]}`, at)
		if f := c.want("resumed"); f.Mode != "delta" {
			t.Errorf("%s: by pattern %s", name, f.raw)
		}
	}
}

// Who may not see a thing is told how many there are, and knows nothing of what it
// contains.
func TestAPlaceHidesWhatMayNotBeSeen(t *testing.T) {
	g := newRig(t, Config{})
	g.view = func(*http.Request) Viewer {
		return Viewer{User: "part", Rights: "no secrets", See: func(id string) bool { return !strings.Contains(id, "secret") }}
	}
	g.set("plant/a", `{"x":1}`)
	g.set("plant/secret", `{"x":1}`)
	g.set("depot/robot", `{"y":2}`)
	g.set("depot/secret", `{"y":2}`)
	g.link("plant/secret", "depot/robot")
	c := g.dial("?path=under:plant")
	if f := c.want("snapshot"); f.ids() != "plant/a" || f.Matched != 2 || f.Hidden != 1 {
		t.Fatalf("%s", f.raw)
	}
	d := g.dial("?path=under:depot")
	if f := d.want("snapshot"); f.ids() != "depot/robot" || f.Matched != 2 || f.Hidden != 1 {
		t.Fatalf("%s", f.raw)
	}
	g.link("plant/a", "depot/robot", "depot/secret")
	if f := c.want("update"); f.ids() != "depot/robot" || strings.Contains(f.raw, "secret") {
		t.Fatalf("%s", f.raw)
	}
	if f := d.want("update"); f.ids() != "-depot/robot" || strings.Contains(f.raw, "secret") {
		t.Fatalf("%s", f.raw)
	}
	if n := g.hub.Viewers("depot/secret"); n != 0 {
		t.Errorf("%d viewers of what may not be seen", n)
	}
}

// Several subscriptions of one client have one screen: what leaves a place stays
// when another subscription has it, and the frame says so.
func TestAPlaceBesideAPattern(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/a", `{"x":1,"y":2}`)
	c := g.dial("?path=under:plant")
	c.want("snapshot")
	c.say(`{"type":"sub","path":"plant/*","fields":["x"]}`)
	c.want("snapshot")
	g.link("hall", "plant/a")
	if f := c.want("update"); f.ids() != "plant/a" || fmt.Sprint(f.Left) != "map[s1:[plant/a]]" || strings.Contains(f.raw, `"y"`) {
		t.Fatalf("%s", f.raw)
	}
	g.set("plant/a", `{"x":3,"y":4}`)
	if f := c.want("update"); strings.Contains(f.raw, `"y"`) || f.value(t, "plant/a", "x") != "3" {
		t.Fatalf("%s", f.raw)
	}
	c.say(`{"type":"unsub","sub":"s2"}`)
	c.want("ok")
	g.link("hall")
	if f := c.want("update"); f.value(t, "plant/a", "y") != "4" || len(f.Joined["s1"]) != 1 {
		t.Fatalf("%s", f.raw)
	}
}

// A thing changes, and leaves the place before the shards have looked at that round:
// then its change is in no list of the place. A frame that claims the round has to
// tell all the same that it is not there, though it may be about something else.
func TestAChangeThatLeftItsPlaceBeforeItWasTold(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("plant/a", `{"x":1}`)
		g.set("depot/b", `{"y":1}`)
		ws, in := g.socket("?path=under:plant&path=depot/b")
		defer ws.Close()
		time.Sleep(time.Second)
		release := g.holdShards()
		at := g.set("plant/a", `{"x":2}`)
		g.set("depot/b", `{"y":2}`)
		synctest.Wait()
		time.Sleep(2 * gather) // the round is closed, and waits for the shards
		g.link("hall", "plant/a")
		release()
		time.Sleep(time.Second)
		there := true
		for _, f := range in.of("update") {
			there = there && !slices.Contains(f.Left["s1"], "plant/a")
			if f.Seq >= at && there && f.value(t, "plant/a", "x") != "2" {
				t.Errorf("plant/a changed at %d, and of that was told nothing when this claimed it: %s", at, f.raw)
			}
		}
		if there {
			t.Error("nobody was told that it left")
		}
	})
}

func TestAWrongPlaceIsToldWhatIsAllowed(t *testing.T) {
	g := newRig(t, Config{})
	c := g.dial("")
	for _, path := range []string{"under:", "under:plant/*", "under:/x", "under:a/b/c/d/e/f/g/h/i", "below:plant"} {
		c.say(`{"type":"sub","path":%q}`, path)
		if f := c.want("error"); f.Code != realtime.CodeMalformed || f.At != "/path" || !strings.Contains(f.Message, "under:plant/line1") {
			t.Errorf("%s: %s", path, f.raw)
		}
	}
}

// Five thousand things below one place, by links and by paths, in a place that a
// circle is tried with: they come in pages, leave as one, and a subscription looks
// at nothing that is not its own.
func TestFiveThousandThingsBelowAPlace(t *testing.T) {
	g := newRig(t, Config{})
	const n = 5000
	var u realtime.Update
	g.seq++
	u.Seq = g.seq
	for i := range n {
		u.Changes = append(u.Changes, reading(t, fmt.Sprintf("depot/cell%d/m%d", i/250, i), `{"x":1}`), reading(t, fmt.Sprintf("yard/m%d", i), `{"x":1}`))
	}
	for i := range n / 250 {
		cell := fmt.Sprintf("depot/cell%d", i)
		u.Linked = append(u.Linked, realtime.Linked{Thing: "a-hall", Contains: []string{cell}}, realtime.Linked{Thing: cell, Contains: []string{"a-hall"}})
	}
	var cells []string
	for i := range n / 250 {
		cells = append(cells, fmt.Sprintf("depot/cell%d", i))
	}
	u.Linked = append(u.Linked, realtime.Linked{Thing: "a-hall", Contains: cells})
	g.hub.Publish(u)
	c := g.dial("?path=under:a-hall")
	got := map[string]bool{}
	for more := true; more; {
		f := c.want("snapshot")
		for id := range f.Things {
			got[id] = true
		}
		more = f.More
		if f.Matched != n {
			t.Fatalf("%d matched", f.Matched)
		}
	}
	if len(got) != n {
		t.Fatalf("%d things", len(got))
	}
	g.link("a-hall", cells[1:]...)
	if f := c.want("update"); len(f.Left["s1"]) != 250 || strings.Count(f.ids(), "-depot/cell0/") != 250 {
		t.Fatalf("%d left, and %.300s", len(f.Left["s1"]), f.ids())
	}
	g.link("a-hall") // more than is remembered: all is told anew
	for f := c.next(); f.Type != "snapshot" || f.More; f = c.next() {
		if f.Joined != nil {
			t.Fatalf("nothing joined: %.300s", f.raw)
		}
	}
	g.hub.mu.RLock()
	kept := len(g.hub.index.groves[""].left)
	g.hub.mu.RUnlock()
	if kept > usualSizes.ghosts {
		t.Errorf("%d departures are kept", kept)
	}
}

// Trees of different rights are bounded, and make room when nobody needs them.
func TestGrovesAreBounded(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/a", `{"x":1}`)
	n := 0
	g.view = func(*http.Request) Viewer {
		n++
		return Viewer{User: "u", Rights: fmt.Sprint(n), See: func(string) bool { return true }}
	}
	var all []*client
	for range maxGroves - 1 {
		c := g.events("?path=under:plant")
		c.want("snapshot")
		all = append(all, c)
	}
	c := g.dial("")
	c.say(`{"type":"sub","path":"under:plant"}`)
	if f := c.want("error"); f.Code != realtime.CodeTooMany || *f.Maximum != maxGroves {
		t.Fatalf("%s", f.raw)
	}
	c.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"under:plant"}]}`)
	if f := c.want("error"); f.Code != realtime.CodeTooMany {
		t.Fatalf("%s", f.raw)
	}
	all[0].resp.Body.Close()
	for {
		g.set("plant/a", fmt.Sprintf(`{"x":%d}`, g.seq)) // until the hub has seen that it is gone
		g.settle()
		c.say(`{"type":"sub","path":"under:plant"}`)
		if f := c.next(); f.Type == "snapshot" {
			return
		}
	}
}

// A replay of a place shows the things that stand there now, and asks the history
// for no others.
func TestAPlaceIsReplayed(t *testing.T) {
	a := aMorning(t, 31)
	g := newRig(t, Config{Replayer: a})
	g.link("hall", "plant/a")
	for _, q := range []string{"path=under:hall", "path=under:plant"} {
		c := g.events("?format=ndjson&speed=600&" + q + "&replay=" + realtime.Stamp(morning) + "&to=" + realtime.Stamp(morning.Add(20*time.Second)))
		fs := c.rest()
		has := slices.ContainsFunc(fs, func(f frame) bool { return f.Type == "event" && f.Name == "jam" })
		state := slices.ContainsFunc(fs, func(f frame) bool { return f.Replay && f.value(t, "plant/a", "speed") == "20" })
		if want := strings.Contains(q, "hall"); has != want || state != want {
			t.Errorf("%s: the event %v, the state %v", q, has, state)
		}
	}
	if got := fmt.Sprint(a.asked[0].Patterns, a.asked[1].Patterns); got != "[hall hall/** plant/a plant/a/**] [plant plant/**]" {
		t.Errorf("asked for %s", got)
	}
}

// Facts that only the store has are those of the things that stand there.
func TestAPlaceRecallsOldFacts(t *testing.T) {
	store := &modelStore{}
	g := newRig(t, Config{Archive: store, Limits: Limits{Facts: 1}})
	g.link("hall", "depot/robot")
	at := g.set("depot/robot", `{"x":1}`)
	for _, thing := range []string{"depot/robot", "depot/cart", "hall/a", "other"} {
		f := event(thing, "jam")
		f.Seq = g.seq + 1
		store.add(realtime.Update{Seq: f.Seq, Facts: []realtime.Fact{f}})
		g.fact(f)
	}
	c := g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"under:hall"}]}`, at)
	c.want("resumed")
	if f := c.want("event"); f.Thing != "depot/robot" {
		t.Fatalf("%s", f.raw)
	}
	if f := c.want("event"); f.Thing != "hall/a" {
		t.Fatalf("%s", f.raw)
	}
	c.want("update")
	c.quiet()
}

// What happened to a thing while it stood in the place is told also when it has left
// before: to who resumes, from the ring or the store, and to who was a little late.
func TestAFactOfWhatHasLeftAPlace(t *testing.T) {
	for name, cfg := range map[string]Config{"ring": {}, "store": {Archive: &modelStore{}, Limits: Limits{Facts: 1}}} {
		g := newRig(t, cfg)
		at := g.set("plant/a", `{"x":1}`)
		for _, thing := range []string{"plant/a", "depot/b", "plant/a"} {
			f := event(thing, "jam")
			f.Seq = g.seq + 1
			if cfg.Archive != nil {
				cfg.Archive.(*modelStore).add(realtime.Update{Seq: f.Seq, Facts: []realtime.Fact{f}})
			}
			g.fact(f)
			if thing == "depot/b" {
				g.link("hall", "plant/a")
			}
		}
		g.fact(event("depot/b", "jam"))
		g.settle()
		c := g.dial("")
		c.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"under:plant"}]}`, at)
		c.want("resumed")
		c.want("update")
		if f := c.want("event"); f.Thing != "plant/a" || f.Seq != at+1 {
			t.Errorf("%s: %s", name, f.raw)
		}
		if f := c.want("update"); f.Seq < g.seq {
			t.Errorf("%s: %s", name, f.raw)
		}
		c.quiet()
	}
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("plant/a", `{"x":1}`)
		ws, in := g.socket("?path=under:plant")
		defer ws.Close()
		time.Sleep(time.Second)
		release := g.holdShards()
		g.fact(event("plant/a", "jam"))
		synctest.Wait()
		time.Sleep(2 * gather) // the round is closed, and waits for the shards
		g.link("hall", "plant/a")
		g.fact(event("plant/a", "gone"))
		release()
		time.Sleep(time.Second)
		if fs := in.of("event"); len(fs) != 1 || fs[0].Name != "jam" {
			t.Errorf("%d events, want the one of before it left: %v", len(fs), fs)
		}
	})
}
