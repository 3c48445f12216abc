package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"time"
)

// A backup is a tar file, so that anybody can look inside. Everything in it is
// cut into parts of at most 1 MB, whose size is known before they are written,
// and every part carries its checksum; the last entry says how many parts there
// are and the checksum of them all. So both ways take constant memory, and a
// file that was cut or damaged is known by the place where it is.
const (
	archiveFormat = 1
	archiveFirst  = "echotwin-backup.json"
	archiveLast   = "end.json"
	maxPart       = 1 << 20

	sumRecord = "ECHOTWIN.crc32c"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An archiveHead is the first entry.
type archiveHead struct {
	Format  int       `json:"format"`
	Version int       `json:"version"` // of the data folder
	At      time.Time `json:"at"`
	Epoch   string    `json:"epoch"`
}

type archiveEnd struct {
	Parts  int    `json:"parts"`
	SHA256 string `json:"sha256"` // of the content of all of them, in order
}

// An archiver writes a backup.
type archiver struct {
	t     *tar.Writer
	all   hash.Hash
	parts int
	of    map[string]int // parts of each name so far
}

func newArchiver(w io.Writer, head archiveHead) (*archiver, error) {
	a := &archiver{t: tar.NewWriter(w), all: sha256.New(), of: map[string]int{}}
	b, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return a, a.entry(archiveFirst, b)
}

func (a *archiver) entry(name string, b []byte) error {
	h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(b)), Format: tar.FormatPAX,
		PAXRecords: map[string]string{sumRecord: strconv.FormatUint(uint64(crc32.Checksum(b, castagnoli)), 16)}}
	if err := a.t.WriteHeader(h); err != nil {
		return err
	}
	_, err := a.t.Write(b)
	return err
}

// put writes the next part of what has that name.
func (a *archiver) put(name string, b []byte) error {
	a.of[name]++
	a.parts++
	a.all.Write(b)
	return a.entry(fmt.Sprintf("%s/%06d", name, a.of[name]), b)
}

// file writes a whole file.
func (a *archiver) file(name string, r io.Reader) error {
	buf := make([]byte, maxPart)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 || a.of[name] == 0 {
			if err := a.put(name, buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (a *archiver) close() error {
	b, err := json.Marshal(archiveEnd{a.parts, hex.EncodeToString(a.all.Sum(nil))})
	if err == nil {
		err = a.entry(archiveLast, b)
	}
	if err != nil {
		return err
	}
	return a.t.Close()
}

// A part is one piece of what is in a backup.
type part struct {
	name  string // of the whole
	n     int    // 1 is the first
	bytes []byte // valid until the next
}

// An unarchiver reads a backup and believes nothing that it does not check.
type unarchiver struct {
	t     *tar.Reader
	all   hash.Hash
	parts int
	buf   []byte
	head  archiveHead
	at    string // the entry before, for errors
	again *part  // to be given once more
	ended bool
}

var errNotWhole = errors.New("the backup is not whole")

func newUnarchiver(r io.Reader) (*unarchiver, error) {
	u := &unarchiver{t: tar.NewReader(r), all: sha256.New(), at: "its beginning"}
	name, b, err := u.entry()
	if err != nil {
		return nil, fmt.Errorf("this is no backup of echotwin: %w", err)
	}
	if name != archiveFirst {
		return nil, fmt.Errorf("this is no backup of echotwin: it begins with %s, not with %s", name, archiveFirst)
	}
	if err := json.Unmarshal(b, &u.head); err != nil {
		return nil, fmt.Errorf("this is no backup of echotwin: %w", err)
	}
	if u.head.Format != archiveFormat {
		return nil, fmt.Errorf("the backup is of format %d, this program reads %d", u.head.Format, archiveFormat)
	}
	if u.head.Version > dataVersion {
		return nil, fmt.Errorf("the backup is of a data folder of version %d, this program knows up to %d: restore it with a newer one", u.head.Version, dataVersion)
	}
	return u, nil
}

func (u *unarchiver) entry() (string, []byte, error) {
	h, err := u.t.Next()
	if err != nil {
		// Not wrapped: io.EOF is what the end of a whole backup is, and tar says it,
		// too, where a file was cut between two entries.
		return "", nil, fmt.Errorf("%w: it ends, or is damaged, after %s (%v)", errNotWhole, u.at, err)
	}
	if h.Size > maxPart {
		return "", nil, fmt.Errorf("%w: %s has %d bytes", errNotWhole, h.Name, h.Size)
	}
	if int64(cap(u.buf)) < h.Size {
		u.buf = make([]byte, h.Size)
	}
	b := u.buf[:h.Size]
	if _, err := io.ReadFull(u.t, b); err != nil {
		return "", nil, fmt.Errorf("%w: it ends within %s (%v)", errNotWhole, h.Name, err)
	}
	if got := strconv.FormatUint(uint64(crc32.Checksum(b, castagnoli)), 16); got != h.PAXRecords[sumRecord] {
		return "", nil, fmt.Errorf("%w: %s is damaged, its checksum is %s and was %s", errNotWhole, h.Name, got, h.PAXRecords[sumRecord])
	}
	u.at = h.Name
	return h.Name, b, nil
}

// next is the next part, or io.EOF at the end of a whole backup.
func (u *unarchiver) next() (part, error) {
	if p := u.again; p != nil {
		u.again = nil
		return *p, nil
	}
	if u.ended {
		return part{}, io.EOF
	}
	entry, b, err := u.entry()
	if err != nil {
		return part{}, err
	}
	if entry == archiveLast {
		var end archiveEnd
		if err := json.Unmarshal(b, &end); err != nil || end.Parts != u.parts || end.SHA256 != hex.EncodeToString(u.all.Sum(nil)) {
			return part{}, fmt.Errorf("%w: its end says %d parts and another checksum; %d were read", errNotWhole, end.Parts, u.parts)
		}
		return part{}, io.EOF
	}
	i := strings.LastIndexByte(entry, '/')
	n, err := strconv.Atoi(entry[i+1:])
	if i < 0 || err != nil {
		return part{}, fmt.Errorf("%w: %q is no part of it", errNotWhole, entry)
	}
	u.parts++
	u.all.Write(b)
	return part{entry[:i], n, b}, nil
}

// back gives p once more.
func (u *unarchiver) back(p part) { u.again = &p }
