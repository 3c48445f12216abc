package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// ErrNobody says that no node answers questions on a subject.
var ErrNobody = errors.New("bus: nobody answers there")

// maxAnswering bounds the questions on one subject that are answered at once.
const maxAnswering = 256

// Ask puts a question to whoever answers on a subject and returns the answer of
// one of them. With nobody there it is ErrNobody, at once. Any other error means
// that nobody knows whether the question was heard.
func (b *Bus) Ask(ctx context.Context, subject string, question []byte) ([]byte, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.leave()
	m, err := b.nc.RequestWithContext(ctx, subject, question)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ErrNobody
	case err != nil:
		return nil, fmt.Errorf("bus: ask %s: %w", subject, err)
	}
	return m.Data, nil
}

// Answer answers questions on a subject, which may have wildcards, until stop is
// called. Of several who do, on any node, each question goes to one. f is called
// by many goroutines; a question beyond maxAnswering is not answered.
func (b *Bus) Answer(subject string, f func(question []byte) []byte) (stop func(), err error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.leave()
	slots := make(chan struct{}, maxAnswering)
	sub, err := b.nc.QueueSubscribe(subject, "echotwin", func(m *nats.Msg) {
		select {
		case slots <- struct{}{}:
		default:
			return
		}
		if b.enter() != nil {
			return
		}
		go func() {
			defer b.leave()
			defer func() { <-slots }()
			_ = m.Respond(f(m.Data)) // who asked has its own end of waiting
		}()
	})
	if err != nil {
		return nil, fmt.Errorf("bus: answer %s: %w", subject, err)
	}
	// Drained: a question that is on its way already would otherwise be dropped
	// here, and who asked would wait until its own end.
	return func() { _ = sub.Drain() }, nil
}
