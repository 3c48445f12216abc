package bus

import (
	"fmt"
	"strings"
)

// A key of NATS is a subject, in which dots part tokens, and spaces, *, > and
// most other bytes are not allowed. So a key is written with letters, digits,
// _, - and / as they are, and every other byte as = and two hexadecimal digits
// (plant/line1 stays as it is, a.b becomes a=2Eb). The empty key is a lone =.

const upperhex = "0123456789ABCDEF"

// maxKey keeps an escaped key within the 4 KB that NATS allows for the first
// line of a message; it ends the connection of whoever sends more.
const maxKey = 1000

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '/'
}

func escape(key string) (string, error) {
	if key == "" {
		return "=", nil
	}
	if len(key) > maxKey {
		return "", fmt.Errorf("bus: a key of %d bytes; at most %d are allowed", len(key), maxKey)
	}
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(upperhex[c>>4])
			b.WriteByte(upperhex[c&15])
		}
	}
	return b.String(), nil
}

func unescape(s string) (string, error) {
	if s == "=" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '=' {
			if i+2 >= len(s) {
				return "", fmt.Errorf("%q ends within an escape", s)
			}
			hi, lo := strings.IndexByte(upperhex, s[i+1]), strings.IndexByte(upperhex, s[i+2])
			if hi < 0 || lo < 0 {
				return "", fmt.Errorf("%q has a wrong escape", s)
			}
			c = byte(hi<<4 | lo)
			i += 2
		} else if !plain(c) {
			return "", fmt.Errorf("%q has the byte %q", s, c)
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}
