package history

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// matchers are the match[] of a request.
func (r *promRequest) matchers() ([][]*labels.Matcher, error) {
	var sets [][]*labels.Matcher
	for _, text := range r.form["match[]"] {
		ms, err := queries.ParseMetricSelector(text)
		if err != nil {
			return nil, wrong("invalid parameter %q: %v", "match[]", err)
		}
		sets = append(sets, ms)
	}
	return sets, nil
}

// span is the time that labels and series are looked for in; all of it when none
// is given.
func (r *promRequest) span() (from, to int64, err error) {
	a, err := r.time("start", time.UnixMilli(math.MinInt64))
	b, err2 := r.time("end", time.UnixMilli(math.MaxInt64))
	if err != nil || err2 != nil {
		return 0, 0, cmpFirst(err, err2)
	}
	if b.Before(a) {
		return 0, 0, wrong(`invalid parameter "end": end timestamp must not be before start time`)
	}
	return a.UnixMilli(), b.UnixMilli(), nil
}

// A listing is what a list of series, names or values is asked for with.
type listing struct {
	sets     [][]*labels.Matcher
	from, to int64
	limit    int
}

func (r *promRequest) listing() (l listing, err error) {
	if l.sets, err = r.matchers(); err != nil {
		return l, err
	}
	if l.from, l.to, err = r.span(); err != nil {
		return l, err
	}
	l.limit, err = r.limit()
	return l, err
}

// look hands what may be seen of that time to f.
func (r *promRequest) look(l listing, f func(storage.Querier) error) error {
	return r.use(func(all storage.Queryable) error {
		q, err := newView(all, r.scope).Querier(l.from, l.to)
		if err != nil {
			return err
		}
		defer q.Close()
		return f(q)
	})
}

func (r *promRequest) truncated() { r.warnings = append(r.warnings, "results truncated due to limit") }

func (r *promRequest) listSeries() ([]byte, error) {
	l, err := r.listing()
	if err == nil && len(l.sets) == 0 {
		err = wrong("no match[] parameter provided")
	}
	if err != nil {
		return nil, err
	}
	found := map[string]map[string]string{}
	err = r.look(l, func(q storage.Querier) error {
		for _, ms := range l.sets {
			set := q.Select(r.ctx, true, &storage.SelectHints{Start: l.from, End: l.to, Func: "series"}, ms...)
			for set.Next() {
				ls := set.At().Labels()
				if found[ls.String()] == nil && len(found) == l.limit {
					r.truncated()
					return nil
				}
				found[ls.String()] = ls.Map()
			}
			if err := set.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]map[string]string, 0, len(found))
	for _, key := range sortedKeys(found) {
		out = append(out, found[key])
	}
	return json.Marshal(out)
}

// list answers with names or values, put together over all matchers.
func (r *promRequest) list(ask func(context.Context, storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, error)) ([]byte, error) {
	l, err := r.listing()
	if err != nil {
		return nil, err
	}
	if len(l.sets) == 0 {
		l.sets = [][]*labels.Matcher{nil}
	}
	found := map[string]bool{}
	err = r.look(l, func(q storage.Querier) error {
		for _, ms := range l.sets {
			list, err := ask(r.ctx, q, nil, ms)
			if err != nil {
				return err
			}
			for _, s := range list {
				found[string([]byte(s))] = true // s lives no longer than q
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := sortedKeys(found)
	if len(out) > l.limit {
		out = out[:l.limit]
		r.truncated()
	}
	return json.Marshal(out)
}
