package hub

import (
	"bufio"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// What is removed may come to a place that the client follows too. That this
// subscription lacks nothing does not mean that it has told the removal.
func TestWhatIsRemovedComesToAPlace(t *testing.T) {
	inFakeTime(t, Config{}, func(g *fakeRig) {
		g.set("plant/a", `{"x":1}`)
		g.set("hall/b", `{"y":1}`)
		ws, in := g.socket("")
		defer ws.Close()
		for _, text := range []string{`{"type":"sub","path":"plant/**","rate":1}`, `{"type":"sub","path":"under:hall"}`} {
			if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		g.set("plant/a", `{"x":2}`) // told at once; what follows waits for a second
		time.Sleep(100 * time.Millisecond)
		g.remove("plant/a")
		time.Sleep(100 * time.Millisecond)
		g.set("hall/b", `{"y":2}`)
		time.Sleep(100 * time.Millisecond)
		g.link("hall", "plant/a")
		time.Sleep(5 * time.Second)
		for _, f := range in.of("update") {
			if string(f.Things["plant/a"]) == "null" {
				return
			}
		}
		t.Errorf("nobody said that plant/a is removed: %v", in.of("update"))
	})
}

// A client that reads slowly is told that a thing was removed, though it was
// forgotten and much else changed since: while the pages of a snapshot go out, and
// when an update waits.
func TestASlowClientHearsOfWhatIsForgotten(t *testing.T) {
	for _, tt := range []struct {
		query string
		pages bool
	}{{"path=plant/**", true}, {"path=under:plant", true}, {"path=plant/**&fields=x", false}, {"path=under:plant&fields=x", false}} {
		inFakeTime(t, Config{Limits: Limits{Stall: time.Hour}}, func(g *fakeRig) {
			g.hub.sizes = sizes{page: 2, update: 1 << 10, turn: 1, list: 2, ghosts: 1}
			for i := range 6 {
				g.set(fmt.Sprintf("plant/m%d", i), `{"x":1}`)
			}
			time.Sleep(time.Second)
			nc := g.connect()
			defer nc.Close()
			fmt.Fprintf(nc, "GET /events?format=ndjson&%s HTTP/1.1\r\nHost: x\r\n\r\n", tt.query)
			br := bufio.NewReader(nc)
			shown, named := screen{}, map[string]bool{}
			read := func(until func(f frame) bool) {
				for n := 0; ; n++ {
					if n == 100 {
						t.Fatalf("%s: it never ends, and shows %v", tt.query, shown)
					}
					line, err := br.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if !strings.HasPrefix(line, "{") {
						continue
					}
					f := parseFrame(t, []byte(line))
					shown.apply(t, f)
					for id := range f.Things {
						named[id] = f.Type == "snapshot"
					}
					if f.Type == "snapshot" && !f.More { // replaces all
						maps.DeleteFunc(shown, func(id string, _ map[string]string) bool { return !named[id] })
						clear(named)
					}
					if until(f) {
						return
					}
				}
			}
			read(func(f frame) bool { return f.Type == "snapshot" && f.More == tt.pages })
			if !tt.pages { // all is told, and two updates fill the line
				for range 2 {
					g.set("other", `{"x":1}`)
					g.set("plant/m5", fmt.Sprintf(`{"x":%d}`, g.seq))
					time.Sleep(time.Second)
				}
			}
			for i := range 5 {
				g.remove(fmt.Sprintf("plant/m%d", i))
				time.Sleep(time.Second)
				g.set("plant/m5", fmt.Sprintf(`{"x":%d}`, g.seq))
				g.set(fmt.Sprintf("plant/n%d", i), `{"x":1}`)
				time.Sleep(time.Second)
			}
			synctest.Wait()
			last := g.seq
			read(func(f frame) bool { return !f.More && f.Seq >= last })
			for id := range shown {
				if strings.HasPrefix(id, "plant/m") && id != "plant/m5" {
					t.Errorf("%s: %s is removed, and shown as %v", tt.query, id, shown[id])
				}
			}
		})
	}
}
