package realtime

import (
	"encoding/json"
	"strconv"
	"time"
)

// maxShared is up to which length the parts of a line share its memory. In
// longer lines a small value that stays would hold the memory of large ones
// that are long gone.
const maxShared = 1 << 10

// slab is for how many values there is room at once.
const slab = 256

// A scanner reads a line as AppendRecord writes it, which is what nearly all
// lines of the log are. It builds nothing on the way and takes a fraction of
// what encoding/json takes. Of anything else it says that it did not understand
// it, and parseRecord asks encoding/json; what both can read they read alike.
//
// Devices of a kind send the same properties in the same order, so a name is
// first looked for where the line before had it, and is that text then.
type scanner struct {
	line   []byte
	i      int
	text   string          // a copy of line that names are parts of, once there is a new one
	bytes  json.RawMessage // and one that values are parts of; nil when they stand alone
	thing  string          // of the line before
	before []Value         // of the line before
	values []Value
	free   []Value // has room for those of more lines
}

// record reads one line. It is false when the line is not just so.
func (s *scanner) record(line []byte) (r Record, ok bool) {
	s.line, s.i = line, 0
	if s.text, s.bytes = "", nil; len(line) <= maxShared {
		s.bytes = append(s.bytes, line...)
	}
	if s.skip(`{"kind":"telemetry"`) {
		r.Kind = Telemetry
	} else if kind, ok := s.member(`{"kind":"`); ok {
		r.Kind = Kind(kind)
	} else {
		return r, false
	}
	if from, ok := s.plain(`,"thing":"`); ok {
		if thing := line[from : s.i-1]; string(thing) != s.thing {
			s.thing = string(thing)
		}
		r.Thing = s.thing
	}
	ts, timed := s.number(`,"ts":`)
	at, arrived := s.number(`,"at":`)
	if !timed || !arrived {
		return r, false
	}
	r.TS, r.At = time.UnixMilli(ts).UTC(), time.UnixMilli(at).UTC()
	r.Name, _ = s.member(`,"name":"`)
	r.Cmd, _ = s.member(`,"cmd":"`)
	if s.skip(`,"set":{`) {
		s.begin()
		if !s.set() {
			return r, false
		}
		r.Values = s.end()
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

// begin makes room for the values of a line.
func (s *scanner) begin() {
	if cap(s.free) < max(1, len(s.before)) {
		s.free = make([]Value, 0, max(slab, len(s.before)))
	}
	s.values = s.free
}

// end are the values of the line.
func (s *scanner) end() []Value {
	n := len(s.values)
	if n == 0 {
		return nil
	}
	if cap(s.values) == cap(s.free) { // there was room for all
		s.free = s.free[n:n]
	}
	s.before = s.values[:n:n]
	return s.before
}

// set reads the members of an object behind its brace.
func (s *scanner) set() bool {
	if s.skip("}") {
		return true
	}
	same := true // so far the names are those of the line before, and so all different
	for {
		var name string
		if same {
			name, same = s.again()
		}
		if !same {
			var ok bool
			if name, ok = s.member(`"`); !ok || !s.skip(":") {
				return false
			}
		}
		from := s.i
		if !s.value(0) {
			return false
		}
		if v := (Value{name, s.part(from)}); same {
			s.values = append(s.values, v)
		} else {
			s.values = setValue(s.values, v)
		}
		if s.skip("}") {
			return true
		}
		if !s.skip(",") {
			return false
		}
	}
}

// again moves behind the name that the line before had in this place, and its
// colon, when it stands here.
func (s *scanner) again() (string, bool) {
	k := len(s.values)
	if k >= len(s.before) {
		return "", false
	}
	name, rest := s.before[k].Name, s.line[s.i:]
	end := 1 + len(name)
	if len(rest) < end+2 || rest[0] != '"' || rest[end] != '"' || rest[end+1] != ':' || string(rest[1:end]) != name {
		return "", false
	}
	s.i += end + 2
	return name, true
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
	from, ok := s.plain(before)
	switch {
	case !ok:
		return "", false
	case s.bytes == nil:
		return string(s.line[from : s.i-1]), true
	case s.text == "":
		s.text = string(s.line)
	}
	return s.text[from : s.i-1], true
}

// plain is member for who wants to know only where the string begins; it ends
// before the last byte that was read.
func (s *scanner) plain(before string) (from int, ok bool) {
	start := s.i
	if !s.skip(before) {
		return 0, false
	}
	from = s.i
	for i := from; i < len(s.line); i++ {
		switch c := s.line[i]; {
		case c == '"':
			s.i = i + 1
			return from, true
		case c < ' ' || c >= 0x80 || c == '\\':
			s.i = start
			return 0, false
		}
	}
	s.i = start
	return 0, false
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
	i := s.i
	if s.at(i) == '-' {
		i++
	}
	end := s.digits(i)
	if s.at(i) == '0' {
		end = i + 1
	}
	if end == i {
		return false
	}
	if i = end; s.at(i) == '.' {
		if end = s.digits(i + 1); end == i+1 {
			return false
		}
		i = end
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '-' || c == '+' {
			i++
		}
		if end = s.digits(i); end == i {
			return false
		}
		i = end
	}
	s.i = i
	return true
}

// at is a byte of the line, or 0 behind it.
func (s *scanner) at(i int) byte {
	if i < len(s.line) {
		return s.line[i]
	}
	return 0
}

// digits is where the digits end that begin at i.
func (s *scanner) digits(i int) int {
	for line := s.line; i < len(line) && digit(line[i]); {
		i++
	}
	return i
}

// Number reads a JSON number. It is false for one that no float can hold.
func Number(v []byte) (float64, bool) {
	if f, ok := short(v); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil
}

// tens are the powers of ten that a float holds as they are, as far as they are
// wanted.
var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// short reads what measurements are: a few digits and perhaps a point. Up to 15
// digits are a whole number that a float holds, and so is the power of ten by which
// it is divided, so the one rounding makes it the float that is nearest. It takes a
// third of what strconv does.
func short(v []byte) (float64, bool) {
	minus := len(v) > 0 && v[0] == '-'
	if minus {
		v = v[1:]
	}
	if len(v) == 0 || len(v) > 16 {
		return 0, false
	}
	n, point := uint64(0), -1
	for i, c := range v {
		switch {
		case digit(c):
			n = 10*n + uint64(c-'0')
		case c == '.' && point < 0 && i > 0 && i < len(v)-1:
			point = i
		default:
			return 0, false
		}
	}
	f := float64(n)
	switch {
	case point >= 0:
		f /= tens[len(v)-1-point]
	case len(v) == 16:
		return 0, false
	}
	if minus {
		f = -f
	}
	return f, true
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
