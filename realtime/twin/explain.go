package twin

import (
	"cmp"
	"encoding/json"
	"math"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	fault "github.com/santhosh-tekuri/jsonschema/v6/kind"

	"echotwin/realtime"
)

// maxOthers bounds an error, whatever was sent.
const maxOthers = 20

// explain makes of a validation error what the one who sent the value needs:
// the first place that is wrong, why, and what was allowed, and then the others.
func (s *schema) explain(e *jsonschema.ValidationError, at string) *realtime.Problem {
	return s.problems(leaves(e, nil), at)
}

func (s *schema) problems(all []*jsonschema.ValidationError, at string) *realtime.Problem {
	slices.SortStableFunc(all, func(a, b *jsonschema.ValidationError) int {
		return slices.Compare(a.InstanceLocation, b.InstanceLocation)
	})
	wrong := make([]*realtime.Problem, len(all))
	for i, e := range all {
		wrong[i] = s.problem(e, at)
	}
	return together(wrong)
}

// together is the first of several problems with the others beside it, or nil.
func together(all []*realtime.Problem) *realtime.Problem {
	if len(all) == 0 {
		return nil
	}
	p, rest := all[0], all[1:]
	if len(rest) == 0 {
		return p
	}
	p = p.Beside("more", len(rest), " (and {more} more)")
	p.Others = nil
	for _, q := range rest[:min(len(rest), maxOthers)] {
		p.Others = append(p.Others, *q)
	}
	return p
}

// leaves are the errors that have no finer cause. Why each of several choices
// does not fit helps nobody, so a choice is one error.
func leaves(e *jsonschema.ValidationError, to []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *fault.OneOf, *fault.AnyOf, *fault.Not:
		return append(to, e)
	}
	if len(e.Causes) == 0 {
		return append(to, e)
	}
	for _, c := range e.Causes {
		to = leaves(c, to)
	}
	return to
}

func (s *schema) problem(e *jsonschema.ValidationError, at string) *realtime.Problem {
	p := &realtime.Problem{Code: realtime.CodeInvalid, At: at}
	name := "the input"
	if at == "" {
		name = cmp.Or(s.root, "the description")
	}
	for _, part := range e.InstanceLocation {
		p.At += "/" + escape(part)
		name = clip(part)
	}
	node := s.node(e.SchemaURL)
	wrong := func(reason, text string, pairs ...any) {
		said := realtime.Wrong(reason, text, append(pairs, "name", name)...)
		p.Message, p.Reason, p.Args = said.Message, said.Reason, said.Args
	}
	switch k := e.ErrorKind.(type) {
	case *fault.Type:
		wrong("type", "{name} is {got}, want {want}", "got", article(k.Got), "want", article(strings.Join(k.Want, " or ")))
	case *fault.Required:
		p.At += "/" + escape(k.Missing[0])
		name = clip(k.Missing[0])
		wrong("missing", "{name} is missing")
	case *fault.AdditionalProperties:
		p.At += "/" + escape(k.Properties[0])
		name = clip(k.Properties[0])
		wrong("unknown", "{name} is not known here, only {known}", "known", strings.Join(names(node["properties"]), ", "))
	case *fault.Minimum:
		wrong("below", "{name} {got} is below the minimum {limit}", "got", json.Number(plain(k.Got)), "limit", json.Number(plain(k.Want)))
		outOfRange(p, node)
	case *fault.Maximum:
		wrong("above", "{name} {got} is above the maximum {limit}", "got", json.Number(plain(k.Got)), "limit", json.Number(plain(k.Want)))
		outOfRange(p, node)
	case *fault.ExclusiveMinimum:
		wrong("not_above", "{name} {got} is not above {limit}", "got", json.Number(plain(k.Got)), "limit", json.Number(plain(k.Want)))
		outOfRange(p, node)
	case *fault.ExclusiveMaximum:
		wrong("not_below", "{name} {got} is not below {limit}", "got", json.Number(plain(k.Got)), "limit", json.Number(plain(k.Want)))
		outOfRange(p, node)
	case *fault.MultipleOf:
		wrong("multiple", "{name} {got} is not a multiple of {step}", "got", json.Number(plain(k.Got)), "step", json.Number(plain(k.Want)))
	case *fault.Enum:
		wrong("enum", "{name} is not one of {values}", "values", list(k.Want))
	case *fault.Const:
		wrong("const", "{name} is not {value}", "value", list([]any{k.Want}))
	case *fault.OneOf:
		wrong("one_of", "{name} does not fit exactly one of the allowed shapes")
	default:
		word := strings.Join(e.ErrorKind.KeywordPath(), "/")
		wrong("keyword", "{name} does not satisfy {word} {value}", "word", word, "value", list([]any{node[word]}))
	}
	return p
}

// outOfRange says both limits, whichever was broken: who gets the one wrong
// should not have to find the other by trying.
func outOfRange(p *realtime.Problem, node map[string]any) {
	p.Code = realtime.CodeOutOfRange
	p.Minimum = bound(math.Max, node, "minimum", "exclusiveMinimum")
	p.Maximum = bound(math.Min, node, "maximum", "exclusiveMaximum")
}

// bound is the tighter of two limits, or nil without any.
func bound(tighter func(a, b float64) float64, node map[string]any, names ...string) *float64 {
	var out *float64
	for _, n := range names {
		if _, ok := node[n].(json.Number); ok {
			f := float(node[n], 0)
			if out != nil {
				f = tighter(f, *out)
			}
			out = &f
		}
	}
	return out
}

// node is the part of the schema that an error's address points to.
func (s *schema) node(address string) map[string]any {
	_, fragment, _ := strings.Cut(address, "#")
	v := s.doc
	for _, part := range strings.Split(strings.TrimPrefix(fragment, "/"), "/") {
		part, err := url.PathUnescape(part)
		if err != nil {
			return nil
		}
		part = unescape(part)
		switch at := v.(type) {
		case map[string]any:
			if part != "" {
				v = at[part]
			}
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		}
	}
	m, _ := v.(map[string]any)
	return m
}

// plain writes a number as people do.
func plain(r *big.Rat) string {
	f, _ := r.Float64()
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func article(what string) string {
	if what == "null" {
		return what
	}
	if strings.ContainsRune("aeio", rune(what[0])) {
		return "an " + what
	}
	return "a " + what
}

// names are the sorted members of an object, as many as one can read.
func names(object any) []string {
	m, _ := object.(map[string]any)
	out := make([]string, 0, len(m))
	for n := range m {
		out = append(out, clip(n))
	}
	slices.Sort(out)
	if len(out) > 12 {
		out = append(out[:12], "…")
	}
	return out
}

// list writes values as JSON, as many as one can read.
func list(values []any) string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		b, err := json.Marshal(v)
		if err == nil {
			out = append(out, clip(string(b)))
		}
		if len(out) == 12 {
			break
		}
	}
	return strings.Join(out, ", ")
}

// clip keeps a message short whatever was sent.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
