package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socket opens /ws as the site's client, with headers as in do.
func (s *site) socket(query string, headers ...string) (*websocket.Conn, *http.Response, error) {
	s.Helper()
	h := http.Header{}
	u, _ := url.Parse(s.url)
	for _, c := range s.client.Jar.Cookies(u) {
		h.Add("Cookie", c.String())
	}
	for _, kv := range headers {
		k, v, _ := strings.Cut(kv, ": ")
		h.Set(k, v)
	}
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	c, res, err := d.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/ws"+query, h)
	if err == nil {
		s.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	return c, res, err
}

// await reads frames until one of a type comes.
func await(t *testing.T, c *websocket.Conn, typ string) map[string]any {
	t.Helper()
	for {
		var m map[string]any
		if err := c.ReadJSON(&m); err != nil {
			t.Fatalf("waiting for %s: %v", typ, err)
		}
		if m["type"] == typ {
			return m
		}
	}
}

func send(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestP1WebSocket(t *testing.T) {
	s := newLine(t)
	s.login()
	c, _, err := s.socket("?path=plant/**", "Origin: "+s.url)
	if err != nil {
		t.Fatal(err)
	}
	if got := await(t, c, "hello"); got["user"] != "admin" {
		t.Errorf("hello to %v", got["user"])
	}
	await(t, c, "snapshot")
	s.do("POST", "/api/telemetry/plant/pump", `{"speed":77}`).want(t, 202, "")
	b, _ := json.Marshal(await(t, c, "update")["things"])
	if !strings.Contains(string(b), `"speed":77`) {
		t.Errorf("got %s", b)
	}
	send(t, c, `{"type":"cmd","id":"1","thing":"plant/pump","action":"setSpeed","input":{"speed":80}}`)
	for status := ""; status != "done"; {
		status = await(t, c, "cmd")["status"].(string)
	}
}

func TestWebSocketsComeFromOurPages(t *testing.T) {
	s := newLine(t)
	s.login()
	for _, tt := range []struct {
		headers []string
		ok      bool
	}{
		{nil, true},
		{[]string{"Origin: " + s.url}, true},
		{[]string{"Origin: https://evil.example"}, false},
		{[]string{"Origin: null"}, false},
		{[]string{"Origin: " + s.url, "Sec-Fetch-Site: cross-site"}, false},
	} {
		_, res, err := s.socket("", tt.headers...)
		if (err == nil) != tt.ok || !tt.ok && res.StatusCode != 403 {
			t.Errorf("%v: %v", tt.headers, err)
		}
	}
}

func TestWebSocketCredentials(t *testing.T) {
	s := newLine(t)
	s.login()
	token := s.token(`{"name":"x","scopes":["read"],"things":["plant/**"]}`)
	ticket := s.do("POST", "/api/tickets", `{}`).json(t)["ticket"].(string)
	s.client = newClient()
	for _, bad := range [][]string{{"", "Authorization: Bearer et_x"}, {"?ticket=x"}} {
		if _, res, err := s.socket(bad[0], bad[1:]...); err == nil || res.StatusCode != 401 {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, good := range [][]string{{"", "Authorization: Bearer " + token}, {"?ticket=" + url.QueryEscape(ticket)}} {
		c, _, err := s.socket(good[0], good[1:]...)
		if err != nil {
			t.Fatalf("%v: %v", good, err)
		}
		if got := await(t, c, "hello"); got["user"] != "admin" {
			t.Errorf("hello to %v", got["user"])
		}
		send(t, c, `{"type":"cmd","id":"1","thing":"plant/pump","action":"setSpeed","input":{"speed":80}}`)
		if got := await(t, c, "error"); got["code"] != "forbidden" {
			t.Errorf("a credential that reads commanded: %v", got)
		}
	}
	c, _, err := s.socket("")
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, `{"type":"auth","token":"`+token+`"}`)
	send(t, c, `{"type":"sub","path":"plant/**"}`)
	await(t, c, "snapshot")
}

// closed reads to the end and answers the close code.
func closed(t *testing.T, c *websocket.Conn) int {
	t.Helper()
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			var ce *websocket.CloseError
			if !errors.As(err, &ce) {
				t.Fatal(err)
			}
			return ce.Code
		}
	}
}

// Fault F6 for connections that are open: what was signed out does not go on
// looking, or commanding.
func TestF6LogoutEndsOpenConnections(t *testing.T) {
	s := newLine(t)
	s.login()
	ticket := s.do("POST", "/api/tickets", `{}`).json(t)["ticket"].(string)
	bySession, _, err := s.socket("")
	if err != nil {
		t.Fatal(err)
	}
	other := newSiteFor(s.site)
	other.login()
	token := other.token(`{"name":"x","scopes":["read"]}`)
	byTicket, _, err := newSiteFor(s.site).socket("?ticket=" + url.QueryEscape(ticket))
	if err != nil {
		t.Fatal(err)
	}
	byToken, _, err := newSiteFor(s.site).socket("", "Authorization: Bearer "+token)
	if err != nil {
		t.Fatal(err)
	}
	s.do("POST", "/api/logout", "").want(t, 200, "")
	if got := closed(t, bySession); got != 4001 {
		t.Errorf("the session's: %d", got)
	}
	if got := closed(t, byTicket); got != 4001 {
		t.Errorf("its ticket's: %d", got)
	}
	send(t, byToken, `{"type":"ping"}`)
	await(t, byToken, "pong") // somebody else's goes on
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(other.get("/api/tokens").body), &list); err != nil {
		t.Fatal(err)
	}
	other.do("DELETE", "/api/tokens/"+list[0].ID, "").want(t, 204, "")
	if got := closed(t, byToken); got != 4001 {
		t.Errorf("the revoked token's: %d", got)
	}
}

func TestADemotedOperatorNoLongerCommands(t *testing.T) {
	s := newLine(t)
	s.login()
	s.do("POST", "/api/users", `{"username":"ana","password":"correct horse","role":"operator"}`).want(t, 201, "")
	ana := newSiteFor(s.site)
	ana.do("POST", "/api/login", `{"username":"ana","password":"correct horse"}`).want(t, 200, "")
	c, _, err := ana.socket("")
	if err != nil {
		t.Fatal(err)
	}
	const setSpeed = `{"type":"cmd","id":"1","thing":"plant/pump","action":"setSpeed","input":{"speed":80}}`
	send(t, c, setSpeed)
	if got := await(t, c, "cmd"); got["status"] != "accepted" {
		t.Errorf("as an operator: %v", got)
	}
	s.do("PATCH", "/api/users/ana", `{"role":"viewer"}`).want(t, 204, "")
	for deadline := time.Now().Add(10 * time.Second); ; {
		send(t, c, setSpeed)
		var m map[string]any
		for m["type"] != "error" && m["status"] != "accepted" {
			if err := c.ReadJSON(&m); err != nil {
				t.Fatal(err)
			}
		}
		if m["code"] == "forbidden" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("as a viewer she still commands")
		}
	}
}

func TestP2EventsForScripts(t *testing.T) {
	s := newLine(t)
	s.get("/events?path=plant/**").want(t, 401, "unauthorized")
	s.login()
	token := s.token(`{"name":"x","scopes":["read"]}`)
	s.client = newClient()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", s.url+"/events?path=plant/**&format=ndjson", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/x-ndjson") {
		t.Fatalf("got %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := json.NewDecoder(res.Body)
	for typ := ""; typ != "snapshot"; {
		var m map[string]any
		if err := lines.Decode(&m); err != nil {
			t.Fatal(err)
		}
		typ = m["type"].(string)
	}
}
