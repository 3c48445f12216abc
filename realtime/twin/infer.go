package twin

import (
	"bytes"
	"math"

	"echotwin/realtime"
)

// A kind is the type of a JSON value in the words of a Thing Description.
type kind uint8

const (
	kindAny kind = iota // a description without a type; values of several types
	kindNull
	kindBoolean
	kindInteger
	kindNumber
	kindString
	kindArray
	kindObject
)

var kindNames = [...]string{"", "null", "boolean", "integer", "number", "string", "array", "object"}

func (k kind) String() string { return kindNames[k] }

// kindNamed is the kind that a description calls name.
func kindNamed(name string) kind {
	for k, n := range kindNames {
		if n == name {
			return kind(k)
		}
	}
	return kindAny
}

// kindOf reads the type off a valid, compact JSON value. It looks at the bytes
// only, because it runs for every value of every reading.
func kindOf(v []byte) kind {
	if len(v) == 0 {
		return kindAny
	}
	switch v[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBoolean
	case 'n':
		return kindNull
	}
	if bytes.IndexByte(v, '.') < 0 && bytes.IndexByte(v, 'e') < 0 && bytes.IndexByte(v, 'E') < 0 {
		return kindInteger
	}
	// 60.0 and 6e1 are integers too, however they are written.
	if f, ok := number(v); ok && f == math.Trunc(f) {
		return kindInteger
	}
	return kindNumber
}

// numeric says whether a valid JSON value is a number.
func numeric(v []byte) bool {
	return len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

// number reads a JSON number. It is false for one that no float can hold.
func number(v []byte) (float64, bool) {
	return realtime.Number(v)
}

// widen is the type of a property that had values of type k and now has one of
// type v. A null says that there is no value and so nothing about the type.
func (k kind) widen(v kind) kind {
	switch {
	case k == v, v == kindNull:
		return k
	case k == kindNull:
		return v
	case k == kindInteger && v == kindNumber, k == kindNumber && v == kindInteger:
		return kindNumber
	}
	return kindAny
}
