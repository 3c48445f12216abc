package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatBecomesOfADeviceIsKnownOnEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := newStores()
		a, b := s.open(t, Config{Node: "one"}), s.open(t, Config{Node: "two"})
		running, stop := context.WithCancel(ctx)
		for _, node := range []*Auth{a, b} {
			done := make(chan error)
			go func() { done <- node.Run(running) }()
			defer func() { stop(); <-done }()
		}
		d, password, err := a.NewDevice(ctx, Device{Username: "pump-1", Things: []string{"plant/pump"}})
		if err != nil {
			t.Fatal(err)
		}
		use := func(node *Auth) Use {
			t.Helper()
			uses, err := node.Uses(ctx, ByDevice)
			if err != nil {
				t.Fatal(err)
			}
			return uses[d.ID]
		}
		if got := use(a); !got.At.IsZero() || got.Refused != nil || len(got.Nodes) != 0 {
			t.Errorf("before: %+v", got)
		}
		who, err := a.Device(ctx, "pump-1", password, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		a.Came(who, "192.0.2.1")
		if got := use(a); got.Address != "192.0.2.1" || len(got.Nodes) != 1 || got.Nodes["one"].IsZero() {
			t.Errorf("here: %+v", got)
		}
		if got := use(b); len(got.Nodes) != 0 {
			t.Errorf("there, too soon: %+v", got)
		}
		time.Sleep(10 * time.Minute) // it says nothing, but is connected
		for _, node := range []*Auth{a, b} {
			if got := use(node); len(got.Nodes) != 1 || got.Nodes["one"].IsZero() {
				t.Errorf("later: %+v", got)
			}
		}
		for _, tt := range []struct{ user, password, from, want string }{
			{"pump-1", "ed_wrong", "198.51.100.1", "a password that is unknown"},
			{"pump-2", password, "198.51.100.2", "another name than its own"},
			{"pump-9", "ed_wrong", "198.51.100.3", "another name than its own"}, // of no device: nothing new
		} {
			time.Sleep(time.Second)
			if _, err := b.Device(ctx, tt.user, tt.password, tt.from); err == nil {
				t.Errorf("%+v is let in", tt)
			}
			if got := use(b).Refused; got == nil || !strings.Contains(got.Why, tt.want) {
				t.Errorf("%+v gave %+v", tt, got)
			}
		}
		b.Refused(who, "192.0.2.1", "it said\nsomething \x00 "+strings.Repeat("long", 1000))
		time.Sleep(time.Minute)
		got := use(a)
		if got.Refused == nil || !strings.HasPrefix(got.Refused.Why, "it said something ") || len(got.Refused.Why) > maxWhy+10 || got.Address != "192.0.2.1" {
			t.Errorf("got %+v", got)
		}
		a.Gone(who)
		time.Sleep(time.Minute)
		for _, node := range []*Auth{a, b} {
			if got := use(node); len(got.Nodes) != 0 || got.At.IsZero() {
				t.Errorf("gone: %+v", got)
			}
		}
		// A node that dies says nothing.
		b.Came(who, "192.0.2.1")
		time.Sleep(time.Minute)
		stop()
		if got := use(a); len(got.Nodes) != 1 {
			t.Errorf("on the other: %+v", got)
		}
		time.Sleep(connectedFor + time.Second)
		if got := use(a); len(got.Nodes) != 0 {
			t.Errorf("the node is dead: %+v", got)
		}
	})
}

func TestAnExpiredCredentialSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStores().open(t, Config{})
		soon := time.Now().Add(time.Minute)
		d, password, err := a.NewDevice(t.Context(), Device{Username: "pump", Things: []string{"**"}, Expires: &soon})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if _, err := a.Device(t.Context(), "pump", password, "192.0.2.1"); err == nil {
			t.Error("it is let in")
		}
		if uses, err := a.Uses(t.Context(), ByDevice); err != nil || !strings.Contains(uses[d.ID].Refused.Why, "expired") {
			t.Errorf("got %+v, %v", uses[d.ID], err)
		}
	})
}

func TestStrangersAreBounded(t *testing.T) {
	a := newStores().open(t, Config{})
	for i := range maxStrangers + 50 {
		_, _ = a.Device(t.Context(), fmt.Sprint("x", i), "ed_"+fmt.Sprint(i), "192.0.2.1")
		_, _ = a.Device(t.Context(), strings.Repeat("x", 65+i), "y", "192.0.2.1")
	}
	if n := len(a.seen.strangers); n != maxStrangers {
		t.Errorf("%d strangers are remembered", n)
	}
	if _, err := a.Uses(t.Context(), ByDevice); err != nil || len(a.seen.strangers) != 0 || len(a.seen.new) != 0 {
		t.Errorf("%d strangers and %d uses are left, %v", len(a.seen.strangers), len(a.seen.new), err)
	}
}

func TestUsesAreWrittenSeldomAndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStores()
		a := s.open(t, Config{})
		var devices []*Identity
		for i := range 200 {
			_, password, err := a.NewDevice(t.Context(), Device{Username: fmt.Sprint("d", i), Things: []string{"plant/**"}})
			if err != nil {
				t.Fatal(err)
			}
			who, err := a.DeviceToken(t.Context(), password, "192.0.2.8")
			if err != nil {
				t.Fatal(err)
			}
			devices = append(devices, who)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		for range 60 { // a minute, each of them once a second
			time.Sleep(time.Second)
			for _, d := range devices {
				a.Used(d, "192.0.2.9")
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if s.seen.puts > 3*16 {
			t.Errorf("%d writes for 12000 uses in a minute", s.seen.puts)
		}
		if uses, err := a.Uses(context.Background(), ByDevice); len(uses) != 200 || err != nil {
			t.Errorf("%d uses, %v", len(uses), err)
		}
		if err := a.DeleteDevice(context.Background(), publicID(devices[0].ref)); err != nil {
			t.Fatal(err)
		}
		if err := a.sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
		if uses, err := a.Uses(context.Background(), ByDevice); len(uses) != 199 || err != nil {
			t.Errorf("after the sweep %d uses, %v", len(uses), err)
		}
	})
}

func TestAUseThatCannotBeWrittenIsKept(t *testing.T) {
	s := newStores()
	a := s.open(t, Config{})
	who, _ := a.signIn(t, "admin", "123456")
	a.Used(who, "198.51.100.7")
	s.seen.down = errors.New("down")
	if err := a.seen.flush(t.Context()); err == nil {
		t.Error("no error")
	}
	s.seen.down = nil
	if all, err := a.Sessions(t.Context(), "admin"); err != nil || all[0].Address != "198.51.100.7" {
		t.Errorf("got %+v, %v", all, err)
	}
	a.seen.new = nil
	for i := range maxSeen + 10 {
		if a.seen.new == nil {
			a.seen.new = map[seenKey]Use{}
		}
		a.Used(&Identity{source: ByToken, ref: fmt.Sprintf("%064d", i)}, "x")
	}
	if len(a.seen.new) > maxSeen {
		t.Errorf("%d uses in memory", len(a.seen.new))
	}
}
