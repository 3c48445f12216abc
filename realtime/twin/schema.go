package twin

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"echotwin/realtime"
)

//go:embed td.schema.json
var tdSchema []byte

// descriptions is the compiled schema of Thing Descriptions.
var descriptions = sync.OnceValues(func() (*schema, error) {
	doc, err := decode(tdSchema)
	if err != nil {
		return nil, err
	}
	return compile(doc)
})

// A schema checks values and can say what it would have allowed.
type schema struct {
	doc      any
	compiled *jsonschema.Schema
	root     string // what a whole document is called; "" is the description
}

// noLoader keeps a description from making us read files or addresses.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema cannot refer to %s", url)
}

// schemaURL names a schema to its compiler; nothing is read from there.
const schemaURL = "mem:///schema.json"

// shelved are the schemas that were compiled last, by their JSON. Thousands of
// things that are made of one model say the same of their actions, and have one
// schema for that: compiling it for each was a fifth of a change of the model, and
// kept in memory for each most of what they hold.
var shelved struct {
	sync.Mutex
	m map[string]*schema
}

const (
	maxShelved     = 512
	maxShelvedSize = 4 << 10 // bytes of one
)

// compile is what doc, which may not change any more, says as a schema.
func compile(doc any) (*schema, error) {
	key, err := realtime.Marshal(doc)
	if err != nil || len(key) > maxShelvedSize {
		return compileAnew(doc)
	}
	shelved.Lock()
	s := shelved.m[string(key)]
	shelved.Unlock()
	if s != nil {
		return s, nil
	}
	if s, err = compileAnew(doc); err != nil {
		return nil, err
	}
	shelved.Lock()
	defer shelved.Unlock()
	if shelved.m == nil || len(shelved.m) >= maxShelved {
		shelved.m = map[string]*schema{}
	}
	shelved.m[string(key)] = s
	return s, nil
}

func compileAnew(doc any) (*schema, error) {
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.DefaultDraft(jsonschema.Draft7) // that of Thing Descriptions 1.1
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	return &schema{doc: doc, compiled: compiled}, nil
}

// check says what is wrong with v, as a place below at, or nil.
func (s *schema) check(v any, at string) *realtime.Problem {
	var invalid *jsonschema.ValidationError
	switch err := s.compiled.Validate(v); {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return s.explain(invalid, at)
	default:
		return &realtime.Problem{Code: realtime.CodeInvalid, At: at, Message: err.Error()}
	}
}

// decode reads one JSON value, numbers as they were written. The numbers are of
// a size with which one can calculate: checking 1e999999999 exactly would take
// gigabytes.
func decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff")))) // which editors of Windows begin a file with
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return v, checkNumbers(v)
}

// deep says whether arrays and objects lie more than realtime.MaxDepth within each
// other, in what is or is not JSON.
func deep(b []byte) bool {
	level, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '{' || c == '[':
			if level++; level > realtime.MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			level--
		}
	}
	return false
}

func checkNumbers(v any) error {
	switch v := v.(type) {
	case json.Number:
		if !tame(string(v)) {
			return fmt.Errorf("the number %.40s is beyond what can be calculated with", string(v))
		}
	case []any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func tame(s string) bool {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if e, err := strconv.Atoi(s[i+1:]); err != nil || e < -400 || e > 400 {
			return false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && !math.IsInf(f, 0) && len(s) <= 400
}

// canonical is the input of a command as it is checked and then sent: one
// reading of it for us and for the device, whatever doubled members or spaces
// it came with. Nil means that there is none.
func canonical(in []byte) (json.RawMessage, *realtime.Problem) {
	if len(bytes.TrimSpace(in)) == 0 {
		return nil, nil
	}
	v, err := decode(in)
	if err == nil && v == nil {
		return nil, nil
	}
	out, merr := json.Marshal(v)
	if err = errors.Join(err, merr); err != nil {
		return nil, realtime.Wrong("input_json", "the input is not JSON: {why}", "why", err.Error()).Of(realtime.CodeMalformed).In("/input")
	}
	return out, nil
}

// dataKeywords are the members of a TD's DataSchema that check a value.
var dataKeywords = []string{
	"type", "enum", "const", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
	"minLength", "maxLength", "pattern", "minItems", "maxItems", "required",
}

// toSchema makes a JSON Schema of a DataSchema. Only the members that TD 1.1
// knows are taken, so a description can neither refer to other documents nor
// use rules that its other readers would not see. A member of the input that the
// description does not name is refused, because nobody checked its limits;
// open says that it may be named elsewhere.
func toSchema(data map[string]any, at string, open bool) (map[string]any, error) {
	out := map[string]any{}
	for _, k := range dataKeywords {
		if v, ok := data[k]; ok {
			out[k] = v
		}
	}
	if err := ordered(data, at); err != nil {
		return nil, err
	}
	props, _ := data["properties"].(map[string]any)
	choices, _ := data["oneOf"].([]any)
	if len(props) > 0 {
		m := map[string]any{}
		for name, sub := range props {
			if err := convert(m, name, sub, at+"/properties/"+escape(name), false); err != nil {
				return nil, err
			}
		}
		out["properties"] = m
		if !open && len(choices) == 0 {
			out["additionalProperties"] = false
		}
	}
	if len(choices) > 0 {
		list := make([]any, len(choices))
		for i, sub := range choices {
			m := map[string]any{}
			if err := convert(m, "", sub, fmt.Sprintf("%s/oneOf/%d", at, i), open || len(props) > 0); err != nil {
				return nil, err
			}
			list[i] = m[""]
		}
		out["oneOf"] = list
	}
	return out, items(out, data["items"], at+"/items")
}

// items converts the schema or the list of schemas of an array's elements.
func items(out map[string]any, v any, at string) error {
	list, ok := v.([]any)
	if !ok {
		return convert(out, "items", v, at, false)
	}
	subs := make([]any, len(list))
	for i, sub := range list {
		m := map[string]any{}
		if err := convert(m, "", sub, fmt.Sprintf("%s/%d", at, i), false); err != nil {
			return err
		}
		subs[i] = m[""]
	}
	out["items"] = subs
	return nil
}

// convert puts the schema of DataSchema v under name into out. The description
// has been checked, so what is no object is not there.
func convert(out map[string]any, name string, v any, at string, open bool) error {
	data, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	sub, err := toSchema(data, at, open)
	if err != nil {
		return err
	}
	out[name] = sub
	return nil
}

// ordered says when no number could be within the limits of data.
func ordered(data map[string]any, at string) error {
	lo, hi := float(data["minimum"], math.Inf(-1)), float(data["maximum"], math.Inf(1))
	if lo > hi {
		return realtime.Wrong("limits_crossed", "minimum {minimum} is above maximum {maximum}", "minimum", lo, "maximum", hi).In(at + "/minimum")
	}
	return nil
}

// float is a number of a decoded document, or otherwise.
func float(v any, otherwise float64) float64 {
	n, ok := v.(json.Number)
	if !ok {
		return otherwise
	}
	f, err := n.Float64()
	if err != nil {
		return otherwise
	}
	return f
}

var pointers = strings.NewReplacer("~", "~0", "/", "~1")

// escape makes a name a part of a JSON pointer.
func escape(name string) string { return pointers.Replace(name) }
