package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a ticket says that is signed with our key, such as one of another
// version, it is nobody's and nothing breaks.
func FuzzTicketThatIsSigned(f *testing.F) {
	a, err := Open(f.Context(), newStores().config(Config{}))
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{"", "{}", `{"k":"session","r":"","e":99999999999}`, `{"k":"device","r":"x","e":99999999999}`, `{"k":"token","r":"\u0000","t":["**"],"e":99999999999}`, `{"e":1e300}`, `[]`, "\xff"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text := base64.RawURLEncoding.EncodeToString(body)
		if who, err := a.Ticket(t.Context(), text+"."+a.sign(text)); !errors.Is(err, ErrNone) || who != nil {
			t.Errorf("%q is %v, %v", body, who, err)
		}
	})
}

// Whatever a provider says of somebody, they get a role that was configured, and
// a name that is one.
func FuzzClaims(f *testing.F) {
	for _, body := range []string{`{}`, `{"groups":["boss"]}`, `{"groups":"shift"}`, `{"groups":{"boss":1}}`, `{"groups":[null,7,["boss"]]}`, `{"preferred_username":"ad\u0000min","email":"a@b"}`, `{"a":{"b":["boss"]}}`} {
		f.Add(body, "a.b", "1")
	}
	o, err := NewOIDC(nil, OIDCConfig{Issuer: "https://login.example.com", ClientID: "x", Roles: []string{"shift=operator", "boss=engineer"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body, path, subject string) {
		c := claims{}
		if json.Unmarshal([]byte(body), &c) != nil {
			t.Skip()
		}
		o := &OIDC{cfg: o.cfg, roles: o.roles}
		o.cfg.RoleClaim = path
		if r := o.role(c); r != "" && r != Operator && r != Engineer {
			t.Errorf("%s at %q gives the role %q", body, path, r)
		}
		if name := o.username(subject, c); checkUsername(name) != nil {
			t.Errorf("%s gives the name %q", body, name)
		}
	})
}

// What devices and browsers say is kept short, printable and valid.
func FuzzWhatIsKeptOfThem(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64)")
	f.Add("\x00\x1b[2J\u202e\xff" + strings.Repeat("é", 200))
	f.Fuzz(func(t *testing.T, s string) {
		for _, kept := range []string{cleanAgent(s), refusal("", s).Why} {
			if len(kept) > maxWhy+4 || !utf8.ValidString(kept) || strings.ContainsAny(kept, "\x00\x1b\n\r\u202e") {
				t.Errorf("%q is kept as %q", s, kept)
			}
		}
	})
}

// A letter with a mark is the same letter however the keyboard writes it; a
// letter that only looks like another is not.
func TestPasswordsAreComparedAsTheyAreRead(t *testing.T) {
	a := newStores().open(t, Config{})
	composed, apart := "m\u1EADt kh\u1EA9u", "ma\u0323\u0302t kha\u0302\u0309u"
	if _, err := a.AddUser(t.Context(), "lan", composed, Viewer); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		password string
		ok       bool
	}{
		{composed, true}, {apart, true},
		{"mat khau", false}, {composed + "\x00", false}, {composed + " ", false}, {"m\u1EADt kh\u1EA9\u1D1C", false}, {strings.Repeat(composed, 100000), false}, {"\xff\xfe", false},
	} {
		_, err := a.Verify(t.Context(), "lan", tt.password, "192.0.2."+tt.password[:1])
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrWrong) {
			t.Errorf("%.40q gave %v", tt.password, err)
		}
	}
}
