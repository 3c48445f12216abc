package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"echotwin/server/auth"
)

// connections are what the list says, by who follows what.
func (s *site) connections(query string, headers ...string) ([]connectionView, http.Header) {
	s.Helper()
	a := s.get("/api/connections"+query, headers...)
	a.want(s.T, 200, "")
	var out []connectionView
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		s.Fatal(err)
	}
	return out, a.Header
}

func TestAnAdministratorSeesAndClosesConnections(t *testing.T) {
	l := newLine(t)
	l.login()
	c, _, err := l.socket("?path=plant/**&rate=5", "Origin: "+l.url, "User-Agent: wall screen "+strings.Repeat("é", 300))
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, "snapshot")
	token := l.token(`{"name":"script","scopes":["read"]}`)
	if _, _, err := l.socket("?path=plant/pump", "Authorization: Bearer "+token); err != nil {
		t.Fatal(err)
	}
	var all []connectionView
	for deadline := time.Now().Add(10 * time.Second); len(all) < 2 || len(all[1].Subscriptions) == 0; {
		if all, _ = l.connections(""); time.Now().After(deadline) {
			t.Fatalf("got %+v", all)
		}
	}
	one := all[0]
	if one.User != "admin" || one.Address != "127.0.0.1" || one.Transport != "ws" || one.Bytes == 0 || one.Frames < 2 || one.Seq == 0 && one.Lag.Seq != 0 {
		t.Errorf("got %+v", one)
	}
	if !one.Own || all[1].Own {
		t.Errorf("own is %v of the session's and %v of the token's", one.Own, all[1].Own)
	}
	if !strings.HasPrefix(one.Agent, "wall screen éé") || len(one.Agent) > 170 {
		t.Errorf("the agent is %q", one.Agent)
	}
	if sub := one.Subscriptions[0]; sub.Path != "plant/**" || sub.Rate != 5 {
		t.Errorf("got %+v", sub)
	}

	page, h := l.connections("?limit=1")
	next := strings.Trim(strings.TrimSuffix(h.Get("Link"), `; rel="next"`), "<>")
	if len(page) != 1 || page[0].ID != one.ID || next == "" {
		t.Fatalf("got %+v, Link %q", page, h.Get("Link"))
	}
	if rest, h := l.connections(strings.TrimPrefix(next, "/api/connections")); len(rest) != 1 || rest[0].ID != all[1].ID || h.Get("Link") != "" {
		t.Errorf("the next page is %+v", rest)
	}
	if none, _ := l.connections("?user=nobody"); len(none) != 0 {
		t.Errorf("nobody has %+v", none)
	}
	l.get("/api/connections?after=foreign-1").want(t, 400, "malformed")

	l.do("DELETE", "/api/connections/"+one.ID+"?reconnectIn=soon", "").want(t, 422, "out_of_range")
	l.do("DELETE", "/api/connections/"+one.ID+"?reason="+strings.Repeat("x", 201), "").want(t, 422, "invalid")
	l.do("DELETE", "/api/connections/"+one.ID+"?reason=a%0Ab", "").want(t, 422, "invalid")
	l.do("DELETE", "/api/connections/none-7", "").want(t, 404, "not_found")
	l.do("DELETE", "/api/connections/"+one.ID+"?reconnectIn=1500&reason=too+many+screens", "").want(t, 204, "")
	bye := await(t, c, "bye")
	if bye["code"] != "closed" || bye["reconnectIn"] != 1500.0 || bye["message"] != "an administrator closed this connection: too many screens" {
		t.Errorf("got %v", bye)
	}
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 4002) {
		t.Errorf("got %v, want the close code 4002", err)
	}
}

func TestAConnectionThatIsNotToComeBack(t *testing.T) {
	l := newLine(t)
	l.login()
	c, _, err := l.socket("?path=plant/**", "Origin: "+l.url)
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, "snapshot")
	all, _ := l.connections("")
	l.do("DELETE", "/api/connections/"+all[0].ID+"?reconnectIn=never", "").want(t, 204, "")
	await(t, c, "bye")
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 4502) {
		t.Errorf("got %v, want the close code 4502", err)
	}
}

// Who is connected from where is for administrators, and not for a token that
// is good for some things only.
func TestConnectionsAreForAdministrators(t *testing.T) {
	l := newLine(t)
	l.login()
	some := l.token(`{"name":"some","scopes":["admin"],"things":["plant/**"]}`)
	every := l.token(`{"name":"every","scopes":["admin"]}`)
	for _, role := range []auth.Role{auth.Viewer, auth.Operator, auth.Engineer} {
		l.do("POST", "/api/users", `{"username":"u-`+string(role)+`","password":"correct horse","role":"`+string(role)+`"}`).want(t, 201, "")
	}
	l.get("/api/connections", "Authorization: Bearer "+some).want(t, 403, "forbidden")
	l.do("DELETE", "/api/connections/x-1", "", "Authorization: Bearer "+some).want(t, 403, "forbidden")
	l.get("/api/connections", "Authorization: Bearer "+every).want(t, 200, "")
	l.do("DELETE", "/api/connections/x-1", "", "Authorization: Bearer "+every).want(t, 404, "not_found")
	for _, role := range []auth.Role{auth.Viewer, auth.Operator, auth.Engineer} {
		l.client = newClient()
		l.do("POST", "/api/login", `{"username":"u-`+string(role)+`","password":"correct horse"}`).want(t, 200, "")
		l.get("/api/connections").want(t, 403, "forbidden")
		l.do("DELETE", "/api/connections/x-1", "").want(t, 403, "forbidden")
		l.get("/api/viewers").want(t, 200, "")
	}
}

func TestViewersOfAThing(t *testing.T) {
	l := newLine(t)
	l.login()
	l.do("POST", "/api/telemetry", `{"plant/pump":{"speed":1},"lab/press":{"force":1}}`).want(t, 202, "")
	l.settle()
	ticket := l.do("POST", "/api/tickets", `{"things":["plant/**"]}`).json(t)["ticket"].(string)
	for _, query := range []string{"?path=plant/**", "?path=plant/pump&path=**", "?path=**&ticket=" + ticket} {
		c, _, err := l.socket(query, "Origin: "+l.url)
		if err != nil {
			t.Fatal(err)
		}
		for range strings.Count(query, "path=") {
			await(t, c, "snapshot")
		}
	}
	if got := l.get("/api/things/plant/pump/state").json(t)["viewers"]; got != 3.0 {
		t.Errorf("the pump has %v viewers, want 3", got)
	}
	if got := l.get("/api/things/lab/press/state").json(t)["viewers"]; got != 1.0 {
		t.Errorf("the press has %v viewers, want the one that may see it", got)
	}
	if got, want := strings.TrimSpace(l.get("/api/viewers").body), `[{"thing":"lab/press","viewers":1},{"thing":"plant/pump","viewers":3}]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := strings.TrimSpace(l.get("/api/viewers?ticket="+ticket).body), `[{"thing":"plant/pump","viewers":3}]`; got != want {
		t.Errorf("with a ticket for the plant: got %s, want %s", got, want)
	}
	a := l.get("/api/viewers?limit=1")
	if got := strings.TrimSpace(a.body); got != `[{"thing":"lab/press","viewers":1}]` || !strings.Contains(a.Header.Get("Link"), "after=lab") {
		t.Errorf("got %s, Link %q", got, a.Header.Get("Link"))
	}
	l.get("/api/viewers?path=a/**/b").want(t, 400, "malformed")
}
