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

// A repeated key never makes a command run again while its window lasts, however
// many other commands came in between, on another node and after a restart too.
func TestAKeyOutlivesItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(conveyor)
		other, _ := p.node(conveyor)
		runs := map[string]int{}
		p.device(conveyorID, func(cmd string, input []byte) error {
			runs[string(input)]++
			p.answer(cmd, `{"ok":true}`)
			return nil
		})
		once := speed(`{"speed":80}`)
		once.Key = "once"
		first, err := tw.Invoke(t.Context(), once)
		if err != nil || first.Status != realtime.Done {
			t.Fatalf("got %+v, %v", first, err)
		}
		flood := func(n int, user, key string) {
			t.Helper()
			for i := range n {
				other := speed(`{"speed":50}`)
				if other.User = user; key != "" {
					other.Key = fmt.Sprint(key, i)
				}
				if _, err := tw.Invoke(t.Context(), other); err != nil {
					t.Fatal(err)
				}
			}
		}
		flood(keepCommands+10, "ana", "")
		flood(keepCommands+10, "bob", "k")
		if _, ok := tw.Command(first.ID); ok {
			t.Fatal("the command is still remembered, so nothing is tested")
		}
		_, chunks := tw.Checkpoint()
		restarted := New(Config{Log: p, Devices: p})
		if err := restarted.Describe([]byte(conveyor)); err != nil {
			t.Fatal(err)
		}
		if _, err := restarted.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		p.join(restarted)
		for name, node := range map[string]*Twins{"this node": tw, "another": other, "a restarted one": restarted} {
			got, err := node.Invoke(t.Context(), once)
			if why := problem(t, err); why.Code != realtime.CodeConflict || why.At != "/key" || !strings.Contains(why.Message, first.ID+", which ended as done") || got.Status != realtime.Rejected {
				t.Errorf("%s: got %+v, %+v", name, got, why)
			}
			mine := once
			mine.User = "bob" // keys are each user's own
			mine.Key = name
			if got, err := node.Invoke(t.Context(), mine); err != nil || got.Status != realtime.Done {
				t.Errorf("%s: bob's own: %+v, %v", name, got, err)
			}
		}
		if runs[`{"speed":80}`] != 4 {
			t.Errorf("it ran %d times, want once for ana and three times for bob", runs[`{"speed":80}`])
		}
		time.Sleep(keepKeys)
		if got, err := tw.Invoke(t.Context(), once); err != nil || got.ID == first.ID || got.Status != realtime.Done {
			t.Errorf("after a day: got %+v, %v", got, err)
		}
		time.Sleep(time.Minute)
	})
}

// The keys are bounded, and nobody's flood drops those of another.
func TestSpentKeysAreBounded(t *testing.T) {
	var s spent
	now := noon.UnixMilli()
	add := func(user string, n int) {
		for i := range n {
			s.add(spentKey{User: user, Key: fmt.Sprint(i), ID: "C", Status: "done", At: now}, now)
		}
	}
	has := func(user, key string, at int64) bool {
		_, ok := s.find(command{Invoked: realtime.Invoked{User: user}, Key: key}, at)
		return ok
	}
	add("quiet", 3)
	add("ana", userKeys+5)
	if s.all != userKeys+3 || has("ana", "4", now) || !has("ana", "5", now) || !has("quiet", "0", now) || has("quiet", "", now) {
		t.Errorf("%d are kept", s.all)
	}
	add("bob", userKeys)
	if s.all != spentKeys || !has("quiet", "0", now) || !has("quiet", "2", now) {
		t.Errorf("%d are kept, quiet's: %v", s.all, has("quiet", "0", now))
	}
	if list := s.list(); len(list) != s.all {
		t.Errorf("%d are listed of %d", len(list), s.all)
	}
	later := now + keepKeys.Milliseconds()
	if has("quiet", "0", later) || !has("quiet", "0", later-1) {
		t.Error("a key is not kept for a day")
	}
	s.add(spentKey{User: "bob", Key: "new", At: later}, later)
	if n := len(s.of["bob"].order); n != 1 {
		t.Errorf("bob has %d after a day", n)
	}
	s.add(spentKey{User: "bob", Key: "new", ID: "D", At: later + 1}, later+1)
	if n := len(s.of["bob"].order); n != 1 || s.of["bob"].by["new"].ID != "D" {
		t.Errorf("bob has %d, %+v", n, s.of["bob"].by)
	}
	s.add(spentKey{User: "late", Key: "old", At: now}, later)
	if s.of["late"] != nil {
		t.Error("a key that is too old was kept")
	}
	var copied spent
	for _, k := range s.list() {
		copied.add(k, k.At)
	}
	if !reflect.DeepEqual(copied.list(), s.list()) {
		t.Error("a copy differs")
	}
}
