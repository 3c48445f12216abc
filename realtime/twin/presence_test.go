package twin

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

func presences(l *listener) (out []string) {
	for _, body := range l.facts("event") {
		for _, name := range []string{onlineEvent, offlineEvent, staleEvent, freshEvent} {
			if strings.Contains(body, `"name":"`+name+`"`) {
				reason := body[strings.Index(body, `"reason":"`)+10:]
				out = append(out, name+" "+reason[:strings.Index(reason, `"`)])
			}
		}
	}
	return out
}

// A device that never says anything about itself is offline by its silence, one
// that says it is online is stale; each is told once however many nodes there
// are, and its return as well.
func TestSilenceIsToldOnceOnAllNodes(t *testing.T) {
	for _, tt := range []struct {
		says string
		want []string
		mark string
	}{
		{"", []string{"offline silence", "online reading"}, "offline"},
		{"online", []string{"stale silence", "fresh reading"}, "online"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &plant{t: t, lag: 10 * time.Millisecond}
			tw, l := p.node(oven)
			other, heard := p.node(oven)
			running(t, tw)
			running(t, other)
			if tt.says != "" {
				p.say(realtime.Record{Kind: realtime.Status, Thing: ovenID, Name: tt.says, TS: time.Now(), At: time.Now()})
			}
			for range 60 { // the pace is learnt, and the grace after a start is over
				p.say(reading(ovenID, time.Now(), `{"temperature":20}`))
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
			for i, n := range []*Twins{tw, other} {
				if s, _ := n.State(ovenID); s.Online != tt.mark {
					t.Errorf("%q: node %d shows %q, want %q", tt.says, i, s.Online, tt.mark)
				}
			}
			_, chunks := tw.Checkpoint()
			again := New(Config{})
			if _, err := again.Restore(chunks); err != nil || !again.things[ovenID].silent {
				t.Errorf("after a restart it is not silent any more: %v", err)
			}
			p.say(reading(ovenID, time.Now(), `{"temperature":21}`))
			time.Sleep(time.Second)
			for i, l := range []*listener{l, heard} {
				if got := presences(l); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%q: node %d told %v, want %v", tt.says, i, got, tt.want)
				}
			}
			if s, _ := tw.State(ovenID); s.Online != tt.says {
				t.Errorf("%q: after its return it is %q", tt.says, s.Online)
			}
		})
	}
}

// A line that flaps is told once in a while, with how often.
func TestAFlappingDeviceDoesNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		_, l := p.node(oven)
		for i := range 100 {
			name := []string{onlineEvent, offlineEvent}[i%2]
			p.say(realtime.Record{Kind: realtime.Status, Thing: ovenID, Name: name, TS: time.Now(), At: time.Now()})
			time.Sleep(300 * time.Millisecond)
		}
		if got := len(presences(l)); got < 2 || got > 4 {
			t.Errorf("100 changes in 30 s were told by %d facts, want 3", got)
		}
	})
}

// After an outage of everything, things are told to be silent in bounded steps.
func TestManySilentThingsAreToldInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, l := p.node()
		running(t, tw)
		const things = 1000
		for range 40 {
			var rs []realtime.Record
			for i := range things {
				rs = append(rs, reading(fmt.Sprintf("lab/t%d", i), time.Now(), `{"x":1}`))
			}
			p.say(rs...)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		l.mu.Lock()
		defer l.mu.Unlock()
		most, all := 0, 0
		for _, u := range l.updates {
			n := 0
			for _, f := range u.Facts {
				if strings.Contains(string(f.Body), `"name":"offline"`) {
					n++
				}
			}
			most, all = max(most, n), all+n
		}
		if all != things || most > silenceAtOnce {
			t.Errorf("%d things were told to be offline, at most %d at once; want %d and %d", all, most, things, silenceAtOnce)
		}
	})
}
