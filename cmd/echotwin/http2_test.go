package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// The hub served HTTP/2 in its own tests, and nobody could reach that: a client
// that began with HTTP/2 got an empty answer.
func TestHTTP2WithoutTLS(t *testing.T) {
	a, stop := start(t, settings(t, map[string]string{"DRAIN": "2s"}))
	two := new(http.Protocols)
	two.SetUnencryptedHTTP2(true)
	c := newClient(t, a)
	c.http.Transport = &http.Transport{Protocols: two}
	if code, body := c.do("POST", "/api/login", `{"username":"admin","password":"123456"}`); code != 200 {
		t.Fatalf("login: %d %s", code, body)
	}
	// Many streams share one connection, and each is a stream of its own.
	const streams = 40
	var follow, seen, ended sync.WaitGroup
	for i := range streams {
		follow.Add(1)
		seen.Add(1)
		ended.Go(func() {
			follows, heard := sync.OnceFunc(follow.Done), sync.OnceFunc(seen.Done)
			defer heard()
			defer follows()
			req, err := http.NewRequest("GET", fmt.Sprintf("%s/events?path=lab/press-%d", c.base, i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			res, err := (&http.Client{Transport: c.http.Transport, Jar: c.http.Jar}).Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			events := ""
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok && name != "ping" {
					events += name + " "
				}
				if strings.Contains(lines.Text(), `"type":"snapshot"`) {
					follows()
				}
				if strings.Contains(lines.Text(), fmt.Sprintf(`"set":{"force":%d}`, i)) {
					heard()
				}
			}
			if res.ProtoMajor != 2 || events != "hello snapshot update bye " {
				t.Errorf("over HTTP/%d: %s", res.ProtoMajor, events)
			}
		})
	}
	follow.Wait()
	for i := range streams {
		if code, body := c.do("POST", fmt.Sprint("/api/telemetry/lab/press-", i), fmt.Sprintf(`{"force":%d}`, i)); code != 202 {
			t.Errorf("a reading: %d %s", code, body)
		}
	}
	seen.Wait()
	stop()
	ended.Wait()
}
