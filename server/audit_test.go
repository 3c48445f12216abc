package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/twin"
)

// shelf is a store of facts in memory.
type shelf struct {
	at    []time.Time
	facts []realtime.Fact
	read  int
}

func (s *shelf) BetweenOf(_ context.Context, kind string, patterns []string, from, to time.Time, yield func(time.Time, realtime.Fact) bool) error {
	for i, f := range s.facts {
		if kind != "" && f.Type != kind {
			continue
		}
		if s.at[i].Before(from) || s.at[i].After(to) || len(patterns) > 0 && !realtime.Match(patterns[0], f.Thing) {
			continue
		}
		if s.read++; !yield(s.at[i], f) {
			return nil
		}
	}
	return nil
}

// put stores the steps of one command, asked for then, and returns its id.
func (s *shelf) put(n int, at time.Time, thing, user string, steps ...string) string {
	id := twin.FirstID(at)[:20] + fmt.Sprintf("%06d", n)
	for i, status := range steps {
		ts := at.Add(time.Duration(i) * time.Second)
		c := realtime.Invoked{ID: id, Thing: thing, Action: "setSpeed", Status: status, User: user, Via: "ui", TS: ts, Ground: realtime.Ground{Evidence: "evidence of " + status}, Reason: "=1+1"}
		if status == unreached {
			no := false
			c.Status, c.Reached = realtime.Done, &no
		}
		body, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		s.at, s.facts = append(s.at, ts), append(s.facts, realtime.Fact{Type: "cmd", Thing: thing, Body: body})
	}
	return id
}

// What the twins have forgotten is still in the audit.
func TestTheAuditGoesBackFurtherThanMemory(t *testing.T) {
	old := &shelf{}
	now := time.Now()
	var want []string
	for i := range 30 { // one every hour and a half
		at := now.Add(-time.Duration(30-i) * 90 * time.Minute)
		thing, user, end := "plant/pump", "ana", "done"
		if i%3 == 0 {
			thing, end = "office/fan", unreached
		}
		if i%5 == 0 {
			user, end = "bob", "failed"
		}
		want = append(want, old.put(i, at, thing, user, "accepted", "sent", end))
	}
	slices.Reverse(want)
	s := newLine(t, func(d *Deps) { d.Facts = old })
	s.login()
	fresh := s.do("POST", "/api/things/plant/pump/actions/setSpeed", `{"speed":80}`).json(t)["cmd"].(string)
	want = append([]string{fresh}, want...)

	ids := func(query string) (out []string, next string) {
		a := s.get("/api/commands?" + query)
		a.want(t, 200, "")
		var list []realtime.Invoked
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			out = append(out, i.ID)
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "</api/commands?"), ">")
		return out, next
	}
	if got, _ := ids("from=-3d"); !slices.Equal(got, want) {
		t.Errorf("got %d commands, want %d", len(got), len(want))
	}
	var paged []string
	for query, pages := "from=-3d&limit=7", 0; query != "" && pages < 40; pages++ {
		var page []string
		page, query = ids(query)
		paged = append(paged, page...)
	}
	if !slices.Equal(paged, want) {
		t.Errorf("the pages have\n%v\nwant\n%v", paged, want)
	}
	for query, count := range map[string]int{
		"path=office/**": 10, "user=bob": 6, "status=failed": 6, "status=unreached": 8, "status=done": 25, "status=failed,unreached": 14,
		"via=api": 1, "action=none": 0, "to=-1h&from=-6h": 3, "user=bob&path=office/**": 2,
	} {
		if got, _ := ids(query + "&limit=1000"); len(got) != count {
			t.Errorf("%s: got %d commands, want %d", query, len(got), count)
		}
	}
	for _, query := range []string{"status=odd", "from=yesterday", "path=*/**/x", "limit=0", "format=xml"} {
		if a := s.get("/api/commands?" + query); a.StatusCode < 400 || a.StatusCode >= 500 {
			t.Errorf("%s: got %d", query, a.StatusCode)
		}
	}
	one := s.get("/api/commands/" + want[3]).json(t)
	if steps := one["steps"].([]any); one["cmd"] != want[3] || len(steps) != 3 || steps[0].(map[string]any)["evidence"] != "evidence of accepted" {
		t.Errorf("got %v", one)
	}
	s.get("/api/commands/"+twin.FirstID(now)).want(t, 404, "not_found")
	csv := s.get("/api/commands?format=csv&limit=5&to=-2h")
	if lines := strings.Split(strings.TrimSpace(csv.body), "\n"); len(lines) != 6 || !strings.HasPrefix(lines[0], "asked,thing") || !strings.Contains(lines[1], ",'=1+1,") {
		t.Errorf("got %s", csv.body)
	}
}

// One request reads no more than its budget, and says where to go on.
func TestTheAuditIsBounded(t *testing.T) {
	old := &shelf{}
	now := time.Now()
	const n = 12_000
	for i := range n {
		old.put(i, now.Add(-time.Duration(n-i)*300*time.Millisecond), "plant/pump", "ana", "accepted", "sent", "done")
	}
	s := newLine(t, func(d *Deps) { d.Facts = old })
	s.login()
	seen := map[string]bool{}
	query := "/api/commands?from=-2h&limit=1000"
	for pages := 0; query != ""; pages++ {
		if pages > 200 {
			t.Fatalf("no end after %d commands", len(seen))
		}
		old.read = 0
		a := s.get(query)
		a.want(t, 200, "")
		if old.read > factBudget+100 {
			t.Errorf("one request read %d facts", old.read)
		}
		var list []realtime.Invoked
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			if seen[i.ID] {
				t.Fatalf("%s came twice", i.ID)
			}
			seen[i.ID] = true
		}
		query, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	}
	if len(seen) != n {
		t.Errorf("got %d commands, want %d", len(seen), n)
	}
}
