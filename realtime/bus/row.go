package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// After a crash NATS reads every stream that was written to since it last
// wrote down where the stream stands, from its beginning. So the log is a row
// of streams, each of which goes on with the numbers of the one before. Only
// the last one is written to; of the others NATS knows where they stand.
//
// It takes two marks, bundles of nothing, to have it so:
//
//   - Every segment but the first begins with one. It is purged when the segment
//     is closed, upon which NATS writes down where the segment stands; otherwise
//     it does so every two minutes only, in which a busy log fills many segments.
//   - Every closed segment has ended with one that was deleted. At its start NATS
//     loads the last message of a stream with the 8 MB around it, and finds at
//     once that this one is no more.
//
// A mark takes a number. Readers get a bundle without records for the one that
// begins a segment, so that whoever waits for the newest number sees it come.

const (
	minSegment = 256 << 10
	maxSegment = 64 << 20

	segmentPrefix  = logName + "_"
	segmentSubject = subject + "."

	// perMessage is what a bundle takes on disk beside its lines.
	perMessage = 64

	// linesKey lists the epochs that a log had before.
	epochsKey = "echotwin_epochs"
)

// A segment is one stream of the log.
type segment struct {
	name, subject string
	first         uint64 // the number that it begins with
	marked        bool   // and that number is a mark
	stream        jetstream.Stream

	// Of a closed one, guarded by row.mu.
	done            bool
	oldest, last    uint64 // bundles
	end             uint64 // the mark that ended it
	bundles, bytes  uint64
	begun, finished time.Time
}

// A row is the segments of the log, the oldest first.
type row struct {
	// turn is held for reading through an Append and for writing through a roll.
	turn sync.RWMutex
	size atomic.Int64 // bytes of the active segment

	mu      sync.Mutex
	list    []*segment
	changed chan struct{} // closed when the list is another
}

func (r *row) set(list []*segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = list
	r.tell()
}

// tell wakes who waits in state. mu is held.
func (r *row) tell() {
	if r.changed != nil {
		close(r.changed)
	}
	r.changed = make(chan struct{})
}

func (r *row) active() *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[len(r.list)-1]
}

// closed are copies of all but the active segment.
func (r *row) closed() []segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]segment, 0, len(r.list))
	for _, s := range r.list[:len(r.list)-1] {
		out = append(out, *s)
	}
	return out
}

// find is the segment that has the bundle, or the one after it.
func (r *row) find(seq uint64) *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.list {
		if s.done && s.last >= seq {
			return s
		}
	}
	return r.list[len(r.list)-1]
}

// state says what a reader that has read all of a closed segment wants next,
// and zero for one that still has to read. The channel is closed when the answer
// may be another.
func (r *row) state(s *segment, next uint64) (then uint64, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.done && next > s.last {
		return s.end + 1, r.changed
	}
	return 0, r.changed
}

func (r *row) isClosed(s *segment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.done
}

// close notes what a segment holds that is not written to any more.
func (s *segment) close(st jetstream.StreamState) {
	s.done, s.last, s.end = true, st.LastSeq-1, st.LastSeq
	s.oldest, s.bundles, s.bytes = st.FirstSeq, st.Msgs, st.Bytes
	s.begun, s.finished = st.FirstTime, st.LastTime
	if s.marked && s.oldest == s.first && s.bundles > 0 {
		s.oldest, s.bundles = s.oldest+1, s.bundles-1
	}
}

// drop takes the oldest segment out of the row.
func (r *row) drop(s *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = slices.DeleteFunc(r.list, func(o *segment) bool { return o == s })
	r.tell()
}

// openRow finds the segments, or makes the first one with a new epoch.
func (b *Bus) openRow(ctx context.Context) error {
	list, infos, err := b.segments(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		b.epoch = rand.Text()[:8]
		s, err := b.newSegment(ctx, 1)
		if err != nil {
			return fmt.Errorf("make the log: %w", err)
		}
		b.row.set([]*segment{s})
		return nil
	}
	newest := infos[len(infos)-1]
	b.epoch = newest.Config.Metadata[epochKey]
	b.before = strings.Fields(newest.Config.Metadata[epochsKey])
	return b.adopt(ctx, list, infos)
}

// adopt takes over the segments as they are on the disk.
func (b *Bus) adopt(ctx context.Context, list []*segment, infos []*jetstream.StreamInfo) error {
	for i, s := range list[:len(list)-1] {
		s.close(infos[i].State)
	}
	a, newest := list[len(list)-1], infos[len(infos)-1].State
	b.row.size.Store(int64(newest.Bytes))
	b.saw(newest.LastSeq)
	switch {
	case a.marked && newest.LastSeq < a.first: // a kill came before its mark
		if err := b.mark(ctx, a); err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
	case newest.Msgs > 0 && newest.Msgs < newest.LastSeq-newest.FirstSeq+1: // or after the mark of its end was deleted
		next, err := b.newSegment(ctx, newest.LastSeq+1)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		a.close(newest)
		list = append(list, next)
	}
	b.row.set(list)
	for i, s := range list[:len(list)-1] {
		if s.marked && infos[i].State.FirstSeq == s.first && infos[i].State.Msgs > 0 {
			b.settle(ctx, s)
		}
	}
	return nil
}

// segments lists the streams of the log, the oldest first.
func (b *Bus) segments(ctx context.Context) (list []*segment, infos []*jetstream.StreamInfo, err error) {
	all := b.js.ListStreams(ctx)
	for info := range all.Info() {
		s := segmentNamed(info.Config.Name)
		if s == nil {
			continue
		}
		if info.Config.Metadata[epochKey] == "" {
			return nil, nil, fmt.Errorf("the folder has a stream %s that is not ours", info.Config.Name)
		}
		if s.name == logName {
			s.first = max(1, info.State.FirstSeq)
		}
		list, infos = append(list, s), append(infos, info)
	}
	if err := all.Err(); err != nil {
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	slices.SortFunc(infos, func(x, y *jetstream.StreamInfo) int {
		return int(int64(firstOf(x.Config.Name)) - int64(firstOf(y.Config.Name)))
	})
	slices.SortFunc(list, func(x, y *segment) int { return int(int64(firstOf(x.name)) - int64(firstOf(y.name))) })
	for _, s := range list {
		if s.stream, err = b.handle(ctx, s.name); err != nil {
			return nil, nil, err
		}
	}
	return list, infos, nil
}

// segmentNamed reads the name of a stream; nil means that it is none of the log.
func segmentNamed(name string) *segment {
	if name == logName {
		return &segment{name: name, subject: subject, first: 1}
	}
	n, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return nil
	}
	first, err := strconv.ParseUint(n, 10, 63)
	if err != nil {
		return nil
	}
	return &segment{name: name, subject: segmentSubject + n, first: first, marked: true}
}

func firstOf(name string) uint64 {
	if s := segmentNamed(name); s != nil && s.marked {
		return s.first
	}
	return 0
}

// newSegment makes a segment that begins with that number.
func (b *Bus) newSegment(ctx context.Context, first uint64) (*segment, error) {
	s := segmentNamed(logName)
	if first > 1 {
		s = segmentNamed(segmentPrefix + strconv.FormatUint(first, 10))
	}
	stream, err := b.create(ctx, jetstream.StreamConfig{
		Name:        s.name,
		Description: "a segment of the log: everything that changes the twin, in order",
		Subjects:    []string{s.subject},
		Storage:     jetstream.FileStorage,
		FirstSeq:    first,
		Duplicates:  dedupe,
		Metadata:    map[string]string{epochKey: b.epoch, epochsKey: strings.Join(b.before, " ")},
	})
	if err != nil {
		return nil, err
	}
	s.stream = stream
	b.row.size.Store(0)
	if !s.marked {
		return s, nil
	}
	return s, b.mark(ctx, s)
}

// mark begins a segment.
func (b *Bus) mark(ctx context.Context, s *segment) error {
	seq, err := b.putMark(ctx, s)
	if err == nil && seq != s.first {
		err = fmt.Errorf("the segment %s begins with %d", s.name, seq)
	}
	return err
}

func (b *Bus) putMark(ctx context.Context, s *segment) (uint64, error) {
	ack, err := b.js.Publish(ctx, s.subject, nil, jetstream.WithExpectStream(s.name), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	b.saw(ack.Sequence)
	return ack.Sequence, nil
}

// grown counts what was appended, and rolls when the active segment is full.
func (b *Bus) grown(n int) {
	if b.inside == nil || b.row.size.Add(int64(n)+perMessage) < b.cfg.Segment {
		return
	}
	ctx, cancel := context.WithTimeout(b.closing, appendTimeout)
	defer cancel()
	if err := b.roll(ctx, b.cfg.Segment); err != nil {
		// The segment goes on to grow; the next Append tries again.
		b.log.Warn("the log could not begin a new segment", "error", err)
		b.suspect(err)
	}
}

// roll closes the active segment and begins the next one, if it has at least
// so many bytes.
func (b *Bus) roll(ctx context.Context, least int64) error {
	b.row.turn.Lock()
	closed, err := b.turnOver(ctx, least)
	b.row.turn.Unlock()
	if closed != nil {
		b.settle(ctx, closed)
	}
	return err
}

// turnOver is roll under turn. It returns the segment that it closed.
func (b *Bus) turnOver(ctx context.Context, least int64) (*segment, error) {
	if b.row.size.Load() < least {
		return nil, nil // another was first
	}
	cur := b.row.active()
	info, err := cur.stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	if info.State.Msgs == 0 || cur.marked && info.State.LastSeq == cur.first {
		return nil, nil // there is nothing in it
	}
	end, err := b.putMark(ctx, cur)
	if err != nil {
		return nil, err
	}
	if err := cur.stream.DeleteMsg(ctx, end); err != nil {
		return nil, err
	}
	next, err := b.newSegment(ctx, end+1)
	if err != nil {
		return nil, err
	}
	b.row.mu.Lock()
	defer b.row.mu.Unlock()
	info.State.LastSeq = end
	cur.close(info.State)
	b.row.list = append(b.row.list, next)
	b.row.tell()
	return cur, nil
}

// settle has NATS forget the ids of a closed segment, which it would read back
// at a start, and write down where the segment stands. What goes wrong costs a
// start after a crash some time and nothing else.
func (b *Bus) settle(ctx context.Context, s *segment) {
	cfg := s.stream.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond // the least that there is
	_, err := b.js.UpdateStream(ctx, cfg)
	if s.marked {
		err = errors.Join(err, s.stream.Purge(ctx, jetstream.WithPurgeSequence(s.first+1)))
	}
	if err != nil {
		b.log.Warn("a segment was closed and will be read again after a crash", "segment", s.name, "error", err)
	}
}

// handle gets at a stream that is known to be there.
func (b *Bus) handle(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := b.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("the segment %s of the log is gone: %w", name, err)
	}
	return s, err
}
