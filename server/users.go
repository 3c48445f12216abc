package server

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/server/auth"
)

type userView struct {
	Username string    `json:"username"`
	Role     auth.Role `json:"role"`
	Things   []string  `json:"things,omitempty"`
	Created  time.Time `json:"created"`
	OIDC     bool      `json:"oidc,omitempty"` // signs in at a provider, which says the role
}

func viewUser(u auth.User) userView {
	return userView{u.Username, u.Role, u.Things, u.Created, u.OIDC != nil}
}

// listUsers answers GET /api/users.
func (s *Server) listUsers(c echo.Context) error {
	us, err := s.Auth.Users(c.Request().Context())
	if err != nil {
		return err
	}
	views := make([]userView, len(us))
	for i, u := range us {
		views[i] = viewUser(u)
	}
	return noStore(c).JSON(http.StatusOK, views)
}

// createUser answers POST /api/users.
func (s *Server) createUser(c echo.Context) error {
	var in struct {
		Username string    `json:"username"`
		Password string    `json:"password"`
		Role     auth.Role `json:"role"`
		Things   []string  `json:"things"`
	}
	if err := decodeExact(c, smallBody, &in); err != nil {
		return err
	}
	if err := checkPatterns(in.Things); err != nil {
		return err
	}
	u, err := s.Auth.AddUser(c.Request().Context(), in.Username, in.Password, in.Role, in.Things...)
	if err != nil {
		return err
	}
	s.log.Info("user added", "by", userOf(c).User, "user", u.Username, "role", u.Role)
	return noStore(c).JSON(http.StatusCreated, viewUser(u))
}

// changeUser answers PATCH /api/users/{name}. Administrators set roles, things
// and passwords; everybody may change their own password by showing the old one.
func (s *Server) changeUser(c echo.Context) error {
	var in struct {
		Role     *auth.Role      `json:"role"`
		Things   json.RawMessage `json:"things"` // null lifts the limits
		Password *string         `json:"password"`
		Old      string          `json:"oldPassword"`
	}
	if err := decodeExact(c, smallBody, &in); err != nil {
		return err
	}
	ctx, who, name := c.Request().Context(), userOf(c), c.Param("name")
	own := name == who.User
	if !own || in.Role != nil || in.Things != nil {
		if err := who.Denied(auth.ManageUsers); err != nil {
			return err
		}
	}
	things, err := changedThings(in.Things)
	if err != nil {
		return err
	}
	if in.Role == nil && in.Password == nil && things == nil {
		return realtime.Wrong("change_nothing", "give a role, things, a password, or more of them")
	}
	if in.Password != nil && own {
		// A session left open must not be enough to take the account over.
		if _, err := s.Auth.Verify(ctx, name, in.Old, visitOf(c).addr); err != nil {
			return err
		}
	}
	u, err := s.Auth.ChangeUser(ctx, name, auth.Change{Role: in.Role, Things: things, Password: in.Password})
	if err != nil {
		return err
	}
	s.sessionsChanged()
	s.log.Info("user changed", "by", who.User, "user", name, "role", u.Role, "things", u.Things, "password", in.Password != nil)
	return c.NoContent(http.StatusNoContent)
}

// changedThings reads the member things of a change: nil when it is absent, an
// empty list when it is null.
func changedThings(raw json.RawMessage) (*[]string, error) {
	if raw == nil {
		return nil, nil
	}
	things := []string{}
	if string(raw) == "null" {
		return &things, nil
	}
	if json.Unmarshal(raw, &things) != nil {
		return nil, realtime.Wrong("patterns", `things is a list of patterns, such as ["plant/line1/**"], or null for every thing`).Of(realtime.CodeMalformed).In("/things")
	}
	return &things, checkPatterns(things)
}

// deleteUser answers DELETE /api/users/{name}.
func (s *Server) deleteUser(c echo.Context) error {
	if err := s.Auth.DeleteUser(c.Request().Context(), c.Param("name")); err != nil {
		return err
	}
	s.sessionsChanged()
	s.log.Info("user deleted", "by", userOf(c).User, "user", c.Param("name"))
	return c.NoContent(http.StatusNoContent)
}
