package server

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/server/auth"
)

// notSticking tells a person why they will still be signed out.
const notSticking = "The session cookie is Secure and this request came over plain HTTP, so the browser drops it and you stay signed out. " +
	"Open the https address; behind a proxy, have it send X-Forwarded-Proto: https."

// login answers POST /api/login.
func (s *Server) login(c echo.Context) error {
	var in struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Next     string `json:"next"`
	}
	if err := decode(c, smallBody, &in); err != nil {
		return err
	}
	v := visitOf(c)
	u, err := s.Auth.Verify(c.Request().Context(), in.Username, in.Password, v.addr)
	if err != nil {
		s.log.Warn("login refused", "user", clip(in.Username), "address", v.addr, "why", err)
		return err
	}
	if err := s.startSession(c, u); err != nil {
		return err
	}
	s.log.Info("login", "user", u.Username, "address", v.addr)
	out := struct {
		OK       bool   `json:"ok"`
		Username string `json:"username"`
		Next     string `json:"next,omitempty"`
		Warning  string `json:"warning,omitempty"`
	}{OK: true, Username: u.Username}
	if in.Next != "" {
		out.Next = localPath(in.Next)
	}
	if s.Production && !v.https {
		out.Warning = notSticking
	}
	return noStore(c).JSON(http.StatusOK, out)
}

// startSession signs a user in whose credentials were checked. The session that
// the browser had is over: somebody else may have planted it.
func (s *Server) startSession(c echo.Context, u auth.User) error {
	return s.openSession(c, u, func(address, agent string) (string, error) {
		return s.Auth.StartSession(c.Request().Context(), u, address, agent)
	})
}

func (s *Server) openSession(c echo.Context, u auth.User, start func(address, agent string) (string, error)) error {
	ctx := c.Request().Context()
	if old := s.sessionID(c); old != "" {
		if err := s.Auth.EndSession(ctx, old); err != nil {
			return err
		}
	}
	id, err := start(visitOf(c).addr, c.Request().UserAgent())
	if err != nil {
		return err
	}
	return setSession(c, id, u.Username)
}

// sameText compares secrets in a time that says nothing of them.
func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// localPath is where to go after the login: a path of ours, or the dashboard
// when next would lead anywhere else.
func localPath(next string) string {
	const home = "/app"
	// Browsers drop tabs and newlines and read \ as /, so /\evil.example and
	// "/\t/evil.example" both leave.
	bad := strings.ContainsFunc(next, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f })
	if bad || len(next) > 2000 || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return home
	}
	return next
}

// logout answers POST /api/logout. Signing out twice is no error. Who signed in
// at a provider may have to go there, too.
func (s *Server) logout(c echo.Context) error {
	out := struct {
		OK   bool   `json:"ok"`
		Next string `json:"next,omitempty"`
	}{OK: true}
	if id := s.sessionID(c); id != "" {
		if who, err := s.Auth.Session(c.Request().Context(), id); err == nil && who.OIDC && s.OIDC != nil {
			out.Next = s.OIDC.SignOut(c.Request().Context(), s.opens(c, "/login.html"))
		}
		if err := s.Auth.EndSession(c.Request().Context(), id); err != nil {
			return err
		}
		s.sessionsChanged()
	}
	if err := setSession(c, "", ""); err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, out)
}

// me answers GET /api/me: never an error for who is not signed in.
func (s *Server) me(c echo.Context) error {
	type user struct {
		Username string     `json:"username"`
		Role     auth.Role  `json:"role"`
		Scope    auth.Scope `json:"scope"`
		Things   []string   `json:"things,omitempty"` // the user's own patterns
		OIDC     bool       `json:"oidc,omitempty"`   // they have no password here
	}
	who, err := s.identity(c)
	if err != nil {
		return err
	}
	if who == nil {
		if s.DemoLogin {
			// A header, because scripts of the original compare the body.
			c.Response().Header().Set("Echotwin-Demo-Login", "1")
		}
		if s.OIDC != nil {
			c.Response().Header().Set(oidcHeader, url.PathEscape(s.OIDC.Name()))
		}
		return noStore(c).JSON(http.StatusOK, map[string]bool{"loggedIn": false})
	}
	return noStore(c).JSON(http.StatusOK, struct {
		LoggedIn bool                          `json:"loggedIn"`
		User     user                          `json:"user"`
		May      []auth.Permission             `json:"may"`
		Needs    map[auth.Permission]auth.Role `json:"needs"` // what they may not, with the least role that may
	}{true, user{who.User, who.Role, who.Scope, who.Limits(), who.OIDC}, who.Allowed(), who.Missing()})
}
