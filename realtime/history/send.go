package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
)

// A sentPlace is how far the store outside has the log. It is kept in a file,
// so the log itself is the queue while that store is away, and a restart sends
// on from there. What is sent twice is the same samples.
type sentPlace struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

const savePlaceEvery = time.Second

func (h *History) placePath() string { return filepath.Join(h.cfg.Dir, "sent.json") }

// sendOn follows the log until ctx ends or the store outside does not answer.
func (h *History) sendOn(ctx context.Context) (err error) {
	if err := os.MkdirAll(h.cfg.Dir, 0o700); err != nil {
		return err
	}
	if err := h.names.load(); err != nil {
		return err
	}
	var at sentPlace
	b, err := os.ReadFile(h.placePath())
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", h.placePath(), err)
	}
	if !h.cfg.Log.Continues(at.Epoch) || at.Seq > h.cfg.Log.Last() {
		at = sentPlace{Epoch: h.cfg.Log.Epoch()}
	}
	at.Seq = max(at.Seq, h.seq.Load()) // of an earlier session
	if h.outside.writer == nil {
		return errors.New("HISTORY_URL: " + CheckURL(h.cfg.URL).Error())
	}
	h.seq.Store(at.Seq)
	s := &session{History: h, next: at.Seq + 1, ctx: ctx, columns: &columns{h: h, of: map[string]*columnRow{}, recent: map[uint64]*stream{}, since: math.MinInt64}}
	defer h.following.Store(false)
	defer func() { err = errors.Join(err, s.savePlace()) }()
	return s.run(ctx)
}

func (s *session) savePlace() error {
	b, err := json.Marshal(sentPlace{s.cfg.Log.Epoch(), s.seq.Load()})
	if err != nil {
		return err
	}
	s.placed = time.Now()
	return writeWhole(s.placePath(), b)
}

// lastStatus remembers what was answered last: the writer's error does not say.
type lastStatus struct {
	next http.RoundTripper
	code atomic.Int32
}

func (l *lastStatus) RoundTrip(r *http.Request) (*http.Response, error) {
	l.code.Store(0)
	res, err := l.next.RoundTrip(r)
	if err == nil {
		l.code.Store(int32(res.StatusCode))
	}
	return res, err
}

// send writes what was gathered to the store outside.
func (s *session) send(seq uint64) error {
	if err := s.names.save(); err != nil {
		return fmt.Errorf("keeping the names of values: %w", err)
	}
	all := append(s.late, s.inTime...)
	if len(all) > 0 {
		_, err := s.outside.writer.Write(s.ctx, remote.WriteV1MessageType, writeRequest(all))
		code := s.outside.status.code.Load()
		switch {
		case err == nil:
		case code == http.StatusBadRequest:
			// It read the samples and will not have them: sending them again would
			// stop everything behind them.
			s.stats.outsideRefused.Add(uint64(len(all)))
			s.log.Warn("the store of history refused samples; they are in the log only", "samples", len(all), "seq", seq, "error", err)
		default:
			return s.outside.away(err)
		}
	}
	s.stats.late.Add(uint64(len(s.late)))
	s.stats.samples.Add(uint64(len(all)))
	s.inTime, s.late = s.inTime[:0], s.late[:0]
	s.seq.Store(seq)
	if time.Since(s.placed) > savePlaceEvery {
		return s.savePlace()
	}
	return nil
}

func writeRequest(all []sample) *prompb.WriteRequest {
	byStream := map[*stream]*prompb.TimeSeries{}
	order := []*stream{}
	for _, one := range all {
		t := byStream[one.stream]
		if t == nil {
			t = &prompb.TimeSeries{}
			one.stream.labels.Range(func(l labels.Label) { t.Labels = append(t.Labels, prompb.Label{Name: l.Name, Value: l.Value}) })
			byStream[one.stream] = t
			order = append(order, one.stream)
		}
		t.Samples = append(t.Samples, prompb.Sample{Timestamp: one.ts, Value: one.v})
	}
	req := &prompb.WriteRequest{}
	for _, st := range order {
		t := byStream[st]
		slices.SortStableFunc(t.Samples, func(a, b prompb.Sample) int { return int(min(max(a.Timestamp-b.Timestamp, -1), 1)) })
		req.Timeseries = append(req.Timeseries, *t)
	}
	return req
}
