package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/twin"
)

// resume goes on from a cursor and returns the answer and what came up to the
// update that ends it.
func (v *viewer) resume(epoch string, seq uint64, path string) (answer frame, came []frame) {
	v.t.Helper()
	v.send(fmt.Sprintf(`{"type":"resume","epoch":%q,"seq":%d,"subs":[{"path":%q}]}`, epoch, seq, path))
	answer = v.until("resumed", func(f frame) bool { return f.Type == "resumed" })
	v.until("the end of the resume", func(f frame) bool {
		came = append(came, f)
		return f.Type == "snapshot" || f.Type == "update" && f.Seq >= answer.Seq
	})
	return answer, came
}

// A cursor outlives a restart of the server: state that changed since comes
// once, the rest does not, facts come once, over WebSocket, SSE and lines. A log
// that was wiped says that it is another.
func TestCursorsOutliveARestart(t *testing.T) {
	env := settings(t, nil)
	a, stop := start(t, env)
	c := signIn(t, a)
	dev := device(t, a, "press")
	ws := c.watch("?path=bench/**")
	snap := ws.until("the snapshot", func(f frame) bool { return f.Type == "snapshot" })
	say(t, dev, "telemetry/bench/press", `{"force":1,"mode":"auto"}`)
	say(t, dev, "telemetry/bench/other", `{"x":1}`)
	say(t, dev, "event/bench/press/seen", `{}`)
	// An event claims all state before it; a snapshot may show more than it claims.
	snap.Seq = ws.until("the event", func(f frame) bool { return f.Type == "event" && f.Name == "seen" }).Seq
	say(t, dev, "telemetry/bench/press", `{"force":2}`)
	say(t, dev, "event/bench/press/missed", `{"n":1}`)
	eventually(t, "the force is shown", func() bool { return c.value("bench/press", "force") == "2" })
	stop()

	a, stop = start(t, env)
	c = signIn(t, a)
	say(t, device(t, a, "press"), "event/bench/press/after", `{}`)
	answer, came := c.watch("").resume(snap.Epoch, snap.Seq, "bench/**")
	var events []string
	values := ""
	for _, f := range came {
		if f.Type == "event" {
			events = append(events, f.Name)
		}
		for thing, th := range f.Things {
			for name, v := range th.Set {
				values += thing + " " + name + "=" + string(v) + ";"
			}
		}
	}
	if answer.Mode != "delta" || !slices.Equal(events[:1], []string{"missed"}) || values != "bench/press force=2;" {
		t.Errorf("mode %s, events %v, values %q", answer.Mode, events, values)
	}
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		s := c.stream("/events?path=bench/**", accept, "Last-Event-ID", fmt.Sprintf("%s.%d", snap.Epoch, snap.Seq))
		s.until("resumed", func(l string) bool {
			return strings.Contains(l, `"type":"resumed"`) && strings.Contains(l, `"mode":"delta"`)
		})
		s.until("the event", func(l string) bool { return strings.Contains(l, `"name":"missed"`) })
		s.close()
	}
	stop()

	if err := os.RemoveAll(filepath.Join(env["ECHOTWIN_DATA"], "nats")); err != nil {
		t.Fatal(err)
	}
	a, _ = start(t, env)
	if answer, _ := signIn(t, a).watch("").resume(snap.Epoch, snap.Seq, "bench/**"); answer.Mode != "snapshot" || !strings.Contains(answer.Reason, "another log") {
		t.Errorf("of a wiped store: mode %s, reason %q", answer.Mode, answer.Reason)
	}
}

// Facts that the memory of the server has no more come from the disk.
func TestOldCursorsGetTheirFactsFromDisk(t *testing.T) {
	env := settings(t, map[string]string{"ECHOTWIN_FACTS_IN_MEMORY": "3"})
	a, stop := start(t, env)
	dev := device(t, a, "press")
	var want []string
	for n := range 40 {
		want = append(want, fmt.Sprintf("n%d", n))
		say(t, dev, fmt.Sprintf("event/bench/press/n%d", n), `{}`)
	}
	c := signIn(t, a)
	hello := c.watch("").until("hello", func(f frame) bool { return f.Type == "hello" })
	check := func(when string, c *client) {
		t.Helper()
		_, came := c.watch("").resume(hello.Epoch, 1, "bench/press")
		var got []string
		for _, f := range came {
			if f.Type == "event" || f.Type == "resync" {
				got = append(got, f.Name)
			}
		}
		if !slices.Equal(got, want[1:]) { // 1 is the first of them
			t.Errorf("%s: got %v", when, got)
		}
	}
	eventually(t, "the facts are filed", func() bool {
		_, m := c.do("GET", "/metrics", "")
		return strings.Contains(m, "echotwin_facts_messages 40\n")
	})
	check("before the restart", c)
	stop()
	a, _ = start(t, env)
	check("after it", signIn(t, a))
}

// tick is a frame with a numbered event.
type tick struct {
	frame
	More bool `json:"more"`
	Data struct{ N int }
}

// An event that was acknowledged reaches a viewer once, and stands in FACTS
// once, whatever kills the server: the viewer goes on with its cursor each time.
func TestFactsComeOnceOverKill9(t *testing.T) {
	env := settings(t, nil)
	var mu sync.Mutex
	acked, seen := map[int]bool{}, map[int]int{}
	next := 0
	epoch, cursor := "", uint64(0)
	for round := range 4 {
		a, process := startProcess(t, env)
		ws := signIn(t, a).watch("")
		if round == 0 {
			epoch = ws.until("hello", func(f frame) bool { return f.Type == "hello" }).Epoch
		}
		ws.send(fmt.Sprintf(`{"type":"resume","epoch":%q,"seq":%d,"subs":[{"path":"bench/**"}]}`, epoch, cursor))
		resumed := ws.until("resumed", func(f frame) bool { return f.Type == "resumed" })
		if resumed.Mode != "delta" {
			t.Fatalf("round %d: %s: %s", round, resumed.Mode, resumed.Reason)
		}
		dev := device(t, a, "counter")
		done := make(chan struct{})
		alive, gone := context.WithCancel(t.Context()) // or the last one waits for an acknowledgement in vain
		go func() {
			defer close(done)
			for round < 3 {
				next++
				ctx, cancel := context.WithTimeout(alive, time.Minute)
				_, err := dev.Publish(ctx, &paho.Publish{Topic: "event/bench/counter/tick", QoS: 1, Payload: fmt.Appendf(nil, `{"n":%d}`, next)})
				cancel()
				if err != nil {
					return
				}
				mu.Lock()
				acked[next] = true
				mu.Unlock()
			}
		}()
		// What was read counts with the frame that moves the cursor. The last round
		// reads what the others left.
		killed, count := false, 0
		for part := []int(nil); ; {
			ws.ws.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, b, err := ws.ws.ReadMessage()
			if killed && err != nil {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			f := decode[tick](t, string(b))
			switch f.Type {
			case "resync":
				t.Fatalf("round %d: %s", round, b)
			case "event":
				part = append(part, f.Data.N)
			}
			if (f.Type == "event" || f.Type == "update") && !f.More {
				for _, n := range part {
					seen[n]++
				}
				cursor, count, part = f.Seq, count+len(part), nil
			}
			if count >= 150 && !killed && round < 3 {
				killed = true
				if err := process.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if round == 3 && f.Type == "update" && f.Seq >= resumed.Seq {
				break
			}
		}
		process.Process.Kill()
		process.Wait()
		gone()
		<-done
	}
	if len(acked) < 300 {
		t.Errorf("only %d events were acknowledged: the test did not test", len(acked))
	}
	for n := range acked {
		if seen[n] != 1 {
			t.Errorf("event %d was acknowledged and came %d times", n, seen[n])
		}
	}
	a, stop := start(t, env) // fills FACTS from the log
	eventually(t, "the facts are filed", func() bool {
		_, m := signIn(t, a).do("GET", "/metrics", "")
		return strings.Contains(m, "echotwin_facts_waiting 0\n")
	})
	stop()
	filed := map[int]int{}
	for _, n := range readFacts(t, env) {
		filed[n]++
	}
	for n := range acked {
		if filed[n] != 1 {
			t.Errorf("event %d was acknowledged and stands in FACTS %d times", n, filed[n])
		}
	}
}

// readFacts are the numbers of the events in the stream of a stopped server.
func readFacts(t *testing.T, env map[string]string) (ns []int) {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: filepath.Join(env["ECHOTWIN_DATA"], "nats")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f, err := b.Facts(t.Context(), bus.FactsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(t.Context(), []string{"bench/counter"}, 0, b.Last(), func(one realtime.Fact) {
		var e struct {
			Data struct{ N int } `json:"data"`
		}
		if err := json.Unmarshal(one.Body, &e); err != nil {
			t.Error(err)
		}
		ns = append(ns, e.Data.N)
	}); err != nil {
		t.Fatal(err)
	}
	return ns
}

// Every limit on clients can be set, and is said when it is met.
func TestLimitsCanBeSet(t *testing.T) {
	a, _ := start(t, settings(t, map[string]string{
		"ECHOTWIN_MAX_PER_USER": "2", "ECHOTWIN_MAX_SUBSCRIPTIONS": "1", "ECHOTWIN_MAX_RATE": "5", "ECHOTWIN_MAX_FRAME": "2048", "ECHOTWIN_MAX_MESSAGES": "3",
	}))
	c := signIn(t, a)
	ws := c.watch("")
	hello := ws.until("hello", func(f frame) bool { return f.Type == "hello" })
	if hello.Limits.Rate != 5 || hello.Limits.Subscriptions != 1 || hello.Limits.Frame != 2048 {
		t.Errorf("hello says %+v", hello.Limits)
	}
	ws.send("sub a")
	ws.send("sub b")
	if f := ws.until("an error", func(f frame) bool { return f.Type == "error" }); f.Code != "too_many" {
		t.Errorf("got %+v", f)
	}
	// A client has its handshake a moment before it counts, so the next one could
	// come in first, and this one be turned away.
	c.watch("").until("hello", func(f frame) bool { return f.Type == "hello" })
	if f := c.watch("").until("bye", func(f frame) bool { return f.Type == "bye" }); f.Code != "too_many" {
		t.Errorf("got %+v", f)
	}
	code, body, h := c.full("GET", "/events?path=a", "")
	if after, _ := strconv.Atoi(h.Get("Retry-After")); code != http.StatusTooManyRequests || after < 1 {
		t.Errorf("%d %s, Retry-After %q", code, body, h.Get("Retry-After"))
	}
	if err := run(t.Context(), nil, func(k string) string { return map[string]string{"ECHOTWIN_MAX_PER_USER": "0"}[k] }, nil); err == nil || !strings.Contains(err.Error(), "ECHOTWIN_MAX_PER_USER: 0 is not between 1 and") {
		t.Errorf("a limit of 0: %v", err)
	}
}

// A start hears of the facts behind its checkpoint once more, and of no others.
// So a checkpoint is not saved before its facts are filed.
func TestACheckpointWaitsForItsFacts(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	bucket, err := b.Bucket(t.Context(), "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	filed := errors.New("the facts are not filed")
	k := &checkpoints{bucket: bucket, bus: b, hold: b.Hold("checkpoint", 0), filed: func(context.Context, uint64) error { return filed }}
	twins := twin.New(twin.Config{})
	twins.Apply(realtime.Bundle{Seq: 7, Records: []realtime.Record{{Kind: realtime.Event, Thing: "a", Name: "e"}}})
	k.save(t.Context(), twins, slog.New(slog.DiscardHandler))
	if _, err := bucket.Get(t.Context(), headKey); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("a checkpoint was saved: %v", err)
	}
	filed = nil
	k.save(t.Context(), twins, slog.New(slog.DiscardHandler))
	if _, err := bucket.Get(t.Context(), headKey); err != nil {
		t.Errorf("no checkpoint was saved: %v", err)
	}
}
