package hub

import (
	"strings"
	"testing"

	"echotwin/realtime"
)

func TestSubscribeAndFollow(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/line1/conveyor-1", `{"speed":60.2,"temperature":41}`)
	g.set("plant/line2/pump", `{"speed":1}`)
	c := g.dialRaw("")
	if f := c.want("hello"); f.Seq > 2 || f.Epoch != "k3f9" || f.User != "ana" || f.Ping != 25 {
		t.Errorf("hello %s", f.raw)
	}
	c.say(`{"type":"sub","path":"plant/line1/**","id":7}`)
	f := c.want("snapshot")
	if string(f.ID) != "7" || f.Sub != "s1" || f.Seq != 2 || f.Matched != 1 || f.Hidden != 0 || f.More {
		t.Errorf("snapshot %s", f.raw)
	}
	want := `{"ts":"2026-11-23T12:00:00.120Z","state":{"speed":60.2,"temperature":41}}`
	if got := string(f.Things["plant/line1/conveyor-1"]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	g.set("plant/line2/pump", `{"speed":2}`)
	g.set("plant/line1/conveyor-1", `{"speed":60.4}`)
	f = c.want("update")
	if f.Prev != 2 || f.Seq != 4 || f.Merged != 1 || len(f.Things) != 1 {
		t.Errorf("update %s", f.raw)
	}
	if got := string(f.Things["plant/line1/conveyor-1"]); got != `{"ts":"2026-11-23T12:00:00.120Z","set":{"speed":60.4}}` {
		t.Errorf("update %s", got)
	}

	// New things flow in with all they have, and removed ones out.
	g.set("plant/line1/new", `{"a":1,"b":"x"}`)
	f = c.want("update")
	if got := string(f.Things["plant/line1/new"]); f.Prev != 4 || !strings.Contains(got, `"set":{"a":1,"b":"x"}`) {
		t.Errorf("update %s", f.raw)
	}
	g.seq++
	g.hub.Publish(realtime.Update{Seq: g.seq, Changes: []realtime.Change{{Thing: "plant/line1/new", Removed: true}}})
	if f = c.want("update"); string(f.Things["plant/line1/new"]) != "null" {
		t.Errorf("update %s", f.raw)
	}
	c.say(`{"type":"unsub","sub":"s1","id":"u"}`)
	if f = c.want("ok"); string(f.ID) != `"u"` {
		t.Errorf("ok %s", f.raw)
	}
	g.set("plant/line1/conveyor-1", `{"speed":60.5}`)
	g.settle()
	c.quiet()
}
