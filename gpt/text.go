package gpt

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// text is a string of the upstream's JSON with its bytes as they came.
//
// encoding/json would turn a rune that was split between two tokens into two
// U+FFFD, and Vietnamese has many runes of three bytes. So the bytes are taken
// raw here and put together by runes.
type text []byte

func (t *text) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		*t = appendUnquoted(*t, b[1:len(b)-1])
	case '[': // content parts, as some servers send
		var parts []struct {
			Text text `json:"text"`
		}
		if err := json.Unmarshal(b, &parts); err != nil {
			return err
		}
		for _, p := range parts {
			*t = append(*t, p.Text...)
		}
	}
	return nil
}

// appendUnquoted resolves the escapes of s, the inside of a string that is
// known to be valid JSON. Half of a surrogate pair becomes the three bytes that
// UTF-8 would give it if it were a rune; runes joins the halves.
func appendUnquoted(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'u':
			dst = appendUnit(dst, s[:4])
			s = s[4:]
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		default: // " \ /
			dst = append(dst, c)
		}
	}
}

// appendUnit appends one UTF-16 unit, given as four hexadecimal digits.
func appendUnit(dst, hex []byte) []byte {
	var u rune
	for _, c := range hex {
		switch {
		case c <= '9':
			c -= '0'
		case c <= 'F':
			c -= 'A' - 10
		default:
			c -= 'a' - 10
		}
		u = u<<4 | rune(c)
	}
	if u >= 0xD800 && u < 0xE000 {
		return append(dst, 0xE0|byte(u>>12), 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
	}
	return utf8.AppendRune(dst, u)
}

// runes gives back whole runes of bytes that were split anywhere.
type runes struct{ tail []byte }

// add returns what is whole of the bytes so far. The result is valid until the
// next call and may be b itself.
func (r *runes) add(b []byte) []byte {
	if len(r.tail) == 0 && utf8.Valid(b) {
		return b
	}
	b = append(r.tail, b...)
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if c, n := utf8.DecodeRune(b); c != utf8.RuneError || n > 1 {
			out, b = append(out, b[:n]...), b[n:]
			continue
		}
		high := half(b)
		switch {
		case high == 0 && !utf8.FullRune(b), high != 0 && high < 0xDC00 && len(b) == 3:
			r.tail = append([]byte(nil), b...)
			return out
		case high == 0:
			out, b = utf8.AppendRune(out, utf8.RuneError), b[1:]
		default:
			low := half(b[3:])
			if high < 0xDC00 && low >= 0xDC00 {
				out, b = utf8.AppendRune(out, (high-0xD800)<<10|(low-0xDC00)+0x10000), b[6:]
				continue
			}
			out, b = utf8.AppendRune(out, utf8.RuneError), b[3:]
		}
	}
	r.tail = nil
	return out
}

// rest ends the text: a rune that was never finished becomes U+FFFD.
func (r *runes) rest() []byte {
	if len(r.tail) == 0 {
		return nil
	}
	r.tail = nil
	return utf8.AppendRune(nil, utf8.RuneError)
}

// half is the surrogate at the start of b, as appendUnit wrote it, or 0.
func half(b []byte) rune {
	if len(b) < 3 || b[0] != 0xED || b[1] < 0xA0 || b[1] > 0xBF || b[2]&0xC0 != 0x80 {
		return 0
	}
	return 0xD000 | rune(b[1]&0x3F)<<6 | rune(b[2]&0x3F)
}
