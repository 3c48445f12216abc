package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"echotwin/realtime/twin"
)

// query answers a PromQL expression for the twins, by the same words as the
// Prometheus API, so that history inside and outside are asked alike.
func (s *stages) query(ctx context.Context, expr string, at time.Time) ([]twin.QuerySample, error) {
	if s.history == nil {
		return nil, errors.New("history is not open yet")
	}
	form := url.Values{"query": {expr}, "time": {strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)}}
	status, body := s.history.Prometheus(ctx, "query", "", form, nil)
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer of history: %w", err)
	}
	if status != http.StatusOK {
		return nil, errors.New(answer.Error)
	}
	return samples(answer.Data.Type, answer.Data.Result)
}

// samples reads a result of the Prometheus API. A sample is a pair of the time
// and the value, which is a text.
func samples(typ string, result json.RawMessage) ([]twin.QuerySample, error) {
	type pair [2]any
	value := func(p pair) (float64, error) {
		text, _ := p[1].(string)
		return strconv.ParseFloat(text, 64)
	}
	switch typ {
	case "vector":
		var list []struct {
			Metric map[string]string `json:"metric"`
			Value  pair              `json:"value"`
		}
		if err := json.Unmarshal(result, &list); err != nil {
			return nil, err
		}
		out := make([]twin.QuerySample, 0, len(list))
		for _, l := range list {
			v, err := value(l.Value)
			if err != nil {
				return nil, err
			}
			out = append(out, twin.QuerySample{Labels: l.Metric, Value: v})
		}
		return out, nil
	case "scalar":
		var p pair
		if err := json.Unmarshal(result, &p); err != nil {
			return nil, err
		}
		v, err := value(p)
		return []twin.QuerySample{{Value: v}}, err
	}
	return nil, fmt.Errorf("the expression gives a %s; want a vector of samples", typ)
}
