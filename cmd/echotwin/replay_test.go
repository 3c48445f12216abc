package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
)

// A pastFrame is what these tests read of a frame of a replay.
type pastFrame struct {
	frame
	Replay  bool     `json:"replay"`
	At      string   `json:"at"`
	Reason  string   `json:"reason"`
	Message string   `json:"message"`
	Minimum *float64 `json:"minimum"`
	Maximum *float64 `json:"maximum"`
	Hidden  int      `json:"hidden"`
	Merged  int      `json:"merged"`

	stale bool // the thing's force is marked so
}

const press = "bench/press-1"

func readPast(t testing.TB, b []byte) pastFrame {
	t.Helper()
	f := decode[pastFrame](t, string(b))
	f.stale = bytes.Contains(b, []byte(`"stale":["force"`))
	return f
}

func (v *viewer) past(what string, is func(pastFrame) bool) pastFrame {
	v.t.Helper()
	v.ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		_, b, err := v.ws.ReadMessage()
		if err != nil {
			v.t.Fatalf("waiting for %s: %v", what, err)
		}
		if f := readPast(v.t, b); is(f) {
			return f
		}
	}
}

// A morning is readings of the press that were sent with the times of the past:
// force 0, 1, 2 …, one a second, and mode by turns.
type morning struct {
	begin time.Time
	n     int
}

func (m morning) at(i int) time.Time { return m.begin.Add(time.Duration(i) * time.Second) }

// publish stores a morning, and returns when history has it.
func (c *client) publish(m morning) {
	c.t.Helper()
	var b bytes.Buffer
	for i := range m.n {
		fmt.Fprintf(&b, `,{"ts":%q,"force":%d,"mode":%q}`, realtime.Stamp(m.at(i)), i, []string{"auto", "hand"}[i/10%2])
	}
	code, body := c.do("POST", "/api/telemetry/"+press, "["+b.String()[1:]+"]")
	if code != 202 {
		c.t.Fatalf("publishing the past: %d %s", code, body)
	}
	code, body = c.do("POST", "/api/telemetry/bench/hidden", fmt.Sprintf(`[{"ts":%q,"x":1},{"ts":%q,"x":2}]`, realtime.Stamp(m.at(0)), realtime.Stamp(m.at(5))))
	if code != 202 {
		c.t.Fatalf("publishing what is hidden: %d %s", code, body)
	}
	eventually(c.t, "history has the morning", func() bool {
		_, one := c.do("GET", fmt.Sprintf("/api/things/%s/state?at=%d", press, m.at(m.n).UnixMilli()), "")
		_, other := c.do("GET", fmt.Sprintf("/api/things/bench/hidden/state?at=%d", m.at(m.n).UnixMilli()), "")
		return strings.Contains(one, fmt.Sprintf(`"value":%d`, m.n-1)) && strings.Contains(other, `"value":2`)
	})
}

func aMorning(n int) morning {
	return morning{time.Now().Add(-10 * time.Minute).Truncate(time.Second).UTC(), n}
}

// sequence checks the forces that a replay shows: all of them, in order, each
// with its time. A machine that is busy merges some into one frame, which says
// how many it stands for; and it shows one that came while the frame was made before
// it is counted, and then once more.
type sequence struct {
	t    testing.TB
	m    morning
	next int
}

func (s *sequence) take(f pastFrame) {
	s.t.Helper()
	if !f.Replay || f.At == "" {
		s.t.Errorf("a %s frame of a replay is not marked: %+v", f.Type, f)
	}
	v := f.value(press, "force")
	if v == "" {
		return
	}
	s.next += max(1, f.Merged) // a snapshot stands for the one that it shows
	newest := s.next - 1
	// One that is missing for good is missing in the number of all, too.
	if n, err := strconv.Atoi(v); err != nil || n < newest {
		s.t.Errorf("the replay shows force %s, want %d", v, newest)
	}
	if at, err := time.Parse(time.RFC3339, f.At); err != nil || at.Before(s.m.at(newest)) || at.After(s.m.at(s.next)) {
		s.t.Errorf("force %d is shown at %s, want %s", newest, f.At, realtime.Stamp(s.m.at(newest)))
	}
}

func TestReplayOverWebSocketIsWhatWasPublished(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	m := aMorning(41)
	c.publish(m)
	jammed := time.Now()
	dev := device(t, a, "press")
	say(t, dev, "event/"+press+"/jam", `{"side":"left"}`)
	told := time.Now()
	say(t, dev, "telemetry/"+press, `{"force":777}`)
	ws := c.watch("?path=" + press)
	ws.until("the present", func(f frame) bool { return f.value(press, "force") == "777" })

	ws.send(fmt.Sprintf(`{"type":"replay","id":1,"from":%d,"to":%q,"speed":15}`, m.begin.UnixMilli(), realtime.Stamp(m.at(40))))
	ws.past("the answer", func(f pastFrame) bool { return f.Type == "replaying" && f.At == realtime.Stamp(m.begin) })
	seen := &sequence{t: t, m: m}
	mode, modes := "", 0
	end := ws.past("the end", func(f pastFrame) bool {
		if f.Type == "snapshot" || f.Type == "update" {
			seen.take(f)
			if now := f.value(press, "mode"); now != "" && now != mode {
				mode, modes = now, modes+1
			}
		}
		return f.Type == "replayed"
	})
	if seen.next != 41 || end.Reason != "end" || end.At != realtime.Stamp(m.at(40)) {
		t.Errorf("the replay showed %d readings and ended with %+v, want 41 and the moment asked for", seen.next, end)
	}
	if mode != `"auto"` || modes != 5 {
		t.Errorf("the mode was %s in the end and came %d times, want auto and 5", mode, modes)
	}

	// A command waits for the present, a jump shows another moment, and silence
	// of three periods grows stale as it did then.
	ws.send(`{"type":"cmd","id":"c","thing":"` + press + `","action":"stop"}`)
	if f := ws.past("a refusal", func(f pastFrame) bool { return f.Type == "error" }); f.Code != "conflict" || !strings.Contains(f.Message, "past") {
		t.Errorf("a command is answered by %+v", f)
	}
	ws.send(fmt.Sprintf(`{"type":"replay","from":%d,"pause":true}`, m.at(30).UnixMilli()))
	if f := ws.past("the jump", func(f pastFrame) bool { return f.Type == "snapshot" }); f.value(press, "force") != "30" || !f.Replay {
		t.Errorf("the jump shows %+v", f)
	}
	ws.send(fmt.Sprintf(`{"type":"replay","from":%d,"pause":false,"speed":600}`, m.at(30).UnixMilli()))
	ws.past("a stale mark after the last reading", func(f pastFrame) bool { return f.Type == "update" && f.stale })

	// Events come again, when they came.
	ws.send(fmt.Sprintf(`{"type":"replay","from":%d,"speed":5}`, jammed.Add(-time.Second).UnixMilli()))
	f := ws.past("the event", func(f pastFrame) bool { return f.Type == "event" })
	if at, err := time.Parse(time.RFC3339, f.At); f.Name != "jam" || !f.Replay || err != nil || at.Before(jammed.Truncate(time.Millisecond)) || at.After(told) {
		t.Errorf("the event is replayed as %+v, want it between %s and %s", f, realtime.Stamp(jammed), realtime.Stamp(told))
	}
	if end := ws.past("the end", func(f pastFrame) bool { return f.Type == "replayed" }); end.Reason != "present" {
		t.Errorf("a replay that has caught up ends with %+v", end)
	}

	ws.send(`{"type":"live"}`)
	if f := ws.past("the present", func(f pastFrame) bool { return f.Type == "snapshot" && !f.Replay }); f.value(press, "force") != "777" {
		t.Errorf("back to live shows %+v", f)
	}
}

func TestReplayOverEventsAndLinesIsWhatWasPublished(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	m := aMorning(31)
	c.publish(m)
	query := fmt.Sprintf("/events?path=%s&replay=%d&to=%d&speed=15", press, m.begin.UnixMilli(), m.at(30).UnixMilli())

	// Lines end with the replay.
	seen := &sequence{t: t, m: m}
	lines := c.stream(query+"&format=ndjson", "")
	last := ""
	for lines.scanner.Scan() {
		last = lines.scanner.Text()
		if f := readPast(t, []byte(last)); f.Type == "snapshot" || f.Type == "update" {
			seen.take(f)
		}
	}
	if f := readPast(t, []byte(last)); f.Type != "replayed" || seen.next != 31 {
		t.Errorf("the lines end with %s after %d readings, want 31", last, seen.next)
	}

	// A stream of events that is cut goes on in the past, where it was.
	seen = &sequence{t: t, m: m}
	first := c.stream(query, "text/event-stream")
	cursor := first.sequence(seen, func(pastFrame) bool { return seen.next >= 10 })
	first.close()
	if !strings.HasPrefix(cursor, "replay-") {
		t.Fatalf("the cursor is %q", cursor)
	}
	seen.next-- // the state at the cut is its last reading once more
	c.stream(query, "text/event-stream", "Last-Event-ID", cursor).sequence(seen, func(f pastFrame) bool { return f.Type == "replayed" })
	if seen.next != 31 {
		t.Errorf("after the cut the replay went on to %d readings, want 31", seen.next)
	}
}

// sequence reads events until done, and returns the last cursor.
func (s *textStream) sequence(seen *sequence, done func(pastFrame) bool) (cursor string) {
	s.t.Helper()
	for s.scanner.Scan() {
		line := s.scanner.Text()
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			cursor = id
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		f := readPast(s.t, []byte(data))
		if f.Type == "snapshot" || f.Type == "update" {
			seen.take(f)
		}
		if done(f) {
			return cursor
		}
	}
	s.t.Fatalf("the stream ended: %v", s.scanner.Err())
	return ""
}

// A server that is killed in the middle and comes back goes on with the replay
// by its cursor alone.
func TestReplayGoesOnAfterKill9(t *testing.T) {
	env := settings(t, nil)
	a, cmd := startProcess(t, env)
	c := signIn(t, a)
	m := aMorning(31)
	c.publish(m)
	query := fmt.Sprintf("/events?path=%s&replay=%d&to=%d&speed=15", press, m.begin.UnixMilli(), m.at(30).UnixMilli())
	seen := &sequence{t: t, m: m}
	cursor := c.stream(query, "text/event-stream").sequence(seen, func(pastFrame) bool { return seen.next >= 8 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed

	a, _ = startProcess(t, env)
	c = signIn(t, a)
	eventually(t, "history is open again", func() bool {
		code, _ := c.do("GET", fmt.Sprintf("/api/things/%s/state?at=%d", press, m.at(30).UnixMilli()), "")
		return code == 200
	})
	seen.next--
	c.stream(query, "text/event-stream", "Last-Event-ID", cursor).sequence(seen, func(f pastFrame) bool { return f.Type == "replayed" })
	if seen.next != 31 {
		t.Errorf("after the kill the replay went on to %d readings, want 31", seen.next)
	}
}

func TestThePastSaysWhatItCannotShow(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	m := aMorning(11)
	c.publish(m)
	for path, want := range map[string]string{
		"/events?path=bench/**&replay=2000-01-01T00:00:00Z":                       "422 out_of_range ?replay minimum",
		"/events?path=bench/**&replay=2099-01-01T00:00:00Z":                       "422 out_of_range ?replay maximum",
		"/events?path=bench/**&replay=noon":                                       "400 malformed ?replay",
		"/events?path=bench/**&speed=700&replay=" + realtime.Stamp(m.begin):       "422 out_of_range ?speed minimum maximum",
		"/api/things?at=2099-01-01T00:00:00Z":                                     "422 out_of_range ?at maximum",
		"/api/things?at=2001-01-01T00:00:00Z":                                     "422 out_of_range ?at minimum",
		"/api/things?at=noon":                                                     "400 malformed ?at",
		"/api/things/bench/none/state?at=" + realtime.Stamp(m.at(5)):              "404 not_found",
		"/api/things/" + press + "/state?at=" + realtime.Stamp(m.begin.Add(-1e9)): "422 out_of_range ?at minimum",
	} {
		code, body := c.do("GET", path, "")
		var p struct {
			Code, At         string
			Minimum, Maximum *float64
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatalf("%s: %d %s", path, code, body)
		}
		got := strings.TrimSpace(fmt.Sprintf("%d %s %s", code, p.Code, p.At))
		if p.Minimum != nil {
			got += " minimum"
		}
		if p.Maximum != nil {
			got += " maximum"
		}
		if got != want {
			t.Errorf("GET %s is answered by %q, want %q: %s", path, got, want, body)
		}
	}
}

func TestStateAtAMoment(t *testing.T) {
	a, _ := start(t, settings(t, nil))
	c := signIn(t, a)
	m := aMorning(31)
	c.publish(m)
	type state struct {
		Thing      string
		Seq        uint64
		Properties map[string]struct {
			Value   json.RawMessage
			TS      time.Time
			Age     float64
			Quality string
			Seq     uint64
		}
	}
	at := m.at(20).Add(500 * time.Millisecond)
	code, body := c.do("GET", "/api/things/"+press+"/state?at="+realtime.Stamp(at), "")
	s := decode[state](t, body)
	force := s.Properties["force"]
	if code != 200 || string(force.Value) != "20" || !force.TS.Equal(m.at(20)) || force.Age != 0.5 || force.Seq != 0 || string(s.Properties["mode"].Value) != `"auto"` {
		t.Errorf("the state at 20.5 s: %d %s", code, body)
	}
	code, body = c.do("GET", "/api/things?path=bench/**&at="+realtime.Stamp(at), "")
	all := decode[[]state](t, body)
	if code != 200 || len(all) != 2 || all[0].Thing != "bench/hidden" || all[1].Thing != press {
		t.Errorf("the things at 20.5 s: %d %s", code, body)
	}
	code, body, header := c.full("GET", "/api/things?path=bench/**&limit=1&at="+realtime.Stamp(at), "")
	if all := decode[[]state](t, body); code != 200 || len(all) != 1 || !strings.Contains(header.Get("Link"), "after=bench") {
		t.Errorf("a page of the past: %d %s, link %q", code, body, header.Get("Link"))
	}

	// A token that may see less sees less of the past, too.
	_, body = c.do("POST", "/api/tokens", `{"name":"press","scopes":["read"],"things":["`+press+`"]}`)
	token := "Bearer " + decode[struct{ Token string }](t, body).Token
	none := newClient(t, a)
	if _, body = none.do("GET", "/api/things?at="+realtime.Stamp(at), "", "Authorization", token); len(decode[[]state](t, body)) != 1 {
		t.Errorf("a token for the press alone sees %s", body)
	}
	if code, body = none.do("GET", "/api/things/bench/hidden/state?at="+realtime.Stamp(at), "", "Authorization", token); code != 404 {
		t.Errorf("what is hidden from the token: %d %s", code, body)
	}
	query := url.Values{"path": {"bench/**"}, "replay": {realtime.Stamp(m.begin)}, "to": {realtime.Stamp(m.at(10))}, "speed": {"100"}, "format": {"ndjson"}}
	req, err := http.NewRequest("GET", c.base+"/events?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	seen := &sequence{t: t, m: m}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		f := readPast(t, lines.Bytes())
		if strings.Contains(lines.Text(), "bench/hidden") {
			t.Errorf("the replay shows what is hidden: %s", lines.Text())
		}
		if f.Type == "snapshot" {
			seen.take(f)
			if f.Hidden != 1 {
				t.Errorf("the snapshot says that %d are hidden, want 1", f.Hidden)
			}
		}
	}
	if seen.next != 1 {
		t.Error("the token saw no snapshot")
	}
}
