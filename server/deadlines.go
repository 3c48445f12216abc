package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// answerTime is how long a client may take to read an answer. It counts from
// the request, and a command may take a minute before there is one.
const answerTime = 2 * time.Minute

// limitAnswer ends answers that nobody reads. It is for routes whose answers can
// be larger than what a socket takes at once; for the others a timer would only
// cost. Streams are left alone: each of their writes has its own deadline.
func (s *Server) limitAnswer(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !streams(c.Request().URL.Path) {
			// A writer without deadlines, as in some tests, has no slow reader either.
			_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(answerTime))
		}
		return next(c)
	}
}
