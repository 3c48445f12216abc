package history

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
)

// A segment is a file of buckets: every series of one hour or one day, at each
// of the levels. It never changes once it has its name.
//
//	for each series: key, then the buckets of each level, compressed
//	index: for each series the hash of its key and where it is, by hash
//	footer: where the index is, its length, the time of the segment, a checksum, the magic
//
// A key is thing, property and kind. A query reads of a file the footer, a few
// entries of the index and the one level that it wants.
type segment struct {
	start, end int64
	path       string
}

// levels are how long a bucket is, finest first.
var levels = [...]int64{minute, 10 * minute, hour}

const (
	segmentMagic  = "etroll01"
	footerSize    = 8 + 4 + 8 + 8 + 4 + len(segmentMagic)
	entrySize     = 8 + 8 + 2 + 4*len(levels)
	maxBlock      = 1 << 20 // a day of minutes is 50 KB
	maxSegmentKey = 2048
)

func seriesKey(thing, property string, k kind) string {
	return thing + "\x00" + property + "\x00" + k.String()
}

// An entry is one line of the index.
type entry struct {
	hash   uint64
	offset int64
	key    int // bytes
	block  [len(levels)]int
}

func (e entry) size() int {
	n := e.key
	for _, b := range e.block {
		n += b
	}
	return n
}

func (e entry) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, e.hash)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.offset))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(e.key))
	for _, b := range e.block {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(b))
	}
	return dst
}

func readEntry(b []byte) entry {
	e := entry{hash: binary.LittleEndian.Uint64(b), offset: int64(binary.LittleEndian.Uint64(b[8:])), key: int(binary.LittleEndian.Uint16(b[16:]))}
	for i := range e.block {
		e.block[i] = int(binary.LittleEndian.Uint32(b[18+4*i:]))
	}
	return e
}

// A segmentWriter writes a segment under another name, and gives it its own when
// it is on disk.
type segmentWriter struct {
	segment
	f      *os.File
	w      *bufio.Writer
	offset int64
	index  []entry
	err    error
}

func writeSegment(path string, start, end int64) (*segmentWriter, error) {
	f, err := os.Create(path + ".new")
	if err != nil {
		return nil, err
	}
	return &segmentWriter{segment: segment{start, end, path}, f: f, w: bufio.NewWriterSize(f, 64<<10)}, nil
}

// add writes a series, of which minutes are the buckets of the finest level with
// sums as Mean. Each series is written once.
func (w *segmentWriter) add(key string, minutes []Bucket) {
	if len(minutes) == 0 || len(key) > maxSegmentKey {
		return
	}
	e := entry{hash: xxhash.Sum64String(key), offset: w.offset, key: len(key)}
	w.write([]byte(key))
	for i, level := range levels {
		block := encodeBuckets(coarser(minutes, level), w.start, level)
		e.block[i] = len(block)
		w.write(block)
	}
	w.index = append(w.index, e)
}

// copy writes a series as another segment of the same time has it.
func (w *segmentWriter) copy(e entry, raw []byte) {
	e.offset = w.offset
	w.write(raw)
	w.index = append(w.index, e)
}

func (w *segmentWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
		w.offset += int64(len(b))
	}
}

// close finishes the file. After an error there is none.
func (w *segmentWriter) close() (err error) {
	slices.SortFunc(w.index, func(a, b entry) int { return cmp.Compare(a.hash, b.hash) })
	at := w.offset
	var tail []byte
	for _, e := range w.index {
		tail = e.append(tail)
	}
	foot := len(tail)
	tail = binary.LittleEndian.AppendUint64(tail, uint64(at))
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(w.index)))
	tail = binary.LittleEndian.AppendUint64(tail, uint64(w.start))
	tail = binary.LittleEndian.AppendUint64(tail, uint64(w.end))
	tail = binary.LittleEndian.AppendUint32(tail, crc32.ChecksumIEEE(tail[foot:]))
	tail = append(tail, segmentMagic...)
	w.write(tail)
	err = errors.Join(w.err, w.w.Flush(), w.f.Sync(), w.f.Close())
	if err == nil {
		err = os.Rename(w.path+".new", w.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(w.path+".new"))
	}
	return syncDir(filepath.Dir(w.path))
}

// abandon removes what was written.
func (w *segmentWriter) abandon() { _ = errors.Join(w.f.Close(), os.Remove(w.path+".new")) } // the next start sweeps

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system can
	return d.Close()
}

// coarser puts buckets, whose Mean is a sum, together.
func coarser(minutes []Bucket, level int64) []Bucket {
	if level == levels[0] {
		return minutes
	}
	g := gatherer{step: level, sums: true}
	for _, b := range minutes {
		g.merge(b)
	}
	return g.done()
}

// encodeBuckets writes a list of buckets with its checksum. A bucket of equal
// values holds the value once.
func encodeBuckets(list []Bucket, start, level int64) []byte {
	raw := binary.AppendUvarint(nil, uint64(len(list)))
	place := start/level - 1
	for _, b := range list {
		raw = binary.AppendUvarint(raw, uint64(b.TS/level-place))
		raw = binary.AppendUvarint(raw, b.Count<<1|flat(b))
		place = b.TS / level
	}
	float := func(v float64) { raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v)) }
	for _, b := range list {
		float(b.Last)
		if flat(b) == 0 {
			float(b.Min)
			float(b.Max)
			float(b.Mean)
		}
	}
	packed := s2.Encode(nil, raw)
	return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(packed)), packed...)
}

func flat(b Bucket) uint64 {
	if b.Min == b.Max && b.Mean == b.Last*float64(b.Count) {
		return 1
	}
	return 0
}

var errBroken = errors.New("the file is broken")

func decodeBuckets(block []byte, start, level int64) ([]Bucket, error) {
	if len(block) < 4 || crc32.ChecksumIEEE(block[4:]) != binary.LittleEndian.Uint32(block) {
		return nil, errBroken
	}
	if n, err := s2.DecodedLen(block[4:]); err != nil || n > 4*maxBlock {
		return nil, errBroken
	}
	raw, err := s2.Decode(nil, block[4:])
	if err != nil {
		return nil, err
	}
	r := bytes.NewReader(raw)
	n, err := binary.ReadUvarint(r)
	if err != nil || n > uint64(len(raw)) {
		return nil, errBroken
	}
	list := make([]Bucket, n)
	flats := make([]bool, n)
	place := start/level - 1
	for i := range list {
		delta, err1 := binary.ReadUvarint(r)
		count, err2 := binary.ReadUvarint(r)
		if err1 != nil || err2 != nil {
			return nil, errBroken
		}
		place += int64(delta)
		list[i].TS, list[i].Count, flats[i] = place*level, count>>1, count&1 == 1
	}
	values := raw[len(raw)-r.Len():]
	float := func() float64 {
		if len(values) < 8 {
			err = errBroken
			return 0
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(values))
		values = values[8:]
		return v
	}
	for i := range list {
		b := &list[i]
		b.Last = float()
		b.Min, b.Max, b.Mean = b.Last, b.Last, b.Last*float64(b.Count)
		if !flats[i] {
			b.Min, b.Max, b.Mean = float(), float(), float()
		}
	}
	return list, err
}

// A segmentFile is a segment, open.
type segmentFile struct {
	segment
	f     *os.File
	index int64
	count int
}

func (s segment) open() (*segmentFile, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	o := &segmentFile{segment: s, f: f}
	if err := o.readFooter(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.path, err), f.Close())
	}
	return o, nil
}

func (o *segmentFile) readFooter() error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	b := make([]byte, footerSize)
	if _, err := o.f.ReadAt(b, info.Size()-int64(footerSize)); err != nil {
		return errBroken
	}
	sum := binary.LittleEndian.Uint32(b[28:])
	if string(b[32:]) != segmentMagic || crc32.ChecksumIEEE(b[:28]) != sum {
		return errBroken
	}
	o.index, o.count = int64(binary.LittleEndian.Uint64(b)), int(binary.LittleEndian.Uint32(b[8:]))
	o.start, o.end = int64(binary.LittleEndian.Uint64(b[12:])), int64(binary.LittleEndian.Uint64(b[20:]))
	if o.index+int64(o.count*entrySize)+int64(footerSize) != info.Size() {
		return errBroken
	}
	return nil
}

func (o *segmentFile) entry(i int) (entry, error) {
	var b [entrySize]byte
	_, err := o.f.ReadAt(b[:], o.index+int64(i*entrySize))
	return readEntry(b[:]), err
}

// find looks a series up; ok is false when the segment has none of it.
func (o *segmentFile) find(key string) (e entry, ok bool, err error) {
	hash := xxhash.Sum64String(key)
	lo, hi := 0, o.count
	for lo < hi {
		mid := (lo + hi) / 2
		if e, err = o.entry(mid); err != nil {
			return e, false, err
		}
		if e.hash < hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < o.count; lo++ { // those of the same hash
		if e, err = o.entry(lo); err != nil || e.hash != hash {
			return e, false, err
		}
		name := make([]byte, e.key)
		if _, err := o.f.ReadAt(name, e.offset); err != nil || string(name) == key {
			return e, err == nil, err
		}
	}
	return e, false, nil
}

// buckets reads one level of a series; nothing when there is none of it.
func (o *segmentFile) buckets(key string, level int64) ([]Bucket, error) {
	e, ok, err := o.find(key)
	if !ok || err != nil {
		return nil, err
	}
	at := e.offset + int64(e.key)
	for i, l := range levels {
		if l == level {
			if e.block[i] > maxBlock {
				return nil, fmt.Errorf("%s: %w", o.path, errBroken)
			}
			block := make([]byte, e.block[i])
			if _, err := o.f.ReadAt(block, at); err != nil {
				return nil, err
			}
			list, err := decodeBuckets(block, o.start, level)
			if err != nil {
				err = fmt.Errorf("%s: %w", o.path, err)
			}
			return list, err
		}
		at += int64(e.block[i])
	}
	return nil, fmt.Errorf("there is no level %d", level)
}

// each reads every series as it is in the file.
func (o *segmentFile) each(f func(key string, e entry, raw []byte) error) error {
	for i := range o.count {
		e, err := o.entry(i)
		if err != nil {
			return err
		}
		if e.size() > len(levels)*maxBlock+maxSegmentKey {
			return fmt.Errorf("%s: %w", o.path, errBroken)
		}
		raw := make([]byte, e.size())
		if _, err := io.ReadFull(io.NewSectionReader(o.f, e.offset, int64(len(raw))), raw); err != nil {
			return err
		}
		if err := f(string(raw[:e.key]), e, raw); err != nil {
			return err
		}
	}
	return nil
}

func (o *segmentFile) close() { _ = o.f.Close() } // it was only read
