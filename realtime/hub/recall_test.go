package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"echotwin/realtime"
)

// factArchive is a FactStore in memory that may have forgotten the oldest.
type factArchive struct {
	mu     sync.Mutex
	facts  []realtime.Fact
	since  uint64
	behind uint64 // how far what can be read is behind what is there
	err    error
	reads  int
}

func (a *factArchive) Read(_ context.Context, patterns []string, after, upTo uint64, yield func(realtime.Fact)) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reads++
	for _, f := range a.facts {
		if f.Seq > max(after, a.since) && f.Seq <= upTo && slices.ContainsFunc(patterns, func(p string) bool { return match(p, f.Thing) }) {
			yield(f)
		}
	}
	return a.since, a.err
}

func (a *factArchive) Stored() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.facts) == 0 {
		return 0
	}
	return a.facts[len(a.facts)-1].Seq - a.behind
}

// file publishes a fact that is archived too.
func (a *factArchive) file(g *rig, thing, name string) uint64 {
	f := event(thing, name)
	a.mu.Lock()
	f.Seq = g.seq + 1
	a.facts = append(a.facts, f)
	a.mu.Unlock()
	return g.fact(f)
}

// facts are the names of the facts up to the update that ends a resume.
func (c *client) factsOfResume() (names []string, missed *frame) {
	c.t.Helper()
	c.want("resumed")
	last := uint64(0)
	for {
		switch f := c.next(); f.Type {
		case "event":
			names = append(names, f.Name)
			if f.Seq < last {
				c.t.Errorf("the fact %s comes after %d", f.raw, last)
			}
			last = f.Seq
		case "resync":
			missed = &f
		case "update":
			if f.Seq >= last && len(f.Things) == 0 {
				return names, missed
			}
		default:
			c.t.Fatalf("got %s", f.raw)
		}
	}
}

func names(from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("e%d", n))
	}
	return all
}

// A cursor that is older than the ring gets every fact, once, over each wire.
func TestOldFactsComeFromTheStore(t *testing.T) {
	a := &factArchive{}
	g := newRig(t, Config{Archive: a, Limits: Limits{Facts: 4}})
	g.set("a/1", `{"x":1}`)
	for n := 1; n <= 50; n++ {
		a.file(g, "a/1", fmt.Sprintf("e%d", n))
		a.file(g, "b/1", "other")
	}
	g.settle()
	ws := g.dial("")
	ws.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"a/**"}]}`)
	if got, missed := ws.factsOfResume(); !slices.Equal(got, names(1, 50)) || missed != nil {
		t.Errorf("over WebSocket: got %v, missed %v", got, missed)
	}
	// From the middle, and both things: 22 is e11.
	sse := g.events("?path=a/**", "Last-Event-ID", "k3f9.22")
	if got, missed := sse.factsOfResume(); !slices.Equal(got, names(12, 50)) || missed != nil {
		t.Errorf("over SSE: got %v, missed %v", got, missed)
	}
	lines := g.events("?path=a/**&format=ndjson&since=k3f9.1")
	if got, missed := lines.factsOfResume(); !slices.Equal(got, names(1, 50)) || missed != nil {
		t.Errorf("as lines: got %v, missed %v", got, missed)
	}
	// And live ones go on behind them.
	a.file(g, "a/1", "live")
	for _, c := range []*client{ws, sse, lines} {
		if f := c.want("event"); f.Name != "live" {
			t.Errorf("got %s", f.raw)
		}
	}
	// What the ring has needs nobody to be asked.
	reads := a.reads
	late := g.dial("")
	late.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"a/**"}]}`, g.seq-1)
	if got, _ := late.factsOfResume(); !slices.Equal(got, []string{"live"}) || a.reads != reads {
		t.Errorf("got %v in %d reads", got, a.reads-reads)
	}
}

// What the store has forgotten, too, is said. How many is not known then.
func TestWhatTheStoreForgotIsSaid(t *testing.T) {
	a := &factArchive{since: 21}
	g := newRig(t, Config{Archive: a, Limits: Limits{Facts: 4}})
	g.set("a/1", `{"x":1}`)
	for n := 1; n <= 50; n++ {
		a.file(g, "a/1", fmt.Sprintf("e%d", n))
	}
	g.settle()
	c := g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":5,"subs":[{"path":"a/**"}]}`)
	got, missed := c.factsOfResume()
	if !slices.Equal(got, names(21, 50)) || missed == nil || !missed.AtLeast || missed.From != 5 {
		t.Errorf("got %v, missed %+v", got, missed)
	}
}

// The store follows the log at its own pace. What it has not yet and the ring
// has no more is counted exactly.
func TestAStoreThatIsBehindIsNotTrusted(t *testing.T) {
	a := &factArchive{behind: 20}
	g := newRig(t, Config{Archive: a, Limits: Limits{Facts: 4}})
	g.set("a/1", `{"x":1}`)
	for n := 1; n <= 50; n++ {
		a.file(g, "a/1", fmt.Sprintf("e%d", n))
	}
	g.settle()
	c := g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"a/**"}]}`)
	got, missed := c.factsOfResume()
	// Up to e30 from the store, from e47 on from the ring, 16 between.
	if want := append(names(1, 30), names(47, 50)...); !slices.Equal(got, want) || missed == nil || missed.Missed != 16 || missed.AtLeast {
		t.Errorf("got %v, missed %+v", got, missed)
	}
}

func TestAStoreThatFailsIsNoEnd(t *testing.T) {
	a := &factArchive{err: errors.New("the disk is gone")}
	g := newRig(t, Config{Archive: a, Limits: Limits{Facts: 4}})
	g.set("a/1", `{"x":1}`)
	for n := 1; n <= 10; n++ {
		a.file(g, "a/1", fmt.Sprintf("e%d", n))
	}
	g.settle()
	c := g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"a/**"}]}`)
	if got, missed := c.factsOfResume(); !slices.Equal(got, names(7, 10)) || missed == nil || missed.Missed != 6 {
		t.Errorf("got %v, missed %+v", got, missed)
	}
}

// More than one resume may bring back is counted, and the newest come. The room
// for them is given back when they are out, and when the client leaves instead.
func TestOldFactsAreBounded(t *testing.T) {
	a := &factArchive{}
	g := newRig(t, Config{Archive: a, Limits: Limits{Facts: 4}})
	g.set("a/1", `{"x":1}`)
	long := strings.Repeat("x", 100)
	for n := 1; n <= recallFacts+100; n++ {
		a.file(g, "a/1", fmt.Sprintf("e%d-%s", n, long))
	}
	g.settle()
	for range 3 {
		c := g.dial("")
		c.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"a/**"}]}`)
		got, missed := c.factsOfResume()
		if missed == nil || missed.AtLeast || len(got)+missed.Missed != recallFacts+100 || len(got) < 1000 {
			t.Fatalf("got %d, missed %+v", len(got), missed)
		}
	}
	gone := g.dial("")
	gone.say(`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"a/**"}]}`)
	gone.ws.Close()
	for end := time.Now().Add(20 * time.Second); !g.hub.recallRoom.TryAcquire(recallRoom); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the room for old facts is not free again")
		}
	}
}

// After a restart a cursor of before goes on as if nothing had been: state that
// changed since comes once, what was cleared since is cleared, facts come from
// the ring that was filled.
func TestAHubThatBeginsWithItsPast(t *testing.T) {
	a := &factArchive{}
	g := newRig(t, Config{Archive: a, Limits: Limits{Facts: 8}})
	g.seq = 100
	var facts []realtime.Fact
	for n := 1; n <= 5; n++ {
		f := event("a/1", fmt.Sprintf("e%d", n))
		f.Seq = uint64(90 + n)
		facts = append(facts, f)
	}
	a.facts = facts
	g.hub.Begin(100, facts, 90, 0)
	change := reading(t, "a/1", `{"old":1,"new":2,"gone":null}`)
	change.Seqs = []uint64{7, 95, 96}
	g.hub.Publish(realtime.Update{Seq: 100, Changes: []realtime.Change{
		change,
		{Thing: "a/2", Marks: &realtime.Marks{Online: "online"}},
	}})
	g.settle()
	c := g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":93,"subs":[{"path":"a/**"}]}`)
	if f := c.want("resumed"); f.Mode != "delta" {
		t.Fatalf("got %s", f.raw)
	}
	f := c.want("update")
	if got := string(f.Things["a/1"]); !strings.Contains(got, `"set":{"new":2,"gone":null}`) || strings.Contains(got, "old") {
		t.Errorf("got %s", f.raw)
	}
	if got := string(f.Things["a/2"]); !strings.Contains(got, `"stale":[]`) || !strings.Contains(got, `"online":"online"`) {
		t.Errorf("marks are told whole after a start: %s", f.raw)
	}
	for _, want := range []string{"e4", "e5"} {
		if f := c.want("event"); f.Name != want {
			t.Errorf("got %s, want %s", f.raw, want)
		}
	}
	if f := c.want("update"); len(f.Things) != 0 || f.Seq < 100 {
		t.Errorf("got %s", f.raw)
	}

	// Who had everything hears of no value again.
	c = g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":100,"subs":[{"path":"a/1"}]}`)
	c.want("resumed")
	if f := c.want("update"); len(f.Things) != 0 {
		t.Errorf("got %s", f.raw)
	}
	// Another log is told apart.
	c = g.dial("")
	c.say(`{"type":"resume","epoch":"else","seq":93,"subs":[{"path":"a/1"}]}`)
	if f := c.want("resumed"); f.Mode != "snapshot" || !strings.Contains(f.Reason, "another log") {
		t.Errorf("got %s", f.raw)
	}
}

// A resume that ended in a snapshot, all of whose facts came from disk, was told
// them with the next reading only; where nothing moved, never.
func TestOldFactsFollowASnapshotInAQuietPlant(t *testing.T) {
	a := &factArchive{}
	g := newRig(t, Config{Archive: a})
	g.seq = 100
	for n := 1; n <= 5; n++ {
		f := event("a/1", fmt.Sprintf("e%d", n))
		f.Seq = uint64(90 + n)
		a.facts = append(a.facts, f)
	}
	g.hub.Begin(100, nil, 95, 99)
	g.hub.Publish(realtime.Update{Seq: 100, Changes: []realtime.Change{reading(t, "a/1", `{"v":1}`)}})
	g.settle()
	c := g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":93,"subs":[{"path":"a/1"}]}`)
	if f := c.want("resumed"); f.Mode != "snapshot" {
		t.Fatalf("got %s", f.raw)
	}
	c.want("snapshot")
	for _, want := range []string{"e4", "e5"} {
		if f := c.want("event"); f.Name != want {
			t.Errorf("got %s, want %s", f.raw, want)
		}
	}
	if f := c.want("update"); len(f.Things) != 0 || f.Seq < 100 {
		t.Errorf("the cursor does not move on: %s", f.raw)
	}
}

// What an object had before a restart is not known after it, so no patch can
// take it away: a screen would keep it for ever. Who was away for that change
// starts again; who had it, or follows something else, goes on.
func TestAnObjectThatChangedBeforeARestart(t *testing.T) {
	g := newRig(t, Config{})
	g.seq = 100
	g.hub.Begin(100, nil, 0, 0)
	change := reading(t, "a/1", `{"pose":{"y":2},"speed":3}`) // pose was {"x":1} up to 95
	change.Seqs = []uint64{95, 96}
	g.hub.Publish(realtime.Update{Seq: 100, Changes: []realtime.Change{change}})
	g.settle()
	for _, tt := range []struct {
		cursor     int
		fields     string
		mode, want string
	}{
		{94, ``, "snapshot", `"state":{"pose":{"y":2},"speed":3}`},
		{94, `,"fields":["speed"]`, "delta", `"set":{"speed":3}`},
		{95, ``, "delta", `"set":{"speed":3}`},
	} {
		c := g.dial("")
		c.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"a/**"%s}]}`, tt.cursor, tt.fields)
		if f := c.want("resumed"); f.Mode != tt.mode || (f.Reason == "") != (tt.mode == "delta") {
			t.Errorf("from %d%s: %s", tt.cursor, tt.fields, f.raw)
		}
		if f := c.next(); !strings.Contains(f.raw, tt.want) {
			t.Errorf("from %d%s: %s, want %s", tt.cursor, tt.fields, f.raw, tt.want)
		}
	}
	// What changes from now on can be said, also that a member went.
	c := g.dial("")
	c.say(`{"type":"resume","epoch":"k3f9","seq":100,"subs":[{"path":"a/**"}]}`)
	c.want("resumed")
	c.want("update")
	g.set("a/1", `{"pose":{"z":4}}`)
	if f := c.want("update"); !strings.Contains(f.raw, `"z":4`) || !strings.Contains(f.raw, `"y":null`) {
		t.Errorf("got %s", f.raw)
	}
}
