package server

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/hub"
	"echotwin/server/auth"
)

// Who may call what: every route is registered with a permission of
// auth/permission.go, every frame of /ws has one below, and what they are not
// registered with does not exist. A thing that somebody may not see does not
// exist for them either: see thingPath and sees.

// thingPermissions is for what lies below /api/things/, where the router sees
// one route only. A method that a template does not have is answered by 405.
var thingPermissions = map[string]auth.Permission{
	"GET /api/things/{id}":                       auth.ReadThings,
	"GET /api/things/{id}/state":                 auth.ReadThings,
	"GET /api/things/{id}/properties":            auth.ReadThings,
	"GET /api/things/{id}/properties/{name}":     auth.ReadThings,
	"GET /api/things/{id}/properties/{name}/sse": auth.ReadThings,
	"GET /api/things/{id}/events/{name}":         auth.ReadThings,
	"GET /api/things/{id}/actions/{name}":        auth.ReadThings,
	"POST /api/things/{id}/actions/{name}":       auth.CommandThings,
	"PUT /api/things/{id}/properties/{name}":     auth.WriteProperties,
	"PUT /api/things/{id}":                       auth.EditThings,
	"PATCH /api/things/{id}":                     auth.EditThings,
	"DELETE /api/things/{id}":                    auth.EditThings,
}

// framePermissions is what a client may send over /ws. A type of the hub that
// is not here keeps the server from starting.
var framePermissions = map[string]auth.Permission{
	"auth": auth.Public, "ping": auth.Public, "help": auth.Public,
	"sub": auth.ReadThings, "unsub": auth.ReadThings, "resume": auth.ReadThings, "live": auth.ReadThings,
	"replay": auth.ReadHistory,
	"cmd":    auth.CommandThings,
}

// route registers what answers a method and path. The guard stands innermost,
// inside of the middleware m, whose first is the outermost; what has to know
// who asks wraps h instead.
func (s *Server) route(method, path string, p auth.Permission, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	if _, known := auth.RuleOf(p); !known && p != auth.Public {
		s.unruled = append(s.unruled, fmt.Sprintf("%s %s: no permission %q", method, path, p))
	}
	s.permissions[method+" "+path] = p
	s.echo.Add(method, path, s.permit(p)(h), m...)
}

// get registers a page or an answer for GET and, as everybody expects, HEAD.
// Streams are registered with getStream alone.
func (s *Server) get(path string, p auth.Permission, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	s.route(http.MethodGet, path, p, h, m...)
	s.route(http.MethodHead, path, p, h, m...)
}

func (s *Server) getStream(path string, p auth.Permission, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	s.route(http.MethodGet, path, p, h, m...)
}

func (s *Server) post(path string, p auth.Permission, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	s.route(http.MethodPost, path, p, h, m...)
}

func (s *Server) put(path string, p auth.Permission, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	s.route(http.MethodPut, path, p, h, m...)
}

func (s *Server) patch(path string, p auth.Permission, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	s.route(http.MethodPatch, path, p, h, m...)
}

func (s *Server) delete(path string, p auth.Permission, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	s.route(http.MethodDelete, path, p, h, m...)
}

// ruled says whether everything that can be asked for has a permission.
func (s *Server) ruled() error {
	missing := s.unruled
	for _, r := range s.echo.Routes() {
		if _, ok := s.permissions[r.Method+" "+r.Path]; !ok && !strings.HasPrefix(r.Method, "echo") {
			missing = append(missing, r.Method+" "+r.Path)
		}
	}
	for _, typ := range hub.Types() {
		if _, ok := framePermissions[typ]; !ok {
			missing = append(missing, "the frame "+typ)
		}
	}
	if missing != nil {
		return fmt.Errorf("server: nothing says who may: %s", strings.Join(missing, ", "))
	}
	return nil
}

// permit lets those through who have the permission. Two need nobody signed in
// where it is asked for: telemetry in development from this machine, as at the
// open MQTT door, and /metrics in development or from this machine. In production
// Prometheus sends an administrator's token as its bearer_token.
func (s *Server) permit(p auth.Permission) echo.MiddlewareFunc {
	rule, _ := auth.RuleOf(p)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		if p == auth.Public {
			return next
		}
		return func(c echo.Context) error {
			// With POST a ticket only asks for history, which Prometheus reads so.
			if rule.Ticket && (reads(c.Request().Method) || p == auth.ReadHistory) {
				s.takeTicket(c)
			}
			if rule.Device {
				s.takeDevice(c)
			}
			if p == auth.ReadMetrics && (!s.Production || visitOf(c).local) {
				return next(c)
			}
			who, err := s.identity(c)
			if err != nil {
				return err
			}
			if who == nil && p == auth.Report && s.OpenTelemetry && visitOf(c).local {
				return next(c)
			}
			if err := denied(who, p); err != nil {
				return err
			}
			err = next(c)
			if err != nil && who.Kind == auth.ByDevice {
				s.Auth.Refused(who, visitOf(c).addr, failureOf(err, "").Error)
			}
			return err
		}
	}
}

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// denied is why somebody may not, as the client is told.
func denied(who *auth.Identity, p auth.Permission) error {
	if who == nil {
		return errNotSignedIn
	}
	return who.Denied(p)
}

// takeTicket makes ?ticket= the request's credential, unless it has a header.
func (s *Server) takeTicket(c echo.Context) {
	if t := c.QueryParam("ticket"); t != "" && c.Request().Header.Get(echo.HeaderAuthorization) == "" {
		v := visitOf(c)
		v.who, v.err = s.Auth.Ticket(c.Request().Context(), t)
		v.asked = true
		s.Auth.Used(v.who, v.addr)
	}
}

// takeDevice makes a device's credential the request's, by Basic or Bearer.
func (s *Server) takeDevice(c echo.Context) {
	r, v := c.Request(), visitOf(c)
	username, password, basic := r.BasicAuth()
	secret, bearer := strings.CutPrefix(r.Header.Get(echo.HeaderAuthorization), "Bearer ")
	switch {
	case basic:
		v.who, v.err = s.Auth.Device(r.Context(), username, password, v.addr)
		v.asked = true
	case bearer:
		who, err := s.Auth.DeviceToken(r.Context(), strings.TrimSpace(secret), v.addr)
		if !errors.Is(err, auth.ErrNone) {
			v.who, v.err, v.asked = who, err, true
		}
	}
}

// userOf is who permit let through.
func userOf(c echo.Context) *auth.Identity { return visitOf(c).who }

// sees says which things somebody may see; nil means all.
func sees(who *auth.Identity) func(thing string) bool {
	if who.Everything() {
		return nil
	}
	return covers(who)
}

// covers says the same where no function is not an answer.
func covers(who *auth.Identity) func(thing string) bool {
	return func(thing string) bool { return who.Covers(thing, realtime.Match) }
}

// scope reads a pattern from the query ("" when it is not there, or is of a place
// of the tree), and says which of its things who asks may see.
func (s *Server) scope(c echo.Context, name string) (pattern string, see func(thing string) bool, err error) {
	own := covers(userOf(c))
	pattern = c.QueryParam(name)
	if place, ok := strings.CutPrefix(pattern, realtime.Under); ok {
		if err := realtime.CheckThing(place); err != nil {
			return "", nil, err
		}
		under := s.Twins.Under(place, own)
		return "", func(thing string) bool { return under(thing) && own(thing) }, nil
	}
	if pattern != "" {
		if err := realtime.CheckPattern(pattern); err != nil {
			return "", nil, err
		}
	}
	return pattern, func(thing string) bool {
		return (pattern == "" || realtime.Match(pattern, thing)) && own(thing)
	}, nil
}

// mayFrame is why somebody may not send a type of frame over /ws, or nil.
func mayFrame(who *auth.Identity, typ string) *realtime.Problem {
	p, ok := framePermissions[typ]
	if !ok {
		return nil // the hub says that there is no such type
	}
	err := who.Denied(p)
	var d *auth.Denied
	switch {
	case err == nil:
		return nil
	case errors.As(err, &d):
		return &realtime.Problem{Code: realtime.CodeForbidden, Message: d.Message}
	}
	return &realtime.Problem{Code: codeUnauthorized, Message: err.Error()}
}
