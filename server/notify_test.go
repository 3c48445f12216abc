package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/notify"
)

// newToldLine is a line with alarms whose channels deliver.
func newToldLine(t *testing.T) *line {
	t.Helper()
	l := newAlarmLine(t)
	bucket := func(name string) *bus.Bucket {
		b, err := l.bus.Bucket(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	facts := l.Server.Facts.(*bus.Facts)
	n := notify.New(notify.Config{Channels: bucket("notify"), States: bucket("notify-state"), Facts: facts, Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound, Node: "alone"})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = n.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	l.Server.Notify = n
	l.twins.OnChange(func(u realtime.Update) {
		facts.Add(u.Seq, u.Facts)
		n.Alarmed(u.Seq)
		l.Hub.Publish(u)
		l.Publish(u)
	})
	return l
}

func TestChannelsByTheAPI(t *testing.T) {
	l := newToldLine(t)
	check := l.documented()
	l.login()
	got := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
		if strings.HasSuffix(r.URL.Path, "/broken") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(receiver.Close)
	call := func(method, path, body string, status int, code string) answer {
		t.Helper()
		a := l.do(method, path, body)
		a.want(t, status, code)
		check(method, path, body, a)
		return a
	}
	const all = "/api/notify/channels"
	if a := call("GET", all, "", 200, ""); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("got %s", a.body)
	}
	a := call("POST", all, `{"kind":"webhook","url":"`+receiver.URL+`/hook","name":"Ca đêm","priority":2}`, 201, "")
	c := a.json(t)
	one := all + "/" + c["id"].(string)
	if a.Header.Get("Location") != one || !strings.HasPrefix(c["secret"].(string), "whsec_") || c["by"] != "admin" {
		t.Errorf("got %s", a.body)
	}
	for _, path := range []string{all, one} {
		if a := call("GET", path, "", 200, ""); strings.Contains(a.body, "whsec_") || !strings.Contains(a.body, "Ca đêm") {
			t.Errorf("%s shows %s", path, a.body)
		}
	}
	call("POST", all, `{"kind":"webhook","url":"file:///etc/passwd"}`, 422, "invalid")
	bad := call("POST", all, `{"kind":"webhook","url":"http://x","priority":9}`, 422, "out_of_range")
	if want := `{"error":"9 is not between 1 and 4","code":"out_of_range","at":"/priority","minimum":1,"maximum":4,"reason":"between","args":{"got":9,"maximum":4,"minimum":1}}`; strings.TrimSpace(bad.body) != want {
		t.Errorf("got %s, want %s", bad.body, want)
	}
	call("POST", all, `{"kind":"webhook","url":7}`, 400, "malformed")
	call("POST", all, `{"kind"`, 400, "malformed")

	if m := call("POST", one+"/test", "", 200, "").json(t); m["status"] != "delivered" || m["code"] != 200.0 {
		t.Errorf("the test says %v", m)
	}
	if body := <-got; !strings.Contains(body, `"type":"test"`) {
		t.Errorf("got %s", body)
	}
	l.speed("95", 1)
	var alarm map[string]any
	select {
	case body := <-got:
		if err := json.Unmarshal([]byte(body), &alarm); err != nil || alarm["step"] != "raised" || alarm["thing"] != "plant/pump" || alarm["type"] != "alarm" {
			t.Errorf("got %s, %v", body, err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the alarm was not told")
	}
	if a := call("PUT", one, `{"kind":"webhook","url":"`+receiver.URL+`/broken","enabled":false}`, 200, ""); a.json(t)["enabled"] != false || strings.Contains(a.body, "whsec_") {
		t.Errorf("got %s", a.body)
	}
	if m := call("POST", one+"/test", "", 200, "").json(t); m["status"] != "failed" || m["error"] != "500 Internal Server Error" {
		t.Errorf("the test says %v", m)
	}
	var list []map[string]any
	for deadline := time.Now().Add(60 * time.Second); len(list) != 3 || list[1]["status"] != "delivered"; time.Sleep(5 * time.Millisecond) {
		if err := json.Unmarshal([]byte(call("GET", one+"/deliveries", "", 200, "").body), &list); err != nil || time.Now().After(deadline) {
			t.Fatalf("%v: %v", list, err)
		}
	}
	if fmt.Sprint(list[0]["status"], list[0]["kind"], list[1]["kind"], list[1]["thing"], list[2]["kind"]) != "failedtestalarmplant/pumptest" {
		t.Errorf("got %v", list)
	}
	call("DELETE", one, "", 204, "")
	for _, again := range []string{"GET " + one, "PUT " + one, "DELETE " + one, "POST " + one + "/test", "GET " + one + "/deliveries"} {
		method, path, _ := strings.Cut(again, " ")
		call(method, path, map[bool]string{true: `{"kind":"webhook","url":"http://x"}`}[method == "PUT"], 404, "not_found")
	}
	l.Server.Notify = nil
	call("GET", all, "", 503, "unavailable")
}
