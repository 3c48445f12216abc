package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// line runs a command line of accounts against a data folder.
func line(t *testing.T, data, in string, args ...string) (string, error) {
	t.Helper()
	env := map[string]string{"ECHOTWIN_DATA": data, "NODE_ENV": "development"}
	c, err := readCommand(args, func(name string) string { return env[name] })
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = accounts(t.Context(), c, strings.NewReader(in), &out)
	return out.String(), err
}

func TestAccountsOfAStoppedServer(t *testing.T) {
	data := t.TempDir()
	for _, tt := range []struct {
		in   string
		args string
		want string // in the output, or in the error after "!"
	}{
		{"correct horse\n", "user add ana --role=operator --things=plant/**", "done"},
		{"correct horse\n", "user add ana", "!taken"},
		{"short\n", "user add bob", "!password"},
		{"", "user add bob", "!standard input"},
		{"", "user add bob --role=king", "!must be one of"},
		{"", "user list", "ana    operator  plant/**"},
		{"", "user list --json", `"username":"ana","role":"operator","things":["plant/**"]`},
		{"", "user role ana admin", "!every thing"},
		{"", "user role ana engineer --all-things", "done"},
		{"", "user list", "ana    engineer  all things"},
		{"", "user role admin viewer", "!last administrator"},
		{"", "user delete admin", "!last administrator"},
		{"battery staple\n", "user password admin", "done"},
		{"", "device add pump --things=plant/pump", "ed_"},
		{"", "device add pump", "!things"},
		{"", "device list", "plant/pump"},
		{"", "device delete nothing", "!no such device: nothing"},
		{"", "user role bob viewer", "!no such user: bob"},
		{"battery staple\n", "user password bob", "!no such user: bob"},
		{"", "token delete 5", "!no such token: 5"},
		{"", "token add grafana --scope=read --expires=720h", "et_"},
		{"", "token list", "grafana"},
		{"", "user delete ana", "done"},
		{"", "user delete ana", "!no such"},
	} {
		got, err := line(t, data, tt.in, strings.Fields(tt.args)...)
		want, wrong := strings.CutPrefix(tt.want, "!")
		if err != nil {
			got = err.Error()
		}
		if (err != nil) != wrong || !strings.Contains(got, want) {
			t.Errorf("echotwin %s: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

// A mistake in the name of the folder made an empty one and listed its users;
// --url without a token was not looked at, and the folder answered for the server.
func TestAccountsOfWhatIsNotThere(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "plnat")
	for _, args := range []string{"user list", "user delete ana", "token list", "device delete pump"} {
		if got, err := line(t, missing, "", strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), "--data") {
			t.Errorf("%s: got %q and %v, want an error that names --data", args, got, err)
		}
	}
	if got, err := line(t, missing, "", "user", "list", "--url=http://plant.example"); err == nil || !strings.Contains(err.Error(), "--token") {
		t.Errorf("a server without a token: got %q and %v", got, err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the folder was made")
	}
}

func TestAccountsOfARunningServerWantAToken(t *testing.T) {
	data := t.TempDir()
	env := map[string]string{"ECHOTWIN_DATA": data, "NODE_ENV": "development"}
	c, err := readCommand([]string{"user", "list"}, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.openFolder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.bus.Close()
	if got, err := line(t, data, "", "user", "list"); err == nil || !strings.Contains(err.Error(), "--token") {
		t.Errorf("got %q and %v", got, err)
	}
}
