package hub

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/realtime"
)

// Whatever a client says wrongly, it is told what and where, it stays
// connected, and the next right word works.
func TestErrorsTeach(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/line1/pump", `{"speed":1}`)
	c := g.dial("")
	for _, tt := range []struct {
		say, code, at string
		message       string // some of it
	}{
		{`{`, "malformed", "", "not JSON at byte 1"},
		{`{"type":"sub",}`, "malformed", "", "not JSON at byte 15"},
		{``, "malformed", "", `{"type":"sub","path":"plant/**"}`},
		{`[]`, "malformed", "", "neither JSON nor a word"},
		{`"sub"`, "malformed", "", "neither"},
		{`hello there`, "malformed", "", "sub <path>, unsub, replay <time>, live, ping, help"},
		{`sub`, "malformed", "", "sub <path>"},
		{`{}`, "malformed", "/type", "no type"},
		{`{"type":7}`, "malformed", "/type", "type cannot be a number"},
		{`{"type":"subscribe"}`, "unknown_type", "/type", `the types are sub, unsub, resume, replay, live, cmd, auth, ping, help. For example {"type":"sub"`},
		{`{"type":"sub"}`, "malformed", "/path", "a path is 1 to 8 segments"},
		{`{"type":"sub","path":"/plant"}`, "malformed", "/path", "* stands for one segment"},
		{`{"type":"sub","path":"plant/+"}`, "malformed", "/path", "a last ** for one or more"},
		{`{"type":"sub","path":"plant/**/x"}`, "malformed", "/path", "** may only be the last segment"},
		{`{"type":"sub","path":["plant"]}`, "malformed", "/path", "path cannot be an array"},
		{`{"type":"sub","path":"**","rate":0}`, "out_of_range", "/rate", "between 0.01 and 20"},
		{`{"type":"sub","path":"**","rate":21}`, "out_of_range", "/rate", "between 0.01 and 20"},
		{`{"type":"sub","path":"**","rate":"5"}`, "malformed", "/rate", "rate cannot be a string"},
		{`{"type":"sub","path":"**","fields":["a b"]}`, "malformed", "/fields", "not a name"},
		{`{"type":"sub","path":"**","fields":"speed"}`, "malformed", "/fields", "fields cannot be a string"},
		{`{"type":"sub","path":"**","fields":[` + strings.Repeat(`"a",`, 64) + `"a"]}`, "too_large", "/fields", "at most 64"},
		{`{"type":"unsub","sub":"s9"}`, "not_found", "/sub", "there are: none"},
		{`{"type":"resume","epoch":"k3f9","seq":1}`, "malformed", "/subs", "what to go on with"},
		{`{"type":"resume","epoch":"k3f9","seq":-1,"subs":[{"path":"**"}]}`, "malformed", "/seq", "seq cannot be"},
		{`{"type":"resume","epoch":"k3f9","seq":1,"subs":[{"path":"**"},{"path":""}]}`, "malformed", "/subs/1/path", "which things"},
		{`{"type":"cmd"}`, "unavailable", "", "no commands"},
		{`{"type":"auth","token":"x"}`, "unavailable", "", "nobody can sign in here"},
		{`{"type":"ping","id":{}}`, "malformed", "/id", "a string or a number"},
		{`{"type":"ping","id":"` + strings.Repeat("x", 200) + `"}`, "malformed", "/id", "at most 128 bytes"},
		{strings.Repeat("[", 20000), "malformed", "", "neither JSON"},
		{`{"type":"sub","path":` + strings.Repeat("[", 20000), "malformed", "", "not JSON"},
	} {
		c.say("%s", tt.say)
		f := c.want("error")
		if f.Code != tt.code || f.At != tt.at || !strings.Contains(f.Message, tt.message) {
			t.Errorf("%.60s: got %.400s, want %s at %q with %q", tt.say, f.raw, tt.code, tt.at, tt.message)
		}
		if f.Code == "out_of_range" && (f.Minimum == nil || *f.Minimum != 0.01 || f.Maximum == nil || *f.Maximum != 20) {
			t.Errorf("%s does not name the limits", f.raw)
		}
		if f.Code == "unknown_type" && len(f.Types) != len(types) {
			t.Errorf("%s does not list the types", f.raw)
		}
	}
	c.say(`{"type":"subscribe","id":"x7"}`)
	if f := c.want("error"); string(f.ID) != `"x7"` {
		t.Errorf("%s has lost the id", f.raw)
	}
	if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	if f := c.want("error"); !strings.Contains(f.Message, "binary") {
		t.Errorf("%s", f.raw)
	}
	c.say(`{"type":"ping","id":12}`)
	if f := c.want("pong"); string(f.ID) != "12" {
		t.Errorf("%s", f.raw)
	}
}

func TestWordsForPeople(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/line1/pump", `{"speed":1}`)
	c := g.dial("")
	c.say("help\n")
	if f := c.want("help"); !strings.Contains(f.raw, "sub <path>") || !strings.Contains(f.raw, `"type":"resume"`) {
		t.Errorf("%s", f.raw)
	}
	c.say("  sub   plant/** ")
	if f := c.want("snapshot"); f.Matched != 1 {
		t.Errorf("%s", f.raw)
	}
	c.say("ping")
	c.want("pong")
	c.say("unsub")
	c.want("ok")
	g.set("plant/line1/pump", `{"speed":2}`)
	g.settle()
	c.quiet()
}

func TestSubscriptionsOfTheURL(t *testing.T) {
	g := newRig(t, Config{})
	g.set("plant/line1/pump", `{"speed":1,"current":2}`)
	g.set("plant/line2/pump", `{"speed":1,"current":2}`)
	c := g.dial("?path=plant/line1/*&path=plant/line2/pump&fields=speed&rate=5")
	for _, id := range []string{"plant/line1/pump", "plant/line2/pump"} {
		if f := c.want("snapshot"); !strings.HasSuffix(string(f.Things[id]), `"state":{"speed":1}}`) {
			t.Errorf("%s", f.raw)
		}
	}
	c = g.dial("?path=plant/../x")
	if f := c.want("error"); f.At != "?path" {
		t.Errorf("%s", f.raw)
	}
	c.quiet()
}

// What breaks the protocol itself ends the connection with the right code.
func TestBrokenFramesAreClosedByCode(t *testing.T) {
	g := newRig(t, Config{Limits: Limits{Frame: 1000}})
	mask := "\x00\x00\x00\x00"
	closed := "\x88\x82" + mask + "\x03\xe8"
	for _, tt := range []struct {
		name, bytes string
		code        int
		says        string // among what comes before
	}{
		{"no mask", "\x81\x02{}", 1002, ""},
		{"reserved bit 1", "\xc1\x82" + mask + "{}", 1002, ""},
		{"reserved bit 2", "\xa1\x82" + mask + "{}", 1002, ""},
		{"reserved bit 3", "\x91\x82" + mask + "{}", 1002, ""},
		{"unknown opcode", "\x83\x82" + mask + "{}", 1002, ""},
		{"unknown control opcode", "\x8b\x80" + mask, 1002, ""},
		{"ping in parts", "\x09\x80" + mask, 1002, ""},
		{"close in parts", "\x08\x80" + mask, 1002, ""},
		{"ping too long", "\x89\xfe\x00\x7e" + mask, 1002, ""},
		{"close too long", "\x88\xfe\x00\x7e" + mask, 1002, ""},
		{"continuation of nothing", "\x80\x82" + mask + "{}", 1002, ""},
		{"continuation of a whole text", "\x81\x82" + mask + "{}\x80\x80" + mask, 1002, "no type"},
		{"text inside a text", "\x01\x82" + mask + "{}\x81\x82" + mask + "{}", 1002, ""},
		{"binary inside a text", "\x01\x82" + mask + "{}\x02\x82" + mask + "{}", 1002, ""},
		{"text that is no UTF-8", "\x81\x82" + mask + "\xc3{", 1007, "not UTF-8"},
		{"text in parts that is no UTF-8", "\x01\x81" + mask + "\xc3\x80\x81" + mask + "{", 1007, "not UTF-8"},
		{"a letter in two parts", "\x01\x81" + mask + "\xc3\x80\x81" + mask + "\xa9" + closed, 1000, "é"},
		{"ping of 125 bytes", "\x89\xfd" + mask + strings.Repeat("x", 125) + closed, 1000, "\x8a\x7d" + strings.Repeat("x", 125)},
		{"ping inside a text", "\x01\x81" + mask + "{\x89\x81" + mask + "x\x80\x81" + mask + "}" + closed, 1000, "\x8a\x01x"},
		{"pong that nobody asked for", "\x8a\x81" + mask + "x" + closed, 1000, ""},
		{"too large", "\x81\xfe\x04\x00" + mask, 1009, "a frame has at most 1000 bytes"},
		{"too large in parts", "\x01\xfe\x02\x00" + mask + strings.Repeat("x", 512) + "\x80\xfe\x02\x00" + mask, 1009, "a frame has at most 1000 bytes"},
		{"length of 2^63", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff" + mask, 1009, "a frame has at most 1000 bytes"},
		{"close", closed, 1000, ""},
		{"close without a code", "\x88\x80" + mask, 1000, ""},
		{"close with a code of ours", "\x88\x84" + mask + "\x0f\xa0hi", 4000, ""},
		{"close with half a code", "\x88\x81" + mask + "\x03", 1002, ""},
		{"close with a reason that is no UTF-8", "\x88\x83" + mask + "\x03\xe8\xff", 1002, ""},
		{"close with 0", "\x88\x82" + mask + "\x00\x00", 1002, ""},
		{"close with 999", "\x88\x82" + mask + "\x03\xe7", 1002, ""},
		{"close with 1004", "\x88\x82" + mask + "\x03\xec", 1002, ""},
		{"close with 1005", "\x88\x82" + mask + "\x03\xed", 1002, ""},
		{"close with 1006", "\x88\x82" + mask + "\x03\xee", 1002, ""},
		{"close with 1015", "\x88\x82" + mask + "\x03\xf7", 1002, ""},
		{"close with 2999", "\x88\x82" + mask + "\x0b\xb7", 1002, ""},
		{"close with 5000", "\x88\x82" + mask + "\x13\x88", 1002, ""},
	} {
		nc, br := g.rawSocket("", 0)
		io.WriteString(nc, tt.bytes)
		nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		all, err := io.ReadAll(br) // ends: the server closes its side
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := closeCode(all); got != tt.code {
			t.Errorf("%s: closed with %d, want %d", tt.name, got, tt.code)
		}
		if !strings.Contains(string(all), tt.says) {
			t.Errorf("%s: %q is not in %q", tt.name, tt.says, all)
		}
		nc.Close()
	}
	// Half a frame and a lost line leave nothing behind.
	nc, _ := g.rawSocket("", 0)
	io.WriteString(nc, "\x81\xfe\x01")
	nc.Close()
	g.empty()
}

// closeCode is the code of the close frame at the end of what a server sent.
func closeCode(b []byte) int {
	for len(b) >= 2 {
		n, head := int(b[1]), 2
		if n == 126 && len(b) >= 4 {
			n, head = int(b[2])<<8|int(b[3]), 4
		}
		if len(b) < head+n {
			return -1
		}
		if b[0] == 0x88 {
			if n < 2 {
				return 0
			}
			return int(b[head])<<8 | int(b[head+1])
		}
		b = b[head+n:]
	}
	return -1
}

func FuzzParse(f *testing.F) {
	for _, t := range types {
		f.Add([]byte(t.example))
	}
	f.Add([]byte("sub plant/**"))
	f.Add([]byte(`{"type":"sub","path":"**","rate":1e999,"id":[`))
	l := Limits{}.withDefaults()
	f.Fuzz(func(t *testing.T, b []byte) {
		m, p := parse(b)
		if p != nil && (p.Code == "" || p.Message == "" || len(p.Message) > 2000) {
			t.Errorf("%q is answered by %+v", b, p)
		}
		if len(m.ID) > maxID {
			t.Errorf("%q: an id of %d bytes would be sent back", b, len(m.ID))
		}
		if p == nil && m.Type == "sub" && m.check(&l, "/") == nil && realtime.CheckPattern(m.Path) != nil {
			t.Errorf("%q passes as a path", m.Path)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("k3f9.184220")
	f.Add("..1")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseCursor(text)
		if c != (cursor{}) && parseCursor(fmt.Sprintf("%s.%d", c.epoch, c.seq)) != c {
			t.Errorf("%q is read as %+v, and that otherwise", text, c)
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("plant/*/x", "plant/a/x")
	f.Add("**", "a/b")
	f.Fuzz(func(t *testing.T, pattern, id string) {
		if realtime.CheckPattern(pattern) != nil || realtime.CheckThing(id) != nil {
			return
		}
		var x index
		th := newThing(id, 1)
		x.addThing(th)
		x.join(&sub{}, pattern, nil, 0, 1)
		want := realtime.Match(pattern, id)
		if got := len(th.groups) == 1; got != want {
			t.Errorf("thing first: %q finds %q: %v, want %v", pattern, id, got, want)
		}
		var y index
		s := &sub{}
		y.join(s, pattern, nil, 0, 1)
		th = newThing(id, 1)
		y.addThing(th)
		if got := len(th.groups) == 1; got != want {
			t.Errorf("pattern first: %q finds %q: %v, want %v", pattern, id, got, want)
		}
		y.leave(s, 0)
		y.dropThing(th)
		if len(th.groups)+len(y.patterns.kids)+len(y.things.kids) != 0 {
			t.Errorf("%q and %q leave something behind", pattern, id)
		}
	})
}
