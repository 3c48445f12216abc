package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"echotwin/realtime"
)

// A scanner walks over a JSON text once, byte by byte, checks it and notes
// where values begin and end. It builds nothing.
//
// Two kinds of wrong: a flaw belongs to one value, and the scanner goes on
// behind it; a break (a method returns false, and broken says why) leaves
// nothing to go on from.
type scanner struct {
	b []byte
	s string // the same bytes; names are parts of it, so they cost nothing
	i int

	// Of the value being read:
	flaw   *realtime.Problem // the first thing wrong with it, or nil
	spaced bool              // it has blanks between its parts
	path   []step            // where in it we are

	broken string
}

// A step is one level of a path: an index, or the name of a member and -1.
type step struct {
	name  string
	index int
}

func (sc *scanner) breaks(why string) bool {
	switch {
	case len(sc.s) == 0:
		sc.broken = "the payload is empty: " + why
	case sc.i >= len(sc.s):
		sc.broken = "the payload ends in the middle: " + why
	default:
		c, _ := utf8.DecodeRuneInString(sc.s[sc.i:])
		sc.broken = fmt.Sprintf("byte %d is %q: %s", sc.i, c, why)
	}
	return false
}

// spot notes a flaw of the value, unless it has one already.
func (sc *scanner) spot(code, why string) {
	if sc.flaw != nil {
		return
	}
	var at strings.Builder
	for _, s := range sc.path {
		at.WriteByte('/')
		if s.index < 0 {
			at.WriteString(pointer(s.name))
		} else {
			at.WriteString(strconv.Itoa(s.index))
		}
	}
	sc.flaw = &realtime.Problem{Code: code, Message: why, At: at.String()}
}

// peek is the next byte, or 0 at the end.
func (sc *scanner) peek() byte {
	if sc.i < len(sc.s) {
		return sc.s[sc.i]
	}
	return 0
}

// blanks skips white space and returns the next byte, or 0 at the end.
func (sc *scanner) blanks() byte {
	for sc.i < len(sc.s) {
		c := sc.s[sc.i]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		sc.i++
	}
	return 0
}

// within is blanks between the parts of a value.
func (sc *scanner) within() byte {
	at := sc.i
	c := sc.blanks()
	sc.spaced = sc.spaced || sc.i != at
	return c
}

// A role of a value decides what null means in it.
type role int

const (
	data     role = iota // null is null
	property             // null is refused; see noNull
)

// noNull is said for null as a property, or as a member of one. Viewers get
// values as JSON Merge Patch, in which null removes what it stands for, so a
// null could not be shown as what the device sent. Within an array it can.
const noNull = `null is not a value here, since null means "remove" to those who read it; leave the property out when there is no reading`

// next reads the value that begins here, at the top of a path. It leaves its
// flaw in sc.flaw.
func (sc *scanner) next(r role) (raw string, ok bool) {
	sc.flaw, sc.spaced, sc.path = nil, false, sc.path[:0]
	start := sc.i
	if !sc.value(r) {
		return "", false
	}
	raw = sc.s[start:sc.i]
	if len(raw) > MaxValue && sc.flaw == nil {
		sc.flaw = tooLarge("", fmt.Sprintf("a value of %d bytes", len(raw)), MaxValue)
	}
	return raw, true
}

func (sc *scanner) value(r role) bool {
	switch c := sc.peek(); {
	case c == '"':
		return sc.text()
	case c == '{':
		return sc.nested(r)
	case c == '[':
		return sc.nested(data)
	case c == '-' || c >= '0' && c <= '9':
		return sc.number()
	default:
		return sc.word(r)
	}
}

// nested reads an array or an object.
func (sc *scanner) nested(r role) bool {
	if len(sc.path) == MaxDepth {
		sc.spot(realtime.CodeTooLarge, fmt.Sprintf("arrays and objects go deeper than %d levels", MaxDepth))
		return sc.balance()
	}
	object := sc.peek() == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	level := len(sc.path)
	sc.path = append(sc.path, step{})
	sc.i++
	if sc.within() == end {
		sc.i++
		sc.path = sc.path[:level]
		return true
	}
	for n := 0; ; n++ {
		sc.path[level] = step{index: n}
		if object {
			name, ok := sc.name()
			if !ok {
				return false
			}
			sc.path[level] = step{name: name, index: -1}
		}
		sc.within()
		if !sc.value(r) {
			return false
		}
		switch sc.within() {
		case ',':
			sc.i++
			sc.within()
		case end:
			sc.i++
			sc.path = sc.path[:level]
			return true
		default:
			return sc.breaks(fmt.Sprintf("want , or %c", end))
		}
	}
}

// balance skips an array or an object that is too deep to be looked at.
func (sc *scanner) balance() bool {
	for depth := 0; sc.i < len(sc.s); sc.i++ {
		switch sc.s[sc.i] {
		case '"':
			if !sc.text() {
				return false
			}
			sc.i--
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				sc.i++
				return true
			}
		}
	}
	return sc.breaks("want ] or }")
}

// name reads the name of a member and the colon behind it.
func (sc *scanner) name() (string, bool) {
	if sc.peek() != '"' {
		return "", sc.breaks("want a name in quotes")
	}
	start := sc.i
	if !sc.text() {
		return "", false
	}
	name := sc.s[start+1 : sc.i-1]
	if strings.IndexByte(name, '\\') >= 0 {
		var plain string // PHP writes plant\/line1
		if json.Unmarshal(sc.b[start:sc.i], &plain) == nil {
			name = plain
		}
	}
	if sc.within() != ':' {
		return "", sc.breaks("want : behind a name")
	}
	sc.i++
	return name, true
}

// text reads a string.
func (sc *scanner) text() bool {
	start := sc.i
	ascii := true
	s := sc.s
	for i := start + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			sc.i = i + 1
			if !ascii && !utf8.ValidString(s[start:i]) {
				sc.spot(realtime.CodeMalformed, "a text that is not UTF-8")
			}
			return true
		case c == '\\':
			n := escapeLength(s[i:])
			if n == 0 {
				sc.spot(realtime.CodeMalformed, `a text with a \ that begins no escape of JSON`)
				n = min(2, len(s)-i)
			}
			i += n - 1
		case c < ' ':
			sc.spot(realtime.CodeMalformed, "a text with a control character; write it as an escape, such as \\n")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	sc.i = len(s)
	return sc.breaks("want the closing quote of a text")
}

// escapeLength returns how many bytes the escape at the start of s has, or 0.
func escapeLength(s string) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) < 6 {
			return 0
		}
		for _, c := range []byte(s[2:6]) {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// number reads a number and leaves it as it is.
func (sc *scanner) number() bool {
	s, start := sc.s, sc.i
	i := start
	if s[i] == '-' {
		i++
	}
	whole := digits(s, i)
	ok := whole > i && (s[i] != '0' || whole == i+1)
	i = whole
	if i < len(s) && s[i] == '.' {
		end := digits(s, i+1)
		ok = ok && end > i+1
		i = end
	}
	exponent := false
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		exponent = true
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		end := digits(s, i)
		ok = ok && end > i
		i = end
	}
	if !ok || i < len(s) && !delimiter(s[i]) {
		return sc.word(data) // -Infinity, 01, 1.#INF, 12.5V
	}
	sc.i = i
	switch {
	case i-start > MaxNumber:
		sc.spot(realtime.CodeTooLarge, fmt.Sprintf("a number of %d characters; at most %d are allowed", i-start, MaxNumber))
	case exponent:
		if _, err := strconv.ParseFloat(s[start:i], 64); errors.Is(err, strconv.ErrRange) {
			sc.spot(realtime.CodeOutOfRange, s[start:i]+" is beyond what a 64-bit floating point number can hold")
		}
	}
	return true
}

func digits(s string, i int) int {
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

func delimiter(c byte) bool {
	switch c {
	case ',', ']', '}', ':', '"', '[', '{', ' ', '\n', '\t', '\r':
		return true
	}
	return false
}

// word reads true, false and null, and gets over what programs print that is
// none of them: NaN, -inf, None.
func (sc *scanner) word(r role) bool {
	start := sc.i
	for sc.i < len(sc.s) && !delimiter(sc.s[sc.i]) {
		sc.i++
	}
	switch w := sc.s[start:sc.i]; {
	case w == "":
		if c := sc.peek(); c != ',' && c != '}' && c != ']' {
			return sc.breaks("want a value")
		}
		sc.spot(realtime.CodeMalformed, "the value is missing")
	case w == "true" || w == "false":
	case w == "null":
		if r == property {
			sc.spot(realtime.CodeInvalid, noNull)
		}
	case notFinite(w):
		sc.spot(realtime.CodeMalformed, clip(w)+" is not a number of JSON; leave the property out when there is no reading")
	default:
		sc.spot(realtime.CodeMalformed, clip(w)+` is not JSON; want a number, true, false, a text in "quotes", an array or an object`)
	}
	return true
}

// notFinite knows how languages print what is not a finite number.
func notFinite(w string) bool {
	w = strings.ToLower(strings.TrimLeft(w, "+-"))
	return strings.HasPrefix(w, "nan") || strings.HasPrefix(w, "inf") || strings.HasPrefix(w, "1.#")
}

// clip makes what was sent short and printable.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// pointer escapes a name as a part of a JSON pointer, and keeps it short.
func pointer(name string) string {
	const most = realtime.MaxSegments * (realtime.MaxSegment + 1) // any thing's id
	if len(name) > most {
		name = name[:most] + "…"
	}
	if !strings.ContainsAny(name, "~/") && utf8.ValidString(name) {
		return name
	}
	return strings.ToValidUTF8(strings.NewReplacer("~", "~0", "/", "~1").Replace(name), "\uFFFD")
}
