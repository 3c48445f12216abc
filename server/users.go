package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/server/auth"
)

type userView struct {
	Username string    `json:"username"`
	Role     auth.Role `json:"role"`
	Created  time.Time `json:"created"`
}

func viewUser(u auth.User) userView { return userView{u.Username, u.Role, u.Created} }

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
	}
	if err := decode(c, smallBody, &in); err != nil {
		return err
	}
	u, err := s.Auth.AddUser(c.Request().Context(), in.Username, in.Password, in.Role)
	if err != nil {
		return err
	}
	s.log.Info("user added", "by", userOf(c).User, "user", u.Username, "role", u.Role)
	return noStore(c).JSON(http.StatusCreated, viewUser(u))
}

// changeUser answers PATCH /api/users/{name}. Administrators set roles and
// passwords; everybody may change their own password by showing the old one.
func (s *Server) changeUser(c echo.Context) error {
	var in struct {
		Role     *auth.Role `json:"role"`
		Password *string    `json:"password"`
		Old      string     `json:"oldPassword"`
	}
	if err := decode(c, smallBody, &in); err != nil {
		return err
	}
	ctx, who, name := c.Request().Context(), userOf(c), c.Param("name")
	own := name == who.User && in.Role == nil
	if !who.May(auth.Admin) && !own {
		return problem(realtime.CodeForbidden, "only an administrator changes roles and the passwords of others")
	}
	if in.Role == nil && in.Password == nil {
		return &auth.Invalid{Message: "give a role, a password, or both"}
	}
	if in.Password != nil && name == who.User {
		// A session left open must not be enough to take the account over.
		if _, err := s.Auth.Verify(ctx, name, in.Old, visitOf(c).addr); err != nil {
			return err
		}
	}
	if in.Role != nil {
		if err := s.Auth.SetRole(ctx, name, *in.Role); err != nil {
			return err
		}
	}
	if in.Password != nil {
		if err := s.Auth.SetPassword(ctx, name, *in.Password); err != nil {
			return err
		}
	}
	s.sessionsChanged()
	s.log.Info("user changed", "by", who.User, "user", name, "role", in.Role != nil, "password", in.Password != nil)
	return c.NoContent(http.StatusNoContent)
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
