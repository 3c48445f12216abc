package bus

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestAsk(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	if _, err := b.Ask(t.Context(), "question.1", nil); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v, want that nobody is there", err)
	}
	heard := make(chan string, 10)
	var stops []func()
	for range 2 { // two nodes, one answer
		stop, err := b.Answer("question.>", func(q []byte) []byte {
			heard <- string(q)
			if string(q) == "slow" {
				time.Sleep(200 * time.Millisecond)
			}
			return append([]byte("re: "), q...)
		})
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
	}
	if got, err := b.Ask(t.Context(), "question.1", []byte("who")); err != nil || !bytes.Equal(got, []byte("re: who")) || len(heard) != 1 {
		t.Errorf("got %s, %v; heard by %d", got, err, len(heard))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.Ask(ctx, "question.1", []byte("slow")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNobody) {
		t.Errorf("got %v, want the deadline", err)
	}
	for _, stop := range stops {
		stop()
	}
	if _, err := b.Ask(t.Context(), "question.1", nil); !errors.Is(err, ErrNobody) {
		t.Errorf("after the end: got %v", err)
	}
}

// A device left while a command for it was on its way to the node that had it.
// That node threw the question away, and who asked waited for two minutes.
func TestNoQuestionIsLostWhenTheAnswersEnd(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := b.Ask(ctx, "question.1", nil); err != nil && !errors.Is(err, ErrNobody) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 300 {
		stop, err := b.Answer("question.>", func([]byte) []byte { return []byte("here") })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Ask(ctx, "question.1", nil); err != nil {
			t.Error(err)
		}
		stop()
	}
	close(done)
	asking.Wait()
}
