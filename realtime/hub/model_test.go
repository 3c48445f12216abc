package hub

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

var (
	modelSeed = flag.Uint64("seed", 0, "replay the model test with this seed; 0 takes a new one")
	modelTime = flag.Duration("model", 4*time.Second, "how long the model test runs")
)

// TestScreensEqualTheHub lets random clients over all wires follow random
// things, stop reading, be cut off and resume, change their subscriptions, and
// asks at every quiet point: is each screen what the hub holds, did every fact
// come exactly once, and was each frame tied to the one before?
func TestScreensEqualTheHub(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	m := newModel(t, seed)
	for i := range 14 {
		m.viewers = append(m.viewers, m.newViewer(i))
	}
	for end := time.Now().Add(*modelTime); time.Now().Before(end) && !t.Failed(); {
		m.busy(60 + m.rnd.IntN(200))
		m.quiet()
	}
	t.Logf("%d bundles, %d facts, %d resumes by delta, %d by snapshot, %d pages", m.rig.seq, len(m.facts), m.deltas, m.snapshots, m.pages)
	if m.deltas == 0 {
		t.Error("no client was cut off and resumed: the test has lost its teeth")
	}
}

type model struct {
	t      *testing.T
	rnd    *rand.Rand
	rig    *rig
	ids    []string
	things map[string]map[string]string // with marks as *stale and *online
	facts  []factRecord

	viewers []*modelViewer

	mu                       sync.Mutex
	deltas, snapshots, pages int
}

type factRecord struct {
	seq   uint64
	thing string
	name  string
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), things: map[string]map[string]string{}}
	m.rig = newRig(t, Config{})
	if seed%2 == 0 { // everything in many small parts
		m.rig.hub.sizes = sizes{page: 2 << 10, update: 1 << 10, turn: 1 << 10, list: 3}
	}
	m.rig.view = func(r *http.Request) Viewer {
		v := Viewer{User: r.Header.Get("User")}
		if v.User == "guest" {
			v.See = func(thing string) bool { return !strings.Contains(thing, "secret") }
		}
		return v
	}
	for _, site := range []string{"a", "b"} {
		for line := range 3 {
			for unit := range 12 {
				m.ids = append(m.ids, fmt.Sprintf("%s/l%d/u%d", site, line, unit))
			}
		}
		m.ids = append(m.ids, site, site+"/secret", site+"/l0/secret/x")
	}
	return m
}

func (m *model) thing() string { return m.ids[m.rnd.IntN(len(m.ids))] }

// busy publishes while clients are mistreated.
func (m *model) busy(steps int) {
	for range steps {
		m.publish()
		if m.rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(m.rnd.IntN(3000)) * time.Microsecond)
		}
		v := m.viewers[m.rnd.IntN(len(m.viewers))]
		switch m.rnd.IntN(24) {
		case 0:
			v.cut()
		case 1:
			v.pause()
		case 2, 3:
			v.unpause()
		case 4:
			v.subscribe(m.pattern())
		case 5:
			v.unsubscribe()
		}
	}
}

// publish makes one bundle: readings of some things, marks, removals, facts.
func (m *model) publish() {
	bundle := m.rnd.IntN(8) > 0 // else it is what the time does, which has no facts
	if bundle {
		m.rig.seq++
	}
	u := realtime.Update{Seq: m.rig.seq}
	seen := map[string]bool{}
	for range m.rnd.IntN(8) {
		id := m.thing()
		if !seen[id] {
			seen[id] = true
			u.Changes = append(u.Changes, m.change(id))
		}
	}
	if bundle && m.rnd.IntN(3) == 0 {
		for i := range 1 + m.rnd.IntN(3) {
			f := event(m.thing(), fmt.Sprintf("e%d-%d", u.Seq, i))
			f.Seq = u.Seq
			u.Facts = append(u.Facts, f)
			m.facts = append(m.facts, factRecord{u.Seq, f.Thing, fmt.Sprintf("e%d-%d", u.Seq, i)})
		}
	}
	if u.Seq == 0 {
		return
	}
	m.rig.hub.Publish(u)
}

func (m *model) change(id string) realtime.Change {
	c := realtime.Change{Thing: id, TS: noon}
	if m.rnd.IntN(30) == 0 {
		delete(m.things, id)
		c.Removed = true
		return c
	}
	th := m.things[id]
	if th == nil {
		th = map[string]string{}
		m.things[id] = th
	}
	for _, name := range []string{"speed", "temperature", "mode", "long", "pose"} {
		if m.rnd.IntN(2) == 0 {
			continue
		}
		v := fmt.Sprint(m.rnd.IntN(1000))
		if name == "long" {
			v = fmt.Sprintf("%q", strings.Repeat(v, 200+m.rnd.IntN(400)))
		}
		if name == "pose" {
			v = []string{`{"x":1,"y":2}`, `{"x":1}`, `{"y":{"a":1,"b":2}}`, `{"y":{"a":1}}`, `{}`, `7`}[m.rnd.IntN(6)]
		}
		c.Values = append(c.Values, realtime.Value{Name: name, JSON: json.RawMessage(v)})
		c.Samples = 1
		th[name] = v
	}
	if m.rnd.IntN(4) == 0 {
		c.Marks = &realtime.Marks{Online: "online"}
		delete(th, "*stale")
		if m.rnd.IntN(2) == 0 {
			c.Marks.Stale = []string{"mode", "speed"}
			th["*stale"] = "mode,speed"
		}
		th["*online"] = "online"
	}
	return c
}

var modelFields = [][]string{nil, nil, {"speed"}, {"temperature", "mode", "pose"}}

func (m *model) pattern() modelSub {
	paths := []string{"**", "a/**", "*/l0/*", "b/l1/u3", "a/l0/u1", "*", "*/*", "a/l2/*", "a/*/secret/x"}
	s := modelSub{path: paths[m.rnd.IntN(len(paths))], fields: modelFields[m.rnd.IntN(len(modelFields))]}
	if m.rnd.IntN(2) == 0 {
		s.rate = []float64{8, 20, 12}[m.rnd.IntN(3)]
	}
	return s
}

type modelSub struct {
	path   string
	fields []string
	rate   float64
	id     string
	whole  bool   // its snapshot is complete
	from   uint64 // facts after this seq are its
}

func (s modelSub) json() string {
	b, _ := json.Marshal(map[string]any{"path": s.path, "fields": s.fields})
	text := string(b[:len(b)-1])
	if s.rate > 0 {
		text += fmt.Sprintf(`,"rate":%v`, s.rate)
	}
	return text
}

// quiet waits until every screen is right, and then looks at the facts.
func (m *model) quiet() {
	for _, v := range m.viewers {
		v.unpause()
	}
	for _, v := range m.viewers {
		deadline := time.Now().Add(15 * time.Second)
		for why := v.wrong(); why != ""; why = v.wrong() {
			if time.Now().After(deadline) {
				m.t.Fatalf("viewer %d over %s: %s", v.n, v.wire, why)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	m.rig.settle()
	for _, v := range m.viewers {
		if why := v.wrong(); why != "" {
			m.t.Fatalf("viewer %d over %s, later: %s", v.n, v.wire, why)
		}
	}
}

// A modelViewer is one client, over several connections.
type modelViewer struct {
	m    *model
	n    int
	user string
	gate sync.Mutex // held to stop reading

	mu     sync.Mutex
	paused bool
	wire   wire
	nc     net.Conn
	ws     *websocket.Conn
	ended  chan struct{}
	subs   []modelSub
	anew   bool   // do not resume
	cursor uint64 // to resume from; zero for none
	last   uint64 // of the chain
	chain  bool
	screen screen
	facts  []factRecord
	loose  int     // facts behind the cursor: a cut takes them back
	trace  []frame // of this connection
}

func (m *model) newViewer(n int) *modelViewer {
	v := &modelViewer{m: m, n: n, user: "ana", screen: screen{}}
	if n%4 == 3 {
		v.user = "guest"
	}
	for range 1 + m.rnd.IntN(3) {
		v.subs = append(v.subs, m.pattern())
	}
	v.connect()
	return v
}

// connect opens a connection, over whichever wire, and goes on where it was.
func (v *modelViewer) connect() {
	v.wire = wire(v.m.rnd.IntN(int(wires)))
	v.chain = false
	v.trace = nil
	resume := v.cursor > 0 && !v.anew && !slices.ContainsFunc(v.subs, func(s modelSub) bool { return !s.whole })
	v.anew = false
	if !resume {
		v.screen, v.facts, v.loose, v.cursor = screen{}, nil, 0, 0
		for i := range v.subs {
			v.subs[i].whole, v.subs[i].id, v.subs[i].from = false, "", 0
		}
	}
	v.facts, v.loose = v.facts[:len(v.facts)-v.loose], 0
	nc, err := net.Dial("tcp", v.m.rig.srv.Listener.Addr().String())
	if err != nil {
		v.m.t.Fatal(err)
	}
	nc.(*net.TCPConn).SetReadBuffer(8 << 10)
	v.nc, v.ended = nc, make(chan struct{})
	if v.wire == webSocket {
		v.dial(resume)
	} else {
		v.request(resume)
	}
}

func (v *modelViewer) dial(resume bool) {
	d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return v.nc, nil }}
	ws, _, err := d.Dial("ws://x/ws", http.Header{"User": {v.user}})
	if err != nil {
		v.m.t.Fatal(err)
	}
	v.ws = ws
	if resume {
		var subs []string
		for _, s := range v.subs {
			subs = append(subs, s.json()+"}")
		}
		v.say(`{"type":"resume","epoch":"k3f9","seq":%d,"subs":[%s]}`, v.cursor, strings.Join(subs, ","))
	} else {
		for i := range v.subs {
			v.say(`{"type":"sub",%s}`, v.subs[i].json()[1:])
		}
	}
	v.last = v.cursor
	go func(ended chan struct{}) {
		defer close(ended)
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				return
			}
			v.gate.Lock()
			v.gate.Unlock()
			v.take(parseFrame(v.m.t, b), ws)
		}
	}(v.ended)
}

// request opens a stream. All paths of one request have the same fields and
// rate, so the subscriptions are made alike.
func (v *modelViewer) request(resume bool) {
	q := "?epoch="
	for i := range v.subs {
		if !resume { // else they are alike already, or the cursor's would change
			v.subs[i].fields, v.subs[i].rate = v.subs[0].fields, v.subs[0].rate
		}
		q += "&path=" + v.subs[i].path
	}
	if resume && slices.ContainsFunc(v.subs, func(s modelSub) bool {
		return s.rate != v.subs[0].rate || !slices.Equal(s.fields, v.subs[0].fields)
	}) {
		v.wire = webSocket
		v.dial(resume)
		return
	}
	if v.subs[0].fields != nil {
		q += "&fields=" + strings.Join(v.subs[0].fields, ",")
	}
	if v.subs[0].rate > 0 {
		q += fmt.Sprintf("&rate=%v", v.subs[0].rate)
	}
	if v.wire == lines {
		q += "&format=ndjson"
	}
	cursor := ""
	if resume && v.n%2 == 0 {
		cursor = fmt.Sprintf("Last-Event-ID: k3f9.%d\r\n", v.cursor)
	} else if resume {
		q += fmt.Sprintf("&since=k3f9.%d", v.cursor)
	}
	fmt.Fprintf(v.nc, "GET /events%s HTTP/1.1\r\nHost: x\r\nUser: %s\r\n%s\r\n", q, v.user, cursor)
	v.last = v.cursor
	go func(nc net.Conn, ended chan struct{}, w wire) {
		defer close(ended)
		br := bufio.NewReader(nc)
		id := ""
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			v.gate.Lock()
			v.gate.Unlock()
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "id: k3f9."):
				id = line[len("id: k3f9."):]
			case strings.HasPrefix(line, "data: "):
				f := parseFrame(v.m.t, []byte(line[len("data: "):]))
				f.cursor = id
				id = ""
				v.take(f, nil)
			case w == lines && strings.HasPrefix(line, "{"):
				v.take(parseFrame(v.m.t, []byte(line)), nil)
			}
		}
	}(v.nc, v.ended, v.wire)
}

func (v *modelViewer) say(format string, args ...any) {
	// A connection that is being cut refuses, and that is as good as a lost frame.
	_ = v.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...))
}

// take is the client of the protocol, in as few lines as it needs.
func (v *modelViewer) take(f frame, ws *websocket.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trace = append(v.trace, f)
	switch f.Type {
	case "snapshot":
		v.screen.apply(v.m.t, f)
		i := slices.IndexFunc(v.subs, func(s modelSub) bool { return s.id == f.Sub || s.id == "" })
		if i < 0 {
			break // ended meanwhile
		}
		v.subs[i].id = f.Sub
		if !f.More && !v.subs[i].whole {
			v.subs[i].whole = true
			if v.subs[i].from == 0 {
				v.subs[i].from = f.Seq
			}
		}
		v.move(f, !f.More)
		v.m.mu.Lock()
		if f.More {
			v.m.pages++
		}
		v.m.mu.Unlock()
	case "update":
		if v.chain || v.last > 0 {
			if f.Prev != v.last {
				v.m.t.Errorf("viewer %d over %s: prev %d after %d\n%s", v.n, v.wire, f.Prev, v.last, v.told(""))
			}
		}
		if f.Seq < f.Prev {
			v.m.t.Errorf("viewer %d: seq %d goes back from %d", v.n, f.Seq, f.Prev)
		}
		v.screen.apply(v.m.t, f)
		v.move(f, true)
	case "event":
		v.facts = append(v.facts, factRecord{f.Seq, f.Thing, f.Name})
		v.loose++
		v.move(f, !f.More)
	case "resumed":
		v.m.mu.Lock()
		if f.Mode == "delta" {
			v.m.deltas++
		} else {
			v.m.snapshots++
		}
		v.m.mu.Unlock()
		for i := range v.subs {
			if i < len(f.Subs) {
				v.subs[i].id = f.Subs[i]
				v.subs[i].whole = f.Mode == "delta"
			}
		}
		if f.Mode != "delta" {
			v.m.t.Errorf("viewer %d: %s", v.n, f.raw)
		}
	case "hello", "ping", "bye":
	default:
		v.m.t.Errorf("viewer %d: %s", v.n, f.raw)
	}
}

// move takes the seq of a frame as the cursor, where it is one: over SSE the
// id, elsewhere when no snapshot is incomplete.
func (v *modelViewer) move(f frame, whole bool) {
	v.last, v.chain = f.Seq, true
	if v.wire == eventStream {
		if f.cursor == "" {
			return
		}
		if f.cursor != fmt.Sprint(f.Seq) {
			v.m.t.Errorf("viewer %d: id %s on %s", v.n, f.cursor, f.raw)
		}
	} else if !whole || slices.ContainsFunc(v.subs, func(s modelSub) bool { return !s.whole }) {
		return
	}
	v.cursor, v.loose = f.Seq, 0
}

// cut ends the connection in the middle of whatever it was doing.
func (v *modelViewer) cut() {
	v.unpause()
	v.nc.Close()
	<-v.ended
	v.mu.Lock()
	defer v.mu.Unlock()
	v.connect()
}

func (v *modelViewer) pause() {
	if !v.paused {
		v.paused = true
		v.gate.Lock()
	}
}

func (v *modelViewer) unpause() {
	if v.paused {
		v.paused = false
		v.gate.Unlock()
	}
}

func (v *modelViewer) subscribe(s modelSub) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.wire != webSocket || len(v.subs) > 5 || slices.ContainsFunc(v.subs, func(s modelSub) bool { return s.id == "" }) {
		return
	}
	v.subs = append(v.subs, s)
	v.say(`{"type":"sub",%s}`, s.json()[1:])
}

// unsubscribe ends a subscription whose frames are all in, and forgets what it
// alone showed, and the facts that it alone brought.
func (v *modelViewer) unsubscribe() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.wire != webSocket || len(v.subs) < 2 || slices.ContainsFunc(v.subs, func(s modelSub) bool { return !s.whole }) {
		return
	}
	// The facts of a subscription that ends are not asked about any more, so the
	// client begins anew without it.
	v.subs = v.subs[1:]
	v.anew = true
	v.mu.Unlock()
	v.cut()
	v.mu.Lock()
}

// wrong says how the screen, or the facts, differ from what the model holds.
func (v *modelViewer) wrong() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, s := range v.subs {
		if !s.whole {
			return fmt.Sprintf("the snapshot of %d, %s, is not complete", i, s.path)
		}
	}
	sees := func(id string) bool { return v.user != "guest" || !strings.Contains(id, "secret") }
	for _, id := range v.m.ids {
		want := map[string]string{}
		for _, s := range v.subs {
			if !realtime.Match(s.path, id) || !sees(id) {
				continue
			}
			for name, value := range v.m.things[id] {
				if name == "*online" || name[0] != '*' && covers(s.fields, name) {
					want[name] = value
				}
			}
		}
		if stale := v.m.things[id]["*stale"]; stale != "" && sees(id) {
			var names []string
			for name := range strings.SplitSeq(stale, ",") {
				if slices.ContainsFunc(v.subs, func(s modelSub) bool { return realtime.Match(s.path, id) && covers(s.fields, name) }) {
					names = append(names, name)
				}
			}
			if names != nil {
				want["*stale"] = strings.Join(names, ",")
			}
		}
		if got := v.screen[id]; !maps.Equal(got, want) && len(got)+len(want) > 0 {
			return fmt.Sprintf("%s shows %.300v, want %.300v; subscriptions %+v\n%s", id, got, want, v.subs, v.told(id))
		}
	}
	var want []factRecord
	for _, f := range v.m.facts {
		if sees(f.thing) && slices.ContainsFunc(v.subs, func(s modelSub) bool { return realtime.Match(s.path, f.thing) && f.seq > s.from }) {
			want = append(want, f)
		}
	}
	if !slices.Equal(v.facts, want) {
		return fmt.Sprintf("%d facts, want %d: %s; subs %+v\n%s", len(v.facts), len(want), firstDifference(v.facts, want), v.subs, v.told(""))
	}
	return ""
}

func firstDifference(got, want []factRecord) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("at %d got %v, want %v", i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
		}
	}
	return ""
}

// told is the last frames of the connection, as far as they are about the
// thing, or all when it names none.
func (v *modelViewer) told(id string) string {
	out := ""
	for i, f := range v.trace {
		about, is := f.Things[id]
		switch {
		case id == "" && i >= len(v.trace)-12:
			out += fmt.Sprintf("%.300s\n", f.raw)
		case is:
			out += fmt.Sprintf("%s %s %d to %d more %v: %.200s … %s\n", f.Type, f.Sub, f.Prev, f.Seq, f.More, about, about[max(0, len(about)-150):])
		case id != "" && f.Type != "update" && f.Type != "event" && f.Type != "snapshot":
			out += fmt.Sprintf("%.300s\n", f.raw)
		}
	}
	return out
}
