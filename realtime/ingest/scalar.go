package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"echotwin/realtime"
)

// The values that have no parts: texts, numbers and words.

// noNull is said for null as a property, or as a member of one. Viewers get
// values as JSON Merge Patch, in which null removes what it stands for, so a
// null could not be shown as what the device sent. Within an array it can.
const noNull = `null is not a value here, since null means "remove" to those who read it; leave the property out when there is no reading`

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
