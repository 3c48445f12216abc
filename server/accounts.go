package server

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/server/auth"
)

// grantLife is how long a token of the OAuth2 password flow is good for.
const grantLife = time.Hour

// tokenView is a token as its owner sees it.
type tokenView struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	User    string       `json:"user"`
	Scopes  []auth.Scope `json:"scopes"`
	Things  []string     `json:"things,omitempty"`
	Created time.Time    `json:"created"`
	Expires *time.Time   `json:"expires,omitempty"`
	Used    *time.Time   `json:"used,omitempty"`    // last; absent: never
	Address string       `json:"address,omitempty"` // of the last use
	Token   string       `json:"token,omitempty"`   // only in the answer that issues it
}

func viewToken(t auth.Token) tokenView {
	scopes := auth.Scopes[:slices.Index(auth.Scopes, t.Scope)+1]
	return tokenView{ID: t.ID, Name: t.Name, User: t.User, Scopes: scopes, Things: t.Things, Created: t.Created, Expires: t.Expires}
}

// createToken answers POST /api/tokens.
func (s *Server) createToken(c echo.Context) error {
	var in struct {
		Name    string       `json:"name"`
		Scopes  []auth.Scope `json:"scopes"`
		Things  []string     `json:"things"`
		Expires *time.Time   `json:"expires"`
	}
	if err := decodeExact(c, smallBody, &in); err != nil {
		return err
	}
	scope, err := strongest(in.Scopes)
	if err != nil {
		return err
	}
	if err := checkPatterns(in.Things); err != nil {
		return err
	}
	t, secret, err := s.Auth.NewToken(c.Request().Context(), auth.Token{
		Name: in.Name, User: userOf(c).User, Scope: scope, Things: in.Things, Expires: in.Expires,
	})
	if err != nil {
		return err
	}
	s.log.Info("token issued", "user", t.User, "token", t.ID, "scope", t.Scope)
	v := viewToken(t)
	v.Token = secret
	return noStore(c).JSON(http.StatusCreated, v)
}

// strongest is the scope that a list amounts to, since each includes the ones
// before it.
func strongest(scopes []auth.Scope) (auth.Scope, error) {
	best := -1
	for i, sc := range scopes {
		rank := slices.Index(auth.Scopes, sc)
		if rank < 0 {
			return "", realtime.Wrong("scopes", "scopes are read, command and admin").In(fmt.Sprintf("/scopes/%d", i))
		}
		best = max(best, rank)
	}
	if best < 0 {
		return "", realtime.Wrong("scopes_none", "name at least one of the scopes read, command and admin").In("/scopes")
	}
	return auth.Scopes[best], nil
}

// checkPatterns accepts a missing list, but no empty one: "nothing" is not what
// anybody means by it, and "everything" would be a dangerous guess.
func checkPatterns(things []string) error {
	if things != nil && len(things) == 0 {
		return realtime.Wrong("patterns_none", "name at least one pattern, such as plant/**, or leave things out for all").In("/things")
	}
	for i, p := range things {
		var bad *realtime.Problem
		if errors.As(realtime.CheckPattern(p), &bad) {
			return bad.Of(realtime.CodeInvalid).In(fmt.Sprintf("/things/%d", i))
		}
	}
	return nil
}

// listTokens answers GET /api/tokens: one's own, or with ?user= somebody's (*
// for everybody's) when an administrator asks.
func (s *Server) listTokens(c echo.Context) error {
	user, err := ownerAsked(c, auth.ManageTokens)
	if err != nil {
		return err
	}
	ts, err := s.Auth.Tokens(c.Request().Context(), user)
	if err != nil {
		return err
	}
	uses, err := s.Auth.Uses(c.Request().Context(), auth.ByToken)
	if err != nil {
		return err
	}
	views := make([]tokenView, len(ts))
	for i, t := range ts {
		views[i] = viewToken(t)
		views[i].Used, views[i].Address = lastUse(uses[t.ID])
	}
	return noStore(c).JSON(http.StatusOK, views)
}

// deleteToken answers DELETE /api/tokens/{id}.
func (s *Server) deleteToken(c echo.Context) error {
	user := userOf(c).User
	if userOf(c).May(auth.ManageTokens) {
		user = "" // anybody's
	}
	if err := s.Auth.DeleteToken(c.Request().Context(), user, c.Param("id")); err != nil {
		return err
	}
	s.sessionsChanged()
	s.log.Info("token revoked", "by", userOf(c).User, "token", clip(c.Param("id")))
	return c.NoContent(http.StatusNoContent)
}

// ownerAsked is whose entries ?user= asks for: one's own, and with a permission
// somebody's, or "" for everybody's.
func ownerAsked(c echo.Context, of auth.Permission) (string, error) {
	user := c.QueryParam("user")
	if user == "" || user == userOf(c).User {
		return userOf(c).User, nil
	}
	if user == "*" {
		user = ""
	}
	return user, userOf(c).Denied(of)
}

// grantToken answers POST /api/token, OAuth2's password flow: its errors are
// words of RFC 6749.
func (s *Server) grantToken(c echo.Context) error {
	refuse := func(status int, word, why string) error {
		return noStore(c).JSON(status, map[string]string{"error": word, "error_description": why, "code": word})
	}
	form, err := formBody(c)
	if err != nil {
		return err
	}
	if g := form.Get("grant_type"); g != "password" {
		return refuse(http.StatusBadRequest, "unsupported_grant_type", "grant_type must be password")
	}
	ctx := c.Request().Context()
	u, err := s.Auth.Verify(ctx, form.Get("username"), form.Get("password"), visitOf(c).addr)
	if errors.Is(err, auth.ErrWrong) {
		s.log.Warn("login refused", "user", clip(form.Get("username")), "address", visitOf(c).addr, "why", err)
		return refuse(http.StatusBadRequest, "invalid_grant", err.Error())
	}
	if err != nil {
		return err
	}
	scopes := []auth.Scope{auth.Read, auth.Command}
	if u.Role == auth.Viewer {
		scopes = scopes[:1]
	}
	if asked := strings.Fields(form.Get("scope")); len(asked) > 0 {
		scopes = nil
		for _, a := range asked {
			scopes = append(scopes, auth.Scope(a))
		}
	}
	scope, err := strongest(scopes)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid_scope", err.Error())
	}
	expires := time.Now().Add(grantLife).UTC().Truncate(time.Second)
	t, secret, err := s.Auth.NewToken(ctx, auth.Token{Name: "password flow", User: u.Username, Scope: scope, Expires: &expires})
	var invalid *auth.Invalid
	if errors.As(err, &invalid) {
		return refuse(http.StatusBadRequest, "invalid_scope", invalid.Message)
	}
	if err != nil {
		return err
	}
	s.log.Info("token issued", "user", t.User, "token", t.ID, "scope", t.Scope)
	words := make([]string, 0, 3)
	for _, sc := range viewToken(t).Scopes {
		words = append(words, string(sc))
	}
	return noStore(c).JSON(http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		Scope       string `json:"scope"`
	}{secret, "bearer", int(grantLife.Seconds()), strings.Join(words, " ")})
}

// createTicket answers POST /api/tickets.
func (s *Server) createTicket(c echo.Context) error {
	var in struct {
		Things []string `json:"things"`
	}
	if err := decodeExact(c, smallBody, &in); err != nil {
		return err
	}
	if err := checkPatterns(in.Things); err != nil {
		return err
	}
	ticket, expires, err := s.Auth.NewTicket(userOf(c), in.Things)
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusCreated, struct {
		Ticket  string    `json:"ticket"`
		Expires time.Time `json:"expires"`
	}{ticket, expires})
}

// deviceView is a device's credential as administrators see it.
type deviceView struct {
	auth.Device
	Seen      *time.Time    `json:"seen,omitempty"`      // last; absent: never
	Address   string        `json:"address,omitempty"`   // where it was then
	Connected []string      `json:"connected,omitempty"` // the nodes whose MQTT door it is at now
	Refused   *auth.Refusal `json:"refused,omitempty"`   // what was not taken of it last
	Password  string        `json:"password,omitempty"`  // only in the answer that issues it
}

// lastUse is when and from where something was used last.
func lastUse(u auth.Use) (*time.Time, string) {
	if u.At.IsZero() {
		return nil, ""
	}
	at := u.At.UTC().Truncate(time.Second)
	return &at, u.Address
}

// createDevice answers POST /api/devices.
func (s *Server) createDevice(c echo.Context) error {
	var in struct {
		Username string     `json:"username"`
		Things   []string   `json:"things"`
		Expires  *time.Time `json:"expires"`
	}
	if err := decodeExact(c, smallBody, &in); err != nil {
		return err
	}
	if err := checkPatterns(in.Things); err != nil {
		return err
	}
	d, password, err := s.Auth.NewDevice(c.Request().Context(), auth.Device{Username: in.Username, Things: in.Things, Expires: in.Expires})
	if err != nil {
		return err
	}
	s.log.Info("device credential issued", "by", userOf(c).User, "device", d.Username, "id", d.ID)
	return noStore(c).JSON(http.StatusCreated, deviceView{Device: d, Password: password})
}

// listDevices answers GET /api/devices.
func (s *Server) listDevices(c echo.Context) error {
	ds, err := s.Auth.Devices(c.Request().Context())
	if err != nil {
		return err
	}
	uses, err := s.Auth.Uses(c.Request().Context(), auth.ByDevice)
	if err != nil {
		return err
	}
	views := make([]deviceView, len(ds))
	for i, d := range ds {
		u := uses[d.ID]
		views[i] = deviceView{Device: d, Connected: slices.Sorted(maps.Keys(u.Nodes)), Refused: u.Refused}
		views[i].Seen, views[i].Address = lastUse(u)
	}
	return noStore(c).JSON(http.StatusOK, views)
}

// deleteDevice answers DELETE /api/devices/{id}.
func (s *Server) deleteDevice(c echo.Context) error {
	if err := s.Auth.DeleteDevice(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	s.log.Info("device credential revoked", "by", userOf(c).User, "id", clip(c.Param("id")))
	return c.NoContent(http.StatusNoContent)
}
