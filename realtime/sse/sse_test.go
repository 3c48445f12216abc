package sse

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAppendEvent(t *testing.T) {
	for _, tt := range []struct {
		id, event, data string
		want            string
	}{
		{"", "", "x", "data: x\n\n"},
		{"k3f9.7", "update", `{"a":1}`, "event: update\nid: k3f9.7\ndata: {\"a\":1}\n\n"},
		{"", "", "", "data: \n\n"},
		{"", "", "a\nb", "data: a\ndata: b\n\n"},
		{"", "", "a\r\nb\rc\n", "data: a\ndata: b\ndata: c\ndata: \n\n"},
		{"1\ndata: forged", "e\r\nid: 9", "x", "event: e\nid: 1\ndata: x\n\n"},
		{"1\x002", "", "x", "id: 1\ndata: x\n\n"},
	} {
		if got := string(AppendEvent(nil, tt.id, tt.event, []byte(tt.data))); got != tt.want {
			t.Errorf("AppendEvent(%q, %q, %q) = %q, want %q", tt.id, tt.event, tt.data, got, tt.want)
		}
	}
	if got := string(AppendComment(nil, "hb\ndata: forged")); got != ": hb\n\n" {
		t.Errorf("comment = %q", got)
	}
	if got := string(AppendRetry(nil, 2500*time.Millisecond)); got != "retry: 2500\n\n" {
		t.Errorf("retry = %q", got)
	}
}

// Whatever is sent comes back as one event with the same data, line ends
// normalised, and nothing of it can forge a field.
func FuzzAppendEvent(f *testing.F) {
	f.Add("1", "update", "a\nid: 2\n\ndata: b")
	f.Fuzz(func(t *testing.T, id, event, data string) {
		var got []string
		ids, blank := 0, 0
		for line := range strings.SplitSeq(strings.TrimSuffix(string(AppendEvent(nil, id, event, []byte(data))), "\n"), "\n") {
			switch {
			case strings.HasPrefix(line, "data: "):
				got = append(got, line[len("data: "):])
			case strings.HasPrefix(line, "id: "):
				ids++
			case line == "":
				blank++
			case !strings.HasPrefix(line, "event: "):
				t.Fatalf("a line of its own: %q", line)
			}
		}
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
		if strings.Join(got, "\n") != want || ids > 1 || blank != 1 {
			t.Errorf("%q %q %q came back as %q with %d ids, %d ends", id, event, data, got, ids, blank)
		}
	})
}

func TestEveryEventIsFlushed(t *testing.T) {
	next := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := Open(w, 0)
		if err != nil {
			t.Error(err)
			return
		}
		<-next // the headers must be with the reader before the first event
		s.Retry(time.Second)
		s.Event("1", "delta", []byte("a"))
		<-next
		s.Comment("hb")
		<-next
	}))
	defer srv.Close()
	defer close(next)
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for k, want := range map[string]string{"Content-Type": ContentType, "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
		if got := resp.Header.Get(k); got != want {
			t.Errorf("%s = %q, want %q", k, got, want)
		}
	}
	next <- struct{}{}
	want := "retry: 1000\n\nevent: delta\nid: 1\ndata: a\n\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v", got, err)
	}
	next <- struct{}{}
	if _, err := io.ReadFull(resp.Body, got[:6]); err != nil || string(got[:6]) != ": hb\n\n" {
		t.Fatalf("got %q, %v", got[:6], err)
	}
}

// A reader that takes nothing must not keep the handler for ever, and a slow
// stream must not be cut by the deadline of an earlier write.
func TestDeadlineCountsForOneWrite(t *testing.T) {
	ended := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := Open(w, 100*time.Millisecond)
		for err == nil {
			if r.URL.Path == "/slow" {
				time.Sleep(150 * time.Millisecond)
			}
			err = s.Event("", "", bytes.Repeat([]byte("x"), 10<<10))
		}
		ended <- err
	}))
	defer srv.Close()

	dial := func(path string) net.Conn {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		return c
	}
	stuck := dial("/")
	defer stuck.Close()
	if err := <-ended; err == nil {
		t.Fatal("the handler ended without an error")
	}
	slow := dial("/slow")
	br := bufio.NewReader(slow)
	for events := 0; events < 4; {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("cut after %d events: %v", events, err)
		}
		if strings.HasPrefix(line, "data: ") {
			events++
		}
	}
	slow.Close()
	<-ended
}

// pipes is a listener whose connections are pipes, so that time can be fake.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	nc, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A stream that has nothing to say for longer than a write may take lives on, also
// over HTTP/2, whose deadlines end the stream itself.
func TestAQuietStreamLivesOn(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			protocols := &http.Protocols{}
			protocols.SetHTTP1(!http2)
			protocols.SetUnencryptedHTTP2(http2)
			listener := make(pipes)
			srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s, err := Open(w, time.Second)
				for _, text := range []string{"a", "b"} {
					select {
					case <-time.After(time.Minute):
					case <-r.Context().Done(): // it was ended
					}
					if err == nil {
						err = s.Event("", "", []byte(text))
					}
				}
				if err != nil || (r.ProtoMajor == 2) != http2 {
					t.Errorf("%s: %v", r.Proto, err)
				}
			})}
			go srv.Serve(listener)
			defer srv.Close()
			line := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				listener <- there
				return here, nil
			}}
			defer line.CloseIdleConnections()
			resp, err := (&http.Client{Transport: line}).Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "data: a\n\ndata: b\n\n" {
				t.Errorf("HTTP/2 %v: got %q, %v", http2, got, err)
			}
		})
	}
}
