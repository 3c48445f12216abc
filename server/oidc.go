package server

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/server/auth"
)

const (
	journeyCookie = "echotwin-sign-in"
	journeyTime   = 10 * time.Minute // somebody may have to find their phone first
	oidcCallback  = "/api/oidc/callback"

	// oidcHeader names the provider to the login page. A header, because scripts of
	// the original compare the body of GET /api/me.
	oidcHeader = "Echotwin-Sign-In"
)

// oidcRoutes is signing in at a provider. Without one they say that there is none.
func (s *Server) oidcRoutes() error {
	sign, err := hkdf.Key(sha256.New, []byte(s.SessionSecret), nil, "echotwin sign-in cookie: sign", 32)
	if err != nil {
		return err
	}
	seal, err := hkdf.Key(sha256.New, []byte(s.SessionSecret), nil, "echotwin sign-in cookie: seal", 32)
	if err != nil {
		return err
	}
	s.journeys = securecookie.New(sign, seal).SetSerializer(securecookie.JSONEncoder{}).MaxAge(int(journeyTime.Seconds()))
	s.route(http.MethodGet, "/api/oidc/login", auth.Public, s.oidcLogin)
	s.route(http.MethodGet, oidcCallback, auth.Public, s.oidcReturn)
	s.post("/api/oidc/backchannel-logout", auth.Public, s.oidcLoggedOut)
	return nil
}

// oidcLogin answers GET /api/oidc/login: to the provider, and back to ?next=.
func (s *Server) oidcLogin(c echo.Context) error {
	noStore(c)
	if s.OIDC == nil {
		return echo.ErrNotFound
	}
	next := localPath(c.QueryParam("next"))
	to, journey, err := s.OIDC.Begin(c.Request().Context(), s.opens(c, oidcCallback), next)
	if err != nil {
		return s.oidcFailed(c, next, err)
	}
	sealed, err := s.journeys.Encode(journeyCookie, journey)
	if err != nil {
		return err
	}
	c.SetCookie(s.journeyCookie(c, sealed, int(journeyTime.Seconds())))
	return c.Redirect(http.StatusFound, to)
}

// opens is the address of a path as people open it.
func (s *Server) opens(c echo.Context, path string) string {
	root := s.PublicURL
	if root == "" {
		root = base(c)
	}
	return strings.TrimSuffix(root, "/") + path
}

// journeyCookie comes back from the provider's page, so it is lax. It is Secure
// where the browser speaks https, and not only in production: a provider in the
// plant may be tried over plain HTTP.
func (s *Server) journeyCookie(c echo.Context, value string, age int) *http.Cookie {
	return &http.Cookie{Name: journeyCookie, Value: value, Path: "/api/oidc", MaxAge: age, HttpOnly: true, Secure: visitOf(c).https, SameSite: http.SameSiteLaxMode}
}

var (
	errForeign = errors.New("this browser did not begin this sign-in, or too long ago")
	errRefused = errors.New("the provider did not sign them in")
)

// oidcReturn answers GET /api/oidc/callback, where the provider sends the
// browser.
func (s *Server) oidcReturn(c echo.Context) error {
	noStore(c)
	if s.OIDC == nil {
		return echo.ErrNotFound
	}
	var journey auth.Journey
	cookie, err := c.Cookie(journeyCookie)
	if err == nil {
		err = s.journeys.Decode(journeyCookie, cookie.Value, &journey)
	}
	c.SetCookie(s.journeyCookie(c, "", -1)) // it is good for one return
	state := c.QueryParam("state")
	switch {
	case err != nil || journey.State == "" || !sameText(state, journey.State):
		return s.oidcFailed(c, "", errForeign)
	case c.QueryParam("error") != "":
		return s.oidcFailed(c, journey.Next, errors.Join(errRefused, errors.New(clip(c.QueryParam("error")+" "+c.QueryParam("error_description")))))
	}
	ctx, v := c.Request().Context(), visitOf(c)
	who, err := s.OIDC.Finish(ctx, journey, c.QueryParam("code"))
	s.sessionsChanged() // the role may be another, or what was issued is over
	if err != nil {
		return s.oidcFailed(c, journey.Next, err)
	}
	u := who.User
	if err := s.openSession(c, u, func(address, agent string) (string, error) { return s.OIDC.StartSession(ctx, who, address, agent) }); err != nil {
		return err
	}
	s.log.Info("login", "user", u.Username, "address", v.addr, "provider", s.OIDC.Name(), "role", u.Role)
	return c.Redirect(http.StatusFound, localPath(journey.Next))
}

// oidcLoggedOut answers POST /api/oidc/backchannel-logout, by which the provider
// says that somebody has signed out there. What shows that it is the provider is
// the signature of the token.
func (s *Server) oidcLoggedOut(c echo.Context) error {
	noStore(c)
	if s.OIDC == nil {
		return echo.ErrNotFound
	}
	form, err := formBody(c)
	if err != nil {
		return err
	}
	addr := visitOf(c).addr
	users, n, err := s.OIDC.LoggedOut(c.Request().Context(), form.Get("logout_token"), addr)
	switch {
	case errors.Is(err, auth.ErrNoLogout):
		return problem(realtime.CodeNotFound, "%s", err.Error())
	case errors.Is(err, auth.ErrUntrusted):
		s.log.Warn("a logout of the provider was refused", "address", addr, "err", err)
		return problem(realtime.CodeMalformed, "%s", clip(err.Error()))
	case errors.Is(err, auth.ErrUnreachable), errors.Is(err, auth.ErrBusy):
		s.log.Warn("a logout of the provider was not heard", "address", addr, "err", err)
		return problem(realtime.CodeUnavailable, "the provider cannot be asked for its keys now, send it again")
	case err != nil:
		return err
	}
	s.sessionsChanged()
	s.log.Info("signed out at the provider", "users", users, "sessions", n, "address", addr)
	return c.NoContent(http.StatusOK)
}

// oidcWords are what the login page says, by what went wrong.
var oidcWords = []struct {
	err  error
	word string
}{
	{errForeign, "foreign"},
	{errRefused, "refused"},
	{auth.ErrUnreachable, "unreachable"},
	{auth.ErrUntrusted, "untrusted"},
	{auth.ErrNoRole, "role"},
	{auth.ErrNameTaken, "name"},
	{auth.ErrBusy, "unreachable"},
}

// oidcFailed goes back to the login page, which says what went wrong in the
// reader's language. What exactly, the log says.
func (s *Server) oidcFailed(c echo.Context, next string, err error) error {
	word := "failed"
	for _, w := range oidcWords {
		if errors.Is(err, w.err) {
			word = w.word
			break
		}
	}
	s.log.Warn("sign-in at the provider failed", "address", visitOf(c).addr, "err", err)
	q := url.Values{"problem": {word}}
	if next != "" {
		q.Set("next", localPath(next))
	}
	return c.Redirect(http.StatusFound, "/login.html?"+q.Encode())
}
