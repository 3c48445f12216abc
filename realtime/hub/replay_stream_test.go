package hub

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// A stream of events replays as a WebSocket does, and its cursor goes on with
// the replay.
func TestReplayOverEventsGoesOnAfterACut(t *testing.T) {
	a := aMorning(t, 21)
	g := newRig(t, Config{Replayer: a})
	g.set("plant/a", `{"speed":777}`)
	c := g.events("?path=plant/a&replay=1999-11-23T08:00:00Z&to=1999-11-23T08:00:20Z&speed=5")
	if r := c.want("replaying"); !r.Replay || r.Speed != 5 {
		t.Errorf("%s", r.raw)
	}
	seen := []string{}
	s := c.want("snapshot")
	cursor := s.cursor
	events := 0
	take := func(f frame) {
		if f.Type == "event" {
			events++
		}
		if !f.Replay {
			t.Errorf("%s is not marked", f.raw)
		}
		if v := f.value(t, "plant/a", "speed"); v != "" && f.Type == "update" {
			seen = append(seen, v)
		}
		if f.cursor != "" {
			cursor = f.cursor
		}
	}
	take(s)
	for len(seen) < 5 {
		take(c.next())
	}
	c.resp.Body.Close()
	if !strings.HasPrefix(cursor, "replay-") {
		t.Fatalf("the cursor is %s", cursor)
	}
	c = g.events("?path=plant/a&replay=1999-11-23T08:00:00Z&to=1999-11-23T08:00:20Z&speed=5", "Last-Event-ID", cursor)
	c.want("replaying")
	if s := c.want("snapshot"); s.value(t, "plant/a", "speed") != seen[4] {
		t.Errorf("it goes on with %s, want %s", s.raw, seen[4])
	}
	for f := c.next(); f.Type != "replayed"; f = c.next() {
		take(f)
	}
	if events != 1 {
		t.Errorf("%d events, want 1", events)
	}
	// On a busy machine some are merged, but none comes twice or late.
	last := 0
	for _, v := range seen {
		n, err := strconv.Atoi(v)
		if err != nil || n <= last {
			t.Fatalf("seen %v", seen)
		}
		last = n
	}
	if last != 20 {
		t.Errorf("seen %v, want them to end with 20", seen)
	}

	// Where only live is asked for, such a cursor is no place to go on from.
	live := g.events("?path=plant/a", "Last-Event-ID", cursor)
	if r := live.want("resumed"); r.Mode != "snapshot" || !strings.Contains(r.Reason, "is of a replay") {
		t.Errorf("%s", r.raw)
	}
	if s := live.want("snapshot"); s.Replay || s.value(t, "plant/a", "speed") != "777" {
		t.Errorf("%s", s.raw)
	}
}

// A script gets lines, and the end of its input with the end of the replay.
func TestReplayOverLinesEnds(t *testing.T) {
	g := newRig(t, Config{Replayer: aMorning(t, 21)})
	c := g.events("?path=plant/a&format=ndjson&replay=1999-11-23T08:00:00Z&speed=100")
	fs := c.rest()
	if n := len(fs); n < 4 || fs[0].Type != "replaying" || fs[1].Type != "snapshot" || fs[n-1].Type != "replayed" {
		t.Fatalf("%d frames: %v", n, fs)
	}
	if u := fs[len(fs)-2]; u.value(t, "plant/a", "speed") != "20" {
		t.Errorf("the last update is %s", u.raw)
	}
	g.empty()
	if n := g.hub.gallery.inside(); n != 0 {
		t.Errorf("%d replays are counted", n)
	}
}

func TestReplayOverEventsRefusesByStatus(t *testing.T) {
	a := aMorning(t, 100)
	g := newRig(t, Config{Replayer: a, Limits: Limits{ReplaysPerUser: 1}})
	c := g.events("?path=plant/a&replay=1999-11-23T08:00:00Z")
	c.want("replaying")
	for query, want := range map[string]string{
		"replay=":                              `400 malformed ?replay`,
		"replay=soon":                          `400 malformed ?replay`,
		"replay=2999-01-01T00:00:00Z":          `422 out_of_range ?replay`,
		"replay=1999-11-23T08:00:00Z&speed=0":  `422 out_of_range ?speed`,
		"replay=1999-11-23T08:00:00Z&speed=x":  `400 malformed ?speed`,
		"replay=1999-11-23T08:00:00Z&to=1":     `422 out_of_range ?to`,
		"replay=1999-11-23T08:00:00Z&speed=10": `429 too_many `,
	} {
		if got := refusedBy(t, g.srv.URL+"/events?path=plant/a&"+query); got != want {
			t.Errorf("%s is answered by %q, want %q", query, got, want)
		}
	}
	c.resp.Body.Close()
	for end := time.Now().Add(20 * time.Second); g.hub.gallery.inside() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if got, want := refusedBy(t, g.srv.URL+"/events?path=plant/a&replay=1990-01-01T00:00:00Z"), "422 out_of_range ?replay"; got != want {
		t.Errorf("before the history: %q, want %q", got, want)
	}
	g.empty()
	if n := g.hub.gallery.inside(); n != 0 {
		t.Errorf("%d replays are counted", n)
	}
}

func refusedBy(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p realtime.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "" {
		t.Error("429 does not say when to come back")
	}
	return fmt.Sprintf("%d %s %s", resp.StatusCode, p.Code, p.At)
}

// A client of the past that does not read costs one write and the newest state;
// it is current with the first frame that it reads again.
func TestReplayToASlowReaderMerges(t *testing.T) {
	a := &archive{}
	big := strings.Repeat("x", 8<<10)
	const moments = 1500
	for i := range moments {
		at := morning.Add(time.Duration(i) * 100 * time.Millisecond)
		c := reading(t, "plant/a", fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, big))
		a.moments = append(a.moments, Moment{At: at, Changes: []realtime.Change{c}})
	}
	g := newRig(t, Config{Replayer: a})
	nc, br := g.rawLines("path=plant/a&speed=600&replay=1999-11-23T08:00:00Z")
	defer nc.Close()
	// 150 s of the past at 600 times are over while the client has not read.
	came := false
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		over := came // and went, on a busy machine between two looks
		for c := range g.conns() {
			came, over = true, c.replay != nil && c.replay.reel.state().paused
		}
		if over {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the replay waits for its reader")
		}
	}
	frames, bytes := 0, 0
	newest := ""
	for {
		line, err := readLine(br)
		if err != nil {
			break
		}
		f := parseFrame(t, []byte(line))
		if v := f.value(t, "plant/a", "n"); v != "" {
			newest = v
		}
		frames++
		bytes += len(line)
	}
	if newest != fmt.Sprint(moments-1) {
		t.Errorf("the last that it saw is %s, want the end", newest)
	}
	if bytes > moments*len(big)/2 {
		t.Errorf("it got %d frames and %d bytes, so nothing was merged", frames, bytes)
	}
}

func readLine(br *bufio.Reader) (string, error) { return br.ReadString('\n') }
