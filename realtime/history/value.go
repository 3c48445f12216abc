package history

import (
	"encoding/json"
	"math"
	"strconv"

	"echotwin/realtime"
)

// A kind is how values of a property are kept.
type kind uint8

const (
	number kind = iota
	boolean
	text
	kinds // how many there are
)

var kindNames = [kinds]string{"number", "boolean", "string"}

func (k kind) String() string { return kindNames[k] }

// label is the value of the label type. Numbers have none, so that what most
// people ask for is asked for most simply.
func (k kind) label() string {
	if k == number {
		return ""
	}
	return kindNames[k]
}

func kindOfLabel(s string) kind {
	for k, name := range kindNames {
		if name == s {
			return kind(k)
		}
	}
	return number
}

// kindOfType is the kind of a described type; false when nothing of that type is
// kept, or any type is.
func kindOfType(s string) (kind, bool) {
	switch s {
	case "number", "integer":
		return number, true
	case "boolean":
		return boolean, true
	case "string":
		return text, true
	}
	return number, false
}

// read takes a valid JSON value apart. ok is false for what is not kept.
func read(v []byte) (k kind, f float64, s string, ok bool) {
	if len(v) == 0 {
		return 0, 0, "", false
	}
	switch v[0] {
	case 't':
		return boolean, 1, "", true
	case 'f':
		return boolean, 0, "", true
	case '"':
		s, ok = unquoted(v)
		return text, 0, s, ok
	case 'n', '[', '{':
		return 0, 0, "", false
	}
	f, ok = realtime.Number(v)
	return number, f + 0, "", ok // and no minus zero
}

// unquoted is apart, since what json is given the address of goes to the heap.
func unquoted(v []byte) (s string, ok bool) {
	ok = json.Unmarshal(v, &s) == nil
	return s, ok
}

// maxScale bounds what a value is multiplied by: beyond, a float has no digits
// to spare.
const maxScale = 1e9

// scaleOf is the whole number by which multiples of m become whole numbers, or 1.
// Floats with decimals take four times the room of whole numbers.
func scaleOf(m float64) float64 {
	if !(m > 0) || m >= 1 {
		return 1
	}
	s := math.Round(1 / m)
	if s < 2 || s > maxScale || math.Abs(s*m-1) > 1e-9 {
		return 1
	}
	return s
}

// scaled is v as the whole number to be stored; false when that would not give
// exactly v back.
func scaled(v, scale float64) (float64, bool) {
	n := math.Round(v * scale)
	return n, n/scale == v && math.Abs(n) < 1<<53
}

// appendJSON writes a stored value as the device wrote it.
func appendJSON(dst []byte, k kind, v float64, names []string) []byte {
	switch k {
	case boolean:
		return strconv.AppendBool(dst, v != 0)
	case text:
		name, err := json.Marshal(nameOf(v, names))
		if err != nil { // a string never fails
			return append(dst, "null"...)
		}
		return append(dst, name...)
	}
	return AppendNumber(dst, v)
}

// AppendNumber writes a number as JSON, and null for what is not finite.
func AppendNumber(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, 64)
}

func nameOf(v float64, names []string) string {
	if i := int(v); v >= 0 && i < len(names) {
		return names[i]
	}
	return ""
}
