package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

const (
	// docsPolicy lets a page load what is ours and nothing else, and no script or
	// style that stands in the page.
	docsPolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	// pagePolicy also keeps strings from becoming script anywhere in the DOM.
	// Swagger UI cannot live with that, our own pages can.
	pagePolicy = docsPolicy + "; require-trusted-types-for 'script'"
)

// secureHeaders sets what every answer carries. Of an answer that is no page
// nosniff is what counts: JSON that stays JSON is never rendered, framed or run.
func (s *Server) secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if s.Production {
			h.Set(echo.HeaderStrictTransportSecurity, hsts)
		}
		return next(c)
	}
}

// pageHeaders sets what a page carries besides.
func pageHeaders(c echo.Context, policy string) {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin") // no-referrer would make browsers send Origin: null
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set(echo.HeaderCacheControl, "no-cache")
}

// sameOrigin refuses writes and WebSockets that another site's page makes the
// browser send with our cookie.
func (s *Server) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		guarded := r.URL.Path == "/ws" || r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
		// A browser attaches cookies by itself, but no Authorization header: who
		// sets one, has the secret.
		if guarded && r.Header.Get(echo.HeaderAuthorization) == "" && !s.fromUs(r, visitOf(c).host) {
			return problem(realtime.CodeForbidden, "this request comes from a page of another site; add its origin to ECHOTWIN_ORIGINS if it is yours")
		}
		return next(c)
	}
}

func (s *Server) fromUs(r *http.Request, host string) bool {
	origin := r.Header.Get("Origin")
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "same-origin", "none":
		return true
	case "":
		if origin == "" {
			return true // no browser
		}
		// Over plain HTTP browsers send no Sec-Fetch-Site. The scheme is not
		// compared: behind a proxy that does not tell it, ours is a guess.
		if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, host) {
			return true
		}
	}
	return origin != "" && slices.Contains(s.Origins, origin)
}
