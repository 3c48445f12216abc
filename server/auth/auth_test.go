package auth

import (
	"errors"
	"strings"
	"testing"
)

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
