package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Sessions are listed and ended where a server runs and, later, where it has
// stopped: what it knew of them is on disk, and what was ended stays ended.
func TestSessionsOnTheCommandLine(t *testing.T) {
	env := settings(t, nil)
	at, stop := start(t, env)
	base := "http://" + at.HTTP
	admin, first, second := signIn(t, at), newClient(t, at), newClient(t, at)
	admin.do("POST", "/api/users", `{"username":"ana","password":"battery staple","role":"viewer"}`)
	for _, c := range []*client{first, second} {
		if code, body := c.do("POST", "/api/login", `{"username":"ana","password":"battery staple"}`); code != 200 {
			t.Fatalf("login: %d %s", code, body)
		}
	}
	_, answer := admin.do("POST", "/api/tokens", `{"name":"cli","scopes":["admin"]}`)
	live := []string{"--token=" + decode[struct{ Token string }](t, answer).Token, "--url=" + base}
	run := func(where []string, args string) string {
		t.Helper()
		got, err := line(t, env["ECHOTWIN_DATA"], "", append(strings.Fields(args), where...)...)
		if err != nil {
			return "!" + err.Error()
		}
		return got
	}
	ids := func(where []string, user string) (ids []string) {
		t.Helper()
		var list []struct{ ID, User string }
		if err := json.Unmarshal([]byte(run(where, "session list --json --user="+user)), &list); err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			ids = append(ids, s.ID)
			if s.User != user {
				t.Errorf("a session of %s is listed for %s", s.User, user)
			}
		}
		return ids
	}

	if got := run(live, "session list"); strings.Count(got, "ana ") != 2 || strings.Count(got, "admin ") != 1 || !strings.Contains(got, "from 127.0.0.1") {
		t.Errorf("got %s", got)
	}
	anas := ids(live, "ana")
	if len(anas) != 2 {
		t.Fatalf("got %v", anas)
	}
	for args, want := range map[string]string{"session end": "!session end needs the id", "session end x --user=ana": "!session end needs the id", "session end nothing": "!no such"} {
		if got := run(live, args); !strings.HasPrefix(got, want) {
			t.Errorf("echotwin %s: got %q, want %q", args, got, want)
		}
	}
	if got := run(live, "session end "+anas[0]); got != "done\n" {
		t.Errorf("got %q", got)
	}
	if left := ids(live, "ana"); len(left) != 1 || left[0] != anas[1] {
		t.Errorf("left are %v of %v", left, anas)
	}
	still := 0
	for _, c := range []*client{first, second} {
		if code, _ := c.do("GET", "/api/tokens", ""); code == http.StatusOK {
			still++
		}
	}
	if still != 1 {
		t.Errorf("%d of 2 browsers are still signed in", still)
	}

	if got := run(nil, "session list"); !strings.HasPrefix(got, "!") || !strings.Contains(got, "--token") {
		t.Errorf("while the server runs its folder says %q", got)
	}
	stop()
	if got := ids(nil, "ana"); len(got) != 1 || got[0] != anas[1] {
		t.Errorf("stopped: got %v", got)
	}
	if got := run(nil, "session end --user=ana"); got != "ended 1\n" {
		t.Errorf("got %q", got)
	}
	if got := ids(nil, "ana"); len(got) != 0 {
		t.Errorf("after the end there are %v", got)
	}
	if got := ids(nil, "admin"); len(got) != 1 {
		t.Errorf("the administrator's are %v", got)
	}
}

// A list of more than one page comes whole.
func TestListsOfTheCommandLineFollowTheirPages(t *testing.T) {
	asked := 0
	api := within{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch r.URL.Query().Get("after") {
		case "":
			w.Header().Set("Link", `</api/sessions?after=b&user=%2A>; rel="next"`)
			_, _ = w.Write([]byte(`[{"id":"a"},{"id":"b"}]`))
		default:
			_, _ = w.Write([]byte(`[{"id":"c"}]`))
		}
	})}
	b, err := call{"GET", "/api/sessions?user=*", nil}.send(t.Context(), api, "http://x", "t")
	if err != nil || string(b) != `[{"id":"a"},{"id":"b"},{"id":"c"}]` || asked != 2 {
		t.Errorf("got %s %v after %d pages", b, err, asked)
	}
}

// Whatever answers 404 without being Echotwin, such as a proxy, or has no such route,
// was taken for a server without a user: "no such user: ".
func TestOnlyWhatIsNamedIsNotThere(t *testing.T) {
	proxy := within{http.NotFoundHandler()}
	server := within{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"there is nothing here","code":"not_found"}`))
	})}
	for _, tt := range []struct {
		ask  call
		api  within
		want string
	}{
		{call{"DELETE", "/api/users/bob", nil}, server, "no such user: bob"},
		{call{"DELETE", "/api/users/bob", nil}, proxy, "the server answers 404 Not Found"},
		{call{"POST", "/api/users", nil}, proxy, "the server answers 404 Not Found"},
		{call{"DELETE", "/api/sessions?user=ana", nil}, server, "there is nothing here"},
	} {
		if _, err := tt.ask.send(t.Context(), tt.api, "http://x", "t"); err == nil || err.Error() != tt.want {
			t.Errorf("%s %s: got %v, want %q", tt.ask.method, tt.ask.path, err, tt.want)
		}
	}
}
