package server

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/labstack/echo-contrib/session"
	"github.com/labstack/echo/v4"

	"echotwin/server/auth"
)

// sessionCookie is named as the seed's framework names it.
const sessionCookie = "session"

var errNotSignedIn = errors.New("sign in first: POST /api/login, or send Authorization: Bearer with a token")

type cookieStore = sessions.CookieStore

// newCookieStore makes cookies that are signed and sealed with keys derived
// from the secret. They hold {"id":…,"user":{"username":…}} and are worth
// nothing without the session on the server.
func newCookieStore(secret string, production bool, life time.Duration) (*cookieStore, error) {
	sign, err := hkdf.Key(sha256.New, []byte(secret), nil, "echotwin session cookie: sign", 32)
	if err != nil {
		return nil, err
	}
	seal, err := hkdf.Key(sha256.New, []byte(secret), nil, "echotwin session cookie: seal", 32)
	if err != nil {
		return nil, err
	}
	cs := sessions.NewCookieStore(sign, seal)
	for _, c := range cs.Codecs {
		c.(*securecookie.SecureCookie).SetSerializer(cookieJSON{})
	}
	cs.Options = &sessions.Options{Path: "/", HttpOnly: true, Secure: production, SameSite: http.SameSiteLaxMode}
	cs.MaxAge(int(life.Seconds()))
	return cs, nil
}

// cookieJSON writes a session's values as JSON: gob, gorilla's own, builds its
// type tables anew for every request.
type cookieJSON struct{}

type cookieValues struct {
	ID   string `json:"id"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
}

func (cookieJSON) Serialize(src any) ([]byte, error) {
	m, _ := src.(map[any]any)
	v, ok := m["session"].(cookieValues)
	if !ok {
		return nil, fmt.Errorf("session cookie: unexpected values %T", src)
	}
	return json.Marshal(v)
}

func (cookieJSON) Deserialize(b []byte, dst any) error {
	m, ok := dst.(*map[any]any)
	if !ok {
		return fmt.Errorf("session cookie: unexpected target %T", dst)
	}
	var v cookieValues
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	(*m)["session"] = v
	return nil
}

// sessionID is the id in the request's cookie, or "".
func (s *Server) sessionID(c echo.Context) string {
	cookie, err := c.Request().Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	if id, ok := s.opened.get(cookie.Value); ok {
		return id
	}
	sess, err := session.Get(sessionCookie, c)
	if err != nil || sess == nil {
		return "" // forged, too old, or signed with an earlier secret
	}
	v, _ := sess.Values["session"].(cookieValues)
	if v.ID != "" {
		s.opened.put(cookie.Value, v.ID)
	}
	return v.ID
}

const maxOpened = 10000

// opened remembers the ids in cookies that were in order, since verifying and
// unsealing one costs more than everything else about a small request. Whether
// the session still is one is not remembered here: its record says that.
type opened struct {
	mu sync.Mutex
	m  map[string]string
}

func (o *opened) get(cookie string) (id string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, ok = o.m[cookie]
	return id, ok
}

func (o *opened) put(cookie, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.m == nil || len(o.m) >= maxOpened {
		o.m = map[string]string{} // the living come back with their next request
	}
	o.m[cookie] = id
}

// setSession writes the cookie; an empty id removes it.
func setSession(c echo.Context, id, username string) error {
	s, err := session.Get(sessionCookie, c)
	if s == nil {
		return err
	}
	v := cookieValues{ID: id}
	v.User.Username = username
	s.Values["session"] = v
	if id == "" {
		s.Options.MaxAge = -1
	}
	return s.Save(c.Request(), c.Response())
}

// identity tells who sent the request: an error when they showed something that
// is not good, and nil when they showed nothing.
func (s *Server) identity(c echo.Context) (*auth.Identity, error) {
	v := visitOf(c)
	if !v.asked {
		v.who, v.err = s.identify(c)
		v.asked = true
		s.Auth.Used(v.who, v.addr)
	}
	return v.who, v.err
}

func (s *Server) identify(c echo.Context) (*auth.Identity, error) {
	r := c.Request()
	ctx := r.Context()
	if a := r.Header.Get(echo.HeaderAuthorization); a != "" {
		scheme, secret, _ := strings.Cut(a, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, auth.ErrNone
		}
		return s.Auth.Token(ctx, strings.TrimSpace(secret))
	}
	if id := s.sessionID(c); id != "" {
		who, err := s.Auth.Session(ctx, id)
		if errors.Is(err, auth.ErrNone) {
			return nil, nil // a cookie that has outlived its session is no claim
		}
		return who, err
	}
	return nil, nil
}
