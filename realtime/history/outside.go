package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// maxAnswer bounds what the store outside may answer to one question.
const maxAnswer = 256 << 20

// An outside is a store that speaks the Prometheus HTTP API and takes remote
// write: VictoriaMetrics, Mimir, Prometheus itself.
type outside struct {
	base   *url.URL
	client *http.Client
	writer *remote.API
	status *lastStatus
}

// CheckURL says what is wrong with the address of a store outside.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("want the address below which /api/v1/query is, such as http://victoria:8428 or http://mimir:8080/prometheus")
	}
	return nil
}

func newOutside(text string) *outside {
	u, err := url.Parse(text)
	if err != nil { // CheckURL was not asked: every question will say so
		u = &url.URL{}
	}
	o := &outside{base: u, status: &lastStatus{next: http.DefaultTransport}}
	o.client = &http.Client{Timeout: queryTimeout}
	// Mimir reads below /prometheus and takes samples at /api/v1/push.
	root, path := *u, "api/v1/write"
	if before, is := strings.CutSuffix(strings.TrimSuffix(u.Path, "/"), "/prometheus"); is {
		root.Path, path = before, "api/v1/push"
	}
	o.writer, err = remote.NewAPI(root.String(), remote.WithAPIPath(path),
		remote.WithAPIHTTPClient(&http.Client{Timeout: queryTimeout, Transport: o.status}),
		remote.WithAPIBackoff(remote.BackoffConfig{Min: 100 * time.Millisecond, Max: time.Second, MaxRetries: 3}))
	if err != nil {
		o.writer = nil
	}
	return o
}

// ask sends one request of the Prometheus API and returns its answer as it came.
func (o *outside) ask(ctx context.Context, endpoint string, form url.Values) (int, []byte, error) {
	form.Set("nocache", "1") // VictoriaMetrics would move times to please its cache
	u := o.base.JoinPath("api/v1", endpoint)
	method, body := http.MethodPost, form.Encode()
	if strings.HasPrefix(endpoint, "label/") {
		method, u.RawQuery, body = http.MethodGet, body, ""
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header["X-Idempotency-Key"] = nil // not sent; says that asking twice is harmless
	res, err := o.client.Do(req)
	if err != nil {
		return 0, nil, o.away(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, o.away(err)
	}
	if len(b) > maxAnswer {
		return 0, nil, &promError{execution, "the answer is larger than 256 MB; ask for less"}
	}
	if res.StatusCode/100 == 5 && !json.Valid(b) { // of a proxy before it
		return 0, nil, o.away(errors.New(res.Status))
	}
	return res.StatusCode, b, nil
}

// away is the error of a store that cannot be reached. Its address and password
// stay here.
func (o *outside) away(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &problem{Code: "unavailable", Message: "the store of history (HISTORY_URL) does not answer; samples wait in the log meanwhile"}
}

// data asks and reads what the answer holds.
func (o *outside) data(ctx context.Context, endpoint string, form url.Values, into any) error {
	status, b, err := o.ask(ctx, endpoint, form)
	if err != nil {
		return err
	}
	var answer struct {
		Status string
		Error  string
		Data   json.RawMessage
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.Status != "success" {
		if status/100 == 5 {
			return o.away(errors.New(answer.Error))
		}
		return fmt.Errorf("the store of history answers %d: %s", status, clip(string(bytes.TrimSpace(b))))
	}
	return json.Unmarshal(answer.Data, into)
}

// points are the samples of one series as JSON has them.
type points struct {
	Metric map[string]string
	Values [][2]any
}

func (p points) floats() ([]promql.FPoint, error) {
	out := make([]promql.FPoint, 0, len(p.Values))
	for _, v := range p.Values {
		t, ok := v[0].(float64)
		text, ok2 := v[1].(string)
		f, err := strconv.ParseFloat(text, 64)
		if !ok || !ok2 || err != nil {
			return nil, fmt.Errorf("the store of history sent %v as a sample", v)
		}
		out = append(out, promql.FPoint{T: int64(math.Round(t * 1000)), F: f})
	}
	return out, nil
}

// Querier implements storage.Queryable.
func (o *outside) Querier(from, to int64) (storage.Querier, error) {
	now := time.Now()
	// Nothing was measured earlier or will be later; the store wants real times.
	from = max(from, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	to = min(to, now.Add(time.Hour).UnixMilli())
	return outsideQuerier{o, from, to}, nil
}

type outsideQuerier struct {
	*outside
	from, to int64
}

func (q outsideQuerier) Close() error { return nil }

// LabelNames and LabelValues are never asked: those questions are forwarded.
func (q outsideQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("not asked here")
}

func (q outsideQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("not asked here")
}

// Select reads samples.
func (q outsideQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if q.from > q.to {
		return storage.EmptySeriesSet()
	}
	selector := (&parser.VectorSelector{LabelMatchers: ms}).String()
	if hints != nil && hints.Func == "series" {
		return q.listed(ctx, selector)
	}
	var answer struct{ Result []points }
	err := q.data(ctx, "query", url.Values{
		"query": {fmt.Sprintf("%s[%dms]", selector, q.to-q.from+1)}, "time": {seconds(q.to)},
	}, &answer)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	set := &seriesSet{}
	for _, p := range answer.Result {
		floats, err := p.floats()
		if err != nil {
			return storage.ErrSeriesSet(err)
		}
		set.list = append(set.list, promql.NewStorageSeries(promql.Series{Metric: labels.FromMap(p.Metric), Floats: floats}))
	}
	return set
}

func (q outsideQuerier) listed(ctx context.Context, selector string) storage.SeriesSet {
	var list []map[string]string
	if err := q.data(ctx, "series", url.Values{"match[]": {selector}, "start": {seconds(q.from)}, "end": {seconds(q.to)}}, &list); err != nil {
		return storage.ErrSeriesSet(err)
	}
	set := &seriesSet{}
	for _, m := range list {
		set.list = append(set.list, promql.NewStorageSeries(promql.Series{Metric: labels.FromMap(m)}))
	}
	return set
}

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }

// forward sends a question on, with what the asker may see written into it, and
// returns the answer as it came.
func (r *promRequest) forward(endpoint, label string) (int, []byte, error) {
	ms := append(r.scope.matchers(), labels.MustNewMatcher(labels.MatchNotEqual, labelThing, "")) // others may write there, too
	switch endpoint {
	case "query", "query_range":
		expr, err := queries.ParseExpr(r.form.Get("query"))
		if err != nil {
			return 0, nil, wrong("invalid parameter %q: %v", "query", err)
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if v, ok := n.(*parser.VectorSelector); ok {
				v.LabelMatchers = append(v.LabelMatchers, ms...)
			}
			return nil
		})
		r.form.Set("query", expr.String())
	default:
		sets, err := r.matchers()
		if err != nil {
			return 0, nil, err
		}
		if len(sets) == 0 && endpoint == "series" {
			return 0, nil, wrong("no match[] parameter provided")
		}
		if len(sets) == 0 {
			sets = [][]*labels.Matcher{nil}
		}
		if r.form.Get("start") == "" { // VictoriaMetrics would take the last five minutes
			r.form.Set("start", seconds(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()))
		}
		r.form.Del("match[]")
		for _, set := range sets {
			r.form.Add("match[]", (&parser.VectorSelector{LabelMatchers: append(set, ms...)}).String())
		}
	}
	if endpoint == "label/name/values" {
		if label == "" || strings.ContainsAny(label, "/?#") {
			return 0, nil, wrong("invalid label name: %q", label)
		}
		endpoint = "label/" + label + "/values"
	}
	return r.outside.ask(r.ctx, endpoint, r.form)
}

// fillFromOutside reads buckets with the store's own aggregates. The first and
// the last bucket are whole ones.
func (h *History) fillFromOutside(ctx context.Context, t *Trend, n int) error {
	few := true
	for i := range t.Series {
		s := &t.Series[i]
		buckets := map[int64]*Bucket{}
		for _, f := range []string{"count", "min", "max", "avg", "last"} {
			if err := h.aggregate(ctx, t, s, f, buckets); err != nil {
				return err
			}
		}
		s.Buckets = []Bucket{}
		for ts := floor(t.From, t.Step); ts <= t.To; ts += t.Step {
			if b := buckets[ts]; b != nil && b.Count > 0 {
				s.Buckets = append(s.Buckets, *b)
			}
		}
		few = few && s.samples() <= uint64(n)
	}
	if few {
		_, err := h.singles(ctx, t, n)
		return err
	}
	return nil
}

func (h *History) aggregate(ctx context.Context, t *Trend, s *TrendSeries, f string, buckets map[int64]*Bucket) error {
	selector := &parser.VectorSelector{LabelMatchers: []*labels.Matcher{
		equal(labels.MetricName, metricName), equal(labelThing, t.Thing), equal(labelProp, s.Property), equal(labelType, s.kind.label())}}
	var answer struct{ Result []points }
	// A range goes back from its time, which is not part of the bucket after.
	err := h.outside.data(ctx, "query_range", url.Values{
		"query": {fmt.Sprintf("%s_over_time(%s[%dms])", f, selector, t.Step)},
		"start": {seconds(floor(t.From, t.Step) + t.Step - 1)}, "end": {seconds(floor(t.To, t.Step) + t.Step - 1)}, "step": {seconds(t.Step)},
	}, &answer)
	if err != nil {
		return err
	}
	for _, p := range answer.Result {
		floats, err := p.floats()
		if err != nil {
			return err
		}
		for _, one := range floats {
			b := buckets[one.T-t.Step+1]
			if b == nil {
				b = &Bucket{TS: one.T - t.Step + 1}
				buckets[b.TS] = b
			}
			switch f {
			case "count":
				b.Count = uint64(one.F)
			case "min":
				b.Min = one.F
			case "max":
				b.Max = one.F
			case "avg":
				b.Mean = one.F
			case "last":
				b.Last = one.F
			}
		}
	}
	return nil
}

// remove deletes a thing, where the store can do that.
func (o *outside) remove(ctx context.Context, thing string) error {
	selector := (&parser.VectorSelector{LabelMatchers: []*labels.Matcher{equal(labels.MetricName, metricName), equal(labelThing, thing)}}).String()
	status, _, err := o.ask(ctx, "admin/tsdb/delete_series", url.Values{"match[]": {selector}})
	if err == nil && status/100 != 2 {
		err = &problem{Code: "invalid", Message: fmt.Sprintf("the store of history cannot delete series (%d); delete %s there", status, selector)}
	}
	return err
}
