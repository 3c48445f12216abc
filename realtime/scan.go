package realtime

import (
	"encoding/json"
	"time"
)

// maxShared is up to which length the parts of a line share its memory. In
// longer lines a small value that stays would hold the memory of large ones
// that are long gone.
const maxShared = 1 << 10

// A scanner reads a line as AppendRecord writes it, which is what nearly all
// lines of the log are. It builds nothing on the way and takes a fraction of
// what encoding/json takes. Of anything else it says that it did not understand
// it, and parseRecord asks encoding/json; what both can read they read alike.
type scanner struct {
	line   []byte
	i      int
	text   string          // a copy of line that names are parts of
	bytes  json.RawMessage // and one that values are parts of; nil when they stand alone
	values []Value         // of the line; used again for the next
}

// record reads one line. It is false when the line is not just so.
func (s *scanner) record(line []byte) (r Record, ok bool) {
	s.line, s.i, s.values = line, 0, s.values[:0]
	if s.text, s.bytes = "", nil; len(line) <= maxShared {
		s.text, s.bytes = string(line), append(s.bytes, line...)
	}
	kind, ok := s.member(`{"kind":"`)
	if !ok {
		return r, false
	}
	r.Kind = Kind(kind)
	r.Thing, _ = s.member(`,"thing":"`)
	ts, timed := s.number(`,"ts":`)
	at, arrived := s.number(`,"at":`)
	if !timed || !arrived {
		return r, false
	}
	r.TS, r.At = time.UnixMilli(ts).UTC(), time.UnixMilli(at).UTC()
	r.Name, _ = s.member(`,"name":"`)
	r.Cmd, _ = s.member(`,"cmd":"`)
	if s.skip(`,"set":{`) {
		if !s.set() {
			return r, false
		}
		if len(s.values) > 0 {
			r.Values = append([]Value(nil), s.values...)
		}
	}
	if s.skip(`,"data":`) {
		from := s.i
		if !s.value(0) {
			return r, false
		}
		r.Data = s.part(from)
	}
	return r, s.skip("}") && s.i == len(line)
}

// set reads the members of an object behind its brace.
func (s *scanner) set() bool {
	if s.skip("}") {
		return true
	}
	for {
		name, ok := s.member(`"`)
		if !ok || !s.skip(":") {
			return false
		}
		from := s.i
		if !s.value(0) {
			return false
		}
		s.values = setValue(s.values, Value{name, s.part(from)})
		if s.skip("}") {
			return true
		}
		if !s.skip(",") {
			return false
		}
	}
}

// part is a value of the line from there to here.
func (s *scanner) part(from int) json.RawMessage {
	if s.bytes == nil {
		return append(json.RawMessage(nil), s.line[from:s.i]...)
	}
	return s.bytes[from:s.i:s.i]
}

// skip moves behind the word when it stands here.
func (s *scanner) skip(word string) bool {
	if len(s.line)-s.i < len(word) || string(s.line[s.i:s.i+len(word)]) != word {
		return false
	}
	s.i += len(word)
	return true
}

// member reads a string of plain characters up to its quote, when what comes
// before it stands here. Otherwise nothing is read.
func (s *scanner) member(before string) (string, bool) {
	start := s.i
	if !s.skip(before) {
		return "", false
	}
	for from := s.i; s.i < len(s.line); s.i++ {
		switch c := s.line[s.i]; {
		case c == '"':
			s.i++
			if s.bytes == nil {
				return string(s.line[from : s.i-1]), true
			}
			return s.text[from : s.i-1], true
		case c < ' ' || c >= 0x80 || c == '\\':
			s.i = start
			return "", false
		}
	}
	s.i = start
	return "", false
}

// number reads a whole number that fits.
func (s *scanner) number(before string) (n int64, ok bool) {
	if !s.skip(before) {
		return 0, false
	}
	minus := s.skip("-")
	from := s.i
	for ; s.i < len(s.line) && digit(s.line[s.i]); s.i++ {
		n = 10*n + int64(s.line[s.i]-'0')
	}
	if minus {
		n = -n
	}
	digits := s.i - from
	return n, digits > 0 && digits <= 18 && (digits == 1 || s.line[from] != '0')
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// maxNested is how deep values are followed here. AppendRecord's are not as
// deep, and encoding/json goes further.
const maxNested = 32

// value moves behind a value without blanks.
func (s *scanner) value(depth int) bool {
	if s.i >= len(s.line) || depth > maxNested {
		return false
	}
	switch c := s.line[s.i]; {
	case c == '-' || digit(c):
		return s.float()
	case c == '"':
		return s.string()
	case c == '{':
		s.i++
		return s.nested('}', depth, func() bool { return s.string() && s.skip(":") && s.value(depth+1) })
	case c == '[':
		s.i++
		return s.nested(']', depth, func() bool { return s.value(depth + 1) })
	}
	return s.skip("true") || s.skip("false") || s.skip("null")
}

// nested moves behind what part reads, again and again up to end.
func (s *scanner) nested(end byte, depth int, part func() bool) bool {
	if s.i < len(s.line) && s.line[s.i] == end {
		s.i++
		return true
	}
	for part() && s.i < len(s.line) {
		s.i++
		switch s.line[s.i-1] {
		case end:
			return true
		case ',':
		default:
			return false
		}
	}
	return false
}

// float moves behind a number.
func (s *scanner) float() bool {
	s.skip("-")
	if !s.skip("0") && !s.digits() {
		return false
	}
	if s.skip(".") && !s.digits() {
		return false
	}
	if s.skip("e") || s.skip("E") {
		if !s.skip("-") {
			s.skip("+")
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.line) && digit(s.line[s.i]) {
		s.i++
	}
	return s.i > from
}

// string moves behind a string. One with an escape is left to encoding/json,
// which knows them all.
func (s *scanner) string() bool {
	if !s.skip(`"`) {
		return false
	}
	for s.i < len(s.line) {
		c := s.line[s.i]
		s.i++
		switch {
		case c == '"':
			return true
		case c < ' ' || c == '\\':
			return false
		}
	}
	return false
}
