package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSessionsAreListedAndEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := newStores()
		a, b := s.open(t, Config{}), s.open(t, Config{})
		if _, err := a.AddUser(ctx, "ana", "correct horse", Operator); err != nil {
			t.Fatal(err)
		}
		first, secret := a.signIn(t, "ana", "correct horse")
		time.Sleep(time.Minute)
		second, _ := a.signIn(t, "ana", "correct horse")
		a.signIn(t, "admin", "123456")
		time.Sleep(time.Minute)
		b.Used(first, "198.51.100.7")
		b.Used(first, "")
		if err := b.seen.flush(ctx); err != nil {
			t.Fatal(err)
		}
		mine, err := a.Sessions(ctx, "ana")
		if err != nil || len(mine) != 2 {
			t.Fatalf("got %+v, %v", mine, err)
		}
		newest, oldest := mine[0], mine[1]
		if !second.RestsOn(newest.ID) || !first.RestsOn(oldest.ID) || first.RestsOn(newest.ID) {
			t.Errorf("got %+v", mine)
		}
		if oldest.Used.Sub(oldest.Started) != 2*time.Minute || oldest.Address != "198.51.100.7" || oldest.From != "192.0.2.1" || oldest.Agent != "Firefox" {
			t.Errorf("got %+v", oldest)
		}
		if strings.Contains(secret, oldest.ID) {
			t.Error("the public id is part of the secret")
		}
		for _, id := range []string{oldest.ID, oldest.key} {
			if _, err := a.Session(ctx, id); !errors.Is(err, ErrNone) {
				t.Errorf("the id signs in: %v", err)
			}
		}
		if all, err := a.Sessions(ctx, ""); len(all) != 3 || err != nil {
			t.Errorf("everybody has %+v, %v", all, err)
		}
		if _, err := a.EndSessionOf(ctx, "admin", oldest.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("somebody else's: %v", err)
		}
		if whose, err := b.EndSessionOf(ctx, "", oldest.ID); whose != "ana" || err != nil {
			t.Errorf("got %q, %v", whose, err)
		}
		if a.Still(ctx, first) && func() bool { time.Sleep(5 * time.Second); return a.Still(ctx, first) }() {
			t.Error("it goes on")
		}
		a.signIn(t, "ana", "correct horse")
		if n, err := a.EndSessions(ctx, "ana", second); n != 1 || err != nil || !a.Still(ctx, second) {
			t.Errorf("everywhere else: %d, %v", n, err)
		}
		if n, err := a.EndSessions(ctx, "ana", nil); n != 1 || err != nil || a.Still(ctx, second) {
			t.Errorf("everywhere: %d, %v", n, err)
		}
	})
}

// A node that writes down the use of a session which another node has ended
// must not bring it back.
func TestAnEndedSessionDoesNotComeBackByItsUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := newStores()
		a, b := s.open(t, Config{Recheck: 2 * time.Hour}), s.open(t, Config{})
		who, id := a.signIn(t, "admin", "123456")
		time.Sleep(time.Hour)
		if err := b.EndSession(ctx, id); err != nil {
			t.Fatal(err)
		}
		if a.Still(ctx, who) || len(s.sessions.m) != 0 {
			t.Errorf("the session is back: %d in the store", len(s.sessions.m))
		}
	})
}

func TestSessionsOfOneUserAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStores().open(t, Config{})
		u, err := a.users.get(t.Context(), "admin")
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for range sessionsPerUser + 1 {
			time.Sleep(time.Second)
			id, err := a.StartSession(t.Context(), u, "192.0.2.1", "")
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if all, err := a.Sessions(t.Context(), "admin"); len(all) != sessionsPerUser || err != nil {
			t.Errorf("%d sessions, %v", len(all), err)
		}
		for i, over := range map[int]bool{0: true, 1: false, sessionsPerUser: false} {
			if _, err := a.Session(t.Context(), ids[i]); errors.Is(err, ErrNone) != over {
				t.Errorf("session %d: %v", i, err)
			}
		}
	})
}

func TestWhatABrowserCallsItselfIsCleanedAndShort(t *testing.T) {
	for in, want := range map[string]string{
		"Firefox":                     "Firefox",
		"":                            "",
		"a\x00b\x1b[31m\u202ec\nd":    "ab[31mcd",
		"\xff\xfe":                    "",
		strings.Repeat("é", 90):       strings.Repeat("é", 80) + "…",
		strings.Repeat("a", 1_000_00): strings.Repeat("a", 160) + "…",
	} {
		if got := cleanAgent(in); got != want {
			t.Errorf("%.40q: got %q, want %q", in, got, want)
		}
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

// Two nodes that each demote the administrator whom the other takes for the one
// who stays: whatever the order of their reads and writes, somebody stays.
func TestTwoNodesDoNotDemoteEachOthersAdministrator(t *testing.T) {
	for round := range 100 {
		s := newStores()
		for _, name := range []string{"admin", "ana"} {
			if err := s.users.Create(t.Context(), name, []byte(`{"username":"`+name+`","role":"admin"}`)); err != nil {
				t.Fatal(err)
			}
		}
		a, b := s.open(t, Config{}), s.open(t, Config{})
		s.users.yield = true
		var wg sync.WaitGroup
		wg.Go(func() { _ = a.setRole(context.Background(), "admin", Viewer) })
		wg.Go(func() {
			if round%2 == 0 {
				_ = b.setRole(context.Background(), "ana", Viewer)
			} else {
				_ = b.DeleteUser(context.Background(), "ana")
			}
		})
		wg.Wait()
		us, err := a.Users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, u := range us {
			if u.Role == Administrator {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("%d administrators are left of %+v", n, us)
		}
	}
}

// Whatever two nodes change of a user at once, neither change is lost.
func TestTwoNodesChangeOneUser(t *testing.T) {
	s := newStores()
	a, b := s.open(t, Config{}), s.open(t, Config{})
	for i := range 50 {
		name := fmt.Sprint("u", i)
		if err := s.users.Create(t.Context(), name, []byte(`{"username":"`+name+`","role":"viewer"}`)); err != nil {
			t.Fatal(err)
		}
		s.users.yield = true
		role, things := Engineer, []string{"plant/**"}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = a.ChangeUser(context.Background(), name, Change{Role: &role}) })
		wg.Go(func() { _, _ = b.ChangeUser(context.Background(), name, Change{Things: &things}) })
		wg.Wait()
		if u, _, err := a.users.read(t.Context(), name); err != nil || u.Role != Engineer || len(u.Things) != 1 {
			t.Fatalf("got %+v, %v", u, err)
		}
	}
}
