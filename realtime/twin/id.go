package twin

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// crockford is the alphabet of ULIDs: no letter looks like a digit, and the
// order of the texts is that of the bytes.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// newID makes the id of a command: 26 characters that sort by time and cannot
// be guessed, because who knows a command's id can answer for its device.
func newID(now time.Time) string {
	// A ULID has 128 bits and its text 130, so the text of two leading zero
	// bits and the ULID is the last 26 characters of the text of 20 bytes whose
	// first 30 bits are zero.
	var b [20]byte
	binary.BigEndian.PutUint64(b[2:10], uint64(now.UnixMilli()))
	rand.Read(b[10:])
	return crockford.EncodeToString(b[:])[6:]
}

// IDTime is when a command with this id was asked for; false when it is no id of
// a command.
func IDTime(id string) (time.Time, bool) {
	if len(id) != 26 {
		return time.Time{}, false
	}
	b, err := crockford.DecodeString("000000" + id)
	if err != nil {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[2:10]))).UTC(), true
}

// FirstID sorts before the ids of all commands that were asked for then or later.
func FirstID(at time.Time) string {
	var b [20]byte
	binary.BigEndian.PutUint64(b[2:10], uint64(max(at.UnixMilli(), 0)))
	return crockford.EncodeToString(b[:])[6:]
}
