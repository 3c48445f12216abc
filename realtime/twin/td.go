package twin

import (
	"errors"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"echotwin/realtime"
)

// maxDescription bounds a Thing Description.
const maxDescription = 256 << 10

// idPrefix makes the path of a thing the URN that a Thing Description wants.
const idPrefix = "urn:echotwin:"

// URN is the TD id of the thing with this path.
func URN(path string) string { return idPrefix + path }

// Path is the path of the thing with this TD id, which may be a path itself.
func Path(id string) (string, error) {
	path := strings.TrimPrefix(id, idPrefix)
	return path, realtime.CheckThing(path)
}

// A description is what a Thing Description says, ready for use. It does not
// change.
type description struct {
	id      string
	title   string
	doc     map[string]any // as it came, but for the id
	props   map[string]*spec
	actions map[string]*action
	writes  map[string]*action // of the properties that may be written
	alarms  []*alarmRule
	links   []Link // to other things here
	model   string // that it is made of, or ""
}

// Describe adds the thing that a Thing Description describes, or replaces its
// description. Values that came before it was described are kept and judged by
// it. The error is a *realtime.Problem whose At is a JSON pointer into td.
func (t *Twins) Describe(td []byte) error {
	d, problem := parse(td)
	if problem != nil {
		return problem
	}
	return t.put(d)
}

// put is Describe of what was read and checked.
func (t *Twins) put(d *description) error { return t.putAll([]*description{d}) }

// putAll puts descriptions at once: who looks sees all of them or none, and what
// they change is told in one update. Those for which there is no room are left
// out, and the error says so.
func (t *Twins) putAll(all []*description) error {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.mu.Lock()
	u := realtime.Update{Seq: t.seq}
	full := false
	for _, d := range all {
		th := t.thing(d.id)
		if th == nil {
			full = true
			continue
		}
		before := th.marks()
		t.describe(th, d)
		after := th.marks()
		if !slices.Equal(before.Stale, after.Stale) || !equal(before.Quality, after.Quality) || len(before.Desired) != len(after.Desired) {
			th.wasMarked = true
			u.Changes = append(u.Changes, realtime.Change{Thing: th.id, TS: stamp(th.newest), Marks: after})
		}
	}
	t.describedIn(&u)
	t.mu.Unlock()
	if len(u.Changes)+len(u.Described) > 0 {
		t.tell(u)
	}
	if full {
		return t.full()
	}
	return nil
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// describe puts d on th.
func (t *Twins) describe(th *thing, d *description) {
	t.looks(th)
	before := th.td
	th.td = d
	t.relink(th, before)
	now := t.cfg.Now().UnixMilli()
	defer t.watchAlarms(th, t.unwatchAlarms(th)) // before a property goes with its points
	for name, s := range d.props {
		if th.props[name] == nil {
			th.props[name] = &property{name: name}
		}
		th.props[name].spec = s
	}
	for name, p := range th.props {
		if d.props[name] == nil {
			p.undescribe()
			if p.value == nil {
				delete(th.props, name)
				th.order = nil
				continue
			}
		}
		if d.writes[name] == nil {
			p.desired = nil // nobody can bring that about any more
		}
		p.judge()
		t.aging(th, p, now)
	}
	th.counted()
}

// undescribe makes p a property of which only its values are known.
func (p *property) undescribe() {
	if p.spec != nil {
		p.spec, p.bad = nil, false
	}
	if p.value != nil && p.kind == kindAny {
		p.kind = kindOf(p.value)
	}
}

// parse reads and checks a Thing Description.
func parse(td []byte) (*description, *realtime.Problem) {
	if len(td) > maxDescription {
		return nil, realtime.Wrong("td_size", "a Thing Description has at most {max} bytes", "max", maxDescription).Of(realtime.CodeTooLarge)
	}
	v, problem := unmarshal(td)
	if problem != nil {
		return nil, problem
	}
	return understand(v)
}

// unmarshal reads a JSON document as somebody sent it.
func unmarshal(b []byte) (any, *realtime.Problem) {
	v, err := decode(b)
	if err == nil && !utf8.Valid(b) { // each wrong byte would be kept as a replacement character
		err = errors.New("it is not UTF-8")
	}
	if err != nil {
		return nil, realtime.Wrong("json", "not a JSON document: {why}", "why", err.Error()).Of(realtime.CodeMalformed)
	}
	return v, nil
}

// understand checks a Thing Description that is decoded, and makes it its own.
func understand(v any) (*description, *realtime.Problem) {
	all, err := descriptions()
	if err != nil {
		return nil, &realtime.Problem{Code: realtime.CodeUnavailable, Message: err.Error()}
	}
	if !small(v) {
		return nil, realtime.Wrong("td_deep", "a Thing Description goes at most {deep} objects deep and has at most {max} values", "deep", maxDepth, "max", maxNodes).Of(realtime.CodeTooLarge)
	}
	if doc, ok := v.(map[string]any); ok && isModel(doc) {
		return nil, at("/@type", realtime.Wrong("td_model", "this is a Thing Model and no Thing Description; /api/models takes it"))
	}
	if problem := all.check(v, ""); problem != nil {
		return nil, problem
	}
	doc := v.(map[string]any) // the schema says so
	id, err := Path(doc["id"].(string))
	if err != nil {
		return nil, at("/id", err)
	}
	doc["id"] = URN(id)
	d := &description{id: id, title: doc["title"].(string), doc: doc, props: map[string]*spec{}, actions: map[string]*action{}, writes: map[string]*action{}}
	for _, read := range []func(map[string]any) *realtime.Problem{d.readProperties, d.readWrites, d.readActions, d.checkEvents, d.readAlarms, checkSecurity, d.readLinks} {
		if problem := read(doc); problem != nil {
			return nil, problem
		}
	}
	return d, nil
}

// at is err as a problem at this place.
func at(place string, err error) *realtime.Problem {
	p := &realtime.Problem{Code: realtime.CodeInvalid, Message: err.Error()}
	var q *realtime.Problem
	if errors.As(err, &q) {
		*p = *q
		p.Code = realtime.CodeInvalid // the document is JSON, whatever is wrong inside
	}
	if p.At == "" {
		p.At = place
	}
	return p
}

// members goes through the affordances of one sort in the order of their names,
// so that of several problems always the same one is told first.
func members(doc map[string]any, sort string, each func(name, place string, m map[string]any) *realtime.Problem) *realtime.Problem {
	all, _ := doc[sort].(map[string]any)
	order := make([]string, 0, len(all))
	for name := range all {
		order = append(order, name)
	}
	slices.Sort(order)
	var wrong []*realtime.Problem
	for _, name := range order {
		place := "/" + sort + "/" + escape(name)
		if err := realtime.CheckName(name); err != nil {
			wrong = append(wrong, at(place, err))
		} else if problem := each(name, place, all[name].(map[string]any)); problem != nil {
			wrong = append(wrong, problem)
		}
	}
	return together(wrong)
}

func (d *description) readProperties(doc map[string]any) *realtime.Problem {
	return members(doc, "properties", func(name, place string, m map[string]any) *realtime.Problem {
		if m["writeOnly"] == true {
			return at(place+"/writeOnly", realtime.Wrong("write_only", "a property that can only be written has nothing to show; describe it as an action"))
		}
		if err := ordered(m, place); err != nil {
			return at(place, err)
		}
		if band, ok := m["echotwin:band"].([]any); ok && float(band[0], 0) > float(band[1], 0) {
			return at(place+"/echotwin:band", realtime.Wrong("band", "the lower end of the band is above the upper one"))
		}
		d.props[name] = newSpec(m)
		return nil
	})
}

func newSpec(m map[string]any) *spec {
	text := func(name string) string { s, _ := m[name].(string); return s }
	s := &spec{
		title:  text("title"),
		unit:   text("unit"),
		kind:   kindNamed(text("type")),
		min:    float(m["minimum"], math.Inf(-1)),
		max:    float(m["maximum"], math.Inf(1)),
		period: int64(math.Ceil(1000 * float(m["echotwin:period"], 0))),
	}
	if f := float(m["exclusiveMinimum"], math.Inf(-1)); f >= s.min && !math.IsInf(f, -1) {
		s.min, s.minExcluded = f, true
	}
	if f := float(m["exclusiveMaximum"], math.Inf(1)); f <= s.max && !math.IsInf(f, 1) {
		s.max, s.maxExcluded = f, true
	}
	return s
}

func (d *description) checkEvents(doc map[string]any) *realtime.Problem {
	return members(doc, "events", func(string, string, map[string]any) *realtime.Problem { return nil })
}

// checkSecurity says when the description uses a scheme that it does not define.
// Both are those of the device itself; what we serve has our own.
func checkSecurity(doc map[string]any) *realtime.Problem {
	defined, ok := doc["securityDefinitions"].(map[string]any)
	if !ok {
		return nil
	}
	for _, name := range words(doc["security"]) {
		if defined[name] == nil {
			return at("/security", realtime.Wrong("security", `"{name}" is not among the securityDefinitions`, "name", clip(name)))
		}
	}
	return nil
}

// words are the elements of a member that is a word or a list of words.
func words(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
