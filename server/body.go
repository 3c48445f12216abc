package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

const (
	smallBody   = 16 << 10 // a form's worth of JSON
	commandBody = 64 << 10

	// bodyTime is how long a client may take to send a body.
	bodyTime = 20 * time.Second
)

// body reads the whole of a request's body. More than limit is 413.
func body(c echo.Context, limit int64) ([]byte, error) {
	rc := http.NewResponseController(c.Response())
	// The deadline is taken back afterwards, or it would end what the handler
	// does next: a stream, or a command that waits for its device.
	timed := rc.SetReadDeadline(time.Now().Add(bodyTime)) == nil
	b, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, limit))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, echo.NewHTTPError(http.StatusRequestTimeout, "the body did not arrive in time")
	case err != nil:
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, problem(realtime.CodeMalformed, "the body broke off")
	}
	if timed {
		if err := rc.SetReadDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// decode reads a body that is one JSON object. Members it does not know are
// ignored.
func decode(c echo.Context, limit int64, into any) error {
	b, err := body(c, limit)
	if err != nil {
		return err
	}
	err = json.Unmarshal(b, into)
	var typ *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case len(bytes.TrimSpace(b)) == 0:
		return problem(realtime.CodeMalformed, "the body is empty; want a JSON object")
	case errors.As(err, &typ) && typ.Field != "":
		return &realtime.Problem{Code: realtime.CodeMalformed, Message: "want " + typ.Type.String() + ", got a " + typ.Value, At: "/" + typ.Field}
	case errors.As(err, &syntax):
		return problem(realtime.CodeMalformed, "the body is not JSON: at byte %d, %s", syntax.Offset, syntax.Error())
	}
	return problem(realtime.CodeMalformed, "the body is not the JSON object that is wanted here")
}

// formBody reads a body that an HTML form, or an OAuth2 client, sends.
func formBody(c echo.Context) (url.Values, error) {
	b, err := body(c, smallBody)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, problem(realtime.CodeMalformed, "the body is not a form: want grant_type=password&username=…&password=…")
	}
	return form, nil
}

// noStore marks an answer as nobody else's and only of this moment.
func noStore(c echo.Context) echo.Context {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c
}
