package twin

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"echotwin/realtime"
)

// Bounds of the rules that come by the API.
const (
	maxRules     = 500     // in all
	maxRule      = 4 << 10 // bytes of one
	maxAllRules  = 400 << 10
	maxExprRules = 50 // that ask history
)

//go:embed rule.schema.json
var ruleSchema []byte

var ruleDocuments = sync.OnceValues(func() (*schema, error) {
	doc, err := decode(ruleSchema)
	if err != nil {
		return nil, err
	}
	s, err := compile(doc)
	if err == nil {
		s.root = "the rule"
	}
	return s, err
})

// A rule is an alarm rule by the API, checked and ready for use. It does not
// change.
type rule struct {
	id       string
	doc      map[string]any // as it was given, with its id
	raw      string         // as the store has it
	tag      string         // of the document
	by       string         // who wrote it
	changed  int64          // and when, ms
	enabled  bool
	title    string
	pattern  string // of its things; "" only with an expression
	property string
	others   []string // things that its suppress looks at besides

	// Of a property: what it says of each kind. A kind that is not here is left to
	// the description, nil takes away what the description has.
	kinds map[string]*alarmRule

	expr *exprRule // nil: of a property
}

// An exprRule asks history.
type exprRule struct {
	promql    string
	every     int64 // ms
	on, off   int64 // ms
	priority  int
	text      string
	suppress  *Condition
	thingless bool // the pattern is one thing, so a sample without one is of it
}

// parseRule reads and checks a rule. An id in the document must be id; check says
// what is wrong with an expression.
func parseRule(id string, b []byte, check func(promql string) error) (*rule, *realtime.Problem) {
	if len(b) > maxRule {
		return nil, realtime.Wrong("rule_size", "a rule has at most {max} bytes", "max", maxRule).Of(realtime.CodeTooLarge)
	}
	v, problem := unmarshal(b)
	if problem != nil {
		return nil, problem
	}
	doc, ok := v.(map[string]any)
	if ok {
		for _, ours := range ruleAnswer { // so that what was read can be sent back
			delete(doc, ours)
		}
	}
	all, err := ruleDocuments()
	if err != nil {
		return nil, &realtime.Problem{Code: realtime.CodeUnavailable, Message: err.Error()}
	}
	if problem := all.check(v, ""); problem != nil {
		return nil, problem
	}
	if err := realtime.CheckName(id); err != nil {
		return nil, at("/id", err)
	}
	if given, ok := doc["id"].(string); ok && given != id {
		return nil, at("/id", realtime.Wrong("rule_id", "the id is not that of the rule at this place, {id}", "id", id))
	}
	doc["id"] = id
	r := &rule{id: id, doc: doc, enabled: doc["enabled"] != false}
	r.title, _ = doc["title"].(string)
	r.pattern, _ = doc["thing"].(string)
	r.property, _ = doc["property"].(string)
	if problem := r.read(check); problem != nil {
		return nil, problem
	}
	if suppress, _ := suppressedBy(doc); suppress != nil { // read has checked it
		r.others = suppress.others()
	}
	text, err := realtime.Marshal(doc)
	if err != nil {
		return nil, at("", err)
	}
	r.tag = hashed(text)
	return r, nil
}

// ruleAnswer is what the API adds to the document of a rule.
var ruleAnswer = []string{"by", "changed", "status"}

func (r *rule) read(check func(string) error) *realtime.Problem {
	if r.pattern != "" {
		if err := realtime.CheckPattern(r.pattern); err != nil {
			return at("/thing", err)
		}
	}
	if r.property != "" {
		if err := realtime.CheckName(r.property); err != nil {
			return at("/property", err)
		}
	}
	if r.doc["promql"] != nil {
		return r.readExpression(check)
	}
	for _, name := range []string{"for", "every"} {
		if r.doc[name] != nil {
			return at("/"+name, realtime.Wrong("with_promql", "{name} goes with promql; a property has onDelay", "name", name))
		}
	}
	for _, name := range []string{"thing", "property"} {
		if r.doc[name] == nil {
			return at("/"+name, realtime.Wrong("rule_about", "{name} is missing: a rule is about a thing or a pattern of things and a property, or it has promql", "name", name))
		}
	}
	return r.readKinds()
}

// readKinds reads the limits of a property.
func (r *rule) readKinds() *realtime.Problem {
	r.kinds = map[string]*alarmRule{}
	without := map[string]any{} // of what is taken away
	for name, v := range r.doc {
		switch {
		case v == true && slices.Contains([]string{ruleLowLow, ruleLow, ruleHigh, ruleHighHigh, ruleRate}, name):
			return at("/"+name, realtime.Wrong("limit_or_false", "{name} is a value, or false to take away what the description says", "name", name))
		case v == false && name != "enabled":
			r.kinds[name] = nil
		default:
			without[name] = v
		}
	}
	list, problem := readLimits(r.property, "", without)
	if problem != nil {
		return problem
	}
	for _, a := range list {
		a.source = r.id
		if a.toward == "" {
			a.text, _ = r.doc["message"].(string)
		}
		r.kinds[a.kind()] = a
	}
	if len(r.kinds) == 0 {
		return at("", realtime.Wrong("rule_empty", "the rule asks for nothing: it has none of lowLow, low, high, highHigh, rate, stale and promql"))
	}
	return nil
}

func (r *rule) readExpression(check func(string) error) *realtime.Problem {
	for _, name := range []string{"lowLow", "low", "high", "highHigh", "rate", "stale", "hysteresis", "deadband", "predict", "onDelay"} {
		if r.doc[name] != nil {
			return at("/"+name, realtime.Wrong("with_property", "{name} goes with a property, not with promql", "name", name))
		}
	}
	e := &exprRule{
		on: int64(1000 * float(r.doc["for"], 0)), off: int64(1000 * float(r.doc["offDelay"], 0)), every: int64(1000 * float(r.doc["every"], 15)),
		priority: int(float(r.doc["priority"], 2)), thingless: r.pattern != "" && realtime.CheckThing(r.pattern) == nil,
	}
	e.promql, _ = r.doc["promql"].(string)
	e.text, _ = r.doc["message"].(string)
	if check == nil {
		return at("/promql", realtime.Wrong("no_history", "there is no history to ask"))
	}
	if err := check(e.promql); err != nil {
		return at("/promql", realtime.Wrong("promql", "{why}", "why", err.Error()))
	}
	var err error
	if e.suppress, err = suppressedBy(r.doc); err != nil {
		return at("/suppress", err)
	}
	r.expr = e
	return nil
}

// covers says whether the rule is about a property of a thing.
func (r *rule) covers(thing string) bool {
	return r.enabled && (r.pattern == "" || realtime.Match(r.pattern, thing))
}

// before orders rules about one property: what names a thing more closely comes
// first. A pattern that stands for more things is less close: one with **, then
// one with more *, then one with fewer segments.
func (r *rule) before(o *rule) int {
	weight := func(p string) int {
		w := strings.Count(p, "/")
		for g := range strings.SplitSeq(p, "/") {
			switch g {
			case "**":
				w -= 1000
			case "*":
				w -= 20
			}
		}
		return w
	}
	if d := weight(o.pattern) - weight(r.pattern); d != 0 {
		return d
	}
	return strings.Compare(r.id, o.id)
}

// A ruleSet is all rules at one moment. It does not change.
type ruleSet struct {
	version    uint64 // of the store; grows with every change
	byID       map[string]*rule
	byProperty map[string][]*rule // enabled ones with kinds, the closest first
}

func newRuleSet(version uint64, rules map[string]*rule) *ruleSet {
	s := &ruleSet{version: version, byID: rules, byProperty: map[string][]*rule{}}
	for _, r := range rules {
		if r.expr == nil && r.enabled {
			s.byProperty[r.property] = append(s.byProperty[r.property], r)
		}
	}
	for _, list := range s.byProperty {
		slices.SortFunc(list, (*rule).before)
	}
	return s
}

// about are the rules for one property of a thing, given those of its
// description: each kind comes from the closest rule that names it, and from the
// description when none does. The ids are of the thing, so that an alarm stays
// the same one whoever says its limit.
func (s *ruleSet) about(thing, property string, described []*alarmRule, spec *spec) []*alarmRule {
	if s == nil || len(s.byProperty[property]) == 0 {
		return described
	}
	named := map[string]bool{}
	var out []*alarmRule
	for _, r := range s.byProperty[property] {
		if !r.covers(thing) {
			continue
		}
		for kind, a := range r.kinds {
			if !named[kind] && a != nil {
				out = append(out, a.of(thing, spec))
			}
		}
		for kind := range r.kinds { // with a limit its forecast is named, too
			named[kind], named[rulePredicted+":"+kind] = true, true
		}
	}
	for _, a := range described {
		if !named[a.kind()] {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *alarmRule) int { return strings.Compare(a.kind(), b.kind()) })
	return out
}

// takesAway says whether a rule by the API wants that there is no such alarm.
func (s *ruleSet) takesAway(al *alarm) bool {
	if s == nil {
		return false
	}
	for _, r := range s.byProperty[al.Property] {
		if a, named := r.kinds[al.Rule]; named && r.covers(al.Thing) {
			return a == nil
		}
	}
	return false
}

// of is the rule for one thing whose property is described so, or not at all.
func (r *alarmRule) of(thing string, spec *spec) *alarmRule {
	a := *r
	a.id = alarmID(thing, a.kind(), a.name)
	if spec != nil {
		a.unit = spec.unit
		if spec.title != "" {
			a.title = spec.title
		}
	}
	return &a
}

// quotedNumber is a value as JSON. Infinity, such as of a division by zero, and
// what is no number are texts there.
func quotedNumber(f float64) json.RawMessage {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return json.RawMessage(strconv.Quote(numbered(f)))
	}
	return json.RawMessage(numbered(f))
}

// numbered writes a value into a text for people.
func numbered(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f)
	}
	b, err := json.Marshal(math.Round(f*1e6) / 1e6)
	if err != nil {
		return fmt.Sprint(f)
	}
	return string(b)
}
