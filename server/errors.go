package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/server/auth"
)

// statuses says what each code of a realtime.Problem means over HTTP.
var statuses = map[string]int{
	realtime.CodeMalformed:   http.StatusBadRequest,
	realtime.CodeForbidden:   http.StatusForbidden,
	realtime.CodeNotFound:    http.StatusNotFound,
	realtime.CodeConflict:    http.StatusConflict,
	realtime.CodeChanged:     http.StatusPreconditionFailed,
	realtime.CodeOffline:     http.StatusConflict,
	realtime.CodeInterlock:   http.StatusConflict,
	realtime.CodeConfirm:     http.StatusUnprocessableEntity,
	realtime.CodeReason:      http.StatusUnprocessableEntity,
	realtime.CodeTooLarge:    http.StatusRequestEntityTooLarge,
	realtime.CodeInvalid:     http.StatusUnprocessableEntity,
	realtime.CodeOutOfRange:  http.StatusUnprocessableEntity,
	realtime.CodeTooMany:     http.StatusTooManyRequests,
	realtime.CodeUnavailable: http.StatusServiceUnavailable,
}

// The codes that only HTTP has.
const (
	codeUnauthorized = "unauthorized"
	codeMethod       = "method_not_allowed"
	codeInternal     = "internal"
)

// A failure is an error as the client sees it.
type failure struct {
	Error   string   `json:"error"`
	Code    string   `json:"code,omitempty"`
	At      string   `json:"at,omitempty"`
	Minimum *float64 `json:"minimum,omitempty"`
	Maximum *float64 `json:"maximum,omitempty"`
	// Which sentence Error is, and what it fills in, for who says it in another
	// language.
	Reason string        `json:"reason,omitempty"`
	Args   realtime.Args `json:"args,omitempty"`
	// Others is what else is wrong in the body.
	Others []realtime.Problem `json:"others,omitempty"`

	Path  string `json:"path,omitempty"` // of a page that does not exist
	Needs *needs `json:"needs,omitempty"`

	status     int
	retryAfter int // seconds; 0 says nothing
}

// needs is what would let somebody do what they may not.
type needs struct {
	Permission auth.Permission `json:"permission"`
	Role       auth.Role       `json:"role,omitempty"`
	Scope      auth.Scope      `json:"scope,omitempty"` // of a token
}

// problem makes an error for the client.
func problem(code, format string, args ...any) error {
	return &realtime.Problem{Code: code, Message: fmt.Sprintf(format, args...)}
}

// failureOf is the one table from errors to answers. A status of 500 means that
// the error is ours and its text is not for the client.
func failureOf(err error, path string) failure {
	var p *realtime.Problem
	var wait *auth.Throttled
	var invalid *auth.Invalid
	var denied *auth.Denied
	var tooLarge *http.MaxBytesError
	var he *echo.HTTPError
	switch {
	case errors.As(err, &p):
		return failureOfProblem(p)
	case errors.As(err, &wait):
		return failure{Error: wait.Error(), Code: realtime.CodeTooMany, Reason: "throttled", Args: realtime.Said("seconds", wait.Seconds()), status: http.StatusTooManyRequests, retryAfter: wait.Seconds()}
	case errors.As(err, &invalid):
		f := failure{Error: invalid.Message, Code: realtime.CodeInvalid, At: invalid.At, Reason: invalid.Reason, status: http.StatusUnprocessableEntity}
		f.Args = realtime.Args{}
		for name, value := range invalid.Args {
			maps.Copy(f.Args, realtime.Said(name, value))
		}
		return f
	case errors.As(err, &denied):
		return failure{Error: denied.Message, Code: realtime.CodeForbidden, Needs: &needs{denied.Permission, denied.Role, denied.Scope}, status: http.StatusForbidden}
	case errors.Is(err, auth.ErrWrong):
		return failure{Error: err.Error(), Code: codeUnauthorized, Reason: "login", status: http.StatusUnauthorized}
	case errors.Is(err, auth.ErrNone), errors.Is(err, errNotSignedIn):
		return failure{Error: err.Error(), Code: codeUnauthorized, Reason: "not_signed_in", status: http.StatusUnauthorized}
	case errors.Is(err, auth.ErrNotFound):
		return failure{Error: err.Error(), Code: realtime.CodeNotFound, Reason: "gone", status: http.StatusNotFound}
	case errors.Is(err, auth.ErrExists):
		return failure{Error: err.Error(), Code: realtime.CodeConflict, Reason: "taken", status: http.StatusConflict}
	case errors.Is(err, auth.ErrChanged):
		return failure{Error: err.Error(), Code: realtime.CodeConflict, Reason: "changed_meanwhile", status: http.StatusConflict}
	case errors.Is(err, auth.ErrBusy):
		return failure{Error: err.Error(), Code: realtime.CodeUnavailable, Reason: "logins", status: http.StatusServiceUnavailable, retryAfter: 1}
	case errors.As(err, &tooLarge):
		return failure{Error: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), Code: realtime.CodeTooLarge, Reason: "body_size", Args: realtime.Said("max", tooLarge.Limit), status: http.StatusRequestEntityTooLarge}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failure{Error: "that took too long, try again", Code: realtime.CodeUnavailable, Reason: "too_slow", status: http.StatusServiceUnavailable, retryAfter: 1}
	case errors.As(err, &he):
		return failureOfEcho(he, path)
	}
	return failure{Error: "something went wrong here; it was logged", Code: codeInternal, Reason: "internal", status: http.StatusInternalServerError}
}

func failureOfProblem(p *realtime.Problem) failure {
	f := failure{Error: p.Message, Code: p.Code, At: p.At, Minimum: p.Minimum, Maximum: p.Maximum, Reason: p.Reason, Args: p.Args, Others: p.Others, status: statuses[p.Code]}
	if f.status == 0 {
		f.status = http.StatusUnprocessableEntity
	}
	if f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable {
		f.retryAfter = 1
	}
	return f
}

// failureOfEcho turns what Echo itself answers into our shape.
func failureOfEcho(he *echo.HTTPError, path string) failure {
	switch he.Code {
	case http.StatusNotFound:
		path = clip(path)
		return failure{Error: "there is nothing at " + path, Code: realtime.CodeNotFound, Path: path, status: he.Code}
	case http.StatusMethodNotAllowed:
		return failure{Error: "that method is not allowed here; the header Allow lists those that are", Code: codeMethod, status: he.Code}
	case http.StatusInternalServerError:
		return failure{Error: "something went wrong here; it was logged", Code: codeInternal, Reason: "internal", status: he.Code}
	}
	code := strings.ReplaceAll(strings.ToLower(http.StatusText(he.Code)), " ", "_")
	return failure{Error: fmt.Sprint(he.Message), Code: code, status: he.Code}
}

// statusLeft is what the log and the metrics say, as nginx does, of a request
// whose client left before it had its answer: nothing went wrong here.
const statusLeft = 499

// left says whether err is that there is nobody to be answered any more. The
// request's context alone does not say it: it ends, too, when a body is late.
func left(c echo.Context, err error) bool {
	if c.Response().Committed && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		return true
	}
	return errors.Is(err, context.Canceled) && c.Request().Context().Err() != nil
}

// fail answers an error.
func (s *Server) fail(c echo.Context, err error) {
	if left(c, err) {
		c.Response().Status = statusLeft
		return
	}
	f := failureOf(err, c.Request().URL.Path)
	if f.status == http.StatusInternalServerError {
		s.log.Error("request failed", "method", c.Request().Method, "path", clip(c.Request().URL.Path), "err", err)
	}
	if c.Response().Committed {
		return // the client sees a cut answer
	}
	f.headers(c)
	if strings.HasPrefix(c.Request().URL.Path, prometheusPrefix) {
		err = c.JSONBlob(f.status, prometheusFailure(f))
	} else {
		err = c.JSON(f.status, f)
	}
	if err != nil {
		s.log.Debug("an error was not delivered", "err", err)
	}
}

// headers sets what goes with the failure's status.
func (f failure) headers(c echo.Context) {
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-store")
	if f.retryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(f.retryAfter))
	}
	if f.status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, `Bearer realm="echotwin"`)
	}
}

// answerErrors answers here, inside logging and measuring, so that both see the
// status that the client sees.
func (s *Server) answerErrors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := next(c); err != nil {
			s.fail(c, err)
		}
		return nil
	}
}

// recoverPanic keeps a fault in one request from ending the process.
func (s *Server) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			if r == http.ErrAbortHandler {
				panic(r) // the way to cut a connection, not a fault
			}
			s.log.Error("panic", "method", c.Request().Method, "path", clip(c.Request().URL.Path), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			if c.Response().Committed {
				panic(http.ErrAbortHandler) // a cut is honest, half an answer is not
			}
			err = echo.NewHTTPError(http.StatusInternalServerError)
		}()
		return next(c)
	}
}

// clip keeps a message short whatever was sent.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
