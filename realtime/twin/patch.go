package twin

import "reflect"

// maxPatch bounds how deep a merge patch may go; what the decoder lets through
// is deeper than any description.
const maxPatch = 64

// mergePatch applies a JSON Merge Patch (RFC 7396) to a document and returns
// what it became. Neither is written to. False when the patch is too deep.
func mergePatch(doc, patch any, depth int) (any, bool) {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch, true
	}
	if depth > maxPatch {
		return nil, false
	}
	old, _ := doc.(map[string]any)
	out := make(map[string]any, len(old)+len(p))
	for name, v := range old {
		out[name] = v
	}
	for name, v := range p {
		if v == nil {
			delete(out, name)
			continue
		}
		if out[name], ok = mergePatch(out[name], v, depth+1); !ok {
			return nil, false
		}
	}
	return out, true
}

// difference is the merge patch that makes is of was.
func difference(was, is map[string]any) map[string]any {
	out := map[string]any{}
	for name := range was {
		if _, ok := is[name]; !ok {
			out[name] = nil
		}
	}
	for name, v := range is {
		old, had := was[name]
		a, before := old.(map[string]any)
		b, now := v.(map[string]any)
		switch {
		case before && now:
			if d := difference(a, b); len(d) > 0 {
				out[name] = d
			}
		case !had || !reflect.DeepEqual(old, v):
			out[name] = v
		}
	}
	return out
}
