package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// The limits on one query.
const (
	maxQueries   = 4 // at once
	queryTimeout = 30 * time.Second
	maxSamples   = 5_000_000 // held in memory by one query
	maxPoints    = 11_000    // of one series, as Prometheus has it
	maxListed    = 10_000    // series, names or values in one answer
	lookback     = 5 * time.Minute

	defaultSubstep = time.Minute // of a subquery that names none
)

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: maxSamples, Timeout: queryTimeout, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return defaultSubstep.Milliseconds() },
		Parser:                   queries,
	})
}

var queries parser.Parser = bounded{parser.NewParser(parser.Options{})}

// CheckQuery says what is wrong with an expression that is to hold or not: it must
// be PromQL and give samples, of which there may be none.
func CheckQuery(expr string) error {
	e, err := queries.ParseExpr(expr)
	if err != nil {
		return err
	}
	if t := e.Type(); t != parser.ValueTypeVector {
		return fmt.Errorf("the expression gives a %s, which is always there; want samples that are there only when it holds, such as echotwin_value{property=\"speed\"} > 80", parser.DocumentedType(t))
	}
	return nil
}

// The words of the Prometheus API for what went wrong.
const (
	badData     = "bad_data"
	execution   = "execution"
	canceled    = "canceled"
	timeout     = "timeout"
	internal    = "internal"
	unavailable = "unavailable"
)

var promStatuses = map[string]int{
	badData: http.StatusBadRequest, execution: http.StatusUnprocessableEntity, canceled: 499,
	timeout: http.StatusServiceUnavailable, internal: http.StatusInternalServerError, unavailable: http.StatusServiceUnavailable,
}

// A promError is an answer that is not a success.
type promError struct {
	kind    string
	message string
}

func (e *promError) Error() string { return e.message }

func wrong(format string, args ...any) error {
	return &promError{badData, fmt.Sprintf(format, args...)}
}

// PrometheusEndpoints are what Prometheus answers, as paths below /api/v1/. name
// stands for a label in label/name/values.
var PrometheusEndpoints = []string{"query", "query_range", "series", "labels", "label/name/values", "metadata", "status/buildinfo"}

// Prometheus answers one request of the Prometheus HTTP API, in its own words,
// errors as well.
func (h *History) Prometheus(ctx context.Context, endpoint, label string, form url.Values, scope Scope) (status int, body []byte) {
	ctx, done, err := h.enter(ctx)
	if err == nil {
		defer done()
		r := &promRequest{History: h, ctx: ctx, form: form, scope: scope}
		if h.outside != nil && endpoint != "metadata" && endpoint != "status/buildinfo" {
			if status, body, err = r.forward(endpoint, label); err == nil {
				return status, body
			}
			return promFailure(err)
		}
		var data []byte
		if data, err = r.answer(endpoint, label); err == nil {
			return http.StatusOK, r.success(data)
		}
	}
	return promFailure(err)
}

func promFailure(err error) (int, []byte) {
	kind := internal
	var pe *promError
	switch {
	case errors.As(err, &pe):
		kind = pe.kind
	case errors.As(err, new(*problem)):
		kind = unavailable
	case errors.As(err, new(promql.ErrQueryTimeout)), errors.Is(err, context.DeadlineExceeded):
		kind = timeout
	case errors.As(err, new(promql.ErrQueryCanceled)), errors.Is(err, context.Canceled):
		kind = canceled
	case errors.As(err, new(promql.ErrStorage)):
	default:
		kind = execution
	}
	return promStatuses[kind], PrometheusError(kind, err.Error())
}

// PrometheusError is the body of an error of the Prometheus API.
func PrometheusError(kind, message string) []byte {
	b, err := json.Marshal(struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}{"error", kind, message})
	if err != nil { // strings only
		return []byte(`{"status":"error"}`)
	}
	return b
}

type promRequest struct {
	*History
	ctx      context.Context
	form     url.Values
	scope    Scope
	warnings []string
	infos    []string
}

func (r *promRequest) success(data []byte) []byte {
	b := append(make([]byte, 0, len(data)+64), `{"status":"success","data":`...)
	b = append(b, data...)
	for name, list := range map[string][]string{"warnings": r.warnings, "infos": r.infos} {
		if text, err := json.Marshal(list); err == nil && len(list) > 0 {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = append(b, text...)
		}
	}
	return append(b, '}')
}

func (r *promRequest) answer(endpoint, label string) ([]byte, error) {
	switch endpoint {
	case "query":
		return r.query()
	case "query_range":
		return r.queryRange()
	case "series":
		return r.listSeries()
	case "labels":
		return r.list(func(ctx context.Context, q storage.Querier, h *storage.LabelHints, ms []*labels.Matcher) ([]string, error) {
			names, _, err := q.LabelNames(ctx, h, ms...)
			return names, err
		})
	case "label/name/values":
		if !model.UTF8Validation.IsValidLabelName(label) {
			return nil, wrong("invalid label name: %q", label)
		}
		return r.list(func(ctx context.Context, q storage.Querier, h *storage.LabelHints, ms []*labels.Matcher) ([]string, error) {
			values, _, err := q.LabelValues(ctx, label, h, ms...)
			return values, err
		})
	case "metadata":
		return r.metadata()
	case "status/buildinfo":
		// Clients look at the version to know what they may ask.
		return json.Marshal(map[string]string{"version": "3.0.0", "revision": "echotwin", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""})
	}
	return nil, wrong("there is no endpoint %q", endpoint)
}

func (r *promRequest) metadata() ([]byte, error) {
	if m := r.form.Get("metric"); m != "" && m != metricName {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]any{metricName: []map[string]string{{
		"type": "gauge", "unit": "",
		"help": "Value of a property of a thing. false is 0, true is 1; a string is its place in the names that GET /api/history tells.",
	}}})
}

// time reads a point in time: seconds since 1970 or RFC 3339.
func (r *promRequest) time(name string, otherwise time.Time) (time.Time, error) {
	s := r.form.Get(name)
	if s == "" {
		return otherwise, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1e11 {
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	return time.Time{}, wrong("invalid parameter %q: cannot parse %q to a valid timestamp", name, clip(s))
}

func parseDuration(name, s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if ns := f * float64(time.Second); ns > math.MinInt64 && ns < math.MaxInt64 {
			return time.Duration(ns), nil
		}
		return 0, wrong("invalid parameter %q: %q overflows", name, clip(s))
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, wrong("invalid parameter %q: cannot parse %q to a valid duration", name, clip(s))
}

func (r *promRequest) duration(name string, otherwise time.Duration) (time.Duration, error) {
	if s := r.form.Get(name); s != "" {
		return parseDuration(name, s)
	}
	return otherwise, nil
}

// limit is how many of something are wanted.
func (r *promRequest) limit() (int, error) {
	s := r.form.Get("limit")
	if s == "" {
		return maxListed, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, wrong("invalid parameter \"limit\": %q is not a whole number from 0 on", clip(s))
	}
	if n == 0 {
		n = maxListed
	}
	return min(n, maxListed), nil
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

func (r *promRequest) options() (promql.QueryOpts, error) {
	d, err := r.duration("lookback_delta", lookback)
	if err == nil && (d <= 0 || d > 24*time.Hour) {
		err = wrong("invalid parameter \"lookback_delta\": more than 0 and at most 1d")
	}
	return promql.NewPrometheusQueryOpts(false, d), err
}

func (r *promRequest) query() ([]byte, error) {
	at, err := r.time("time", r.cfg.Now())
	if err != nil {
		return nil, err
	}
	opts, err := r.options()
	if err != nil {
		return nil, err
	}
	return r.run(func(q storage.Queryable) (promql.Query, error) {
		return r.engine.NewInstantQuery(r.ctx, q, opts, r.form.Get("query"), at)
	})
}

func (r *promRequest) queryRange() ([]byte, error) {
	from, err := r.time("start", time.Time{})
	to, err2 := r.time("end", time.Time{})
	every, err3 := r.duration("step", 0)
	opts, err4 := r.options()
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return nil, cmpFirst(err, err2, err3, err4)
	}
	switch {
	case from.IsZero():
		return nil, wrong(`invalid parameter "start": cannot parse "" to a valid timestamp`)
	case to.IsZero():
		return nil, wrong(`invalid parameter "end": cannot parse "" to a valid timestamp`)
	case to.Before(from):
		return nil, wrong(`invalid parameter "end": end timestamp must not be before start time`)
	case every < time.Millisecond:
		return nil, wrong(`invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer`)
	case to.Sub(from)/every > maxPoints:
		return nil, wrong("exceeded maximum resolution of %d points per timeseries. Try decreasing the query resolution (?step=XX)", maxPoints)
	}
	if e, err := queries.ParseExpr(r.form.Get("query")); err == nil { // what is wrong with it the engine says
		if err := checkSubqueries(e, to.Sub(from)); err != nil {
			return nil, wrong("invalid parameter %q: %v", "query", err)
		}
	}
	return r.run(func(q storage.Queryable) (promql.Query, error) {
		return r.engine.NewRangeQuery(r.ctx, q, opts, r.form.Get("query"), from, to, every)
	})
}

func cmpFirst(errs ...error) error {
	return errs[slices.IndexFunc(errs, func(e error) bool { return e != nil })]
}

// run executes a query within the time that the client allows.
func (r *promRequest) run(prepare func(storage.Queryable) (promql.Query, error)) (out []byte, err error) {
	limit, err := r.duration("timeout", queryTimeout)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, min(limit, queryTimeout))
	defer cancel()
	err = r.use(func(all storage.Queryable) error {
		q, err := prepare(newView(all, r.scope))
		if err != nil {
			return wrong("invalid parameter %q: %v", "query", err)
		}
		defer q.Close()
		res := q.Exec(ctx)
		if res.Err != nil {
			return res.Err
		}
		warnings, infos := res.Warnings.AsStrings(r.form.Get("query"), 10, 10)
		r.warnings, r.infos = append(r.warnings, warnings...), append(r.infos, infos...)
		out, err = appendResult(nil, res.Value)
		return err
	})
	return out, err
}
