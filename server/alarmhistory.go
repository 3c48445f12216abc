package server

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

// An alarmPast is what GET /api/alarms/history asks for.
type alarmPast struct {
	pattern  string
	see      func(thing string) bool
	from, to time.Time // by when a step was stored; to is left out
	of       []int     // priorities; nil is all
	limit    int
}

// alarmHistory answers GET /api/alarms/history: the steps of alarms, the newest
// first, from the store of facts.
func (s *Server) alarmHistory(c echo.Context) error {
	q := alarmPast{}
	var err error
	if q.limit, err = pageSize(c); err != nil {
		return err
	}
	if q.pattern, q.see, err = s.scope(c, "thing"); err != nil {
		return err
	}
	if q.of, err = priorities(c); err != nil {
		return err
	}
	now := time.Now()
	if q.from, err = moment(c, "from", "-24h", now); err != nil {
		return err
	}
	q.to = now.Add(time.Minute) // of clocks that differ
	if c.QueryParam("to") != "" {
		if q.to, err = moment(c, "to", "", now); err != nil {
			return err
		}
	}
	if text := c.QueryParam("after"); text != "" {
		ns, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return &realtime.Problem{Code: realtime.CodeMalformed, At: "?after", Message: "after is what the header Link says, not " + strconv.Quote(clip(text))}
		}
		if at := time.Unix(0, ns); at.Before(q.to) {
			q.to = at
		}
	}
	format, err := historyFormat(c)
	if err != nil {
		return err
	}
	if format == asCSV && c.QueryParam("limit") == "" {
		return s.exportAlarms(c, q)
	}
	list, next := []realtime.AlarmState{}, time.Time{}
	if s.Facts != nil {
		if list, next, err = s.alarmSteps(c.Request().Context(), q); err != nil {
			return err
		}
	}
	if !next.IsZero() {
		linkNext(c, strconv.FormatInt(next.UnixNano(), 10))
	}
	if format == asCSV {
		return alarmsCSV(c, list)
	}
	return noStore(c).JSON(http.StatusOK, list)
}

// An alarmFact is a step, and when it was stored.
type alarmFact struct {
	at   time.Time
	step realtime.AlarmState
}

// alarmSteps is a page of steps and, when there may be more, the moment before
// which they were stored. It stops with what it has when it has read enough for
// one request.
func (s *Server) alarmSteps(ctx context.Context, q alarmPast) (list []realtime.AlarmState, next time.Time, err error) {
	list = []realtime.AlarmState{}
	left := factBudget
	for w, err := range s.stepsBack(ctx, q, &left) {
		if err != nil {
			return nil, next, err
		}
		for i := len(w.found) - 1; i >= 0; i-- {
			if list = append(list, w.found[i].step); len(list) == q.limit {
				if i > 0 || w.begin.After(q.from) {
					next = w.found[i].at
				}
				return list, next, nil
			}
		}
		if left <= 0 && w.begin.After(q.from) {
			return list, w.begin, nil
		}
	}
	return list, next, nil
}

// A stepWindow is the steps since a moment, in their order, up to the window
// that came before it.
type stepWindow struct {
	begin time.Time
	found []alarmFact
}

// stepsBack reads windows from the end of the range to its beginning. They grow
// on the way back, and shrink where there is too much for one. left counts down
// what was read.
func (s *Server) stepsBack(ctx context.Context, q alarmPast, left *int) iter.Seq2[stepWindow, error] {
	return func(yield func(stepWindow, error) bool) {
		for end, width := q.to, time.Hour; end.After(q.from); {
			begin := end.Add(-width)
			if begin.Before(q.from) {
				begin = q.from
			}
			found, whole, err := s.stepsBetween(ctx, q, begin, end, left)
			if err == nil && !whole && width > time.Millisecond {
				width, *left = width/4, max(*left, factBudget/4) // so much is read at least, whatever was before
				continue
			}
			if !yield(stepWindow{begin, found}, err) || err != nil {
				return
			}
			end, width = begin, width*4
		}
	}
}

// stepsBetween are the newest steps that were stored in a span of time, end left
// out, in their order. whole is false when there was more to read than may be.
func (s *Server) stepsBetween(ctx context.Context, q alarmPast, begin, end time.Time, left *int) (found []alarmFact, whole bool, err error) {
	var patterns []string
	if q.pattern != "" {
		patterns = []string{q.pattern}
	}
	whole, window := true, 0
	err = s.Facts.BetweenOf(ctx, "alarm", patterns, begin, end, func(at time.Time, f realtime.Fact) bool {
		if !at.Before(end) {
			return false
		}
		*left--
		if window++; window > factBudget/4 {
			whole = false
			return false
		}
		var a realtime.AlarmState
		if !q.see(f.Thing) || json.Unmarshal(f.Body, &a) != nil || q.of != nil && !slices.Contains(q.of, a.Priority) {
			return true
		}
		a.Seq = f.Seq
		found = append(found, alarmFact{at, a})
		return true
	})
	return found, whole, err
}
