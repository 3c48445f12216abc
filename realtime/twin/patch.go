package twin

import (
	"reflect"

	"echotwin/realtime"
)

// maxPatch bounds how deep a merge patch may go; what the decoder lets through
// is deeper than any description.
const maxPatch = 64

// readPatch reads a merge patch of what is called so.
func readPatch(b []byte, of string) (map[string]any, *realtime.Problem) {
	v, problem := unmarshal(b)
	if problem != nil {
		return nil, problem
	}
	patch, ok := v.(map[string]any)
	if !ok {
		return nil, realtime.Wrong("patch_object", "a merge patch of a {what} is a JSON object", "what", of)
	}
	return patch, nil
}

// patchedBy is a document, written out, after a patch that somebody sent.
func patchedBy(patch map[string]any, doc any) ([]byte, error) {
	next, ok := mergePatch(doc, patch, 0)
	if !ok {
		return nil, realtime.Wrong("patch_deep", "a merge patch goes at most {max} objects deep", "max", maxPatch).Of(realtime.CodeTooLarge)
	}
	return realtime.Marshal(next)
}

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
