package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"echotwin/realtime/bus"
	"echotwin/realtime/history"
	"echotwin/realtime/twin"
)

// openRules reads the alarm rules by the API, before anything is looked at.
func (s *stages) openRules(ctx context.Context) error {
	bucket, err := s.bus.Bucket(ctx, "alarmrules")
	if err != nil {
		return err
	}
	s.rules = twin.NewRulebook(twin.RulebookConfig{
		Twins: s.twins, Store: bucket, Logger: s.log, Check: history.CheckQuery,
		Changed: bus.ErrChanged, Exists: bus.ErrExists, Missing: bus.ErrNotFound,
	})
	return s.rules.Load(ctx)
}

// evaluate answers an expression of an alarm rule when history has all that the
// twins had applied, so that no alarm is cleared because history came later.
func (s *stages) evaluate(ctx context.Context, expr string, at time.Time) ([]twin.QuerySample, error) {
	if s.history == nil {
		return nil, errors.New("history is not open yet")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for upTo := s.twins.Seq(); ; {
		err := s.history.Ready()
		if err == nil && s.history.Seq() >= upTo {
			return s.query(ctx, expr, at)
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("history is at %d of %d in the log", s.history.Seq(), upTo)
			}
			return nil, err
		case <-tick.C:
		}
	}
}
