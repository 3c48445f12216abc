package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

// What a page of an allowed origin may do. Without cookies: a browser lets such
// a page read nothing that was asked with the user's session, because no answer
// says Access-Control-Allow-Credentials, and never will. So it shows a token or
// a ticket of its own, and there is nothing to forge.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Accept, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID"
	corsExposed = "ETag, Link, Location, Retry-After, WWW-Authenticate, X-Run-Id"
	corsMaxAge  = "600" // seconds for which a browser does not ask again
)

// crossOrigin answers pages of the origins in ECHOTWIN_ORIGINS, and tells the
// developer of any other page, who sees a refusal only in the browser's tools,
// what is to be set.
func (s *Server) crossOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		origin := r.Header.Get(echo.HeaderOrigin)
		allowed := origin != "" && slices.Contains(s.Origins, strings.ToLower(origin))
		if len(s.Origins) > 0 {
			h.Add(echo.HeaderVary, echo.HeaderOrigin) // of a cache that keeps an answer for one page only
		}
		if allowed {
			h.Set(echo.HeaderAccessControlAllowOrigin, origin)
			h.Set(echo.HeaderAccessControlExposeHeaders, corsExposed)
		}
		if r.Method != http.MethodOptions || origin == "" || r.Header.Get(echo.HeaderAccessControlRequestMethod) == "" {
			return next(c)
		}
		if !allowed {
			return problem(realtime.CodeForbidden, "pages of %s may not call this server: add it to ECHOTWIN_ORIGINS if it is yours", clip(origin))
		}
		h.Set(echo.HeaderAccessControlAllowMethods, corsMethods)
		h.Set(echo.HeaderAccessControlAllowHeaders, corsHeaders)
		h.Set(echo.HeaderAccessControlMaxAge, corsMaxAge)
		return c.NoContent(http.StatusNoContent)
	}
}
