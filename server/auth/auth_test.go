package auth

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errMissing = errors.New("missing")
	errPresent = errors.New("present")
	errChanged = errors.New("changed")
)

// memory is a Store.
type memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	rev  map[string]uint64
	last uint64
	down error // answered to everything while set
	gets int
	puts int

	yield bool // lets others run between what one caller does
}

func newMemory() *memory { return &memory{m: map[string][]byte{}, rev: map[string]uint64{}} }

func (s *memory) GetRevision(_ context.Context, key string) ([]byte, uint64, error) {
	if s.yield {
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if b, ok := s.m[key]; ok || s.down != nil {
		return b, s.rev[key], s.down
	}
	return nil, 0, errMissing
}

// put is called under mu.
func (s *memory) put(key string, b []byte) (uint64, error) {
	if s.down == nil {
		s.puts++
		s.last++
		s.m[key], s.rev[key] = b, s.last
	}
	return s.last, s.down
}

func (s *memory) Create(_ context.Context, key string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[key]; ok {
		return errPresent
	}
	_, err := s.put(key, b)
	return err
}

func (s *memory) Update(_ context.Context, key string, b []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil && s.rev[key] != revision {
		return 0, errChanged
	}
	return s.put(key, b)
}

func (s *memory) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		delete(s.m, key)
		delete(s.rev, key)
	}
	return s.down
}

func (s *memory) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	s.mu.Lock()
	changed := s.down == nil && s.rev[key] != revision
	s.mu.Unlock()
	if changed {
		return errChanged
	}
	return s.Delete(ctx, key)
}

func (s *memory) All(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.m), s.down
}

// stores are what two nodes share.
type stores struct{ users, sessions, tokens, devices, seen *memory }

func newStores() stores {
	return stores{newMemory(), newMemory(), newMemory(), newMemory(), newMemory()}
}

func (s stores) config(c Config) Config {
	c.Users, c.Sessions, c.Tokens, c.Devices, c.Seen = s.users, s.sessions, s.tokens, s.devices, s.seen
	c.NotFound, c.Exists, c.Changed, c.Log = errMissing, errPresent, errChanged, slog.New(slog.DiscardHandler)
	if c.Secret == "" {
		c.Secret = "a secret of the tests"
	}
	return c
}

func (s stores) open(t *testing.T, c Config) *Auth {
	t.Helper()
	a, err := Open(context.Background(), s.config(c))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *Auth) signIn(t *testing.T, username, password string) (*Identity, string) {
	t.Helper()
	u, err := a.Verify(context.Background(), username, password, "192.0.2.1")
	if err != nil {
		t.Fatalf("sign in as %s: %v", username, err)
	}
	id, err := a.StartSession(context.Background(), u, "192.0.2.1", "Firefox")
	if err != nil {
		t.Fatal(err)
	}
	who, err := a.Session(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return who, id
}

func (a *Auth) setRole(ctx context.Context, username string, role Role) error {
	_, err := a.ChangeUser(ctx, username, Change{Role: &role})
	return err
}

// match is enough of realtime.Match for these tests.
func match(pattern, thing string) bool {
	if p, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(thing, p)
	}
	ok, _ := path.Match(pattern, thing)
	return ok
}

func TestFirstAdministrator(t *testing.T) {
	t.Run("demo in development", func(t *testing.T) {
		a := newStores().open(t, Config{})
		if who, _ := a.signIn(t, "admin", "123456"); who.Role != Administrator || !who.May(ManageUsers) {
			t.Errorf("got %+v", who)
		}
	})
	t.Run("random in production", func(t *testing.T) {
		a := newStores().open(t, Config{Production: true})
		if len(a.Generated()) < 16 {
			t.Fatalf("generated %q", a.Generated())
		}
		a.signIn(t, "admin", a.Generated())
		if _, err := a.Verify(t.Context(), "admin", "123456", "x"); !errors.Is(err, ErrWrong) {
			t.Errorf("the demo password gave %v", err)
		}
	})
	t.Run("given", func(t *testing.T) {
		s := newStores()
		s.open(t, Config{Production: true, AdminPassword: "correct horse"}).signIn(t, "admin", "correct horse")
		// Once there is an administrator, the setting is not read again.
		again := s.open(t, Config{Production: true, AdminPassword: "another horse"})
		if again.signIn(t, "admin", "correct horse"); again.Generated() != "" {
			t.Error("a second password was generated")
		}
	})
	t.Run("too short", func(t *testing.T) {
		if _, err := Open(t.Context(), newStores().config(Config{AdminPassword: "horse"})); err == nil || !strings.Contains(err.Error(), "ECHOTWIN_ADMIN_PASSWORD") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("demo data taken to production", func(t *testing.T) {
		s := newStores()
		s.open(t, Config{})
		if _, err := Open(t.Context(), s.config(Config{Production: true})); !errors.Is(err, ErrDemoUsed) {
			t.Fatalf("production started with the demo password: %v", err)
		}
		a := s.open(t, Config{Production: true, AdminPassword: "correct horse"})
		a.signIn(t, "admin", "correct horse")
		if _, err := a.Verify(t.Context(), "admin", "123456", "x"); !errors.Is(err, ErrWrong) {
			t.Errorf("the demo password still gives %v", err)
		}
	})
}

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

func TestTheStoreHoldsNoSecret(t *testing.T) {
	s := newStores()
	a := s.open(t, Config{AdminPassword: "correct horse"})
	_, session := a.signIn(t, "admin", "correct horse")
	_, token, err := a.NewToken(t.Context(), Token{Name: "x", User: "admin", Scope: Read})
	if err != nil {
		t.Fatal(err)
	}
	_, password, err := a.NewDevice(t.Context(), Device{Username: "d", Things: []string{"plant/**"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*memory{s.users, s.sessions, s.tokens, s.devices} {
		if len(m.m) == 0 {
			t.Error("an empty store proves nothing")
		}
		for k, v := range m.m {
			for _, secret := range []string{"correct horse", session, token, password} {
				if strings.Contains(k+string(v), secret) {
					t.Errorf("%s: %s holds %q", k, v, secret)
				}
			}
		}
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		a := newStores().open(t, Config{})
		if _, err := a.AddUser(ctx, "ana", "correct horse", Operator); err != nil {
			t.Fatal(err)
		}
		in := time.Now().Add(time.Hour)
		issued, secret, err := a.NewToken(ctx, Token{Name: "script", User: "ana", Scope: Command, Things: []string{"plant/**"}, Expires: &in})
		if err != nil {
			t.Fatal(err)
		}
		who, err := a.Token(ctx, secret)
		if err != nil || who.User != "ana" || !who.May(CommandThings) || who.May(ManageUsers) || !who.Covers("plant/pump", match) || who.Covers("office/lamp", match) {
			t.Fatalf("got %+v, %v", who, err)
		}
		if err := a.setRole(ctx, "ana", Viewer); err != nil {
			t.Fatal(err)
		}
		if who, err = a.Token(ctx, secret); err != nil || who.May(CommandThings) || !who.May(ReadThings) {
			t.Errorf("after the demotion: %+v, %v", who, err)
		}
		if _, _, err := a.NewToken(ctx, Token{Name: "more", User: "ana", Scope: Command}); err == nil {
			t.Error("a viewer was given a token that commands")
		}
		for _, bad := range []string{"", "et_", secret + "x", secret[:len(secret)-1], "ed_" + secret[3:]} {
			if _, err := a.Token(ctx, bad); !errors.Is(err, ErrNone) {
				t.Errorf("%q gave %v", bad, err)
			}
		}
		if err := a.DeleteToken(ctx, "admin", issued.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("another user's token: %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := a.Token(ctx, secret); !errors.Is(err, ErrNone) {
			t.Errorf("expired, it gave %v", err)
		}
		if err := a.sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if ts, err := a.Tokens(ctx, ""); len(ts) != 0 || err != nil {
			t.Errorf("after the sweep: %v, %v", ts, err)
		}
	})
}

func TestTokensAUserMayHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		a := newStores().open(t, Config{})
		in := time.Now().Add(time.Minute)
		for range tokensPerUser {
			if _, _, err := a.NewToken(ctx, Token{Name: "x", User: "admin", Scope: Read, Expires: &in}); err != nil {
				t.Fatal(err)
			}
		}
		var invalid *Invalid
		if _, _, err := a.NewToken(ctx, Token{Name: "x", User: "admin", Scope: Read}); !errors.As(err, &invalid) {
			t.Errorf("one too many gave %v", err)
		}
		time.Sleep(time.Minute)
		if _, _, err := a.NewToken(ctx, Token{Name: "x", User: "admin", Scope: Read}); err != nil {
			t.Errorf("after the others expired: %v", err)
		}
	})
}

func TestTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := newStores()
		a, b := s.open(t, Config{}), s.open(t, Config{})
		who, session := a.signIn(t, "admin", "123456")
		ticket, expires, err := a.NewTicket(who, []string{"plant/**"})
		if err != nil || time.Until(expires) > TicketLife {
			t.Fatal(err, expires)
		}
		for range 2 { // reusable, and on another node
			got, err := b.Ticket(ctx, ticket)
			if err != nil || got.Kind != ByTicket || got.User != "admin" || got.May(CommandThings) || !got.May(ReadThings) ||
				!got.Covers("plant/pump", match) || got.Covers("office/lamp", match) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if _, _, err := a.NewTicket(got, nil); err == nil {
				t.Error("a ticket could be had for a ticket")
			}
		}
		body, mac, _ := strings.Cut(ticket, ".")
		for _, bad := range []string{"", ".", body, body + ".", body + "x." + mac, "x" + ticket, ticket + "x", strings.Repeat("a", 5000) + "." + mac} {
			if _, err := a.Ticket(ctx, bad); !errors.Is(err, ErrNone) {
				t.Errorf("%.30q gave %v", bad, err)
			}
		}
		if _, err := newStores().open(t, Config{Secret: "another secret"}).Ticket(ctx, ticket); !errors.Is(err, ErrNone) {
			t.Errorf("signed with another secret, it gave %v", err)
		}

		_, token, err := a.NewToken(ctx, Token{Name: "x", User: "admin", Scope: Read, Things: []string{"plant/line1/**"}})
		if err != nil {
			t.Fatal(err)
		}
		holder, err := a.Token(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		narrow, _, err := a.NewTicket(holder, []string{"**"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Ticket(ctx, narrow); err != nil || got.Covers("plant/line2/pump", match) || !got.Covers("plant/line1/pump", match) {
			t.Errorf("a ticket reaches further than its token: %+v, %v", got, err)
		}

		opened, err := a.Ticket(ctx, ticket)
		if err != nil || !a.Still(ctx, opened) || !a.Still(ctx, who) || !a.Still(ctx, holder) {
			t.Errorf("what is good is not still good: %v", err)
		}
		if err := a.EndSession(ctx, session); err != nil {
			t.Fatal(err)
		}
		if a.Still(ctx, opened) || a.Still(ctx, who) || !a.Still(ctx, holder) {
			t.Error("logout ends what came from the session, and nothing else")
		}
		if _, err := a.Ticket(ctx, ticket); !errors.Is(err, ErrNone) {
			t.Errorf("after logout it gave %v", err)
		}
		time.Sleep(TicketLife)
		if _, err := a.Ticket(ctx, narrow); !errors.Is(err, ErrNone) {
			t.Errorf("expired, it gave %v", err)
		}
	})
}

func TestDevices(t *testing.T) {
	ctx := t.Context()
	a := newStores().open(t, Config{})
	d, password, err := a.NewDevice(ctx, Device{Username: "pump-1", Things: []string{"plant/pump"}})
	if err != nil {
		t.Fatal(err)
	}
	who, err := a.Device(ctx, "pump-1", password, "192.0.2.1")
	if err != nil || who.Kind != ByDevice || who.May(ReadThings) || !who.Covers("plant/pump", match) || who.Covers("plant/valve", match) {
		t.Fatalf("got %+v, %v", who, err)
	}
	for _, tt := range [][2]string{{"pump-2", password}, {"pump-1", password + "x"}, {"pump-1", ""}, {"", ""}} {
		if _, err := a.Device(ctx, tt[0], tt[1], "192.0.2.2"); !errors.Is(err, ErrNone) {
			t.Errorf("%v gave %v", tt, err)
		}
	}
	if _, _, err := a.NewDevice(ctx, Device{Username: "pump-1"}); err == nil {
		t.Error("a device for no thing was accepted")
	}
	if err := a.DeleteDevice(ctx, d.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Device(ctx, "pump-1", password, "192.0.2.1"); !errors.Is(err, ErrNone) {
		t.Errorf("revoked, it gave %v", err)
	}
}

func TestThereIsAlwaysAnAdministrator(t *testing.T) {
	ctx := t.Context()
	a := newStores().open(t, Config{})
	var invalid *Invalid
	if err := a.DeleteUser(ctx, "admin"); !errors.As(err, &invalid) {
		t.Errorf("deleting the last one: %v", err)
	}
	if err := a.setRole(ctx, "admin", Viewer); !errors.As(err, &invalid) {
		t.Errorf("demoting the last one: %v", err)
	}
	if _, err := a.AddUser(ctx, "ana", "correct horse", Administrator); err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteUser(ctx, "admin"); err != nil {
		t.Errorf("with another one: %v", err)
	}
}

func TestUsersAreChecked(t *testing.T) {
	a := newStores().open(t, Config{})
	for _, tt := range []struct {
		username, password string
		role               Role
		at                 string
	}{
		{"", "correct horse", Viewer, "/username"},
		{"a b", "correct horse", Viewer, "/username"},
		{"a/b", "correct horse", Viewer, "/username"},
		{strings.Repeat("a", 65), "correct horse", Viewer, "/username"},
		{"ana", "short", Viewer, "/password"},
		{"ana", strings.Repeat("a", 1000), Viewer, "/password"},
		{"ana", "correct horse", "boss", "/role"},
		{"ana", "correct horse", "", "/role"},
	} {
		var invalid *Invalid
		if _, err := a.AddUser(t.Context(), tt.username, tt.password, tt.role); !errors.As(err, &invalid) || invalid.At != tt.at {
			t.Errorf("%+v gave %v", tt, err)
		}
	}
	if _, err := a.AddUser(t.Context(), "admin", "correct horse", Viewer); !errors.Is(err, ErrExists) {
		t.Errorf("a name twice gave %v", err)
	}
}

// A read that began before a logout, and ended after it, must not bring the
// session back into memory.
func TestARevokedRecordDoesNotComeBack(t *testing.T) {
	s := &slowStore{memory: newMemory(), reading: make(chan bool), go_on: make(chan bool)}
	tab := newTable[int](s, Config{NotFound: errMissing, Exists: errPresent, Recheck: time.Hour}, 10)
	s.memory.m["k"] = []byte("1")
	done := make(chan bool)
	go func() {
		_, _ = tab.get(context.Background(), "k")
		done <- true
	}()
	<-s.reading
	if err := tab.delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	s.go_on <- true
	<-done
	go func() { <-s.reading; s.go_on <- true }()
	if _, err := tab.get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// slowStore stops after it has read.
type slowStore struct {
	*memory
	reading, go_on chan bool
}

func (s *slowStore) GetRevision(ctx context.Context, key string) ([]byte, uint64, error) {
	b, revision, err := s.memory.GetRevision(ctx, key)
	s.reading <- true
	<-s.go_on
	return b, revision, err
}

func TestTheTableIsBounded(t *testing.T) {
	m := newMemory()
	tab := newTable[int](m, Config{NotFound: errMissing, Exists: errPresent, Recheck: time.Hour}, 10)
	for i := range 100 {
		if err := tab.create(t.Context(), string(rune('a'+i)), i); err != nil {
			t.Fatal(err)
		}
	}
	if len(tab.m) != 10 {
		t.Errorf("%d records in memory", len(tab.m))
	}
	if v, err := tab.get(t.Context(), "a"); v != 0 || err != nil {
		t.Errorf("one that was forgotten: %v, %v", v, err)
	}
	for range 1000 {
		_, _ = tab.get(t.Context(), "missing")
	}
	if len(tab.m) != 10 {
		t.Errorf("%d records in memory after guesses", len(tab.m))
	}
}

func TestCheckProduction(t *testing.T) {
	const good = "V0b9uXcYk3mQ2sT7pLr5dFh8jN1wZ6aEg"
	for _, tt := range []struct {
		secret, password string
		want             []string // in each sentence, in order
	}{
		{good, "", nil},
		{good, "correct horse", nil},
		{strings.Repeat("0123456789abcdef", 4), "", nil},
		{"", "", []string{"SESSION_SECRET is not set"}},
		{"short", "", []string{"SESSION_SECRET has 5 characters"}},
		{good[:31], "", []string{"at least 33"}},
		{strings.Repeat("a", 64), "", []string{"repeated pattern"}},
		{"change-me-change-me-change-me-change-me", "", []string{"looks like an example"}},
		{"chuoi_bi_mat_du_dai_de_qua_kiem_tra_32", "", []string{"looks like an example"}},
		{good, "123456", []string{"demo password"}},
		{good, "1234567", []string{"8 to 256"}},
		{"", "123456", []string{"SESSION_SECRET", "ECHOTWIN_ADMIN_PASSWORD"}},
	} {
		got := CheckProduction(tt.secret, tt.password)
		ok := len(got) == len(tt.want)
		for i := range tt.want {
			ok = ok && strings.Contains(got[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%q, %q: got %q, want %q", tt.secret, tt.password, got, tt.want)
		}
	}
}
