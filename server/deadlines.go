package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// answerTime is how long a client may take to read an answer. It counts from
// the request, and a command may take a minute before there is one.
const answerTime = 2 * time.Minute

// limitAnswer ends answers that nobody reads. Streams are left alone: each of
// their writes has its own deadline.
func (s *Server) limitAnswer(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if path := c.Request().URL.Path; !streams(path) && !strings.HasPrefix(path, "/debug/") {
			// A writer without deadlines, as in some tests, has no slow reader either.
			_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(answerTime))
		}
		return next(c)
	}
}
