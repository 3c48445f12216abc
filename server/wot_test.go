package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// events reads a stream's data, line by line.
func (s *site) events(path string) (next func() string, res *http.Response) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	s.Cleanup(cancel)
	r, _ := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	return func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
			if name, ok := strings.CutPrefix(lines.Text(), "event:"); ok {
				return "a named event:" + name // which WoT clients do not hear
			}
		}
		return "the end"
	}, res
}

func TestAPropertyAsAStream(t *testing.T) {
	s := newLine(t)
	s.login()
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":1}`).want(t, 202, "")
	s.settle()
	next, res := s.events("/api/things/plant/pump/properties/speed/sse")
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		t.Errorf("it is %s", got)
	}
	if got := next(); got != "1" {
		t.Errorf("the current value is %s", got)
	}
	for i := 2; i < 6; i++ {
		s.do("POST", "/api/telemetry/plant/pump", fmt.Sprintf(`{"speed":%d,"running":true}`, i)).want(t, 202, "")
		if got := next(); got != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", got, i)
		}
	}
	s.Close()
	if got := next(); got != "the end" {
		t.Errorf("after the close: %s", got)
	}
}

func TestEventsAsAStream(t *testing.T) {
	s := newLine(t)
	s.login()
	next, _ := s.events("/api/things/plant/pump/events/overheat")
	for i := range 3 {
		if err := s.Ingest.Event(t.Context(), "plant/pump", "other", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.Ingest.Event(t.Context(), "plant/pump", "overheat", fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if got, want := next(), fmt.Sprintf(`{"n":%d}`, i); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Faults F3 and F4: a reader that takes nothing holds nobody up, and one that
// leaves is gone.
func TestF4AReaderThatLeavesIsForgotten(t *testing.T) {
	s := newLine(t)
	s.login()
	_, res := s.events("/api/things/plant/pump/properties/speed/sse")
	if n := s.watch.n.Load(); n != 1 {
		t.Fatalf("%d readers", n)
	}
	res.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); s.watch.n.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the reader is still counted")
		}
	}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	if len(s.watch.m) != 0 {
		t.Errorf("left behind: %v", s.watch.m)
	}
}

func TestF3PublishWaitsForNobody(t *testing.T) {
	var w watchers
	value := w.add("t", "properties", "x")
	event := w.add("t", "events", "e")
	for i := range 1000 {
		w.publish(realtime.Update{Seq: uint64(i + 1),
			Changes: []realtime.Change{{Thing: "t", Values: []realtime.Value{{Name: "y", JSON: []byte("0")}, {Name: "x", JSON: fmt.Appendf(nil, "%d", i)}}}},
			Facts:   []realtime.Fact{{Type: "event", Thing: "t", Body: fmt.Appendf(nil, `{"name":"e","data":%d}`, i)}, {Type: "cmd", Thing: "t", Body: []byte(`{"name":"e"}`)}}})
	}
	if news, over := value.take(0); len(news) != 1 || string(news[0]) != "999" || over != "" {
		t.Errorf("the value: %s, %q", news, over)
	}
	if news, over := event.take(0); len(news) != maxWaiting || string(news[0]) != "0" || over == "" {
		t.Errorf("%d events, %q", len(news), over)
	}
	w.publish(realtime.Update{Seq: 5, Changes: []realtime.Change{{Thing: "t", Values: []realtime.Value{{Name: "x", JSON: []byte("1")}}}}})
	if news, _ := value.take(5); len(news) != 0 {
		t.Errorf("old news: %s", news)
	}
	w.publish(realtime.Update{Seq: 2000, Changes: []realtime.Change{{Thing: "t", Removed: true}}})
	if _, over := value.take(0); over == "" {
		t.Error("the thing is gone and the stream goes on")
	}
	for range maxWatchers + 10 {
		w.add("other", "properties", "x")
	}
	if n := w.n.Load(); n != maxWatchers {
		t.Errorf("%d readers", n)
	}
	if w.add("t", "properties", "x") != nil {
		t.Error("one too many was let in")
	}
}

func TestAHeadOfAStreamEnds(t *testing.T) {
	s := newLine(t)
	s.login()
	res, err := s.client.Head(s.url + "/api/things/plant/pump/events/overheat")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 405 || len(b) != 0 {
		t.Errorf("got %d", res.StatusCode)
	}
}
