package twin

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"echotwin/realtime"
)

// Bounds of a condition, which people and other systems write.
const (
	maxCondition   = 500 // bytes
	maxComparisons = 16
)

// A Condition compares values of properties, such as
//
//	temperature>80
//	mode="running" and (speed>=10 or plant/line1/guard:closed=true)
//
// On the left stands a property of the thing that the condition is about, or one
// of another thing, with the thing's path and a colon before it. The operators
// are = (or ==), !=, >, >=, < and <=; the last four take numbers only. On the
// right stands a number, true, false, a JSON string, or a bare word that is taken
// as a string. "and" binds stronger than "or". It does not change and may be used
// by many at once.
type Condition struct {
	text string
	root node
	refs []Reference
}

// A Reference is one value that a condition looks at.
type Reference struct {
	Thing    string // "" is the thing that the condition is about
	Property string
}

// String is the condition as it was written.
func (c *Condition) String() string { return c.text }

// References are the values that decide, each once, in the order of the text.
func (c *Condition) References() []Reference { return c.refs }

// Holds says whether the condition is true of the values that value finds. A
// value that is missing or of another type than it is compared with leaves its
// comparison unknown. known is false when it depends on such a one; then holds
// is false. value gets "" for the thing that the condition is about.
func (c *Condition) Holds(value func(thing, property string) (json.RawMessage, bool)) (holds, known bool) {
	v := c.root.eval(value)
	return v == yes, v != maybe
}

// verdict is a truth of three.
type verdict int8

const (
	no verdict = iota
	maybe
	yes
)

type lookup = func(thing, property string) (json.RawMessage, bool)

type node interface{ eval(lookup) verdict }

// all and one of several are "and" and "or".
type (
	allOf []node
	oneOf []node
)

func (a allOf) eval(value lookup) verdict {
	v := yes
	for _, n := range a {
		v = min(v, n.eval(value))
	}
	return v
}

func (o oneOf) eval(value lookup) verdict {
	v := no
	for _, n := range o {
		v = max(v, n.eval(value))
	}
	return v
}

// A comparison has what is wanted as number, boolean or text.
type comparison struct {
	Reference
	op   string
	want any // float64, bool or string
}

func (c *comparison) eval(value lookup) verdict {
	raw, ok := value(c.Thing, c.Property)
	if !ok {
		return maybe
	}
	var is any
	if json.Unmarshal(raw, &is) != nil {
		return maybe
	}
	var holds bool
	switch want := c.want.(type) {
	case float64:
		got, ok := is.(float64)
		if !ok {
			return maybe
		}
		holds = compare(c.op, got, want)
	case bool:
		got, ok := is.(bool)
		if !ok {
			return maybe
		}
		holds = (got == want) == (c.op == "=")
	case string:
		got, ok := is.(string)
		if !ok {
			return maybe
		}
		holds = (got == want) == (c.op == "=")
	}
	if holds {
		return yes
	}
	return no
}

func compare(op string, got, want float64) bool {
	switch op {
	case "=":
		return got == want
	case "!=":
		return got != want
	case ">":
		return got > want
	case ">=":
		return got >= want
	case "<":
		return got < want
	}
	return got <= want
}

// ParseCondition reads a condition. The error is a *realtime.Problem that names
// the place in the text.
func ParseCondition(text string) (*Condition, error) {
	if len(text) > maxCondition {
		return nil, realtime.Wrong("condition_size", "a condition has at most {max} bytes", "max", maxCondition).Of(realtime.CodeTooLarge)
	}
	if !utf8.ValidString(text) {
		return nil, realtime.Wrong("condition_utf8", "a condition is text in UTF-8")
	}
	p := &conditionParser{text: text, out: &Condition{text: text}}
	p.next()
	root, err := p.either()
	if err == nil && p.token != "" {
		err = p.wrong("condition_end", "at character {char}, {got}: want and, or, or the end")
	}
	if err != nil {
		return nil, err
	}
	p.out.root = root
	return p.out, nil
}

// A conditionParser goes through the text by recursive descent; how deep is
// bounded by maxCondition.
type conditionParser struct {
	text  string
	out   *Condition
	count int // comparisons

	token string // "" at the end
	start int    // where token begins
	end   int
}

// wrong is a problem with the token that is read; text says with {char} and {got}
// where and which.
func (p *conditionParser) wrong(reason, text string, pairs ...any) error {
	got := "the end"
	if p.token != "" {
		got = strconv.Quote(clip(p.token))
	}
	return realtime.Wrong(reason, text, append(pairs, "char", utf8.RuneCountInString(p.text[:p.start])+1, "got", got)...)
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || c == '/' || c == ':' || c == '.' || c == '+' || c >= utf8.RuneSelf ||
		c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// next reads the next token: an operator, a bracket, a quoted text or a word. A
// character that begins none of them is a token of its own.
func (p *conditionParser) next() {
	i := p.end
	for i < len(p.text) && strings.IndexByte(" \t\r\n", p.text[i]) >= 0 {
		i++
	}
	p.start = i
	switch rest := p.text[i:]; {
	case rest == "":
	case strings.HasPrefix(rest, "=="), strings.HasPrefix(rest, "!="), strings.HasPrefix(rest, ">="), strings.HasPrefix(rest, "<="):
		i += 2
	case rest[0] == '"':
		for i++; i < len(p.text) && p.text[i] != '"'; i++ {
			if p.text[i] == '\\' {
				i++
			}
		}
		i = min(i+1, len(p.text))
	case wordByte(rest[0]):
		for i < len(p.text) && wordByte(p.text[i]) {
			i++
		}
	default:
		i++
	}
	p.token, p.end = p.text[p.start:i], i
}

func (p *conditionParser) either() (node, error) {
	var out oneOf
	for {
		n, err := p.both()
		if err != nil {
			return nil, err
		}
		if out = append(out, n); !strings.EqualFold(p.token, "or") {
			break
		}
		p.next()
	}
	if len(out) == 1 {
		return out[0], nil
	}
	return out, nil
}

func (p *conditionParser) both() (node, error) {
	var out allOf
	for {
		n, err := p.single()
		if err != nil {
			return nil, err
		}
		if out = append(out, n); !strings.EqualFold(p.token, "and") {
			break
		}
		p.next()
	}
	if len(out) == 1 {
		return out[0], nil
	}
	return out, nil
}

func (p *conditionParser) single() (node, error) {
	if p.token != "(" {
		return p.comparison()
	}
	p.next()
	n, err := p.either()
	if err != nil {
		return nil, err
	}
	if p.token != ")" {
		return nil, p.wrong("condition_bracket", "at character {char}, {got}: want )")
	}
	p.next()
	return n, nil
}

func (p *conditionParser) comparison() (node, error) {
	c := &comparison{}
	if p.count++; p.count > maxComparisons {
		return nil, p.wrong("condition_long", "at character {char}, {got}: a condition has at most {max} comparisons", "max", maxComparisons)
	}
	ref, ok := reference(p.token)
	if !ok {
		return nil, p.wrong("condition_property", "at character {char}, {got}: want a property, such as speed or plant/line1/guard:closed")
	}
	c.Reference = ref
	p.next()
	switch c.op = p.token; c.op {
	case "==":
		c.op = "="
	case "=", "!=", ">", ">=", "<", "<=":
	default:
		return nil, p.wrong("condition_operator", "at character {char}, {got}: want one of = != > >= < <=")
	}
	p.next()
	if err := p.want(c); err != nil {
		return nil, err
	}
	p.next()
	for _, r := range p.out.refs {
		if r == ref {
			return c, nil
		}
	}
	p.out.refs = append(p.out.refs, ref)
	return c, nil
}

// want reads what a value is compared with.
func (p *conditionParser) want(c *comparison) error {
	switch f, err := strconv.ParseFloat(p.token, 64); {
	case p.token == "":
		return p.wrong("condition_value", "at character {char}, {got}: want a number, true, false or a word")
	case p.token[0] == '"':
		var s string
		if json.Unmarshal([]byte(p.token), &s) != nil {
			return p.wrong("condition_text", "at character {char}, {got}: this is no JSON string")
		}
		c.want = s
	case !wordByte(p.token[0]):
		return p.wrong("condition_value", "at character {char}, {got}: want a number, true, false or a word")
	case err == nil && !math.IsInf(f, 0) && !math.IsNaN(f):
		c.want = f
	case p.token == "true" || p.token == "false":
		c.want = p.token == "true"
	default:
		c.want = p.token
	}
	if _, ok := c.want.(float64); !ok && c.op != "=" && c.op != "!=" {
		return p.wrong("condition_number", "at character {char}, {got}: {op} compares with a number only", "op", c.op)
	}
	return nil
}

// reference reads speed or plant/line1/guard:closed.
func reference(word string) (Reference, bool) {
	thing, property, other := strings.Cut(word, ":")
	if !other {
		thing, property = "", word
	}
	ok := realtime.CheckName(property) == nil && (!other || realtime.CheckThing(thing) == nil) &&
		!strings.EqualFold(word, "and") && !strings.EqualFold(word, "or")
	return Reference{thing, property}, ok
}
