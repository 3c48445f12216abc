package mqtt

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/paho"
)

// A listener keeps what it is told.
type listener struct {
	mu   sync.Mutex
	said []string
}

func (l *listener) told(n News) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case n.Came:
		l.said = append(l.said, "came")
	case n.Gone:
		l.said = append(l.said, "gone")
	case n.Refused != "":
		l.said = append(l.said, "refused: "+n.Refused)
	default:
		l.said = append(l.said, "spoke")
	}
}

func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.said)
}

func TestWhatBecomesOfADeviceIsTold(t *testing.T) {
	for _, isOpen := range []bool{false, true} {
		t.Run(fmt.Sprint("open ", isOpen), func(t *testing.T) {
			l, remotes := &listener{}, make(chan string, 10)
			s := &store{}
			d, err := Open(Config{Addr: "127.0.0.1:0", Open: isOpen, Ingest: s, Authenticate: func(user, pass, remote string) (Credential, bool) {
				remotes <- remote
				c, ok := password(user, pass, remote)
				c.Told = l.told
				return c, ok
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			ana := dial5(t, d.Addr(), as("ana"))
			if got := <-remotes; got != "127.0.0.1" {
				t.Errorf("it came from %q", got)
			}
			for range 100 {
				ana.pub("telemetry/ana/pump", `{"speed":1}`, 1)
			}
			ana.pub("telemetry/ben/pump", `{"speed":1}`, 1)
			ana.pub("telemetry/ana/pump/no/such", `1`, 1)
			ana.sub("command/ben/pump/#", 1)
			ana.Disconnect(&paho.Disconnect{})
			eventually(t, "gone", func() bool { return slices.Contains(l.heard(), "gone") })
			said := l.heard()
			spoke := 0
			for _, one := range said {
				if one == "spoke" {
					spoke++
				}
			}
			if said[0] != "came" || said[len(said)-1] != "gone" || spoke == 0 || spoke > 90 {
				t.Errorf("heard %v", said)
			}
			all := strings.Join(said, "; ")
			for _, want := range []string{"refused: ben/pump is not one of your things", "refused: it asked for messages that it may not hear: command/ben/pump/#"} {
				if strings.Contains(all, want) == isOpen {
					t.Errorf("open %v: heard %v", isOpen, said)
				}
			}
			if _, _, err := connect5(t, d.Addr(), func(cp *paho.Connect) { as("ana")(cp); cp.Password = []byte("guess") }); (err == nil) != isOpen {
				t.Errorf("a wrong password: %v", err)
			}
			if n := len(l.heard()); n != len(said) {
				t.Errorf("a stranger is told of as ana: %v", l.heard()[len(said):])
			}
		})
	}
}
