package server

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// hsts is sent in production, whatever the scheme: browsers only believe it
// over https.
const hsts = "max-age=31536000; includeSubDomains; preload"

// toHTTPS sends plain HTTP on a real host name to the same place over https,
// for good and with its method and body (308). Names that no certificate can be
// had for stay as they are: localhost, addresses, one-word and .local names.
func (s *Server) toHTTPS(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, r := visitOf(c), c.Request()
		if v.https || s.NoHTTPSRedirect || !realName(v.host) || acmeChallenge(r.URL.Path) {
			return next(c)
		}
		// The port was that of plain HTTP; https is on its usual one.
		return c.Redirect(http.StatusPermanentRedirect, "https://"+hostname(v.host)+r.URL.RequestURI())
	}
}

func realName(hostport string) bool {
	h := hostname(hostport)
	if _, err := netip.ParseAddr(h); err == nil || localName(h) || strings.HasSuffix(h, ".local") {
		return false
	}
	for _, r := range h {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.') {
			return false // no name that could be sent to
		}
	}
	return strings.Contains(h, ".")
}

func acmeChallenge(path string) bool {
	const prefix = "/.well-known/acme-challenge"
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
