package realtime

import "strings"

// MaxSegments bounds a thing's id; MaxSegment bounds each part of it.
const (
	MaxSegments = 8
	MaxSegment  = 64

	// MaxDepth is how many arrays and objects may lie within each other in one
	// value, whoever sends it.
	MaxDepth = 16
)

// CheckThing says what is wrong with a thing's id, or nil.
func CheckThing(id string) error { return checkPath(id, false) }

// CheckName says what is wrong with the name of a property, an event or an
// action, or nil.
func CheckName(name string) error {
	if !segment(name) {
		return Wrong("name", `"{name}" is not a name: letters, digits, _ and -, at most {max}`, "name", clip(name), "max", MaxSegment).Of(CodeMalformed)
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
	bad := func(reason, text string, pairs ...any) error {
		what := "thing id"
		if pattern {
			what = "path"
		}
		return Wrong(reason, text, append(pairs, "path", clip(whole), "what", what)...).Of(CodeMalformed)
	}
	if pattern && strings.HasPrefix(s, Under) {
		return bad("path_under", `"{path}" is not a {what}: under: is for lists and live streams; here only a pattern can be, such as plant/line1/**, because links may change what stands below a place`)
	}
	if strings.Count(s, "/") >= MaxSegments {
		return bad("path_long", `"{path}" is not a {what}: at most {max} segments`, "max", MaxSegments)
	}
	for more := true; more; {
		var g string
		g, s, more = strings.Cut(s, "/")
		switch {
		case pattern && g == "*":
		case pattern && g == "**":
			if more {
				return bad("path_stars", `"{path}" is not a {what}: ** may only be the last segment`)
			}
		case g == "properties" || g == "actions" || g == "events":
			return bad("path_word", `"{path}" is not a {what}: {word} cannot be a segment`, "word", g)
		case !segment(g):
			return bad("path", `"{path}" is not a {what}: 1 to {max} segments of letters, digits, _ and -, such as plant/line1/conveyor-1`, "max", MaxSegments)
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
