package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"echotwin/realtime/bus"
	"echotwin/server"
	"echotwin/server/auth"
)

var accountWords = []string{"user", "token", "device", "session"}

// accountCommands are echotwin user, token, device and session. Each is a call of the
// API: of a running server when a token is given, and otherwise of one that is
// made for the call in the data folder, which no other may have open.
type accountCommands struct {
	User struct {
		AccountFlags accountFlags `embed:""`
		Add          struct {
			Name   string   `arg:"" help:"Letters, digits and . _ @ -"`
			Role   string   `default:"viewer" enum:"viewer,operator,engineer,admin" help:"viewer, operator, engineer or admin."`
			Things []string `help:"Patterns of the things that the user has to do with, such as plant/line1/**; all without."`
		} `cmd:"" help:"Add a user. The password is asked for, or read from standard input."`
		List struct{} `cmd:"" help:"List the users."`
		Role struct {
			Name   string   `arg:""`
			Role   string   `arg:"" enum:"viewer,operator,engineer,admin" help:"viewer, operator, engineer or admin."`
			Things []string `help:"Patterns of the things that the user has to do with from now on."`
			All    bool     `name:"all-things" help:"Lift the limits to things."`
		} `cmd:"" help:"Change a user's role, and the things that they have to do with."`
		Password struct {
			Name string `arg:""`
		} `cmd:"" help:"Give a user another password, asked for or read from standard input. It ends their sessions."`
		Delete struct {
			Name string `arg:""`
		} `cmd:"" help:"Delete a user, with sessions and tokens."`
	} `cmd:"" help:"Users."`

	Token struct {
		AccountFlags accountFlags `embed:""`
		Add          struct {
			Name    string        `arg:"" help:"What it is for."`
			Scope   string        `default:"read" enum:"read,command,admin" help:"read, command or admin."`
			Things  []string      `help:"Patterns of the things that it is for; all without."`
			Expires time.Duration `help:"How long it is good for, such as 720h; for good without."`
		} `cmd:"" help:"Issue a token and print it, once. It is that of the administrator who asks."`
		List   struct{} `cmd:"" help:"List everybody's tokens."`
		Delete struct {
			ID string `arg:""`
		} `cmd:"" help:"Revoke a token."`
	} `cmd:"" help:"Tokens for scripts."`

	Device struct {
		AccountFlags accountFlags `embed:""`
		Add          struct {
			Name    string        `arg:"" help:"Username of the device."`
			Things  []string      `required:"" help:"Patterns of the things that it speaks for."`
			Expires time.Duration `help:"How long it is good for, such as 8760h; for good without."`
		} `cmd:"" help:"Issue a device's credential and print its password, once."`
		List   struct{} `cmd:"" help:"List the credentials of devices."`
		Delete struct {
			ID string `arg:""`
		} `cmd:"" help:"Revoke a device's credential."`
	} `cmd:"" help:"Credentials of devices."`

	Session struct {
		AccountFlags accountFlags `embed:""`
		List         struct {
			User string `help:"Whose; everybody's without."`
		} `cmd:"" help:"List where people are signed in."`
		End struct {
			ID   string `arg:"" optional:"" help:"Of session list."`
			User string `help:"End all sessions of this user."`
		} `cmd:"" help:"Sign somebody out: of one session, or everywhere."`
	} `cmd:"" help:"Where people are signed in."`
}

// accountFlags say where the accounts are, and how to tell of them.
type accountFlags struct {
	URL     string `name:"url" env:"ECHOTWIN_URL" help:"Address of a running server, for user, token, device and session; http://localhost:3000 when only a token is given."`
	AsToken string `name:"token" env:"ECHOTWIN_TOKEN" help:"Token of an administrator for it. Without it the data folder itself is changed, and no server may run in it."`
	JSON    bool   `name:"json" help:"Answer as the API does, in JSON."`
}

// A call is one request to the API.
type call struct {
	method, path string
	body         map[string]any
}

// accounts is the commands echotwin user, token, device and session.
func accounts(ctx context.Context, c *commands, in io.Reader, out io.Writer) error {
	at, err := serverAt(c.accounts().URL, c.accounts().AsToken)
	if err != nil {
		return err
	}
	if at == "" {
		at = "http://localhost"                 // within answers
		if !strings.HasSuffix(c.full, " add") { // something may be added before the first start
			if err := c.kept(); err != nil {
				return err
			}
		}
	}
	ask, err := c.call(in)
	if err != nil {
		return err
	}
	if c.full == "user password" && c.accounts().AsToken == "" {
		return c.resetPassword(ctx, ask.body["password"].(string), out)
	}
	api, token, done, err := c.api(ctx)
	if err != nil {
		return err
	}
	body, err := ask.send(ctx, api, at, token)
	if err = errors.Join(err, done()); err != nil {
		return err
	}
	if c.accounts().JSON {
		if len(body) == 0 {
			body = []byte("{}")
		}
		_, err = fmt.Fprintln(out, string(bytes.TrimSpace(body)))
		return err
	}
	return tell(out, ask, body)
}

// call is the request that a command stands for.
func (c *commands) call(in io.Reader) (call, error) {
	body := map[string]any{}
	set := func(name string, value any, given bool) {
		if given {
			body[name] = value
		}
	}
	expires := func(d time.Duration) {
		set("expires", time.Now().Add(d).UTC().Format(time.RFC3339), d != 0)
	}
	password := func() (err error) {
		body["password"], err = readPassword(in)
		return err
	}
	a := &c.Accounts
	switch c.full {
	case "user add":
		u := a.User.Add
		body["username"], body["role"] = u.Name, u.Role
		set("things", u.Things, len(u.Things) > 0)
		err := password()
		return call{"POST", "/api/users", body}, err
	case "user list":
		return call{"GET", "/api/users", nil}, nil
	case "user role":
		u := a.User.Role
		body["role"] = u.Role
		set("things", u.Things, len(u.Things) > 0)
		set("things", nil, u.All)
		return call{"PATCH", "/api/users/" + url.PathEscape(u.Name), body}, nil
	case "user password":
		err := password()
		return call{"PATCH", "/api/users/" + url.PathEscape(a.User.Password.Name), body}, err
	case "user delete":
		return call{"DELETE", "/api/users/" + url.PathEscape(a.User.Delete.Name), nil}, nil
	case "token add":
		t := a.Token.Add
		body["name"], body["scopes"] = t.Name, []string{t.Scope}
		set("things", t.Things, len(t.Things) > 0)
		expires(t.Expires)
		return call{"POST", "/api/tokens", body}, nil
	case "token list":
		return call{"GET", "/api/tokens?user=*", nil}, nil
	case "token delete":
		return call{"DELETE", "/api/tokens/" + url.PathEscape(a.Token.Delete.ID), nil}, nil
	case "device add":
		d := a.Device.Add
		body["username"], body["things"] = d.Name, d.Things
		expires(d.Expires)
		return call{"POST", "/api/devices", body}, nil
	case "device list":
		return call{"GET", "/api/devices", nil}, nil
	case "device delete":
		return call{"DELETE", "/api/devices/" + url.PathEscape(a.Device.Delete.ID), nil}, nil
	case "session list":
		return call{"GET", "/api/sessions?user=" + url.QueryEscape(cmp.Or(a.Session.List.User, "*")), nil}, nil
	case "session end", "session end <id>":
		return a.endSession()
	}
	return call{}, fmt.Errorf("there is no command %q", c.full)
}

// endSession ends one session by its id, or all of a user.
func (a *accountCommands) endSession() (call, error) {
	switch end := a.Session.End; {
	case end.ID != "" && end.User != "" || end.ID == "" && end.User == "":
		return call{}, errors.New("session end needs the id of a session, as session list has it, or --user")
	case end.ID != "":
		return call{"DELETE", "/api/sessions/" + url.PathEscape(end.ID), nil}, nil
	default:
		return call{"DELETE", "/api/sessions?user=" + url.QueryEscape(end.User), nil}, nil
	}
}

// readPassword asks at a terminal, without showing what is typed, and else reads
// one line. It never comes from the arguments, which every user of the machine
// can see.
func readPassword(in io.Reader) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(os.Stderr, "Password: ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(os.Stderr)
		return string(b), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("no password came on standard input")
	}
	return line, nil
}

func (c *commands) accounts() *accountFlags {
	switch c.do {
	case "user":
		return &c.Accounts.User.AccountFlags
	case "token":
		return &c.Accounts.Token.AccountFlags
	case "session":
		return &c.Accounts.Session.AccountFlags
	}
	return &c.Accounts.Device.AccountFlags
}

// api is what answers the call, with an administrator's token for it.
func (c *commands) api(ctx context.Context) (http.RoundTripper, string, func() error, error) {
	if token := c.accounts().AsToken; token != "" {
		return http.DefaultTransport, token, func() error { return nil }, nil
	}
	s, err := c.openFolder(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	token, forget, api, err := s.folderAPI(ctx)
	if err != nil {
		s.bus.Close()
		return nil, "", nil, err
	}
	return api, token, func() error { defer s.bus.Close(); return forget() }, nil
}

// openFolder opens the accounts of a data folder that no server runs in.
func (c *commands) openFolder(ctx context.Context) (*stages, error) {
	quiet := slog.New(slog.DiscardHandler)
	if err := prepare(&c.config, quiet); err != nil {
		return nil, err
	}
	s := &stages{cfg: &c.config, log: quiet}
	var err error
	// The limits are out of reach, so that nothing of the log is dropped here.
	if s.bus, err = bus.Open(ctx, bus.Config{Dir: filepath.Join(c.Data, "nats"), URL: c.Nats, Log: quiet, MaxBytes: 1 << 50, MaxAge: 1 << 62}); err != nil {
		return nil, fmt.Errorf("%w (for a running server give --token of an administrator, and --url)", err)
	}
	if err := s.openAuth(ctx); err != nil {
		s.bus.Close()
		return nil, err
	}
	return s, nil
}

// resetPassword is the way back for an administrator who has forgotten theirs:
// over HTTP they would have to show the old one.
func (c *commands) resetPassword(ctx context.Context, password string, out io.Writer) error {
	s, err := c.openFolder(ctx)
	if err != nil {
		return err
	}
	defer s.bus.Close()
	name := c.Accounts.User.Password.Name
	if err := s.auth.SetPassword(ctx, name, password); errors.Is(err, auth.ErrNotFound) {
		return call{path: "/api/users/" + name}.noSuch()
	} else if err != nil {
		return err
	}
	word := "done"
	if c.accounts().JSON {
		word = "{}"
	}
	_, err = fmt.Fprintln(out, word)
	return err
}

// folderAPI is the API of the data folder, with a token that lives until forget.
func (s *stages) folderAPI(ctx context.Context) (token string, forget func() error, api http.RoundTripper, err error) {
	users, err := s.auth.Users(ctx)
	if err != nil {
		return "", nil, nil, err
	}
	name := ""
	for _, u := range users {
		if u.Role == auth.Administrator {
			name = u.Username
			break
		}
	}
	soon := time.Now().Add(time.Minute)
	t, token, err := s.auth.NewToken(ctx, auth.Token{Name: "command line", User: name, Scope: auth.Admin, Expires: &soon})
	if err != nil {
		return "", nil, nil, err
	}
	srv, err := server.New(server.Deps{Config: server.Config{SessionSecret: s.cfg.SessionSecret, NoHTTPSRedirect: true}, Auth: s.auth, Log: s.log})
	if err != nil {
		return "", nil, nil, err
	}
	forget = func() error {
		srv.Close()
		err := s.auth.DeleteToken(ctx, "", t.ID)
		if errors.Is(err, auth.ErrNotFound) { // its user was deleted
			return nil
		}
		return err
	}
	return token, forget, within{srv}, nil
}
