package server

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"echotwin/realtime/history"
)

const (
	prometheusPrefix = "/prometheus/api/v1/"
	queryBody        = 256 << 10 // a dashboard's longest query has some KB
)

// takeBasicToken is for clients of Prometheus that know a name and a password
// only: they send a token as the password.
func (s *Server) takeBasicToken(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if token, ok := basicToken(c.Request()); ok {
			v := visitOf(c)
			v.who, v.err = s.Auth.Token(c.Request().Context(), token)
			v.asked = true
		}
		return next(c)
	}
}

// basicToken is the password of Basic authentication. The name can be anything.
func basicToken(r *http.Request) (string, bool) {
	scheme, encoded, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", true // a credential that is none
	}
	_, password, _ := strings.Cut(string(b), ":")
	return password, true
}

// prometheus answers one endpoint of the Prometheus API.
func (s *Server) prometheus(endpoint string) echo.HandlerFunc {
	return func(c echo.Context) error {
		form, err := prometheusForm(c)
		if err != nil {
			return err
		}
		status, b := s.History.Prometheus(c.Request().Context(), endpoint, c.Param("name"), form, scopeOf(c))
		if status == http.StatusServiceUnavailable {
			c.Response().Header().Set(echo.HeaderRetryAfter, "1")
		}
		return noStore(c).JSONBlob(status, b)
	}
}

// prometheusErrors are the words of Prometheus for what is refused before a
// query is looked at.
var prometheusErrors = map[int]string{
	http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden", http.StatusNotFound: "not_found",
	http.StatusServiceUnavailable: "unavailable", http.StatusInternalServerError: "internal",
}

// prometheusFailure is a failure in the shape that clients of Prometheus read.
func prometheusFailure(f failure) []byte {
	word := prometheusErrors[f.status]
	if word == "" {
		word = "bad_data"
	}
	return history.PrometheusError(word, f.Error)
}
