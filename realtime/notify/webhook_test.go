package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
)

func TestAStepReachesItsReceiver(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, _ := p.notify(func(c *Config) { c.Public = "https://plant.example.com/" })
	p.say(alarm("plant/line1/pump", "raised", 1)) // before there is a channel
	v := newReceiver(t, nil)
	c := add(t, n, Draft{URL: v.URL + "/hook?x=1", Things: []string{"plant/line1/*"}, Priority: new(2)})
	p.say(alarm("plant/line2/pump", "raised", 1), alarm("plant/line1/pump", "raised", 3), alarm("plant/line1/pump", "acked", 1))
	quiet := alarm("plant/line1/pump", "raised", 1)
	quiet.Suppressed = true
	p.say(quiet)
	p.say(alarm("plant/line1/pump", "raised", 2))
	p.say(alarm("plant/line1/pump", "cleared", 2))
	got := v.wait(t, 2)
	list := deliveries(t, n, c.ID, over(2))
	if len(v.posts()) != 2 || list[1].Status != Delivered || list[1].Attempts != 1 || list[1].Code != 204 || list[1].Step != "raised" || list[0].Step != "cleared" || list[1].ID != got[0].id {
		t.Errorf("got %+v", list)
	}
	var body struct {
		realtime.AlarmState
		Type, Link string
	}
	if err := json.Unmarshal([]byte(got[0].body), &body); err != nil {
		t.Fatalf("%v: %s", err, got[0].body)
	}
	if body.Type != "alarm" || body.Seq != 4 || body.Step != "raised" || body.Message != "Temperature 95 °C is above 90 °C" || body.Link != "https://plant.example.com/app/alarms?thing=plant/line1/pump" {
		t.Errorf("the body is %s", got[0].body)
	}
	if got[0].id == got[1].id || strings.Contains(got[0].id, ".") || got[0].header.Get("Content-Type") != "application/json" {
		t.Errorf("got %v", got[0].header)
	}
	eventually(t, "it is counted", func() bool { s := n.Stats(); return s.Delivered == 2 && s.Waiting == 0 })
	if s := n.Stats(); s.Channels != 1 || s.Enabled != 1 || s.Steps != 2 || s.Attempts[Webhook].Good != 2 {
		t.Errorf("counted %+v", s)
	}
}

// The receiver of the documentation accepts what is sent, and nothing else.
func TestThePythonOfTheDocumentationVerifies(t *testing.T) {
	text, err := os.ReadFile("../../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(text), "```python\n")
	code, _, ok2 := strings.Cut(code, "```")
	if !ok || !ok2 {
		t.Fatal("docs/notify.md has no Python")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	k := &kept{Channel: Channel{Kind: Webhook, Secret: makeSecret()}}
	body, id := `{"type":"alarm","message":"Nhiệt độ 95 °C"}`, "msg_k3f9-1-0"
	verify := func(body string, at time.Time, signature, secret string) string {
		t.Helper()
		cmd := exec.Command(python, "-c", code+`
import sys
print(verify(sys.argv[1], {"webhook-id": sys.argv[2], "webhook-timestamp": sys.argv[3], "webhook-signature": sys.argv[4]}, sys.argv[5].encode()))`,
			secret, id, fmt.Sprint(at.Unix()), signature, body)
		cmd.Env = append(os.Environ(), "PYTHONUTF8=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	now := time.Now()
	signature, err := sign(k, id, now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	former := k.Secret
	if _, err := k.takeSecret(&Draft{Secret: NewSecret}, now); err != nil {
		t.Fatal(err)
	}
	both, err := sign(k, id, now, []byte(body))
	if err != nil || len(strings.Fields(both)) != 2 {
		t.Fatalf("after a new secret: %q, %v", both, err)
	}
	old := now.Add(-time.Hour)
	stale, _ := sign(k, id, old, []byte(body))
	for _, tt := range []struct {
		what, body, signature, secret string
		at                            time.Time
		want                          string
	}{
		{"as sent", body, signature, former, now, "True"},
		{"by the new secret", body, both, k.Secret, now, "True"},
		{"by the former one", body, both, former, now, "True"},
		{"another body", body + " ", signature, former, now, "False"},
		{"another secret", body, signature, makeSecret(), now, "False"},
		{"an hour ago", body, stale, k.Secret, old, "False"},
		{"no signature", body, "", former, now, "False"},
	} {
		if got := verify(tt.body, tt.at, tt.signature, tt.secret); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
	if alone, _ := sign(k, id, now.Add(secretOverlap), []byte(body)); len(strings.Fields(alone)) != 1 {
		t.Errorf("a day later it is still signed twice: %s", alone)
	}
}

// What receivers do wrong, or want: each once, then they say yes.
func TestFaultsOfReceivers(t *testing.T) {
	elsewhere := newReceiver(t, nil)
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	for _, tt := range []struct {
		name     string
		fault    func(http.ResponseWriter, *http.Request)
		attempts int
		status   string
		code     int
		err      string // of the attempt that failed
	}{
		{"500", status(500), 2, Delivered, 500, "500 Internal Server Error"},
		{"503 for a moment", status(503, "Retry-After", "1"), 2, Delivered, 503, "503"},
		{"429", status(429), 2, Delivered, 429, "429"},
		{"408", status(408), 2, Delivered, 408, "408"},
		{"404", status(404), 1, Failed, 404, "404 Not Found"},
		{"400", status(400), 1, Failed, 400, "400"},
		{"a redirect", status(307, "Location", elsewhere.URL), 1, Failed, 307, "redirects are not followed"},
		{"429 for years", status(429, "Retry-After", "99999999"), 1, Waiting, 429, "429"},
		{"a hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 2, Delivered, 0, "no answer in time"},
		{"a cut", func(w http.ResponseWriter, _ *http.Request) { cut(w, "") }, 2, Delivered, 0, "cut before the answer"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) { cut(w, "HTTP/1.1 20") }, 2, Delivered, 0, "malformed"},
		{"no HTTP", func(w http.ResponseWriter, _ *http.Request) { cut(w, "220 smtp.example.com\r\n\r\n") }, 2, Delivered, 0, "malformed"},
		{"endless headers", func(w http.ResponseWriter, _ *http.Request) {
			cut(w, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
		}, 2, Delivered, 0, "exceeded"},
		{"an endless answer", func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, 1, Delivered, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, bus.Config{}, bus.FactsConfig{})
			n, _ := p.notify(func(c *Config) {
				if tt.name == "a hang" {
					c.Timeout = time.Second
				}
			})
			v := newReceiver(t, func(i int, w http.ResponseWriter, r *http.Request) {
				if i == 0 {
					tt.fault(w, r)
				}
			})
			c := add(t, n, Draft{URL: v.URL})
			var failed Delivery // as it was between the attempts, if it was seen
			p.say(alarm("plant/pump", "raised", 1))
			list := deliveries(t, n, c.ID, func(l []Delivery) bool {
				if len(l) == 1 && l[0].Error != "" {
					failed = l[0]
				}
				return len(l) == 1 && l[0].Status == tt.status && l[0].Attempts == tt.attempts
			})
			got := v.posts()
			if len(got) != tt.attempts || got[0].id != got[len(got)-1].id || got[0].body != got[len(got)-1].body {
				t.Errorf("got %+v", got)
			}
			if tt.status == Failed && list[0].Code != tt.code {
				t.Errorf("ended as %+v", list[0])
			}
			if failed.ID != "" && (!strings.Contains(failed.Error, tt.err) || failed.Code != tt.code || tt.err == "") {
				t.Errorf("it failed as %+v, want %q", failed, tt.err)
			}
			if tt.status == Waiting && time.Until(list[0].Next) > maxRetryAfter {
				t.Errorf("the next attempt is at %v", list[0].Next)
			}
		})
	}
	t.Cleanup(func() {
		if got := elsewhere.posts(); len(got) != 0 {
			t.Errorf("a redirect led elsewhere: %v", got)
		}
	})
}

// cut writes something that is no answer, and ends the connection.
func cut(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_, _ = conn.Write([]byte(text))
		_ = conn.Close()
	}
}

// A receiver that is gone for good gets nothing more, and the channel says why.
func TestGoneDisables(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, _ := p.notify()
	v := newReceiver(t, func(i int, w http.ResponseWriter, _ *http.Request) {
		if i == 0 {
			w.WriteHeader(http.StatusGone)
		}
	})
	c := add(t, n, Draft{URL: v.URL})
	p.say(alarm("plant/pump", "raised", 1), alarm("plant/pump", "cleared", 1))
	eventually(t, "it is disabled", func() bool { c, err := n.Get(t.Context(), c.ID); return err == nil && !c.Enabled })
	off, _ := n.Get(t.Context(), c.ID)
	if off.Off == nil || !strings.Contains(off.Off.Why, "410") {
		t.Errorf("got %+v", off)
	}
	before := len(deliveries(t, n, c.ID, func(l []Delivery) bool {
		first := l[len(l)-1]
		return first.Status == Failed && first.Code == 410 && (len(l) == 1 || l[0].Status == Dropped)
	}))
	p.say(alarm("plant/pump", "raised", 1))
	if err := p.facts.Wait(t.Context(), p.seq); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Put(t.Context(), "ana", c.ID, Draft{Kind: Webhook, URL: v.URL}); err != nil {
		t.Fatal(err)
	}
	// What came while it was off does not come afterwards.
	eventually(t, "it is read again", func() bool { s, _, err := n.state(t.Context(), c.ID); return err == nil && s.Cursor != "" })
	p.say(alarm("plant/fan", "raised", 1))
	got := v.wait(t, 2)
	deliveries(t, n, c.ID, over(before+1))
	if len(v.posts()) != 2 || !strings.Contains(got[1].body, "plant/fan") {
		t.Errorf("got %v", v.posts())
	}
	if again, _ := n.Get(t.Context(), c.ID); again.Off != nil {
		t.Errorf("it still says %+v", again.Off)
	}
}

func TestWhereNothingIsSent(t *testing.T) {
	for text, ok := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "192.168.1.4": true, "172.16.0.1": true, "100.64.0.1": true, "203.0.113.9": true, "::1": true, "fd12:3456::1": true, "2001:db8::1": true,
		"169.254.169.254": false, "169.254.1.1": false, "fe80::1": false, "fe80::1%eth0": false, "::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::a9fe:a9fe": false,
		"2002:a9fe:a9fe::1": false, "::a9fe:a9fe": false, "fd00:ec2::254": false, "100.100.100.200": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
	} {
		if err := checkAddr(netip.MustParseAddr(text)); (err == nil) != ok {
			t.Errorf("%s: %v, want it allowed %v", text, err, ok)
		}
	}
	// It is checked where the connection is made, whatever the name was.
	for _, host := range []string{"169.254.169.254", "[::ffff:a9fe:a9fe]", "[fe80::1]", "0.0.0.0"} {
		h := newHooks(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		r := h.send(ctx, &kept{Channel: Channel{URL: "http://" + host + ":80/latest/meta-data/", Secret: makeSecret()}}, &open{Body: []byte("{}")})
		cancel()
		if r.ok || !r.final || !strings.Contains(r.err, "nothing is sent to") {
			t.Errorf("%s: %+v", host, r)
		}
	}
}

func TestRetryAfterIsReadAndBounded(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "30": 30 * time.Second, "-5": 0, "soon": 0, "1e9": 0, "2147483648": 0, "2147483647": maxRetryAfter,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0, now.Add(1000 * time.Hour).Format(http.TimeFormat): maxRetryAfter,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A test says what really happened, also of a channel that is disabled.
func TestATestTellsTheTruth(t *testing.T) {
	p := newPlant(t, bus.Config{}, bus.FactsConfig{})
	n, _ := p.notify()
	code := 204
	v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	c := add(t, n, Draft{URL: v.URL, Enabled: new(false)})
	d, err := n.Test(t.Context(), c.ID)
	if err != nil || d.Status != Delivered || d.Code != 204 || d.Kind != kindTest {
		t.Errorf("got %+v, %v", d, err)
	}
	code = 500
	if d, err = n.Test(t.Context(), c.ID); err != nil || d.Status != Failed || d.Error != "500 Internal Server Error" {
		t.Errorf("got %+v, %v", d, err)
	}
	v.Close()
	if d, err = n.Test(t.Context(), c.ID); err != nil || d.Status != Failed || !strings.Contains(d.Error, "connection refused") && !strings.Contains(d.Error, "cut") {
		t.Errorf("got %+v, %v", d, err)
	}
	if list := deliveries(t, n, c.ID, over(3)); list[2].Status != Delivered {
		t.Errorf("got %+v", list)
	}
	if got := v.posts(); len(got) != 2 || !strings.Contains(got[0].body, `"type":"test"`) {
		t.Errorf("got %v", got)
	}
	// A certificate that nobody vouches for.
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	c = add(t, n, Draft{URL: tls.URL})
	if d, err = n.Test(t.Context(), c.ID); err != nil || !strings.Contains(d.Error, "certificate is not trusted") {
		t.Errorf("got %+v, %v", d, err)
	}
}

// The clock of the connection and that of the attempt end at the same moment;
// people read the same of both.
func TestAHangReadsTheSameByEveryClock(t *testing.T) {
	release := make(chan struct{})
	v := newReceiver(t, func(int, http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	h := newHooks(50 * time.Millisecond)
	got := h.send(t.Context(), &kept{Channel: Channel{ID: "c", Kind: Webhook, URL: v.URL, Secret: makeSecret()}}, &open{Delivery: Delivery{ID: "m"}, Body: []byte("{}")})
	if got.err != "no answer in time" || got.final {
		t.Errorf("got %+v", got)
	}
}
