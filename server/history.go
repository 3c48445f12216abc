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
	s.get("/api/history", auth.ReadHistory, s.needHistory(s.readHistory))
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

// The times between which anything can have been measured.
var (
	earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// moment reads a point in time: RFC 3339, ms since 1970, now, or how long ago.
func moment(c echo.Context, name, otherwise string, now time.Time) (time.Time, error) {
	text := c.QueryParam(name)
	if text == "" {
		text = otherwise
	}
	t, ok := parseMoment(text, now)
	if !ok {
		return t, &realtime.Problem{Code: realtime.CodeMalformed, At: "?" + name,
			Message: name + " " + strconv.Quote(clip(text)) + " is no time: want RFC 3339 (2026-11-23T08:00:00Z), milliseconds since 1970, now, or how long ago (-90s, -1h, -7d)"}
	}
	if t.Before(earliest) || t.After(latest) {
		lo, hi := float64(earliest.UnixMilli()), float64(latest.UnixMilli())
		return t, &realtime.Problem{Code: realtime.CodeOutOfRange, At: "?" + name, Minimum: &lo, Maximum: &hi,
			Message: name + " " + strconv.Quote(clip(text)) + " is not between the years 2000 and 2200"}
	}
	return t, nil
}

func parseMoment(text string, now time.Time) (time.Time, bool) {
	if text == "now" {
		return now, true
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), true
	}
	if back, ok := strings.CutPrefix(text, "-"); ok {
		d, ok := parseAgo(back)
		return now.Add(-d), ok
	}
	// A + of a time zone that was not escaped arrives as a space.
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(text, " ", "+"))
	return t, err == nil
}

// parseAgo reads a duration of one unit, days, weeks and years included.
func parseAgo(text string) (time.Duration, bool) {
	for unit, d := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || f < 0 || f*float64(d) > float64(1<<62) {
				return 0, false
			}
			return time.Duration(f * float64(d)), true
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
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
