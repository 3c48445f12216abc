package server

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"echotwin/server/auth"
)

// What the office must not hear of, in the thing that is not theirs: its id, its
// value, and what an operator wrote of it.
var hiddenWords = []string{"plant/pump", "60.4", "95.25", "a leaking seal", "too fast for it"}

// hiddenPlant is a plant with a pump that has everything a thing can have, and
// the office with a lamp.
func hiddenPlant(t *testing.T) (p *past, names map[string]string) {
	p = newPast(t)
	p.keepAlarms()
	p.do("PUT", "/api/things/plant/pump", pumpTD).want(t, 201, "")
	p.do("POST", "/api/alarms/rules", `{"id":"fast","thing":"plant/pump","property":"speed","high":50,"message":"too fast for it"}`).want(t, 201, "")
	p.say(`{"speed":60.4}`)
	p.speed("95.25", 1)
	id := p.alarms("")[0].ID
	p.do("POST", "/api/alarms/"+id+"/ack", `{"comment":"a leaking seal"}`).want(t, 200, "")
	p.do("POST", "/api/telemetry/office/lamp", `{"power":7}`).want(t, 202, "")
	p.do("POST", "/api/things/plant/pump/actions/setSpeed", `{"speed":50}`).want(t, 200, "")
	p.settle()
	p.kept()
	command := p.get("/api/commands").body
	return p, map[string]string{
		"/api/alarms/:id": id, "/api/alarms/rules/:id": "fast",
		"/api/commands/:id": command[strings.Index(command, `"cmd":"`)+7:][:26],
	}
}

// hiddenBodies are requests that would be in order, were the thing there.
var hiddenBodies = map[string]string{
	"PUT /api/things/plant/pump/properties/speed":    `50`,
	"POST /api/things/plant/pump/actions/setSpeed":   `{"speed":50}`,
	"PUT /api/things/plant/pump":                     pumpTD,
	"PATCH /api/things/plant/pump":                   `{"title":"Mine"}`,
	"POST /api/telemetry/plant/pump":                 `{"speed":1}`,
	"POST /api/alarms/:id/shelve":                    `{"minutes":10,"reason":"noise"}`,
	"PUT /api/alarms/rules/:id":                      `{"thing":"office/lamp","property":"power","high":50}`,
	"PATCH /api/alarms/rules/:id":                    `{"high":50}`,
	"POST " + prometheusPrefix + "query":             `query=echotwin_value&time=END`,
	"POST " + prometheusPrefix + "query_range":       `query=echotwin_value&start=START&end=END&step=60`,
	"POST " + prometheusPrefix + "series":            `match[]=echotwin_value`,
	"POST " + prometheusPrefix + "labels":            ``,
	"POST /api/alarms/ack":                           `{"ids":["ALARM"],"comment":"mine"}`,
	"GET " + prometheusPrefix + "query":              `query=echotwin_value&time=END`,
	"GET " + prometheusPrefix + "query_range":        `query=count(echotwin_value)by(thing)&start=START&end=END&step=60`,
	"GET " + prometheusPrefix + "series":             `match[]=echotwin_value`,
	"GET /api/things":                                `where=speed>1`,
	"GET /api/history":                               `thing=plant/pump&property=speed`,
	"GET " + prometheusPrefix + "label/:name/values": ``,
}

// notWalked are routes of the office that are no answers about things, or change
// what the walk itself needs.
var notWalked = []string{"GET /ws", "GET /events", "GET /api/things/events", "GET /api/things/events/:type", // streams: see below
	"PUT /api/alarms/rules/:id", // that an id is taken has to be said; TestAlarmRulesOfOthers has how
	"POST /api/logout", "DELETE /api/sessions", "POST /api/gpt", "POST /v1/chat/completions"}

// TestWhatIsHiddenStaysHidden walks every route as those whom patterns keep from
// the pump. No answer tells of it, and where it is named the answer is that to a
// name which nothing has: so not even its being there can be told.
func TestWhatIsHiddenStaysHidden(t *testing.T) {
	p, names := hiddenPlant(t)
	as := p.credentials()
	told := 0
	for _, r := range p.echo.Routes() {
		name := r.Method + " " + r.Path
		if strings.HasPrefix(r.Method, "echo") || r.Method == "HEAD" || slices.Contains(notWalked, name) {
			continue
		}
		for _, path := range behindRoute(r.Method, r.Path) {
			for who, credential := range as {
				permission := routePermissions[r.Method+" "+path]
				if !strings.HasPrefix(who, "office ") || permission == auth.Public || !may(who, permission) {
					continue
				}
				real, none := p.hiddenAsked(r.Method, path, names, credential)
				told++
				for _, word := range hiddenWords {
					if strings.Contains(real, word) {
						t.Errorf("%s %s tells %s of %q: %.600s", r.Method, path, who, word, real)
					}
				}
				if real != none {
					t.Errorf("%s %s tells %s what is there:\n%.600s\nand of what is not:\n%.600s", r.Method, path, who, real, none)
				}
			}
		}
	}
	if told < 100 {
		t.Errorf("only %d answers were looked at", told)
	}
	// And nothing came of all that was asked.
	if got := p.get("/api/things/plant/pump/state", as["adminToken"]).body; !strings.Contains(got, "95.25") {
		t.Errorf("the pump is now %s", got)
	}
	if got := p.get("/api/alarms/rules/fast", as["adminToken"]).body; !strings.Contains(got, `"high":50`) || !strings.Contains(got, "too fast for it") {
		t.Errorf("the rule is now %s", got)
	}
}

// hiddenAsked is the answer to a request that names what is hidden, and to one
// that names nothing; of both the name is taken away.
func (p *past) hiddenAsked(method, path string, names map[string]string, credential string) (real, none string) {
	p.Helper()
	now := time.Now().Unix()
	ask := func(thing string, id func(route string) string) string {
		query, header := split(credential)
		to := path
		for route, name := range names {
			if rest, ok := strings.CutPrefix(path, route); ok && (rest == "" || rest[0] == '/') {
				to = strings.Replace(path, route, strings.Replace(route, ":id", id(name), 1), 1)
			}
		}
		to = fillPath.Replace(strings.Replace(to, "/:name/", "/thing/", 1))
		body := hiddenBodies[method+" "+strings.Replace(path, "/*", "/plant/pump", 1)]
		if body == "" {
			body = "{}"
		}
		body = strings.NewReplacer("plant/pump", thing, "ALARM", id(names["/api/alarms/:id"]), "START", fmt.Sprint(now-3600), "END", fmt.Sprint(now)).Replace(body)
		to = strings.Replace(to, "plant/pump", thing, 1)
		headers := []string{header}
		if strings.HasPrefix(path, prometheusPrefix) {
			headers = append(headers, "Content-Type: application/x-www-form-urlencoded")
		}
		if method == "GET" {
			if q, err := url.ParseQuery(body); err == nil && body != "{}" {
				to += map[bool]string{true: "&", false: "?"}[strings.Contains(to, "?")] + q.Encode()
			}
			body = ""
		}
		if query != "" {
			to += map[bool]string{true: "&", false: "?"}[strings.Contains(to, "?")] + query[1:]
		}
		a := p.do(method, to, body, headers...)
		text := fmt.Sprint(a.StatusCode, a.Header["Etag"], a.Header["Location"], a.body)
		return strings.NewReplacer(thing, "THING", id(names["/api/alarms/:id"]), "ID", id(names["/api/commands/:id"]), "ID", id(names["/api/alarms/rules/:id"]), "ID").Replace(text)
	}
	real = ask("plant/pump", func(name string) string { return name })
	none = ask("plant/nope", func(name string) string { return strings.Repeat("0", len(name)-1) + "9" })
	return real, none
}

// TestStreamsHideWhatIsHidden follows the streams of everything while the pump
// and the lamp change: only the lamp's changes come, and the pump is counted.
func TestStreamsHideWhatIsHidden(t *testing.T) {
	p, _ := hiddenPlant(t)
	as := p.credentials()
	admin := as["adminToken"]
	for _, path := range []string{"/events?path=**", "/events?path=**&format=ndjson", "/api/things/events", "/ws"} {
		for who, credential := range as {
			if !strings.HasPrefix(who, "office ") {
				continue
			}
			query, header := split(credential)
			next := p.stream(path, query, header)
			said := ""
			until := func(word string) {
				t.Helper()
				for !strings.Contains(said, word) {
					line, ok := next()
					if said += line + "\n"; !ok {
						t.Fatalf("%s as %s ended before %q: %s", path, who, word, said)
					}
				}
			}
			last := `"power":8.125`
			if path == "/api/things/events" {
				last = "office/lamp"
			} else {
				until(`"hidden":1`)
			}
			p.do("POST", "/api/telemetry/plant/pump", `{"speed":60.4}`, admin).want(t, 202, "")
			p.do("POST", "/api/things/plant/pump/actions/setSpeed", `{"speed":50}`, admin).want(t, 200, "")
			p.do("PATCH", "/api/things/plant/pump", `{"title":"a leaking seal"}`, admin).want(t, 200, "")
			p.do("PUT", "/api/things/office/lamp", strings.NewReplacer("plant/pump", "office/lamp", "Pump", "Lamp").Replace(pumpTD), admin)
			p.do("POST", "/api/telemetry/office/lamp", `{"power":8.125}`, admin).want(t, 202, "")
			until(last)
			p.do("POST", "/api/telemetry/office/lamp", `{"power":7}`, admin).want(t, 202, "")
			for _, word := range hiddenWords {
				if strings.Contains(said, word) {
					t.Errorf("%s tells %s of %q: %s", path, who, word, said)
				}
			}
		}
	}
}

// stream reads lines, or frames, of something that does not end.
func (p *past) stream(path, query, header string) func() (string, bool) {
	p.Helper()
	if path == "/ws" {
		c, _, err := newSiteFor(p.site).socket(query, header)
		if err != nil {
			p.Fatal(err)
		}
		send(p.T, c, `{"type":"sub","path":"**"}`)
		return func() (string, bool) {
			_, b, err := c.ReadMessage()
			return string(b), err == nil
		}
	}
	if query != "" {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + query[1:]
	}
	ctx, cancel := context.WithTimeout(p.Context(), 30*time.Second)
	p.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", p.url+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	k, v, _ := strings.Cut(header, ": ")
	r.Header.Set(k, v)
	res, err := p.client.Do(r)
	if err != nil || res.StatusCode != 200 {
		p.Fatalf("%s: %v %v", path, res, err)
	}
	p.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func() (string, bool) {
		ok := lines.Scan()
		return lines.Text(), ok
	}
}
