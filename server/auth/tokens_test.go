package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
