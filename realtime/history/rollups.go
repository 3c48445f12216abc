package history

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	day = 24 * hour

	// maxMarks bounds the late samples that are remembered one by one. Beyond,
	// their whole hours are made again.
	maxMarks = 2000
	wholly   = "*"
)

// rollups are the segments there are, and what in them is not true any more.
//
// A segment is made of samples that are all there; one that comes late makes its
// series of that hour wrong. Then a mark is on disk before the sample is, and
// questions about that hour are answered from samples until the segment is made
// again. So what is told from buckets is always what the samples would tell.
type rollups struct {
	dir string
	log *slog.Logger

	mu       sync.Mutex
	segments []segment // in the order of time; none overlap
	sealed   int64     // hours before this one have a segment or are getting theirs
	marks    marks
	saved    bool // marks are on disk as they are
}

// marks are kept in one small file.
type marks struct {
	// Late is which series of which hour have to be made again, with a count that
	// grows when another sample comes.
	Late map[int64]map[string]int `json:"late"`
	// Gone is which things were deleted, and which of their buckets are no more:
	// those before that time.
	Gone map[string]int64 `json:"gone"`
}

func openRollups(dir string, log *slog.Logger) (*rollups, error) {
	r := &rollups{dir: dir, log: log, saved: true, marks: marks{Late: map[int64]map[string]int{}, Gone: map[string]int64{}}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(r.marksPath())
	if err == nil {
		err = json.Unmarshal(b, &r.marks)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", r.marksPath(), err)
	}
	return r, r.load()
}

func (r *rollups) marksPath() string { return filepath.Join(r.dir, "marks.json") }

func segmentName(start, end int64) string {
	return fmt.Sprintf("%s-%dh.roll", time.UnixMilli(start).UTC().Format("20060102T15"), (end-start)/hour)
}

// load finds the segments. One that cannot be read is set aside and made again;
// an hour whose day is there was left by a kill.
func (r *rollups) load() error {
	names, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil {
		return err
	}
	var all []segment
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".new"):
			err = errors.Join(err, os.Remove(name))
		case strings.HasSuffix(name, ".roll"):
			o, broken := segment{path: name}.open()
			if broken != nil {
				r.log.Warn("a file of history's buckets cannot be read and is made again from samples", "file", name, "error", broken)
				err = errors.Join(err, os.Rename(name, name+".broken"))
				continue
			}
			all = append(all, o.segment)
			o.close()
		}
	}
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b segment) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end)) })
	for _, s := range all {
		if n := len(r.segments); n > 0 && s.start < r.segments[n-1].end {
			if err := os.Remove(s.path); err != nil {
				return err
			}
			continue
		}
		r.segments = append(r.segments, s)
		r.sealed = max(r.sealed, s.end)
	}
	return nil
}

// covering is the segments that overlap a time, and the marks of a series.
func (r *rollups) covering(from, to int64, thing, key string) (list []segment, late map[int64]bool, gone int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.segments, from, func(s segment, t int64) int { return cmp.Compare(s.end, t+1) })
	for ; i < len(r.segments) && r.segments[i].start <= to; i++ {
		list = append(list, r.segments[i])
	}
	for h, keys := range r.marks.Late {
		if h >= from-hour && h <= to && (keys[key] > 0 || keys[wholly] > 0) {
			if late == nil {
				late = map[int64]bool{}
			}
			late[h] = true
		}
	}
	return list, late, r.marks.Gone[thing]
}

// keep writes samples: store is called when the marks for those that are late
// are on disk, and no mark is taken back meanwhile.
func (r *rollups) keep(store func() error, batches ...[]sample) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, batch := range batches {
		for _, s := range batch {
			if s.ts < r.sealed {
				r.mark(floor(s.ts, hour), s.stream.name)
			}
		}
	}
	if err := r.save(); err != nil {
		return err
	}
	return store()
}

// mark is called under mu.
func (r *rollups) mark(h int64, key string) {
	keys := r.marks.Late[h]
	if keys == nil {
		keys = map[string]int{}
		r.marks.Late[h] = keys
	}
	n := 0
	for _, k := range r.marks.Late {
		n += len(k)
	}
	if keys[key] == 0 && n >= maxMarks {
		key = wholly
	}
	if keys[key] == 0 {
		r.saved = false
	}
	keys[key]++
}

// save is called under mu.
func (r *rollups) save() error {
	if r.saved {
		return nil
	}
	b, err := json.Marshal(r.marks)
	if err == nil {
		err = writeWhole(r.marksPath(), b)
	}
	r.saved = err == nil
	return err
}

// writeWhole replaces a file so that a kill leaves the old or the new one.
func writeWhole(path string, b []byte) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// seal says that the segments of the hours before this one are being made: what
// is stored from now on is late for them.
func (r *rollups) seal(until int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = max(r.sealed, until)
}

// missing are the hours between two that have no segment.
func (r *rollups) missing(from, to int64) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var hours []int64
	i := 0
	for h := floor(from, hour); h+hour <= to; h += hour {
		for i < len(r.segments) && r.segments[i].end <= h {
			i++
		}
		if i == len(r.segments) || r.segments[i].start > h {
			hours = append(hours, h)
		}
	}
	return hours
}

// replace puts a new segment in the place of those that it covers.
func (r *rollups) replace(s segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := slices.Clone(r.segments)
	r.segments = slices.DeleteFunc(r.segments, func(o segment) bool { return o.start >= s.start && o.end <= s.end })
	i, _ := slices.BinarySearchFunc(r.segments, s.start, func(o segment, t int64) int { return cmp.Compare(o.start, t) })
	r.segments = slices.Insert(r.segments, i, s)
	for _, o := range old {
		if o.start >= s.start && o.end <= s.end && o.path != s.path {
			_ = os.Remove(o.path) // load removes what stays
		}
	}
}

// expire removes segments that end before a time.
func (r *rollups) expire(before int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for len(r.segments) > 0 && r.segments[0].end <= before {
		err = errors.Join(err, os.Remove(r.segments[0].path))
		r.segments = r.segments[1:]
	}
	for h := range r.marks.Late {
		if h+hour <= before {
			delete(r.marks.Late, h)
			r.saved = false
		}
	}
	return errors.Join(err, r.save())
}

// snapshot is the segments and marks as they are now.
func (r *rollups) snapshot() ([]segment, marks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := marks{Late: map[int64]map[string]int{}, Gone: map[string]int64{}}
	for h, keys := range r.marks.Late {
		c := map[string]int{}
		for k, n := range keys {
			c[k] = n
		}
		m.Late[h] = c
	}
	for t, at := range r.marks.Gone {
		m.Gone[t] = at
	}
	return slices.Clone(r.segments), m
}

// done takes back the marks of an hour that were made good, but for those that
// were made again meanwhile.
func (r *rollups) done(h int64, good map[string]int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, n := range good {
		if r.marks.Late[h][key] == n {
			delete(r.marks.Late[h], key)
			r.saved = false
		}
	}
	if len(r.marks.Late[h]) == 0 {
		delete(r.marks.Late, h)
	}
	return r.save()
}

// forget hides what there is of a thing.
func (r *rollups) forget(thing string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks.Gone[thing] = r.sealed // segments that will be made hold none of it
	r.saved = false
	return r.save()
}

// forgotten takes back that mark.
func (r *rollups) forgotten(thing string, before int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.marks.Gone[thing] == before {
		delete(r.marks.Gone, thing)
		r.saved = false
	}
	return r.save()
}
