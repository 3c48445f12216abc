package hub

import (
	"encoding/json"

	"echotwin/realtime"
)

// maxMembers bounds how many members the object values of one property are
// remembered to have had.
const maxMembers = 256

// members is which members the object values of a property have had, and which
// those had in turn.
//
// An update is a JSON Merge Patch, which merges objects: a member that a new
// value lacks has to be said to be gone. And so it is for as long as the
// property lives, because a client that was away may still have it.
type members struct {
	of    map[string]*members
	count int // in all of it; counted at the root
}

// patch is value as a JSON Merge Patch over any before it.
func (m *members) patch(value []byte) []byte {
	if !isObject(value) {
		return value
	}
	out, changed := m.over(m, value)
	if !changed {
		return value
	}
	return out
}

func (m *members) over(root *members, value []byte) (out []byte, changed bool) {
	vs, err := realtime.ParseValues(value)
	if err != nil {
		return value, false
	}
	out = []byte{'{'}
	has := make(map[string]bool, len(vs))
	for _, v := range vs {
		has[v.Name] = true
		kid := m.of[v.Name]
		if kid == nil && root.count < maxMembers {
			if m.of == nil {
				m.of = map[string]*members{}
			}
			kid = &members{}
			m.of[v.Name] = kid
			root.count++
		}
		patch := []byte(v.JSON)
		if kid != nil && isObject(v.JSON) {
			var c bool
			patch, c = kid.over(root, v.JSON)
			changed = changed || c
		}
		out = appendValue(out, v.Name, patch)
	}
	for name := range m.of {
		if !has[name] {
			out, changed = appendValue(out, name, []byte("null")), true
		}
	}
	return append(out, '}'), changed
}

func appendValue(dst []byte, name string, value []byte) []byte {
	quoted, _ := json.Marshal(name) // a string can always be encoded
	return append(append(append(comma(dst), quoted...), ':'), value...)
}

func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }
