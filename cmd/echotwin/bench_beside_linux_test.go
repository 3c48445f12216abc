package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"echotwin/realtime/hub/crowd"
)

// The load of BenchmarkWholeFanOut on a Centrifugo, whose channels are the
// things: same senders, same clients, same machine. It needs the binary of one,
// which is no part of this project:
//
//	go install github.com/centrifugal/centrifugo/v6@v6.9.1
//	ECHOTWIN_BENCH_CENTRIFUGO=$(which centrifugo) go test -run '^$' -bench 'Beside|WholeFanOut/^clients=1000' -benchtime 1x ./cmd/echotwin
//
// It has no log and no history here, and its clients get each publication, where
// ours are told the newest of each thing; at 10 Hz and a rate of 10 that is
// nearly the same. joined has it put what waits for a client into one frame.
func BenchmarkBesideCentrifugo(b *testing.B) {
	bin := os.Getenv("ECHOTWIN_BENCH_CENTRIFUGO")
	if bin == "" {
		b.Skip("ECHOTWIN_BENCH_CENTRIFUGO is not the path of a Centrifugo")
	}
	for _, c := range []struct {
		clients int
		joined  bool
	}{{1000, false}, {1000, true}, {5000, true}} {
		b.Run(fmt.Sprintf("clients=%d/joined=%t", c.clients, c.joined), func(b *testing.B) {
			addr, server := startCentrifugo(b, bin, c.joined)
			people := crowd.Start(b)
			group := people.Ready(crowd.Group{Addr: addr, N: c.clients, Targets: channelTargets(), Idle: true, Other: true})
			web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: gateways}}
			stop := load(1000, 10, func(things []int) { publishAt(b, web, addr, things) })
			measure(b, people, group, c.clients, server.Process.Pid, stop)
		})
	}
}

func startCentrifugo(b *testing.B, bin string, joined bool) (addr string, server *exec.Cmd) {
	port := freePort(b)
	file := filepath.Join(b.TempDir(), "centrifugo.json")
	config := fmt.Sprintf(`{
		"http_server": {"address": "127.0.0.1", "port": %s},
		"http_api": {"insecure": true},
		"client": {"insecure": true},
		"channel": {"without_namespace": {"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}},
		"uni_websocket": {"enabled": true, "handler_prefix": "/ws", "join_push_messages": %t},
		"log": {"level": "error"}}`, port, joined)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	server = exec.Command(bin, "-c", file)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Process.Kill(); server.Wait() })
	addr = "127.0.0.1:" + port
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Post("http://"+addr+"/api/info", "application/json", strings.NewReader("{}"))
		if err == nil {
			res.Body.Close()
			return addr, server
		}
		if time.Since(begin) > 20*time.Second {
			b.Fatal("Centrifugo does not serve: ", err)
		}
	}
}

// channelTargets are those of clients that follow one line each.
func channelTargets() (t []string) {
	for l := range 1000 / perLine {
		subs := map[string]struct{}{}
		for m := range perLine {
			subs[thingOf(l*perLine+m)] = struct{}{}
		}
		connect, err := json.Marshal(map[string]any{"subs": subs})
		if err != nil {
			panic(err)
		}
		t = append(t, "/ws?cf_connect="+url.QueryEscape(string(connect)))
	}
	return t
}

// publishAt sends what readings holds.
func publishAt(b *testing.B, web *http.Client, addr string, things []int) {
	body := []byte(`{"parallel":false,"commands":[`)
	for i, n := range things {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"publish":{"channel":%q,"data":{"at":%d}}}`, thingOf(n), time.Now().UnixNano())
	}
	res, err := web.Post("http://"+addr+"/api/batch", "application/json", bytes.NewReader(append(body, "]}"...)))
	if err != nil {
		b.Error(err)
		return
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"error"`)) {
		b.Errorf("publishing: %d %.200s", res.StatusCode, answer)
	}
}
