package hub

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// A replay shows the readings in their order and as far apart as they were,
// divided by the speed, each marked with its moment; live comes back whole.
func TestReplayKeepsOrderAndPace(t *testing.T) {
	a := aMorning(t, 31)
	inFakeTime(t, Config{Replayer: a}, func(g *fakeRig) {
		g.set("plant/a", `{"speed":777}`)
		ws, in := g.socket("?path=plant/**")
		defer ws.Close()
		say(t, ws, `{"type":"replay","id":1,"from":"%s","speed":10}`, realtime.Stamp(morning))
		opened()
		g.set("plant/a", `{"speed":778}`) // of the present: not to be seen
		time.Sleep(5 * time.Second)
		opened()

		answers := in.of("replaying")
		if len(answers) != 1 || string(answers[0].ID) != "1" || answers[0].At != realtime.Stamp(morning) || answers[0].Speed != 10 {
			t.Fatalf("answers %v, want one with the id, the moment and the speed", answers)
		}
		begin := answers[0].at
		snaps := in.of("snapshot")
		last := snaps[len(snaps)-1]
		if len(snaps) != 2 || !last.Replay || last.At != realtime.Stamp(morning) || last.value(t, "plant/a", "speed") != "0" || !strings.HasPrefix(last.Epoch, "replay-") || last.Sub != "s1" {
			t.Fatalf("the snapshot is %s", last.raw)
		}
		prev := last.Seq
		updates := in.of("update")
		for len(updates) > 0 && !updates[0].Replay && !updates[0].at.After(begin) {
			updates = updates[1:] // of the present, from before it began
		}
		if len(updates) != 30 {
			t.Fatalf("%d updates, want 30", len(updates))
		}
		for i, u := range updates {
			if got, want := u.value(t, "plant/a", "speed"), fmt.Sprint(i+1); got != want {
				t.Errorf("update %d has speed %s, want %s: %s", i, got, want, u.raw)
			}
			if u.Prev != prev || !u.Replay {
				t.Errorf("%s, want prev %d and the mark of a replay", u.raw, prev)
			}
			if prev = u.Seq; i == 9 {
				prev = in.of("event")[0].Seq
			}
			due := begin.Add(time.Duration(i+1) * 100 * time.Millisecond)
			if late := u.at.Sub(due); late < 0 || late > 60*time.Millisecond {
				t.Errorf("update %d came %v after it was due", i, late)
			}
			if got := u.when(t); got.Sub(morning).Round(time.Second) != time.Duration(i+1)*time.Second {
				t.Errorf("update %d says it is at %v", i, got)
			}
		}
		events := in.of("event")
		if len(events) != 1 || !events[0].Replay || events[0].Name != "jam" {
			t.Fatalf("events %v, want one jam", events)
		}
		ends := in.of("replayed")
		if len(ends) != 1 || ends[0].At != realtime.Stamp(morning.Add(30*time.Second)) || ends[0].Reason != "present" {
			t.Fatalf("ends %v", ends)
		}

		say(t, ws, `{"type":"live","id":2}`)
		opened()
		snaps = in.of("snapshot")
		now := snaps[len(snaps)-1]
		if len(in.of("live")) != 1 || now.Replay || now.Epoch != "k3f9" || now.Sub != "s1" || now.value(t, "plant/a", "speed") != "778" {
			t.Errorf("back to live: %s", now.raw)
		}
		g.set("plant/a", `{"speed":779}`)
		time.Sleep(time.Second)
		opened()
		updates = in.of("update")
		if u := updates[len(updates)-1]; u.Replay || u.Prev != now.Seq || u.value(t, "plant/a", "speed") != "779" {
			t.Errorf("after it: %s", u.raw)
		}
		if n := g.hub.gallery.inside(); n != 0 {
			t.Errorf("%d replays are counted, want none", n)
		}
	})
}

func say(t testing.TB, ws *websocket.Conn, format string, args ...any) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		t.Fatal(err)
	}
}

// A paused replay stands still, a faster one goes faster from where it is, and
// another moment shows everything anew.
func TestReplayPausesHurriesAndSeeks(t *testing.T) {
	a := aMorning(t, 3600)
	inFakeTime(t, Config{Replayer: a}, func(g *fakeRig) {
		ws, in := g.socket("?path=plant/a")
		defer ws.Close()
		say(t, ws, `{"type":"replay","from":"%s","speed":1,"pause":true}`, realtime.Stamp(morning.Add(100*time.Second)))
		time.Sleep(time.Minute)
		opened()
		if n := len(in.of("update")); n != 0 {
			t.Fatalf("%d updates while it is paused", n)
		}
		say(t, ws, `{"type":"replay","pause":false}`)
		time.Sleep(10500 * time.Millisecond)
		opened()
		if n := len(in.of("update")); n != 10 {
			t.Fatalf("%d updates in 10.5 s at the speed of life, want 10", n)
		}
		say(t, ws, `{"type":"replay","speed":600,"id":"fast"}`)
		opened()
		if r := last(in.of("replaying")); r.Speed != 600 || r.Paused || r.when(t).Sub(morning).Round(100*time.Millisecond) != 110500*time.Millisecond {
			t.Errorf("%s, want speed 600 at 110.5 s", r.raw)
		}
		time.Sleep(time.Second)
		opened()
		u := last(in.of("update"))
		if at := u.when(t).Sub(morning).Seconds(); at < 670 || at > 711 {
			t.Errorf("after one second at 600 times it is at %v s: %s", at, u.raw)
		}
		if n := len(in.of("update")); n > 10+21 {
			t.Errorf("%d updates in a second, want no more than the rate of 20", n-10)
		}
		if u.Merged < 20 {
			t.Errorf("%s, want the samples that it stands for", u.raw)
		}

		epoch := last(in.of("snapshot")).Epoch
		say(t, ws, `{"type":"replay","from":%d}`, morning.Add(50*time.Second).UnixMilli())
		opened()
		s := last(in.of("snapshot"))
		if s.value(t, "plant/a", "speed") != "50" || s.Epoch == epoch || s.Sub != "s1" {
			t.Errorf("after the jump: %s", s.raw)
		}
		if r := last(in.of("replaying")); r.Speed != 600 {
			t.Errorf("%s, want the speed kept", r.raw)
		}
		time.Sleep(30 * time.Second)
		opened()
		if f := last(in.of("replayed")); f.At != realtime.Stamp(morning.Add(3599*time.Second)) {
			t.Errorf("%s, want the last moment", f.raw)
		}
		if p := last(in.of("ping")); len(in.of("ping")) == 0 || !p.Replay || p.At != realtime.Stamp(morning.Add(3599*time.Second)) {
			t.Errorf("the heartbeat is %s, want it at the moment where the replay stands", p.raw)
		}
	})
}

// What stood at the beginning is told once behind the snapshots, at that very
// moment, also while the replay stands still; and again after a jump.
func TestReplayBeginsWithWhatStood(t *testing.T) {
	a := aMorning(t, 100)
	a.stood = []realtime.Fact{
		{Type: "alarm", Thing: "plant/a", Body: []byte(`{"id":"a1","thing":"plant/a","state":"active_unacked"}`)},
		{Type: "alarm", Thing: "plant/b", Body: []byte(`{"id":"b1","thing":"plant/b","state":"active_unacked"}`)},
		{Type: "alarm", Thing: "plant/a", Body: []byte(`{"id":"a2","thing":"plant/a","state":"active_unacked"}`)},
	}
	inFakeTime(t, Config{Replayer: a}, func(g *fakeRig) {
		ws, in := g.socket("?path=plant/a")
		defer ws.Close()
		from := morning.Add(20 * time.Second)
		say(t, ws, `{"type":"replay","from":"%s","pause":true}`, realtime.Stamp(from))
		time.Sleep(time.Second)
		opened()
		alarms := in.of("alarm")
		if len(alarms) != 2 || !strings.Contains(alarms[0].raw, `"a1"`) || !strings.Contains(alarms[1].raw, `"a2"`) {
			t.Fatalf("the alarms are %v", alarms)
		}
		if f := alarms[1].frame; !f.Replay || f.At != realtime.Stamp(from) {
			t.Errorf("%s, want it at %s", f.raw, realtime.Stamp(from))
		}
		if s := last(in.of("snapshot")); s.Seq > alarms[0].Seq || !s.Replay {
			t.Errorf("%s comes behind %s", s.raw, alarms[0].raw)
		}
		say(t, ws, `{"type":"replay","pause":false}`)
		time.Sleep(5500 * time.Millisecond)
		opened()
		if n := len(in.of("alarm")); n != 2 || len(in.of("update")) != 5 {
			t.Errorf("%d alarms and %d updates after 5.5 s, want 2 and 5", n, len(in.of("update")))
		}
		say(t, ws, `{"type":"replay","from":"%s"}`, realtime.Stamp(from))
		time.Sleep(time.Second)
		opened()
		if n := len(in.of("alarm")); n != 4 {
			t.Errorf("%d alarms after a jump, want 4", n)
		}
	})
}

// opened waits, longer than it takes to open the past and not as long as to see
// more of it.
func opened() {
	time.Sleep(8 * time.Millisecond)
	synctest.Wait()
}

func last(fs []timed) frame {
	if len(fs) == 0 {
		return frame{}
	}
	return fs[len(fs)-1].frame
}

// While the history is slow the clock stands: nothing is skipped.
func TestReplayWaitsForTheHistory(t *testing.T) {
	a := aMorning(t, 20)
	inFakeTime(t, Config{Replayer: a}, func(g *fakeRig) {
		a.hold = make(chan struct{})
		ws, in := g.socket("?path=plant/a")
		defer ws.Close()
		say(t, ws, `{"type":"replay","from":"%s"}`, realtime.Stamp(morning))
		time.Sleep(time.Hour)
		a.hold <- struct{}{}
		time.Sleep(500 * time.Millisecond)
		opened()
		if n := len(in.of("update")); n != 0 {
			t.Errorf("%d updates half a second after the history answered, want the pause before the first reading kept", n)
		}
		time.Sleep(600 * time.Millisecond)
		opened()
		if u := last(in.of("update")); u.value(t, "plant/a", "speed") != "1" {
			t.Errorf("%s, want the first reading", u.raw)
		}
	})
}

// The past needs no command, shows nobody what is hidden, and takes
// subscriptions like the present.
func TestReplayRefusesCommandsAndHides(t *testing.T) {
	a := aMorning(t, 5)
	secret := reading(t, "plant/secret", `{"x":1}`)
	a.moments[0].Changes = append(a.moments[0].Changes, secret, reading(t, "lab/b", `{"y":2}`))
	a.moments[2].Changes = append(a.moments[2].Changes, reading(t, "plant/secret", `{"x":2}`))
	a.moments[2].Facts = []realtime.Fact{event("plant/secret", "jam")}
	inFakeTime(t, Config{Replayer: a, Commander: nobody{}}, func(g *fakeRig) {
		g.view = func(*http.Request) Viewer {
			return Viewer{User: "ana", May: func(string) bool { return true }, See: func(id string) bool { return id != "plant/secret" }}
		}
		ws, in := g.socket("?path=plant/**")
		defer ws.Close()
		say(t, ws, `{"type":"replay","id":1,"from":"%s"}`, realtime.Stamp(morning))
		opened()
		if s := last(in.of("snapshot")); s.Matched != 2 || s.Hidden != 1 || len(s.Things) != 1 {
			t.Errorf("%s, want two that match and one of them hidden", s.raw)
		}
		say(t, ws, `{"type":"cmd","id":"c","thing":"plant/a","action":"stop"}`)
		opened()
		if e := last(in.of("error")); string(e.ID) != `"c"` || e.Code != "conflict" || !strings.Contains(e.Message, "the past") {
			t.Errorf("a command is answered by %s", e.raw)
		}

		time.Sleep(time.Second)
		say(t, ws, `{"type":"sub","id":"more","path":"lab/b"}`)
		opened()
		s := last(in.of("snapshot"))
		if string(s.ID) != `"more"` || s.Sub != "s2" || s.value(t, "lab/b", "y") != "2" || s.when(t).Sub(morning).Round(100*time.Millisecond) != time.Second {
			t.Errorf("one more subscription is answered by %s", s.raw)
		}
		say(t, ws, `{"type":"unsub","sub":"s9"}`)
		say(t, ws, `{"type":"unsub","sub":"s1"}`)
		time.Sleep(10 * time.Second)
		opened()
		if e := last(in.of("error")); e.Code != "not_found" || e.Message != `no subscription "s9" here; there are: s1 s2` {
			t.Errorf("%s", e.raw)
		}
		for _, u := range in.of("update") {
			if u.when(t).After(s.when(t)) {
				t.Errorf("%s, though nothing of lab/b changed", u.raw)
			}
		}
		if n := len(in.of("event")); n != 0 {
			t.Errorf("%d events of what is hidden", n)
		}
		for _, f := range in.frames {
			if strings.Contains(f.raw, "secret") {
				t.Errorf("%s shows what is hidden", f.raw)
			}
		}
		say(t, ws, `{"type":"live"}`)
		opened()
		if l := last(in.of("live")); len(l.Subs) != 1 || l.Subs[0] != "s2" {
			t.Errorf("%s, want the subscription that is left", l.raw)
		}
		say(t, ws, `{"type":"cmd","id":"d","thing":"plant/a","action":"stop"}`)
		opened()
		if e := last(in.of("error")); string(e.ID) != `"d"` || e.Code != "offline" {
			t.Errorf("after it a command is answered by %s", e.raw)
		}
	})
}

type nobody struct{}

func (nobody) Invoke(context.Context, realtime.Invocation) (realtime.Invoked, error) {
	return realtime.Invoked{}, &realtime.Problem{Code: realtime.CodeOffline, Message: "nobody is there"}
}

func TestReplayOfWhatCannotBe(t *testing.T) {
	a := aMorning(t, 5)
	inFakeTime(t, Config{Replayer: a}, func(g *fakeRig) {
		ws, in := g.socket("?path=plant/a")
		defer ws.Close()
		soon := float64(time.Now().Add(time.Second).UnixMilli())
		for _, test := range []struct {
			text, code, at string
			least, most    float64
		}{
			{`{"type":"replay"}`, "malformed", "/from", 0, 0},
			{`{"type":"replay","from":"yesterday"}`, "malformed", "/from", 0, 0},
			{`{"type":"replay","from":{"a":1}}`, "malformed", "/from", 0, 0},
			{`{"type":"replay","from":-1}`, "out_of_range", "/from", 0, 0},
			{`{"type":"replay","from":"2030-01-01T00:00:00Z"}`, "out_of_range", "/from", 0, soon},
			{`{"type":"replay","from":"1990-01-01T00:00:00Z"}`, "out_of_range", "/from", float64(morning.UnixMilli()), 0},
			{`{"type":"replay","from":"1999-11-23T08:00:00Z","speed":0}`, "out_of_range", "/speed", 1, 600},
			{`{"type":"replay","from":"1999-11-23T08:00:00Z","speed":601}`, "out_of_range", "/speed", 1, 600},
			{`{"type":"replay","from":"1999-11-23T08:00:00Z","speed":"10"}`, "malformed", "/speed", 0, 0},
			{`{"type":"replay","from":"1999-11-23T08:00:00Z","to":"1999-11-23T08:00:00Z"}`, "out_of_range", "/to", float64(morning.UnixMilli()), 0},
			{`{"type":"replay","from":"1999-11-23T08:00:00Z","to":"noon"}`, "malformed", "/to", 0, 0},
			{`{"type":"replay","from":"now","to":"-7d"}`, "out_of_range", "/to", 0, 0},
			{`replay yesterday`, "malformed", "/from", 0, 0},
			{`replay 1999-11-23T08:00:00Z quick`, "malformed", "/speed", 0, 0},
		} {
			say(t, ws, "%s", test.text)
			opened()
			e := last(in.of("error"))
			if e.Code != test.code || e.At != test.at || test.least != 0 && (e.Minimum == nil || *e.Minimum != test.least) || test.most != 0 && (e.Maximum == nil || *e.Maximum > test.most) {
				t.Errorf("%s is answered by %s", test.text, e.raw)
			}
		}
		if n := len(in.of("replaying")); n != 0 || g.hub.gallery.inside() != 0 {
			t.Errorf("%d replays began, %d are counted", n, g.hub.gallery.inside())
		}
		g.set("plant/a", `{"x":1}`)
		time.Sleep(time.Second)
		opened()
		if u := last(in.of("update")); u.Replay || u.Seq != 1 {
			t.Errorf("the connection is not live any more: %s", u.raw)
		}
	})
}

// What fails on the way is said; the screen stands where it is, and can go on.
func TestReplayThatFailsOnTheWay(t *testing.T) {
	a := aMorning(t, 5)
	a.fail = &realtime.Problem{Code: realtime.CodeUnavailable, Message: "the disk is gone"}
	inFakeTime(t, Config{Replayer: a}, func(g *fakeRig) {
		ws, in := g.socket("?path=plant/a")
		defer ws.Close()
		say(t, ws, "replay %s 2x", realtime.Stamp(morning))
		time.Sleep(10 * time.Second)
		opened()
		f := last(in.of("replayed"))
		if f.Reason != "failed" || f.Message != "the disk is gone" || f.At != realtime.Stamp(morning.Add(4*time.Second)) {
			t.Errorf("%s", f.raw)
		}
		if r := last(in.of("replaying")); r.Speed != 2 {
			t.Errorf("%s, want the speed that was typed", r.raw)
		}
		say(t, ws, `{"type":"replay","from":"%s"}`, realtime.Stamp(morning))
		opened()
		if s := last(in.of("snapshot")); s.At != realtime.Stamp(morning) {
			t.Errorf("it does not go on: %s", s.raw)
		}
	})
}

// Who drags a slider asks for many moments at once. One reading is under way at
// a time, the newest wish is shown, and each is answered.
func TestReplayNewestWishCounts(t *testing.T) {
	a := aMorning(t, 300)
	inFakeTime(t, Config{Replayer: a}, func(g *fakeRig) {
		ws, in := g.socket("?path=plant/a")
		defer ws.Close()
		for i := range 40 {
			say(t, ws, `{"type":"replay","id":%d,"from":%d,"pause":true}`, i, morning.Add(time.Duration(i)*time.Second).UnixMilli())
		}
		time.Sleep(time.Second)
		opened()
		if s := last(in.of("snapshot")); s.value(t, "plant/a", "speed") != "39" {
			t.Errorf("%s, want the newest wish", s.raw)
		}
		ids := map[string]bool{}
		for _, r := range in.of("replaying") {
			ids[string(r.ID)] = true
		}
		if len(ids) != 40 {
			t.Errorf("%d of 40 wishes are answered", len(ids))
		}
		if n := g.hub.gallery.inside(); n != 1 {
			t.Errorf("%d replays are counted, want 1", n)
		}
		if n := a.reading.Load(); n != 1 {
			t.Errorf("%d readings are under way, want 1", n)
		}
		ws.Close()
		opened()
		time.Sleep(time.Second)
		if n, r := g.hub.gallery.inside(), a.reading.Load(); n != 0 || r != 0 {
			t.Errorf("after the connection %d replays are counted and %d readings under way", n, r)
		}
	})
}

func TestReplayLimits(t *testing.T) {
	a := aMorning(t, 100)
	inFakeTime(t, Config{Replayer: a, Limits: Limits{Replays: 2, ReplaysPerUser: 1}}, func(g *fakeRig) {
		user := "ana"
		g.view = func(*http.Request) Viewer { return Viewer{User: user} }
		begin := fmt.Sprintf(`{"type":"replay","from":"%s"}`, realtime.Stamp(morning))
		first, _ := g.socket("?path=plant/a")
		say(t, first, "%s", begin)
		second, in2 := g.socket("?path=plant/a")
		defer second.Close()
		opened()
		say(t, second, "%s", begin)
		opened()
		if e := last(in2.of("error")); e.Code != "too_many" || *e.Maximum != 1 || !strings.HasPrefix(e.Message, "ana has 1 replays") {
			t.Errorf("a second one is answered by %s", e.raw)
		}
		user = "bob"
		third, in3 := g.socket("?path=plant/a")
		defer third.Close()
		say(t, third, "%s", begin)
		opened()
		user = "eve"
		fourth, in4 := g.socket("?path=plant/a")
		defer fourth.Close()
		say(t, fourth, "%s", begin)
		opened()
		if len(in3.of("replaying")) != 1 {
			t.Error("another user may not replay")
		}
		if e := last(in4.of("error")); e.Code != "too_many" || *e.Maximum != 2 {
			t.Errorf("a third in all is answered by %s", e.raw)
		}
		first.Close()
		opened()
		say(t, second, "%s", begin)
		opened()
		if len(in2.of("replaying")) != 1 {
			t.Error("the place of one that left is not free")
		}
	})
}

// The server that goes takes its replays with it and says goodbye.
func TestReplayEndsWithTheServer(t *testing.T) {
	a := aMorning(t, 100)
	g := newRig(t, Config{Replayer: a})
	c := g.dial("?path=plant/a")
	c.want("snapshot")
	c.say(`{"type":"replay","from":"%s"}`, realtime.Stamp(morning))
	c.want("replaying")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	g.hub.Drain(ctx)
	fs := c.rest()
	if len(fs) == 0 || fs[len(fs)-1].Type != "bye" || c.code != 1012 {
		t.Errorf("the end is %v with code %d", fs, c.code)
	}
	g.hub.Close()
	if n := a.reading.Load(); n != 0 {
		t.Errorf("%d readings are left", n)
	}
}

// A request that came through the door just before the end is told so, and
// nobody begins to read for it.
func TestReplayOpenedAfterTheEnd(t *testing.T) {
	a := aMorning(t, 3)
	g := newRig(t, Config{Replayer: a})
	g.hub.Close()
	q := query{subs: []subRequest{{Path: "plant/**"}}, course: course{from: morning, speed: 1}}
	if p := g.hub.openEvents(t.Context(), &q, Viewer{User: "ana"}); p == nil || p.Code != realtime.CodeUnavailable || q.reel != nil {
		t.Errorf("a past was opened in a hub that has ended: %v", p)
	}
	if n := g.hub.gallery.inside(); len(a.asked) != 0 || n != 0 {
		t.Errorf("the past was read %d times, and %d look at it", len(a.asked), n)
	}
}
