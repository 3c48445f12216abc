package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

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

// Two nodes that each demote the administrator whom the other takes for the one
// who stays: whatever the order of their reads and writes, somebody stays.
func TestTwoNodesDoNotDemoteEachOthersAdministrator(t *testing.T) {
	for round := range 100 {
		s := newStores()
		for _, name := range []string{"admin", "ana"} {
			if _, err := s.users.Create(t.Context(), name, []byte(`{"username":"`+name+`","role":"admin"}`)); err != nil {
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
		if _, err := s.users.Create(t.Context(), name, []byte(`{"username":"`+name+`","role":"viewer"}`)); err != nil {
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
