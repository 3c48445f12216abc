package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/history"
	"echotwin/server/auth"
)

// historyRoutes is what things said earlier.
func (s *Server) historyRoutes() {
	s.get("/api/history", auth.ReadHistory, s.needHistory(s.readHistory), zipped)
	for _, endpoint := range history.PrometheusEndpoints {
		path := prometheusPrefix + strings.Replace(endpoint, "/name/", "/:name/", 1)
		answer := s.needHistory(s.prometheus(endpoint))
		s.get(path, auth.ReadHistory, answer, s.limitAnswer, s.takeBasicToken)
		if strings.HasPrefix(endpoint, "label/") || strings.Contains(endpoint, "metadata") || strings.HasPrefix(endpoint, "status/") {
			continue // Prometheus knows these by GET only
		}
		s.post(path, auth.ReadHistory, answer, s.limitAnswer, s.takeBasicToken)
	}
}

// needHistory answers for a server that keeps none.
func (s *Server) needHistory(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.History == nil {
			return problem(realtime.CodeUnavailable, "this server keeps no history")
		}
		return next(c)
	}
}

// A historyQuery is the parameters of GET /api/history, read.
type historyQuery struct {
	thing      string
	properties []string
	from, to   time.Time
	buckets    int // 0: not asked for
}

func (s *Server) historyQuery(c echo.Context) (q historyQuery, err error) {
	v := c.QueryParams()
	q.thing = v.Get("thing")
	if q.thing == "" {
		return q, &realtime.Problem{Code: realtime.CodeMalformed, At: "?thing", Message: "which thing? want ?thing=plant/line1/conveyor-1&property=speed"}
	}
	if err := realtime.CheckThing(q.thing); err != nil {
		return q, err
	}
	if !userOf(c).Covers(q.thing, realtime.Match) {
		return q, noThing(q.thing)
	}
	for _, list := range v["property"] {
		for _, name := range strings.Split(list, ",") {
			if err := realtime.CheckName(name); err != nil {
				return q, err
			}
			if !slices.Contains(q.properties, name) {
				q.properties = append(q.properties, name)
			}
		}
	}
	if n := len(q.properties); n < 1 || n > history.MaxProperties {
		if n == 0 {
			return q, &realtime.Problem{Code: realtime.CodeMalformed, At: "?property", Message: "which property? want &property=speed, and more of them for more"}
		}
		return q, outOfRange("property", strconv.Itoa(n)+" of them", 1, history.MaxProperties)
	}
	now := time.Now()
	if q.from, err = moment(c, "from", "-1h", now); err != nil {
		return q, err
	}
	if q.to, err = moment(c, "to", "now", now); err != nil {
		return q, err
	}
	if !q.from.Before(q.to) {
		lo := float64(q.from.UnixMilli() + 1)
		return q, &realtime.Problem{Code: realtime.CodeInvalid, At: "?to", Minimum: &lo, Message: "to is not after from"}
	}
	if text := v.Get("buckets"); text != "" {
		if q.buckets, err = strconv.Atoi(text); err != nil || q.buckets < 1 || q.buckets > history.MaxBuckets {
			return q, outOfRange("buckets", text, 1, history.MaxBuckets)
		}
	}
	return q, nil
}

// moment reads a point in time, as realtime.ParseMoment does.
func moment(c echo.Context, name, otherwise string, now time.Time) (time.Time, error) {
	text := c.QueryParam(name)
	if text == "" {
		text = otherwise
	}
	t, p := realtime.ParseMoment(text, now, "?"+name)
	if p != nil {
		return t, p
	}
	return t, nil
}

// readHistory answers GET /api/history.
func (s *Server) readHistory(c echo.Context) error {
	q, err := s.historyQuery(c)
	if err != nil {
		return err
	}
	format, err := historyFormat(c)
	if err != nil {
		return err
	}
	if format != asJSON {
		return s.export(c, q, format)
	}
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(answerTime)) // as limitAnswer does
	t, err := s.trend(c.Request().Context(), q)
	if err != nil {
		return err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return noStore(c).JSONBlob(http.StatusOK, b)
}

func (s *Server) trend(ctx context.Context, q historyQuery) (*history.Trend, error) {
	if q.buckets == 0 {
		q.buckets = history.DefaultBuckets
	}
	return s.History.Trend(ctx, history.TrendQuery{Thing: q.thing, Properties: q.properties, From: q.from, To: q.to, Buckets: q.buckets})
}

// scopeOf is what somebody may see, as history asks for it.
func scopeOf(c echo.Context) history.Scope { return userOf(c).Patterns() }

// prometheusForm is the parameters of a query, from the URL and from a form.
func prometheusForm(c echo.Context) (url.Values, error) {
	form := c.Request().URL.Query()
	if c.Request().Method != http.MethodPost {
		return form, nil
	}
	b, err := body(c, queryBody)
	if err != nil {
		return nil, err
	}
	sent, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, problem(realtime.CodeMalformed, "the body is not a form: want query=…&start=…")
	}
	for name, values := range sent {
		form[name] = append(values, form[name]...)
	}
	return form, nil
}
