package ingest

import (
	"encoding/json"
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
	if len(sc.path) == realtime.MaxDepth {
		sc.spot(realtime.CodeTooLarge, fmt.Sprintf("arrays and objects go deeper than %d levels", realtime.MaxDepth))
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

// again reads a name and the colon behind it, when it is this one, of characters
// that need no escape.
func (sc *scanner) again(name string) bool {
	rest, n := sc.s[sc.i:], len(name)+2
	if len(rest) < n || rest[0] != '"' || rest[n-1] != '"' || rest[1:n-1] != name {
		return false
	}
	at := sc.i
	if sc.i += n; sc.within() != ':' {
		sc.i = at
		return false
	}
	sc.i++
	return true
}

// clip makes what was sent short and printable.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

var pointers = strings.NewReplacer("~", "~0", "/", "~1")

// pointer escapes a name as a part of a JSON pointer, and keeps it short.
func pointer(name string) string {
	const most = realtime.MaxSegments * (realtime.MaxSegment + 1) // any thing's id
	if len(name) > most {
		name = name[:most] + "…"
	}
	if !strings.ContainsAny(name, "~/") && utf8.ValidString(name) {
		return name
	}
	return strings.ToValidUTF8(pointers.Replace(name), "\uFFFD")
}
