package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"echotwin/realtime"
)

// A mark is where somebody who reads facts one by one has got to: a place, and
// the number that the stream gave it. As text it is epoch.seq.index.number. The
// place stays right when the stream is made anew, from a backup or from the log;
// the number says how much went unread.
type mark struct {
	place
	number uint64
}

// nowhere is before all facts.
var nowhere = mark{place: place{index: -1}}

func (f *Facts) text(m mark) string {
	return fmt.Sprintf("%s.%d.%d.%d", f.bus.epoch, m.seq, m.index, m.number)
}

// markOf reads a cursor of this log; false when it is of another.
func (f *Facts) markOf(cursor string) (mark, bool) {
	parts := strings.Split(cursor, ".")
	if len(parts) != 4 || !f.bus.Continues(parts[0]) {
		return nowhere, false
	}
	seq, err1 := strconv.ParseUint(parts[1], 10, 64)
	index, err2 := strconv.Atoi(parts[2])
	number, err3 := strconv.ParseUint(parts[3], 10, 64)
	if errors.Join(err1, err2, err3) != nil {
		return nowhere, false
	}
	return mark{place{seq, index}, number}, true
}

// End is the cursor behind all facts that are stored now.
func (f *Facts) End(ctx context.Context) (string, error) {
	if err := f.bus.enter(); err != nil {
		return "", err
	}
	defer f.bus.leave()
	info, err := f.stream.Info(ctx)
	if err == nil {
		var m mark
		if m, err = f.markAt(ctx, info.State.LastSeq); err == nil {
			return f.text(m), nil
		}
	}
	return "", fmt.Errorf("bus: read the facts: %w", err)
}

// markAt is the mark of a number of the stream, or nowhere when nothing of this
// log is there.
func (f *Facts) markAt(ctx context.Context, number uint64) (mark, error) {
	if number == 0 {
		return nowhere, nil
	}
	p, err := f.placeAt(ctx, number)
	return mark{p, number}, err
}

// After calls yield with the facts of one type behind a cursor, in their order,
// each with the cursor behind it, until it says no. It reads what is stored when
// it is called, and returns the cursor behind the last fact that it gave, or
// looked at. Missed is how many facts of any type went from the stream unread; -1
// means that nobody can say, because the cursor is one of another log.
func (f *Facts) After(ctx context.Context, kind, cursor string, yield func(cursor string, at time.Time, fact realtime.Fact) bool) (next string, missed int64, err error) {
	if err := f.bus.enter(); err != nil {
		return "", 0, err
	}
	defer f.bus.leave()
	next, missed, err = f.readAfter(ctx, kind, cursor, yield)
	if err != nil {
		return "", 0, fmt.Errorf("bus: read the facts: %w", err)
	}
	return next, missed, nil
}

func (f *Facts) readAfter(ctx context.Context, kind, cursor string, yield func(string, time.Time, realtime.Fact) bool) (next string, missed int64, err error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return "", 0, err
	}
	k := kept{first: max(1, info.State.FirstSeq), last: info.State.LastSeq}
	from, ok := f.markOf(cursor)
	if !ok {
		missed = -1
	}
	if ok && k.last == from.number && k.first <= k.last {
		if p, err := f.placeAt(ctx, k.last); err != nil || p == from.place {
			return cursor, 0, err // nothing new, as most of the time
		}
	}
	begin, err := f.begin(ctx, k, from)
	if err != nil {
		return "", 0, err
	}
	if ok && begin == k.first && k.first > from.number+1 {
		missed = int64(k.first - from.number - 1)
	}
	if begin > k.last {
		if missed != 0 { // said once
			cursor = f.text(mark{from.place, k.last})
		}
		return cursor, missed, nil
	}
	stopped := false
	err = f.scan(ctx, begin, k.last, kind, nil, func(one found) bool {
		cursor = f.text(mark{one.place, one.number})
		stopped = !yield(cursor, one.at, one.fact)
		return !stopped
	})
	if err != nil || stopped {
		return cursor, missed, err
	}
	end, err := f.markAt(ctx, k.last)
	if err == nil && end.after(from.place) {
		cursor = f.text(end)
	}
	return cursor, missed, err
}

// begin is the number of the first fact behind a mark. Its own number says it,
// unless the stream was made anew since.
func (f *Facts) begin(ctx context.Context, k kept, from mark) (uint64, error) {
	if from.number >= k.first && from.number <= k.last {
		m, err := f.stream.GetMsg(ctx, from.number)
		switch {
		case err == nil && f.placeOf(m.Header) == from.place:
			return from.number + 1, nil
		case err != nil && !errors.Is(err, jetstream.ErrMsgNotFound):
			return 0, err
		}
	}
	if k.first > k.last {
		return k.first, nil
	}
	return f.searchBehind(ctx, k, from.place)
}
