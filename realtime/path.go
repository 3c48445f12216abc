package realtime

import (
	"fmt"
	"strings"
)

// MaxSegments bounds a thing's id; MaxSegment bounds each part of it.
const (
	MaxSegments = 8
	MaxSegment  = 64
)

// CheckThing says what is wrong with a thing's id, or nil.
func CheckThing(id string) error { return checkPath(id, false) }

// CheckName says what is wrong with the name of a property, an event or an
// action, or nil.
func CheckName(name string) error {
	if !segment(name) {
		return &Problem{Code: CodeMalformed, Message: fmt.Sprintf("%q is not a name: letters, digits, _ and -, at most %d", clip(name), MaxSegment)}
	}
	return nil
}

// Under stands before the id of a thing or a place where a path may also be that
// with all that stands below it in the tree of the plant: under:plant/line1.
const Under = "under:"

// CheckPattern says what is wrong with a pattern, or nil. In a pattern * stands
// for one segment, and ** as the last segment for one or more.
func CheckPattern(p string) error { return checkPath(p, true) }

func checkPath(s string, pattern bool) error {
	whole := s
	bad := func(why string) error {
		what := "thing id"
		if pattern {
			what = "path"
		}
		return &Problem{Code: CodeMalformed, Message: fmt.Sprintf("%q is not a %s: %s", clip(whole), what, why)}
	}
	if pattern && strings.HasPrefix(s, Under) {
		return bad("under: is for lists and live streams; here only a pattern can be, such as plant/line1/**, because links may change what stands below a place")
	}
	if strings.Count(s, "/") >= MaxSegments {
		return bad(fmt.Sprintf("at most %d segments", MaxSegments))
	}
	for more := true; more; {
		var g string
		g, s, more = strings.Cut(s, "/")
		switch {
		case pattern && g == "*":
		case pattern && g == "**":
			if more {
				return bad("** may only be the last segment")
			}
		case g == "properties" || g == "actions" || g == "events":
			return bad(g + " cannot be a segment")
		case !segment(g):
			return bad(fmt.Sprintf("1 to %d segments of letters, digits, _ and -, such as plant/line1/conveyor-1", MaxSegments))
		}
	}
	return nil
}

func segment(s string) bool {
	if s == "" || len(s) > MaxSegment {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// clip keeps a message short whatever was sent.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// Match says whether a checked pattern covers a thing's id.
func Match(pattern, thing string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, "/")
		t, trest, tmore := strings.Cut(thing, "/")
		if p == "**" {
			return true
		}
		if p != "*" && p != t {
			return false
		}
		if !pmore || !tmore {
			return pmore == tmore
		}
		pattern, thing = prest, trest
	}
}

// Within says whether everything that the checked pattern inner covers is covered
// by the pattern outer, too.
func Within(outer, inner string) bool {
	for {
		o, orest, omore := strings.Cut(outer, "/")
		i, irest, imore := strings.Cut(inner, "/")
		if o == "**" {
			return true
		}
		if i == "**" || o != "*" && o != i {
			return false
		}
		if !omore || !imore {
			return omore == imore
		}
		outer, inner = orest, irest
	}
}
