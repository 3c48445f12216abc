package gpt

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// piped is an upstream without a network, so that time can be fake: what is
// written to it is what the upstream streams.
type piped struct {
	*io.PipeWriter
	body *io.PipeReader
}

func newPiped() piped {
	r, w := io.Pipe()
	return piped{w, r}
}

func (p piped) RoundTrip(q *http.Request) (*http.Response, error) {
	context.AfterFunc(q.Context(), func() { p.body.CloseWithError(context.Cause(q.Context())) })
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: p.body, Request: q}, nil
}

func (p piped) say(text string) {
	b, _ := json.Marshal(text)
	_, _ = p.Write([]byte(`data: {"choices":[{"index":0,"delta":{"content":` + string(b) + `}}]}` + "\n\n"))
}

func (p piped) end() {
	_, _ = p.Write([]byte("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"))
	p.PipeWriter.Close()
}

// inTime runs a question against a piped upstream in fake time.
func inTime(t *testing.T, l Limits, f func(*testing.T, *Runs, *Run, piped)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPiped()
		r := New(Config{BaseURL: "http://model/v1", Client: &http.Client{Transport: p}, Limits: l, Log: slog.New(slog.DiscardHandler)})
		run := start(t, r, "ana", "Well?")
		f(t, r, run, p)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}

func TestTheFirstTokenIsNotHeldBack(t *testing.T) {
	inTime(t, Limits{}, func(t *testing.T, _ *Runs, run *Run, p piped) {
		begun := time.Now()
		time.Sleep(time.Second)
		p.say("one")
		synctest.Wait()
		if s := run.Status(); s.Text != "one" || s.Events != 3 || time.Since(begun) != time.Second {
			t.Errorf("after the first token: %+v", s)
		}
		for _, w := range strings.Fields("two three four five six") { // 5 ms apart: gathered
			time.Sleep(5 * time.Millisecond)
			p.say(" " + w)
		}
		synctest.Wait()
		es, _ := run.since(3)
		if len(es) != 1 || es[0].Text != " two three four five" && es[0].Text != " two three four five six" {
			t.Errorf("within 25 ms: %+v", es)
		}
		time.Sleep(time.Second)
		p.say(" seven") // after a pause: at once
		synctest.Wait()
		if es, _ := run.since(0); es[len(es)-1].Text != " seven" {
			t.Errorf("after a pause: %q", es[len(es)-1].Text)
		}
		p.end()
		synctest.Wait()
		if s := run.Status(); s.Finish != "stop" || s.Text != "one two three four five six seven" {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// What was gathered is not lost when the run ends in the middle of gathering.
func TestGatheredTextIsToldBeforeTheEnd(t *testing.T) {
	inTime(t, Limits{}, func(t *testing.T, r *Runs, run *Run, p piped) {
		p.say("one")
		p.say(" two")
		synctest.Wait()
		if err := r.Cancel("ana", run.ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var text string
		es, _ := run.since(0)
		for _, e := range es {
			text += e.Text
		}
		if text != "one two" || !es[len(es)-1].Last() {
			t.Errorf("got %q in %s", text, kinds(es))
		}
	})
}

func TestBeatsFromBeforeTheUpstreamAnswers(t *testing.T) {
	inTime(t, Limits{TimeoutFirst: time.Minute}, func(t *testing.T, _ *Runs, run *Run, _ piped) {
		begun, beats := time.Now(), 0
		for es := range run.Events(t.Context(), 0, 15*time.Second) {
			if len(es) == 0 {
				if beats++; time.Since(begun) != time.Duration(beats)*15*time.Second {
					t.Errorf("beat %d after %v", beats, time.Since(begun))
				}
			}
		}
		if since := time.Since(begun); beats < 3 || since != time.Minute {
			t.Errorf("%d beats in %v", beats, since)
		}
	})
}

func TestS10TwentySecondsToTheFirstToken(t *testing.T) {
	inTime(t, Limits{}, func(t *testing.T, _ *Runs, run *Run, _ piped) {
		begun := time.Now()
		out, err := run.Wait(t.Context())
		if err != nil || out.Failure == nil || out.Failure.Code != CodeTimeout || time.Since(begun) != 20*time.Second {
			t.Errorf("%+v after %v", out.Failure, time.Since(begun))
		}
	})
}

func TestGraceOfThirtySeconds(t *testing.T) {
	inTime(t, Limits{TimeoutFirst: time.Hour, MaxRun: time.Hour}, func(t *testing.T, _ *Runs, run *Run, _ piped) {
		ctx, leave := context.WithTimeout(t.Context(), 2*time.Minute)
		defer leave()
		if _, err := run.Wait(ctx); err == nil {
			t.Fatal("ended while somebody read it")
		}
		time.Sleep(29 * time.Second)
		if s := run.Status(); s.Status != "running" { // which is a sign of life
			t.Fatalf("cancelled early: %+v", s)
		}
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if _, wake := run.since(run.newest()); wake == nil {
			t.Fatal("asking for the status did not count")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := run.Status(); s.Finish != "cancelled" {
			t.Errorf("after 30 s without anybody: %+v", s)
		}
	})
}

func TestRunesAreWholeInEveryDelta(t *testing.T) {
	const text = "Băng tải số 2 chạy ở 60 % 😀"
	for size := 1; size < 5; size++ {
		var whole runes
		var got []byte
		for b := []byte(text); len(b) > 0; b = b[min(size, len(b)):] {
			part := whole.add(bytes.Clone(b[:min(size, len(b))]))
			if !utf8.Valid(part) {
				t.Errorf("size %d: %q is not whole", size, part)
			}
			got = append(got, part...)
		}
		if got = append(got, whole.rest()...); string(got) != text {
			t.Errorf("size %d: got %q", size, got)
		}
	}
}

func FuzzUpstreamBytes(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}\n\ndata: [DONE]\n\n"))
	f.Add([]byte("{\"choices\":[]}"))
	f.Add([]byte("\xef\xbb\xbfevent: error\r\ndata: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithCancelCause(t.Context())
		w := newWatch(time.Minute, time.Minute, cancel, func() bool { return true })
		defer w.stop()
		l := Limits{MaxLine: 4096, MaxStream: 1 << 16}.withDefaults()
		s, err := newStream(ctx, &http.Response{Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(b))}, w, l)
		for err == nil {
			var p piece
			if p, err = s.next(); !utf8.Valid(p.text) {
				t.Errorf("text %q is not whole", p.text)
			}
		}
		if s != nil {
			for _, c := range s.calls.whole(1) {
				if !utf8.ValidString(c.args) {
					t.Errorf("arguments %q", c.args)
				}
			}
		}
	})
}
