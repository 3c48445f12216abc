package bus

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/highwayhash"
)

// A Report is what Examine found.
type Report struct {
	Segments, Blocks, Messages int
	Bytes                      int64
	Damaged                    []BadBlock
}

// A BadBlock is a file of messages that cannot be read to its end.
type BadBlock struct {
	File     string
	At, Size int64 // it is right up to At
	Why      string
}

func (d BadBlock) String() string {
	return fmt.Sprintf("%s is damaged from byte %d of %d on: %s", d.File, d.At, d.Size, d.Why)
}

// Remedy is what Mend does.
func (d BadBlock) Remedy() string {
	return fmt.Sprintf("keep a copy as %s.damaged and cut it off there, as NATS would without the copy; the next start goes on under a new epoch", d.File)
}

// Mend does it.
func (d BadBlock) Mend() error {
	in, err := os.Open(d.File)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(d.File+".damaged", os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Truncate(d.File, d.At)
}

// Examine reads all blocks of a folder that no server runs in, checks every
// message by its checksum and changes nothing.
func Examine(dir string) (*Report, error) {
	found, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "*", "msgs", "*.blk"))
	if err != nil {
		return nil, err
	}
	r := &Report{}
	for _, s := range mustGlob(filepath.Join(dir, "jetstream", "$G", "streams", logName+"*")) {
		if segmentNamed(filepath.Base(s)) != nil {
			r.Segments++
		}
	}
	for _, f := range found {
		stream := filepath.Base(filepath.Dir(filepath.Dir(f)))
		n, at, size, err := examineBlock(f, stream)
		var bad badMessage
		switch {
		case errors.As(err, &bad):
			r.Damaged = append(r.Damaged, BadBlock{f, at, size, string(bad)})
		case err != nil:
			return nil, err
		}
		r.Blocks++
		r.Messages += n
		r.Bytes += size
	}
	return r, nil
}

func mustGlob(pattern string) []string {
	found, _ := filepath.Glob(pattern) // it errs for a bad pattern only
	return found
}

type badMessage string

func (b badMessage) Error() string { return string(b) }

// The shape of a message in a block of NATS 2.x: its length, number and time, the
// length of its subject, then subject, headers and text, and a checksum.
const (
	blockHead    = 22
	blockSum     = 8
	blockHeaders = 1 << 31 // in the length: it has headers
	blockLargest = 32 << 20
)

// examineBlock counts the messages of a block and says up to where it is right.
func examineBlock(file, stream string) (n int, at, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, 0, err
	}
	size = info.Size()
	index := strings.TrimSuffix(filepath.Base(file), ".blk")
	key := sha256.Sum256([]byte(stream + "-" + index))
	r, sum := bufio.NewReaderSize(f, 1<<20), make([]byte, 0, blockSum)
	var head [blockHead]byte
	var body []byte
	for at < size {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return n, at, size, badMessage("it ends within a message")
		}
		length, subject := binary.LittleEndian.Uint32(head[:]), int(binary.LittleEndian.Uint16(head[20:]))
		headers := length&blockHeaders != 0
		length &^= blockHeaders
		rest := int(length) - blockHead
		text := subject
		if headers {
			text += 4
		}
		if length > blockLargest || rest < text+blockSum {
			return n, at, size, badMessage(fmt.Sprintf("a message cannot have %d bytes", length))
		}
		if cap(body) < rest {
			body = make([]byte, rest)
		}
		body = body[:rest]
		if _, err := io.ReadFull(r, body); err != nil {
			return n, at, size, badMessage("it ends within a message")
		}
		h, err := highwayhash.NewDigest64(key[:])
		if err != nil {
			return n, at, size, err
		}
		h.Write(head[4:20])
		h.Write(body[:subject])
		h.Write(body[text : rest-blockSum])
		if !bytes.Equal(h.Sum(sum[:0]), body[rest-blockSum:]) {
			return n, at, size, badMessage("a message does not fit its checksum")
		}
		n++
		at += int64(length)
	}
	return n, at, size, nil
}

// Newest is when the newest bundle was stored, by the clock of then.
func (b *Bus) Newest(ctx context.Context) time.Time {
	newest := time.Time{}
	if info, err := b.row.active().stream.Info(ctx); err == nil && info.State.Msgs > 0 {
		newest = info.State.LastTime
	}
	for _, s := range b.row.closed() {
		if s.finished.After(newest) {
			newest = s.finished
		}
	}
	return newest
}
