package main

import (
	"strings"
	"testing"
)

// The same commands against a server that runs, with an administrator's token.
func TestAccountsOfARunningServer(t *testing.T) {
	at, _ := start(t, settings(t, nil))
	base := "http://" + at.HTTP
	c := signIn(t, at)
	issue := func(body string) string {
		t.Helper()
		_, answer := c.do("POST", "/api/tokens", body)
		return decode[struct{ Token string }](t, answer).Token
	}
	token, reads := issue(`{"name":"cli","scopes":["admin"]}`), issue(`{"name":"reads","scopes":["read"]}`)
	elsewhere := t.TempDir() // nothing of it is touched
	for _, tt := range []struct {
		token, in string
		args      string
		want      string // in the output, or in the error after "!"
	}{
		{token, "battery staple\n", "user add ana --role=operator --things=plant/**", "done"},
		{token, "battery staple\n", "user add ana", "!taken"},
		{token, "", "user list", "ana    operator  plant/**"},
		{token, "", "user role ana engineer --all-things", "done"},
		{token, "", "user list --json", `"username":"ana","role":"engineer","created"`},
		{token, "another staple\n", "user password ana", "done"},
		{token, "", "user role admin viewer", "!last administrator"},
		{token, "", "device add pump --things=plant/pump", "ed_"},
		{token, "", "device list", "never used"},
		{token, "", "token add grafana --scope=read --expires=720h", "et_"},
		{token, "", "token list", "used 20"},
		{token, "", "user delete nobody", "!no such"},
		{token, "", "user delete ana", "done"},
		{reads, "", "user list", "!scope admin"},
		{"et_wrong", "", "user list", "!unknown, expired or revoked"},
		{token, "", "user list --url=" + base + "/", "admin"},
		{token, "", "user list --url=http://127.0.0.1:1", "!refused"},
	} {
		args := append(strings.Fields(tt.args), "--token="+tt.token)
		if !strings.Contains(tt.args, "--url") {
			args = append(args, "--url="+base)
		}
		got, err := line(t, elsewhere, tt.in, args...)
		want, wrong := strings.CutPrefix(tt.want, "!")
		if err != nil {
			got = err.Error()
		}
		if (err != nil) != wrong || !strings.Contains(got, want) {
			t.Errorf("echotwin %s: got %q, want %q", tt.args, got, tt.want)
		}
	}
	// What was issued works, and what was deleted does not.
	secret, err := line(t, elsewhere, "", "token", "add", "look", "--token="+token, "--url="+base)
	if err != nil {
		t.Fatal(err)
	}
	if code, body := newClient(t, at).do("GET", "/api/things", "", "Authorization", "Bearer "+strings.TrimSpace(secret)); code != 200 {
		t.Errorf("the new token gives %d %s", code, body)
	}
}
