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

func TestSessionsEnd(t *testing.T) {
	ctx := context.Background()
	gone := func(t *testing.T, a *Auth, id string, want bool) {
		t.Helper()
		if _, err := a.Session(ctx, id); errors.Is(err, ErrNone) != want {
			t.Errorf("got %v, want over: %v", err, want)
		}
	}
	t.Run("by logout, on every node", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStores()
			a, b := s.open(t, Config{}), s.open(t, Config{})
			_, id := a.signIn(t, "admin", "123456")
			gone(t, b, id, false)
			if err := a.EndSession(ctx, id); err != nil {
				t.Fatal(err)
			}
			gone(t, a, id, true)
			time.Sleep(5 * time.Second)
			gone(t, b, id, true)
		})
	})
	t.Run("by idling", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newStores().open(t, Config{Idle: time.Hour, Absolute: 10 * time.Hour})
			_, id := a.signIn(t, "admin", "123456")
			for range 4 {
				time.Sleep(50 * time.Minute)
				gone(t, a, id, false)
			}
			time.Sleep(61 * time.Minute)
			gone(t, a, id, true)
		})
	})
	t.Run("by age", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newStores().open(t, Config{Idle: time.Hour, Absolute: 2 * time.Hour})
			_, id := a.signIn(t, "admin", "123456")
			for range 3 {
				time.Sleep(39 * time.Minute)
				gone(t, a, id, false)
			}
			time.Sleep(4 * time.Minute)
			gone(t, a, id, true)
		})
	})
	t.Run("by the time that the provider's are given", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newStores().open(t, Config{Idle: time.Hour, Absolute: 10 * time.Hour})
			o, err := NewOIDC(a, OIDCConfig{Issuer: "https://login.example.com", ClientID: "x", DefaultRole: Viewer, Session: 2 * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			u, err := a.users.get(ctx, "admin")
			if err != nil {
				t.Fatal(err)
			}
			id, err := o.StartSession(ctx, Arrival{User: u}, "192.0.2.1", "")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				time.Sleep(39 * time.Minute)
				gone(t, a, id, false)
			}
			time.Sleep(4 * time.Minute)
			gone(t, a, id, true)
		})
	})
	t.Run("by a new password", func(t *testing.T) {
		a := newStores().open(t, Config{})
		_, id := a.signIn(t, "admin", "123456")
		if err := a.SetPassword(ctx, "admin", "correct horse"); err != nil {
			t.Fatal(err)
		}
		gone(t, a, id, true)
	})
	t.Run("with the user, who does not come back by name", func(t *testing.T) {
		a := newStores().open(t, Config{})
		if _, err := a.AddUser(ctx, "ana", "correct horse", Operator); err != nil {
			t.Fatal(err)
		}
		_, id := a.signIn(t, "ana", "correct horse")
		_, token, err := a.NewToken(ctx, Token{Name: "x", User: "ana", Scope: Read})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.DeleteUser(ctx, "ana"); err != nil {
			t.Fatal(err)
		}
		gone(t, a, id, true)
		if _, err := a.AddUser(ctx, "ana", "correct horse", Operator); err != nil {
			t.Fatal(err)
		}
		gone(t, a, id, true)
		if _, err := a.Token(ctx, token); !errors.Is(err, ErrNone) {
			t.Errorf("the old token gave %v", err)
		}
		// Nor when the node that deleted the user died before it came to the token.
		_, token, err = a.NewToken(ctx, Token{Name: "x", User: "ana", Scope: Read})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.users.delete(ctx, "ana"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.AddUser(ctx, "ana", "correct horse", Operator); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Token(ctx, token); !errors.Is(err, ErrNone) {
			t.Errorf("a token of an earlier ana gave %v", err)
		}
	})
	t.Run("not because the store is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStores()
			a := s.open(t, Config{})
			_, id := a.signIn(t, "admin", "123456")
			s.sessions.down, s.users.down = errors.New("down"), errors.New("down")
			time.Sleep(time.Minute)
			gone(t, a, id, false)
			if _, err := a.Session(ctx, "another"); errors.Is(err, ErrNone) || err == nil {
				t.Errorf("an unknown session while the store is down: %v", err)
			}
		})
	})
}

func TestALookUpCostsNoRead(t *testing.T) {
	s := newStores()
	a := s.open(t, Config{Recheck: time.Hour})
	_, id := a.signIn(t, "admin", "123456")
	before := s.sessions.gets + s.users.gets
	for range 100 {
		if _, err := a.Session(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.sessions.gets + s.users.gets - before; n != 0 {
		t.Errorf("%d reads of the store for 100 look-ups", n)
	}
}

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
		for i := range sessionsPerUser + 1 {
			time.Sleep(time.Second)
			id, err := a.StartSession(t.Context(), u, "192.0.2.1", "")
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
			if all, err := a.Sessions(t.Context(), "admin"); i < sessionsPerUser && len(all) != i+1 || err != nil {
				t.Fatalf("%d sessions after %d, %v", len(all), i+1, err)
			}
		}
		if all, err := a.Sessions(t.Context(), "admin"); len(all) != sessionsLeft || err != nil {
			t.Errorf("%d sessions, %v", len(all), err)
		}
		for i, over := range map[int]bool{0: true, sessionsPerUser - sessionsLeft: true, sessionsPerUser - sessionsLeft + 1: false, sessionsPerUser: false} {
			if _, err := a.Session(t.Context(), ids[i]); errors.Is(err, ErrNone) != over {
				t.Errorf("session %d: %v", i, err)
			}
		}
	})
}

// A sign-in reads no other sessions, but now and then: neither one of many users
// nor one of a user who signs in again and again.
func TestSigningInReadsFewSessions(t *testing.T) {
	s := newStores()
	a := s.open(t, Config{})
	reads := func(f func(i int) User, n int) int {
		t.Helper()
		before := s.sessions.reads()
		for i := range n {
			if _, err := a.StartSession(t.Context(), f(i), "192.0.2.1", ""); err != nil {
				t.Fatal(err)
			}
		}
		return s.sessions.reads() - before
	}
	many := make([]User, 300)
	for i := range many {
		many[i] = User{Username: fmt.Sprint("u", i), Era: "x"}
		if err := a.users.create(t.Context(), many[i].Username, many[i]); err != nil {
			t.Fatal(err)
		}
	}
	if n := reads(func(i int) User { return many[i] }, len(many)); n != 1 {
		t.Errorf("300 users read all sessions %d times, want once", n)
	}
	if n := reads(func(int) User { return many[0] }, 4*sessionsPerUser); n > 4*sessionsPerUser/6 {
		t.Errorf("one user reads all sessions %d times in %d sign-ins", n, 4*sessionsPerUser)
	}
	if all, err := a.Sessions(t.Context(), "u0"); len(all) > sessionsPerUser || err != nil {
		t.Errorf("%d sessions, %v", len(all), err)
	}
	a.rooms.forget()
	if n := reads(func(int) User { return many[1] }, 3); n != 1 {
		t.Errorf("after an hour they are read %d times, want once", n)
	}
}

// BenchmarkStartSession is a sign-in, without the password, where there are
// 10,000 sessions; "counted" is one that has to read them all.
func BenchmarkStartSession(b *testing.B) {
	for _, counted := range []bool{false, true} {
		b.Run(map[bool]string{false: "usual", true: "counted"}[counted], func(b *testing.B) {
			s := newStores()
			a := s.open(b, Config{})
			now := time.Now()
			for i := range 10_000 {
				one := session{User: fmt.Sprint("u", i%1000), Era: "x", Created: now, Seen: now, Agent: strings.Repeat("a", 120)}
				if err := a.sessions.create(b.Context(), digest(fmt.Sprint(i)), one); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if counted {
					a.rooms.forget()
				}
				id, err := a.StartSession(b.Context(), User{Username: "admin", Era: "x"}, "192.0.2.1", "Firefox")
				if err == nil {
					err = a.EndSession(b.Context(), id)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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
