package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime/hub"
	"echotwin/server/auth"
)

// credentials makes everybody of the table; each is a header, or a query.
func (l *line) credentials() map[string]string {
	l.Helper()
	l.login()
	as := map[string]string{"nobody": "X-Nothing: 1", "admin": "Cookie: " + l.cookie()}
	for _, role := range []string{"viewer", "operator", "engineer"} {
		one := l.user(role, role, "")
		as[role] = "Cookie: " + one.cookie()
		if role == "engineer" {
			as["engineerToken"] = "Authorization: Bearer " + one.token(`{"name":"x","scopes":["admin"]}`)
		}
		one = l.user("office-"+role, role, `,"things":["office/**"]`)
		as["office "+role] = "Cookie: " + one.cookie()
		as["office ticket"] = one.ticket(`{}`)
	}
	as["read"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["read"]}`)
	as["command"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["command"]}`)
	as["adminToken"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["admin"]}`)
	as["part"] = "Authorization: Bearer " + l.token(`{"name":"x","scopes":["admin"],"things":["plant/**"]}`)
	as["ticket"] = l.ticket(`{"things":["plant/**"]}`)
	as["device"], _ = l.deviceOf("pump")
	l.expire(as)
	l.client = newClient()
	l.client.Jar = nil
	return as
}

// user adds one and signs them in.
func (s *site) user(name, role, more string) *site {
	s.Helper()
	s.do("POST", "/api/users", fmt.Sprintf(`{"username":%q,"password":"correct horse","role":%q%s}`, name, role, more)).want(s.T, 201, "")
	one := newSiteFor(s)
	one.do("POST", "/api/login", fmt.Sprintf(`{"username":%q,"password":"correct horse"}`, name)).want(s.T, 200, "")
	return one
}

func (s *site) ticket(body string, headers ...string) string {
	s.Helper()
	return "?ticket=" + s.do("POST", "/api/tickets", body, headers...).json(s.T)["ticket"].(string)
}

func (s *site) deviceOf(name string) (credential, id string) {
	s.Helper()
	d := s.do("POST", "/api/devices", `{"username":"`+name+`","things":["plant/**"]}`).json(s.T)
	return basic(name, d["password"].(string)), d["id"].(string)
}

func basic(name, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// expire makes what was a credential once. An administrator had each of them, so
// that only its end can be what refuses it.
func (l *line) expire(as map[string]string) {
	l.Helper()
	soon := time.Now().Add(time.Second)
	_, secret, err := l.Auth.NewToken(l.Context(), auth.Token{Name: "x", User: "admin", Scope: auth.Admin, Expires: &soon})
	if err != nil {
		l.Fatal(err)
	}
	as["expired token"] = "Authorization: Bearer " + secret

	revoked := l.do("POST", "/api/tokens", `{"name":"x","scopes":["admin"]}`).json(l.T)
	as["revoked token"] = "Authorization: Bearer " + revoked["token"].(string)
	as["revoked token's ticket"] = l.ticket(`{}`, as["revoked token"])
	l.do("DELETE", "/api/tokens/"+revoked["id"].(string), "").want(l.T, 204, "")

	gone := l.user("gone", "admin", "")
	as["deleted user's token"] = "Authorization: Bearer " + gone.token(`{"name":"x","scopes":["admin"]}`)
	l.do("DELETE", "/api/users/gone", "").want(l.T, 204, "")

	left := l.user("left", "admin", "")
	as["ended session"] = "Cookie: " + left.cookie()
	as["ended session's ticket"] = left.ticket(`{}`)
	left.do("POST", "/api/logout", "").want(l.T, 200, "")

	device, id := l.deviceOf("old")
	as["revoked device"] = device
	l.do("DELETE", "/api/devices/"+id, "").want(l.T, 204, "")
	time.Sleep(time.Until(soon))
}

// status asks without waiting for the end of a stream.
func (s *site) status(method, path, credential string) int {
	s.Helper()
	if query, ok := strings.CutPrefix(credential, "?"); ok {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + query
	}
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader("{}"))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if k, v, ok := strings.Cut(credential, ": "); ok {
		r.Header.Set(k, v)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// behindRoute are the paths to try for what the router has.
func behindRoute(method, path string) []string {
	if path != thingsPrefix+"*" {
		return []string{path}
	}
	var all []string
	for template := range thingPermissions {
		if m, rest, _ := strings.Cut(template, " "); m == method || m == "GET" && method == "HEAD" {
			name := "speed"
			if strings.Contains(rest, "actions") {
				name = "setSpeed"
			} else if strings.Contains(rest, "events") {
				name = "overheat"
			}
			all = append(all, strings.NewReplacer("{id}", "plant/pump", "{name}", name).Replace(rest))
		}
	}
	return all
}

var fillPath = strings.NewReplacer("/api/telemetry/*", "/api/telemetry/plant/pump", "/*", "/x", ":id", "x", ":name", "x", ":model", "x", ":type", "thing_created")

// walkRoutes asks every route of the router as everybody, and says what is not as
// the tables have it.
func (l *line) walkRoutes(as map[string]string, wrong func(format string, args ...any)) {
	seen := map[string]bool{}
	for _, r := range l.echo.Routes() {
		if strings.HasPrefix(r.Method, "echo") {
			continue
		}
		for _, path := range behindRoute(r.Method, r.Path) {
			name := strings.Replace(r.Method, "HEAD", "GET", 1) + " " + path
			seen[name] = true
			permission, ok := routePermissions[name]
			if !ok {
				wrong("who may %s? It is not in the table of this test", name)
				continue
			}
			path = fillPath.Replace(path)
			if name == "DELETE /api/sessions" {
				path += "?keep=nothing" // refused, or it would end the sessions of the others
			}
			for _, who := range asked {
				if r.Path == "/api/logout" && who != "nobody" {
					continue // it would end the session of the others
				}
				l.walkRoute(r, path, permission, who, as[who], wrong)
			}
			for _, who := range over {
				if got := l.status(r.Method, path, as[who]); permission != auth.Public && got != 401 {
					wrong("%s %s with the %s: got %d, want 401", r.Method, path, who, got)
				}
			}
		}
	}
	for name := range routePermissions {
		if !seen[name] {
			wrong("%s is in the table, and the router does not have it", name)
		}
	}
}

func (l *line) walkRoute(r *echo.Route, path string, permission auth.Permission, who, credential string, wrong func(format string, args ...any)) {
	got, may := l.status(r.Method, path, credential), may(who, permission)
	switch {
	case may && permission == auth.Public && got == 401:
		// A login without a password, and /ws with a credential that is none for
		// it, are refused for what they are.
		return
	case strings.HasPrefix(who, "office ") && strings.HasPrefix(path, thingsPrefix+"plant/pump") && (who != "office ticket" || may):
		// The thing is not there for them, whatever else they may.
		if got != 404 {
			wrong("%s %s as %s: got %d, want 404", r.Method, path, who, got)
		}
		return
	case may && strings.HasPrefix(who, "office ") && path == "/api/telemetry/plant/pump":
		if want := 403; got != want {
			wrong("%s %s as %s: got %d, want %d", r.Method, path, who, got, want)
		}
		return
	case may != (got != 401 && got != 403):
		wrong("%s %s as %s: got %d, and may is %v", r.Method, path, who, got, may)
	}
	// Whoever is known is told that they may not, and others to sign in.
	unknown := who == "nobody" || who == "device" || strings.HasSuffix(who, "ticket") && !strings.Contains(whoMay[permission], "ticket")
	if want := map[bool]int{true: 401, false: 403}[unknown]; !may && got != want {
		wrong("%s %s as %s: got %d, want %d", r.Method, path, who, got, want)
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	l := newLine(t)
	l.do("POST", "/api/login", `{}`)
	l.walkRoutes(l.credentials(), t.Errorf)
}

// The walk cannot pass over a route that the table does not have, and a route
// with another permission than the table's is found out.
func TestTheWalkFindsWhatIsWrong(t *testing.T) {
	l := newLine(t)
	l.get2("/oops", auth.ReadThings)
	l.get2("/soft", auth.Public)
	routePermissions["GET /soft"] = auth.ManageUsers
	routePermissions["GET /gone"] = auth.ReadThings
	defer delete(routePermissions, "GET /soft")
	defer delete(routePermissions, "GET /gone")
	var found []string
	l.walkRoutes(l.credentials(), func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
	all := strings.Join(found, "\n")
	for _, want := range []string{"who may GET /oops? ", "GET /soft as viewer: got 204, and may is false", "GET /soft with the expired token: got 204, want 401", "GET /gone is in the table"} {
		if !strings.Contains(all, want) {
			t.Errorf("the walk does not say %q but:\n%s", want, all)
		}
	}
	for _, f := range found {
		if !strings.Contains(f, "/oops") && !strings.Contains(f, "/soft") && !strings.Contains(f, "/gone") {
			t.Errorf("the walk says %s", f)
		}
	}
}

var walkFrames = map[string]string{
	"auth": `{"type":"auth","token":"x"}`, "sub": `{"type":"sub","path":"plant/**"}`, "unsub": `{"type":"unsub"}`,
	"resume": `{"type":"resume","epoch":"x","seq":1,"subs":[{"path":"plant/**"}]}`, "replay": `{"type":"replay","from":"-1h"}`,
	"cmd": `{"type":"cmd","thing":"plant/pump","action":"setSpeed","input":{"speed":50}}`,
}

// refusesFrame sends a frame over a connection of its own, and says whether the
// answer was that one may not, and all that was said.
func (l *line) refusesFrame(query, header, typ string) (refused bool, said string) {
	l.Helper()
	c, _, err := l.socket(query, header)
	if err != nil {
		l.Fatal(err)
	}
	defer c.Close()
	frame := walkFrames[typ]
	if frame == "" {
		frame = `{"type":"` + typ + `"}`
	}
	send(l.T, c, frame)
	send(l.T, c, `{"type":"ping","id":"end"}`)
	for {
		var m map[string]any
		if err := c.ReadJSON(&m); err != nil {
			l.Fatalf("%s: %v", typ, err)
		}
		if m["type"] == "pong" && m["id"] == "end" {
			return refused, said
		}
		if code := m["code"]; m["type"] == "error" && (code == "forbidden" || code == "unauthorized" && typ != "auth") {
			refused = true
		}
		said += fmt.Sprint(m)
	}
}

// TestWhoMaySendWhichFrame walks the types that the hub itself lists.
func TestWhoMaySendWhichFrame(t *testing.T) {
	l := newLine(t)
	as := l.credentials()
	l.do("POST", "/api/telemetry", `{"plant/pump":{"speed":60.4},"office/lamp":{"power":7}}`, as["adminToken"]).want(t, 202, "")
	l.settle()
	l.client = newClient()
	for _, who := range append([]string{"device"}, over...) {
		query, header := split(as[who])
		if _, res, err := l.socket(query, header); who != "ended session" && (err == nil || res.StatusCode != 401) {
			t.Errorf("/ws opens with the %s: %v", who, err)
		}
	}
	for _, who := range append(asked, "ended session") { // whose cookie is nobody's
		query, header := split(as[who])
		for _, typ := range hub.Types() {
			if who == "device" || (who == "nobody" || who == "ended session") && typ == "auth" {
				continue // a wrong token ends the connection; see TestWebSocketCredentials
			}
			permission, ok := mayFrames[typ]
			if !ok {
				t.Errorf("who may send %s? It is not in the table of this test", typ)
				continue
			}
			// A command is refused by its thing, too; that must not hide a wrong entry.
			if got := framePermissions[typ]; got != permission {
				t.Errorf("the frame %s needs %s, want %s", typ, got, permission)
			}
			refused, said := l.refusesFrame(query, header, typ)
			may := may(who, permission)
			if who == "ended session" {
				may = permission == auth.Public
			}
			office := strings.HasPrefix(who, "office ")
			if office && typ == "cmd" {
				may = false // the thing is not theirs
			}
			if may == refused {
				t.Errorf("%s as %s: refused is %v, may is %v", typ, who, refused, may)
			}
			if office && strings.Contains(said, "60.4") {
				t.Errorf("%s as %s tells of the pump: %s", typ, who, said)
			}
		}
	}
	for typ := range mayFrames {
		if !strings.Contains(" "+strings.Join(hub.Types(), " ")+" ", " "+typ+" ") {
			t.Errorf("the frame %s is in the table, and the hub does not have it", typ)
		}
	}
}

// split is a credential as a query and a header.
func split(credential string) (query, header string) {
	if strings.HasPrefix(credential, "?") {
		return credential, "X-Nothing: 1"
	}
	return "", credential
}

// TestWhoComesInAtTheMQTTDoor shows the door everything that is a credential
// elsewhere: a device's own is the only one, under its own name, for its things.
func TestWhoComesInAtTheMQTTDoor(t *testing.T) {
	l := newLine(t)
	as := l.credentials()
	soon := time.Now().Add(time.Second)
	_, expired, err := l.Auth.NewDevice(t.Context(), auth.Device{Username: "pump", Things: []string{"plant/**"}, Expires: &soon})
	if err != nil {
		t.Fatal(err)
	}
	door := DeviceAuth(l.Auth)
	if _, ok := door("pump", expired, "192.0.2.1"); !ok {
		t.Error("a device's credential does not open the door before it has expired")
	}
	time.Sleep(time.Until(soon))
	as["expired device"] = basic("pump", expired)
	as["admin's password"] = basic("admin", auth.DemoPassword)
	for who, credential := range as {
		_, secret, _ := strings.Cut(credential, "Bearer ")
		name := "admin"
		if b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(credential, "Authorization: Basic ")); err == nil {
			name, secret, _ = strings.Cut(string(b), ":")
		} else if query, ok := strings.CutPrefix(credential, "?ticket="); ok {
			secret = query
		}
		cred, ok := door(name, secret, "192.0.2.1")
		if ok != (who == "device") {
			t.Errorf("the door is open to the %s: %v", who, ok)
		}
		if !ok {
			continue
		}
		for thing, owns := range map[string]bool{"plant/pump": true, "plant/line1/valve": true, "plant": false, "office/lamp": false, "": false} {
			if cred.Owns(thing) != owns {
				t.Errorf("the %s owns %q: %v", who, thing, !owns)
			}
		}
		if _, ok := door("admin", secret, "192.0.2.1"); ok {
			t.Error("it opens the door under another name")
		}
	}
}
