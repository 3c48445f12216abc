package hub

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// What a subscription that is just beginning has in common with another one is told
// to be missing once. These were found by the model checker, after seed
// 1795747223995127112 and in worlds that keep few facts.

// missed is how many facts the client was told to be missing.
func (in *inbox) missed() (n int) {
	for _, f := range in.of("resync") {
		n += f.Missed
	}
	return n
}

func sayTo(t testing.TB, ws *websocket.Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

// A resume is told what it misses. It has not heard of all state yet, so its cursor
// is still where it was when another subscription begins there.
func TestMissingOnceAfterAResume(t *testing.T) {
	inFakeTime(t, Config{Limits: Limits{Facts: 4}}, func(g *fakeRig) {
		t := g.t
		g.hub.sizes.update = 1 // a thing each, so that a turn has not all
		ws, in := g.socket("")
		defer ws.Close()
		at := g.set("a/x", `{"n":1}`)
		for i := range 10 {
			g.fact(event("a/x", fmt.Sprint("e", i)))
		}
		g.set("a/x", `{"n":2}`)
		g.set("a/y", `{"n":2}`)
		time.Sleep(time.Second)
		release := g.holdShards()
		synctest.Wait()
		sayTo(t, ws, fmt.Sprintf(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[{"path":"a/*"}]}`, at), `{"type":"sub","path":"a/x"}`)
		synctest.Wait()
		release()
		time.Sleep(time.Second)
		if s := in.of("snapshot"); len(s) != 1 || s[0].Seq != at {
			t.Fatalf("%v: the second subscription does not begin at the cursor", s)
		}
		if came := len(in.of("event")); came != 4 || in.missed() != 6 {
			t.Errorf("%d facts came and %d were told to be missing, of 10", came, in.missed())
		}
	})
}

// A live client is told what it was too slow for, and nothing is left to move its
// cursor. Before it can be told of more, another subscription begins.
func TestMissingOnceWhileLive(t *testing.T) {
	inFakeTime(t, Config{Limits: Limits{Facts: 4}}, func(g *fakeRig) {
		t := g.t
		g.set("a/x", `{"n":1}`)
		ws, in := g.socket("?path=a/*&rate=1")
		defer ws.Close()
		time.Sleep(time.Second)
		overflow := func(more ...realtime.Change) {
			var facts []realtime.Fact
			for i := range 10 {
				facts = append(facts, event([]string{"a/x", "b/z"}[i/6], fmt.Sprint("e", i)))
			}
			g.seq++
			g.hub.Publish(realtime.Update{Seq: g.seq, Changes: more, Facts: facts})
			time.Sleep(2 * gather)
		}
		g.set("a/x", `{"n":2}`) // after this update the next may come at the server's own rate
		time.Sleep(2 * gather)
		overflow()
		if in.missed() != 6 {
			t.Fatalf("%d facts were told to be missing, of 6", in.missed())
		}
		overflow(reading(t, "a/x", `{"n":3}`))
		sayTo(t, ws, `{"type":"sub","path":"a/x"}`)
		synctest.Wait()
		if len(in.of("snapshot")) != 2 || len(in.of("resync")) != 1 {
			t.Fatal("the second subscription does not begin between the two")
		}
		time.Sleep(time.Second)
		if came := len(in.of("event")); came != 0 || in.missed() != 12 {
			t.Errorf("%d facts came and %d were told to be missing, of 12", came, in.missed())
		}
	})
}
