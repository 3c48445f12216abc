package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"echotwin/gpt"
	"echotwin/gpt/upstreamtest"
)

// withModel is a site whose assistant asks a scripted upstream. It is signed in.
func withModel(t *testing.T, cfg gpt.Config, script ...upstreamtest.Answer) (*site, *upstreamtest.Server) {
	t.Helper()
	up := upstreamtest.Start(script...)
	cfg.BaseURL, cfg.Model, cfg.Log = up.URL, "m1", slog.New(slog.DiscardHandler)
	runs := gpt.New(cfg)
	s := newSite(t, func(d *Deps) { d.Runs, d.QuestionsPerMinute = runs, 1000 })
	t.Cleanup(func() {
		if err := runs.Close(context.Background()); err != nil {
			t.Error(err)
		}
		up.Close()
	})
	s.login()
	return s, up
}

// open sends a request and returns its answer while that is still coming.
func (s *site) open(method, path, body string, headers ...string) *http.Response {
	s.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { res.Body.Close() })
	return res
}

// A frame is one server-sent event as it was read.
type frame struct{ id, event, data string }

// frames reads at most n events; comments are frames of the event ":".
func frames(r io.Reader, n int) (out []frame) {
	var f frame
	for sc := bufio.NewScanner(r); len(out) != n && sc.Scan(); {
		k, v, _ := strings.Cut(sc.Text(), ": ")
		switch {
		case sc.Text() == "" && f != frame{}:
			out, f = append(out, f), frame{}
		case strings.HasPrefix(sc.Text(), ":"):
			f = frame{event: ":", data: v}
		case k == "id":
			f.id = v
		case k == "event":
			f.event = v
		case k == "data":
			f.data = v
		}
	}
	return out
}

const question = `{"question":"Nêu điểm khác nhau giữa Flask và FastAPI"}`

func TestS10GPT(t *testing.T) {
	s, up := withModel(t, gpt.Config{}, upstreamtest.Say("Flask ", "đồng bộ."))
	a := s.do("POST", "/api/gpt", question)
	a.want(t, 200, "")
	got := a.json(t)
	if got["answer"] != "Flask đồng bộ." || got["run"] != a.Header.Get("X-Run-Id") || got["conversation"] == "" || got["finish"] != "stop" {
		t.Errorf("answer %s", a.body)
	}
	if q := up.Requests(); len(q) != 1 || q[0].Messages[len(q[0].Messages)-1].Text() != "Nêu điểm khác nhau giữa Flask và FastAPI" {
		t.Errorf("asked %+v", q)
	}
	for body, code := range map[string]string{
		`{"question":""}`:      "empty_question",
		`{"question":" \n\t"}`: "empty_question",
		`{}`:                   "empty_question",
		`{"question":"` + strings.Repeat("ờ", 1001) + `"}`:  "question_too_long",
		`{"question":"` + strings.Repeat("x", 50000) + `"}`: "question_too_long",
		`{"question":7}`:                        "malformed",
		`{"question":`:                          "malformed",
		``:                                      "malformed",
		`{"question":"x","conversation":"a b"}`: "malformed",
	} {
		s.do("POST", "/api/gpt", body).want(t, 400, code)
	}
	s.do("POST", "/api/gpt", `{"question":"`+strings.Repeat("ờ", 1000)+`"}`).want(t, 200, "")
	newSite(t).do("POST", "/api/gpt", question).want(t, 401, "unauthorized")
}

func TestS10S17MissingKey(t *testing.T) {
	s := newSite(t)
	s.login()
	a := s.do("POST", "/api/gpt", question)
	a.want(t, 500, "missing_key")
	if got := a.json(t); got["error"] != "Missing OPENAI_API_KEY" || len(got["how"].([]any)) != 3 {
		t.Errorf("got %s", a.body)
	}
	a = s.get("/api/gpt")
	a.want(t, 200, "")
	if got := a.json(t); got["configured"] != false || !strings.Contains(a.body, "OPENAI_BASE_URL=http://127.0.0.1:11434/v1") {
		t.Errorf("setup %s", a.body)
	}
	s.get("/api/me").want(t, 200, "")
}

func TestS10TimeOut(t *testing.T) {
	s, _ := withModel(t, gpt.Config{Limits: gpt.Limits{TimeoutFirst: 50 * time.Millisecond}}, (*upstreamtest.Call).Hang)
	s.do("POST", "/api/gpt", question).want(t, 504, "upstream_timeout")
}

// Each fault of the upstream is a failure in every form of answer.
func TestFaultsOfTheUpstreamInEveryForm(t *testing.T) {
	limits := gpt.Limits{TimeoutFirst: 3 * time.Second, Idle: 1500 * time.Millisecond}
	for _, f := range upstreamtest.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			s, _ := withModel(t, gpt.Config{Limits: limits}, f.Answer)
			a := s.do("POST", "/api/gpt", question)
			code, _ := a.json(t)["code"].(string)
			want := 502
			switch code {
			case "":
				t.Fatalf("no code: %d %s", a.StatusCode, a.body)
			case "upstream_timeout", "upstream_silent", "upstream_stalled":
				want = 504
			}
			if a.StatusCode != want {
				t.Errorf("JSON: got %d %s, want %d", a.StatusCode, a.body, want)
			}
			if code == "upstream_rate_limited" && a.Header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
			}
			all := frames(s.open("POST", "/api/gpt", question, "Accept: text/event-stream").Body, -1)
			if last := all[len(all)-1]; last.event != "failed" || !strings.Contains(last.data, code) {
				t.Errorf("SSE ends with %+v", last)
			}
			plain := s.open("POST", "/api/gpt", question, "Accept: text/plain")
			text, err := io.ReadAll(plain.Body)
			if err == nil || !strings.Contains(string(text), "[failed: ") || !strings.HasSuffix(string(text), "("+code+")]\n") {
				t.Errorf("text ends with %q and %v", text, err)
			}
			chat := s.open("POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"?"}],"stream":true}`)
			b, err := io.ReadAll(chat.Body)
			if strings.Contains(string(b), "[DONE]") || !strings.Contains(string(b), `"code":"`+code) {
				t.Errorf("chat: %d %s", chat.StatusCode, b)
			}
			if chat.StatusCode == 200 && err == nil {
				t.Errorf("chat: the stream ends as if it were whole: %s", b)
			}
		})
	}
}

func TestP2StreamOfEvents(t *testing.T) {
	s, _ := withModel(t, gpt.Config{}, upstreamtest.Say("Xin ", "chào"))
	res := s.open("POST", "/api/gpt", `{"question":"Chào"}`, "Accept: text/event-stream")
	h := res.Header
	if h.Get("Content-Type") != "text/event-stream; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("X-Accel-Buffering") != "no" || h.Get("X-Run-Id") == "" {
		t.Errorf("headers %v", h)
	}
	all := frames(res.Body, -1)
	for i, f := range all {
		if f.id != fmt.Sprint(i+1) || !strings.HasPrefix(f.data, `{"type":"`+f.event+`"`) {
			t.Errorf("frame %d: %+v", i+1, f)
		}
	}
	if all[0].event != "start" || all[len(all)-1].event != "done" {
		t.Errorf("frames %+v", all)
	}
}

func TestBareWords(t *testing.T) {
	s, up := withModel(t, gpt.Config{}, upstreamtest.Say("Xin ", "chào"))
	a := s.do("POST", "/api/gpt", `{"question":"Chào"}`, "Accept: text/plain")
	if a.StatusCode != 200 || a.body != "Xin chào\n" || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
	up.Script(func(c *upstreamtest.Call) { c.Text("half"); c.Finish("length"); c.Done() })
	if a := s.do("POST", "/api/gpt", question, "Accept: text/plain"); a.body != "half\n[cut: the answer reached its length limit]\n" {
		t.Errorf("got %q", a.body)
	}
}

// Headers and heartbeats come while the upstream is still silent.
func TestHeartbeatBeforeTheUpstreamAnswers(t *testing.T) {
	defer func(d time.Duration) { heartbeat = d }(heartbeat)
	heartbeat = 10 * time.Millisecond
	s, _ := withModel(t, gpt.Config{}, (*upstreamtest.Call).Hang)
	res := s.open("POST", "/api/gpt", question, "Accept: text/event-stream")
	if got := frames(res.Body, 5); got[0].event != "start" || got[len(got)-1] != (frame{"", ":", "hb"}) {
		t.Errorf("frames %+v", got)
	}
	s.do("POST", "/api/gpt/runs/"+res.Header.Get("X-Run-Id")+"/cancel", "").want(t, 200, "")
	chat := s.open("POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"?"}],"stream":true}`)
	if got := frames(chat.Body, 2); !strings.Contains(got[0].data, "chat.completion.chunk") || got[1].data != "hb" {
		t.Errorf("chat frames %+v", got)
	}
}

// A stream that is cut after any event is taken up again with no token lost or
// given twice.
func TestResumeOverHTTP(t *testing.T) {
	words := strings.SplitAfter("the pump runs at seventy percent", " ")
	s, _ := withModel(t, gpt.Config{}, upstreamtest.Slowly(30*time.Millisecond, words...))
	for cut := 1; cut <= 9; cut++ {
		res := s.open("POST", "/api/gpt", question, "Accept: text/event-stream")
		first := frames(res.Body, cut)
		res.Body.Close()
		url := "/api/gpt/runs/" + res.Header.Get("X-Run-Id")
		seen := first[len(first)-1].id
		how := []string{"Last-Event-ID: " + seen}
		path := url + "/events"
		if cut%2 == 0 {
			how, path = nil, path+"?after="+seen
		}
		rest := frames(s.open("GET", path, "", how...).Body, -1)
		text := ""
		all := append(first, rest...)
		for i, f := range all {
			if f.id != fmt.Sprint(i+1) {
				t.Errorf("cut %d: event %s at place %d", cut, f.id, i+1)
			}
			if _, after, ok := strings.Cut(f.data, `{"type":"delta","text":"`); ok {
				text += strings.TrimSuffix(after, `"}`)
			}
		}
		if text != strings.Join(words, "") {
			t.Errorf("cut %d: %q", cut, text)
		}
		a := s.get(url)
		a.want(t, 200, "")
		if got := a.json(t); got["text"] != text || got["status"] != "done" || got["finish"] != "stop" {
			t.Errorf("status %s", a.body)
		}
		last := all[len(all)-1].id
		if a := s.get(url+"/events", "Last-Event-ID: "+last); a.StatusCode != 204 || a.body != "" {
			t.Errorf("after the end: %d %q", a.StatusCode, a.body)
		}
		s.get(url+"/events?after=x").want(t, 400, "malformed")
	}
}

func TestARunIsItsUsersOnly(t *testing.T) {
	s, _ := withModel(t, gpt.Config{}, upstreamtest.Say("secret"))
	run := s.do("POST", "/api/gpt", question).Header.Get("X-Run-Id")
	if _, err := s.Auth.AddUser(t.Context(), "bob", "bobs-password-1", "viewer"); err != nil {
		t.Fatal(err)
	}
	bob := &site{T: t, Server: s.Server, url: s.url, client: newClient()}
	bob.do("POST", "/api/login", `{"username":"bob","password":"bobs-password-1"}`).want(t, 200, "")
	for _, path := range []string{"", "/events"} {
		bob.get("/api/gpt/runs/"+run+path).want(t, 404, "not_found")
		(&site{T: t, Server: s.Server, url: s.url, client: newClient()}).get("/api/gpt/runs/"+run+path).want(t, 401, "unauthorized")
	}
	bob.do("POST", "/api/gpt/runs/"+run+"/cancel", "").want(t, 404, "not_found")
	s.get("/api/gpt/runs/"+run).want(t, 200, "")
}

func TestStopOverHTTP(t *testing.T) {
	s, up := withModel(t, gpt.Config{}, func(c *upstreamtest.Call) { c.Text("half"); c.Hang() })
	res := s.open("POST", "/api/gpt", question, "Accept: text/event-stream")
	frames(res.Body, 3)
	a := s.do("POST", "/api/gpt/runs/"+res.Header.Get("X-Run-Id")+"/cancel", "")
	a.want(t, 200, "")
	if got := a.json(t); got["finish"] != "cancelled" || got["text"] != "half" {
		t.Errorf("status %s", a.body)
	}
	if all := frames(res.Body, -1); all[len(all)-1].event != "done" || !strings.Contains(all[len(all)-1].data, `"finish":"cancelled"`) {
		t.Errorf("the reader was told %+v", all)
	}
	for end := time.Now().Add(10 * time.Second); up.Left() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the upstream goes on")
		}
	}
}

// F5: a client that waits for JSON and leaves cannot come back, so its run ends
// at once; one that streams has its grace.
func TestF5LeavingOverHTTP(t *testing.T) {
	s, up := withModel(t, gpt.Config{}, (*upstreamtest.Call).Hang)
	ctx, leave := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", s.url+"/api/gpt", strings.NewReader(question))
	r.Header.Set("Content-Type", "application/json")
	done := make(chan error, 1)
	go func() {
		_, err := s.client.Do(r)
		done <- err
	}()
	for end := time.Now().Add(10 * time.Second); up.Left() == 0; time.Sleep(time.Millisecond) {
		if len(up.Requests()) == 1 {
			leave()
		}
		if time.Now().After(end) {
			t.Fatal("the upstream goes on")
		}
	}
	leave()
	<-done
}

func TestP3RateLimitP4BannedWords(t *testing.T) {
	up := upstreamtest.Start()
	defer up.Close()
	runs := gpt.New(gpt.Config{BaseURL: up.URL, Limits: gpt.Limits{BannedWords: []string{"phá hoại"}}})
	s := newSite(t, func(d *Deps) { d.Runs = runs })
	s.login()
	s.do("POST", "/api/gpt", `{"question":"Cách PHÁ HOẠI máy bơm?"}`).want(t, 400, "banned_word")
	for i := range 14 {
		if i%2 == 0 {
			s.do("POST", "/api/gpt", question).want(t, 200, "")
		} else {
			s.do("POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"?"}]}`).want(t, 200, "")
		}
	}
	a := s.do("POST", "/api/gpt", question)
	if a.StatusCode != 429 || strings.TrimSpace(a.body) != `{"error":"Too Many Requests"}` || a.Header.Get("Retry-After") == "" {
		t.Errorf("the 16th: %d %s", a.StatusCode, a.body)
	}
	s.get("/api/gpt").want(t, 200, "")
}

func TestP10TheAssistantsFigures(t *testing.T) {
	s, _ := withModel(t, gpt.Config{}, upstreamtest.Say("a", "b"))
	s.do("POST", "/api/gpt", question).want(t, 200, "")
	s.do("POST", "/api/gpt", `{}`).want(t, 400, "")
	found, err := s.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range found {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"echotwin_gpt_runs_total stop": 1, "echotwin_gpt_refused_total empty_question": 1, "echotwin_gpt_running": 0,
		"echotwin_gpt_tokens_total in": 10, "echotwin_gpt_tokens_total out": 2, "echotwin_gpt_first_text_seconds": 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v, want %v", name, v, want)
		}
	}
}

func TestAccepted(t *testing.T) {
	for accept, want := range map[string]string{
		"": "a/json", "*/*": "a/json", "text/html, */*;q=0.1": "a/json", "a/stream": "a/stream", "a/json, a/stream": "a/json",
		"a/json;q=0.5, a/stream": "a/stream", "a/stream;q=0": "a/json", "nonsense; ;, a/text;charset=utf-8": "a/text",
	} {
		r := &http.Request{Header: http.Header{"Accept": {accept}}}
		if got := accepted(r, "a/json", "a/stream", "a/text"); got != want {
			t.Errorf("%q: got %s, want %s", accept, got, want)
		}
	}
}
