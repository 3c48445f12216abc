package server

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

const (
	smallBody   = 16 << 10 // a form's worth of JSON
	commandBody = 64 << 10

	// roomAtOnce is how much room a body gets by its own word, before it came.
	roomAtOnce = 64 << 10

	// bodyTime is how long a client may take to send a body.
	bodyTime = 20 * time.Second
)

// body reads the whole of a request's body, gzip or not. More than limit is
// 413, of what was sent as of what is in it.
func body(c echo.Context, limit int64) ([]byte, error) {
	b, err := sentBody(c, limit)
	if err != nil {
		return nil, err
	}
	switch coding := strings.ToLower(c.Request().Header.Get(echo.HeaderContentEncoding)); coding {
	case "", "identity":
		return b, nil
	case "gzip", "x-gzip":
		return unzipped(b, limit)
	default:
		c.Response().Header().Set(echo.HeaderAcceptEncoding, "gzip")
		return nil, echo.NewHTTPError(http.StatusUnsupportedMediaType, "a body may have the Content-Encoding gzip or none, not "+clip(coding))
	}
}

// unzipped never holds more than limit, whatever a small body would become.
func unzipped(b []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, problem(realtime.CodeMalformed, "the body is not gzip, as its Content-Encoding says")
	}
	plain, err := io.ReadAll(io.LimitReader(z, limit+1))
	switch {
	case err != nil:
		return nil, problem(realtime.CodeMalformed, "the body's gzip is damaged or broke off")
	case int64(len(plain)) > limit:
		return nil, &http.MaxBytesError{Limit: limit}
	}
	return plain, nil
}

// sentBody is the body as it came.
func sentBody(c echo.Context, limit int64) ([]byte, error) {
	rc := http.NewResponseController(c.Response())
	// The deadline is taken back afterwards, or it would end what the handler
	// does next: a stream, or a command that waits for its device.
	timed := rc.SetReadDeadline(time.Now().Add(bodyTime)) == nil
	var b bytes.Buffer
	if n := c.Request().ContentLength; n > 0 {
		b.Grow(int(min(n, limit, roomAtOnce)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(c.Response(), c.Request().Body, limit))
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
	return b.Bytes(), nil
}

// decode reads a body that is one JSON object. Members it does not know are
// ignored.
func decode(c echo.Context, limit int64, into any) error {
	b, err := body(c, limit)
	if err != nil {
		return err
	}
	return unmarshal(b, into)
}

// decodeExact is decode for what gives somebody access and for what is
// said of an alarm: a limit whose name is misspelt must not be one that is missing.
func decodeExact(c echo.Context, limit int64, into any) error {
	b, err := body(c, limit)
	if err != nil {
		return err
	}
	if err := unmarshal(b, into); err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil {
		return err
	}
	known := members(reflect.TypeOf(into).Elem())
	for _, name := range slices.Sorted(maps.Keys(given)) {
		// encoding/json takes any case, so this does.
		if !slices.ContainsFunc(known, func(k member) bool { return strings.EqualFold(k.name, name) }) {
			names := make([]string, len(known))
			for i, k := range known {
				names[i] = k.name
			}
			return realtime.Wrong("unknown", "{name} is not known here, only {known}", "name", clip(name), "known", strings.Join(names, ", ")).In("/" + inPointer.Replace(clip(name)))
		}
	}
	return nil
}

// inPointer writes a name as a part of a JSON pointer.
var inPointer = strings.NewReplacer("~", "~0", "/", "~1")

// unmarshal says what is wrong with b in words of JSON.
func unmarshal(b []byte, into any) error {
	err := json.Unmarshal(b, into)
	var typ *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil && bytes.Equal(bytes.TrimSpace(b), []byte("null")):
		return realtime.Wrong("body_type", "want {want}, got {got}", "want", "a JSON object", "got", "null").Of(realtime.CodeMalformed)
	case err == nil:
		return nil
	case len(bytes.TrimSpace(b)) == 0:
		return realtime.Wrong("body_empty", "the body is empty; want a JSON object").Of(realtime.CodeMalformed)
	case errors.As(err, &typ) && typ.Field != "":
		return realtime.Wrong("body_type", "want {want}, got {got}", "want", kindOf(typ.Type), "got", article(typ.Value)).Of(realtime.CodeMalformed).In("/" + typ.Field)
	case errors.As(err, &typ):
		return realtime.Wrong("body_type", "want {want}, got {got}", "want", "a JSON object", "got", article(typ.Value)).Of(realtime.CodeMalformed)
	case errors.As(err, &syntax):
		return realtime.Wrong("body_json", "the body is not JSON: at byte {byte}, {why}", "byte", syntax.Offset, "why", syntax.Error()).Of(realtime.CodeMalformed)
	}
	// A type that reads itself does not say where it was: a time, as a rule.
	var given map[string]json.RawMessage
	if json.Unmarshal(b, &given) == nil {
		for _, m := range members(reflect.TypeOf(into).Elem()) {
			if v, ok := given[m.name]; ok && m.typ == reflect.TypeFor[time.Time]() && json.Unmarshal(v, new(time.Time)) != nil {
				return realtime.Wrong("body_time", "want a time such as 2026-12-31T18:00:00Z, got {got}", "got", clip(string(v))).Of(realtime.CodeMalformed).In("/" + m.name)
			}
		}
	}
	return realtime.Wrong("body_object", "the body is not the JSON object that is wanted here").Of(realtime.CodeMalformed)
}

// A member is one of a struct's, as JSON has it.
type member struct {
	name string
	typ  reflect.Type // behind a pointer, if it is one
}

func members(t reflect.Type) (list []member) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		typ := f.Type
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		list = append(list, member{name, typ})
	}
	return list
}

// kindOf is a Go type in the words of JSON.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a number"
}

// article puts a or an before what encoding/json found: array, object, string,
// bool, or number with its digits.
func article(found string) string {
	if strings.HasPrefix(found, "array") || strings.HasPrefix(found, "object") {
		return "an " + found
	}
	return "a " + found
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

// plainJSON writes < > and & as they are: what it writes is never part of a page,
// and people read it in a terminal.
type plainJSON struct{ echo.DefaultJSONSerializer }

func (plainJSON) Serialize(c echo.Context, v any, indent string) error {
	enc := json.NewEncoder(c.Response())
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

// noStore marks an answer as nobody else's and only of this moment.
func noStore(c echo.Context) echo.Context {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c
}
