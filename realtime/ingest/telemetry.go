package ingest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"echotwin/realtime"
)

// telemetry reads an object or an array of objects.
func (r *request) telemetry(thing string) {
	if err := realtime.CheckThing(thing); err != nil {
		r.reject(*asProblem(err))
		return
	}
	root := whole
	r.sc.blanks()
	if r.samplesOf(root, thing) {
		r.ends()
	}
}

// batch reads {thing: object | array}.
func (r *request) batch(may func(string) bool) {
	sc := &r.sc
	root := whole
	if sc.blanks() != '{' {
		r.rejectAt(root, realtime.CodeMalformed, `want an object of things, such as {"plant/line1/pump":{"speed":60.4}}`)
		return
	}
	sc.i++
	if sc.blanks() == '}' {
		sc.i++
		r.rejectAt(root, realtime.CodeInvalid, "the object is empty: want at least one thing")
		r.ends()
		return
	}
	for {
		thing, ok := sc.name()
		if !ok {
			r.breaks(root)
			return
		}
		sc.blanks()
		at := whole.in(thing)
		err := realtime.CheckThing(thing)
		switch {
		case err != nil:
			r.rejectAt(at, realtime.CodeMalformed, err.Error())
			_, ok = sc.next(data)
		case may != nil && !may(thing):
			r.rejectAt(at, realtime.CodeForbidden, "you may not write to "+thing)
			_, ok = sc.next(data)
		default:
			ok = r.samplesOf(at, thing)
		}
		if !ok {
			r.breaks(at)
			return
		}
		switch sc.blanks() {
		case ',':
			sc.i++
			sc.blanks()
		case '}':
			sc.i++
			r.ends()
			return
		default:
			sc.breaks("want , or }")
			r.breaks(root)
			return
		}
	}
}

// samplesOf reads an object or an array of objects. It reports false when the
// payload broke; that is then noted already.
func (r *request) samplesOf(at place, thing string) bool {
	sc := &r.sc
	const want = `want an object of properties, such as {"speed":60.4}, or an array of such objects`
	switch sc.peek() {
	case '{':
		return r.sample(at, thing)
	case '[':
	default:
		if _, ok := sc.next(data); !ok {
			return r.breaks(at)
		}
		r.rejectAt(at, realtime.CodeMalformed, want)
		return true
	}
	sc.i++
	if sc.blanks() == ']' {
		sc.i++
		r.rejectAt(at, realtime.CodeInvalid, "the array is empty: want at least one sample")
		return true
	}
	for at.index = 0; ; at.index++ {
		if sc.peek() == '{' {
			if !r.sample(at, thing) {
				return false
			}
		} else if _, ok := sc.next(data); !ok {
			return r.breaks(at)
		} else {
			r.rejectAt(at, realtime.CodeInvalid, `want an object of properties, such as {"speed":60.4}`)
		}
		switch sc.blanks() {
		case ',':
			sc.i++
			sc.blanks()
		case ']':
			sc.i++
			return true
		default:
			sc.breaks("want , or ]")
			return r.breaks(at)
		}
	}
}

// breaks notes that the payload cannot be read further, once. It is false.
func (r *request) breaks(at place) bool {
	if r.sc.broken != "" {
		r.rejectAt(at, realtime.CodeMalformed, "not JSON: "+r.sc.broken)
		r.sc.broken = ""
	}
	return false
}

// ends makes sure that nothing stands behind the payload.
func (r *request) ends() {
	if sc := &r.sc; sc.blanks() != 0 || sc.i < len(sc.s) {
		sc.breaks("want nothing behind the end of the JSON")
		r.breaks(whole)
	}
}

// A reading is what a sample has besides its values.
type reading struct {
	ts       time.Time
	timed    bool // it has a ts
	clamped  bool
	unusable bool // its ts is wrong, so nobody knows when it was measured
	flawed   bool // something was wrong with it and is noted
	extra    bool // it has too many properties, which is noted
	same     bool // its properties are so far those of the sample before, in the same order
}

// again moves behind the name that the sample before had in this place, and its
// colon, when it stands here. Such a name is right, and none of those before it.
func (r *request) again(s *reading) (name string, ok bool) {
	if k := len(r.values); s.same && k < len(r.before) {
		name = r.before[k].Name
		return name, r.sc.again(name)
	}
	return "", false
}

// sample reads one object of properties and writes its line. It reports false
// when the payload broke.
func (r *request) sample(at place, thing string) bool {
	sc := &r.sc
	r.samples++
	r.before, r.values = r.values, r.before[:0]
	r.compact.Reset()
	s := reading{ts: r.now, same: true}
	sc.i++
	if sc.blanks() == '}' {
		sc.i++
		r.rejectAt(at, realtime.CodeInvalid, "the sample is empty: want at least one property")
		return true
	}
	for {
		name, known := r.again(&s)
		if !known {
			var ok bool
			if name, ok = sc.name(); !ok {
				return r.breaks(at)
			}
			s.same = s.same && name == "ts"
		}
		if !r.member(&s, at, name, known) {
			return r.breaks(at.of(name))
		}
		switch sc.blanks() {
		case ',':
			sc.i++
			sc.blanks()
		case '}':
			sc.i++
			r.keep(s, at, thing)
			return true
		default:
			sc.breaks("want , or }")
			return r.breaks(at.of(name))
		}
	}
}

// keep writes the sample that was read, if there is something to write.
func (r *request) keep(s reading, at place, thing string) {
	switch {
	case r.samples > MaxSamples:
		r.rejectAt(at, realtime.CodeTooLarge, fmt.Sprintf("at most %d samples are taken in one request: send the others in another", MaxSamples))
	case s.unusable:
	case len(r.values) > 0:
		r.admit(at, thing)
		if len(r.values) > 0 {
			r.telemetryLine(at, thing, s.ts, s.clamped)
		}
	case !s.flawed:
		r.rejectAt(at, realtime.CodeInvalid, "the sample has a ts and nothing else: want at least one property")
	}
}

// admit takes out of the sample that was read what there is no place for.
func (r *request) admit(at place, thing string) {
	over, why := r.cfg.Admit(thing, r.values)
	if why == nil {
		return
	}
	p := *why
	if len(over) == 0 {
		p.At = at.String()
		r.reject(p)
		r.values = r.values[:0]
		return
	}
	for _, i := range over {
		p.At = at.of(r.values[i].Name).String()
		r.reject(p)
	}
	for _, i := range slices.Backward(over) {
		r.values = slices.Delete(r.values, i, i+1)
	}
}

// member reads the value of one member of a sample. Known says that its name
// needs no look.
func (r *request) member(s *reading, at place, name string, known bool) bool {
	sc := &r.sc
	sc.blanks()
	if name == "ts" {
		raw, ok := sc.next(data)
		if ok {
			r.time(s, at.of(name), raw)
		}
		return ok
	}
	raw, ok := sc.next(property)
	if !ok {
		return false
	}
	if known && sc.flaw == nil {
		r.values = append(r.values, realtime.Value{Name: name, JSON: r.written(raw)})
		return true
	}
	return r.unknown(s, at.of(name), raw)
}

// unknown takes a member that has to be looked at.
func (r *request) unknown(s *reading, at place, raw string) bool {
	why := ""
	switch err := realtime.CheckName(at.member); {
	case err != nil:
		why = err.Error()
	case r.sc.flaw != nil:
		s.flawed = true
		r.rejectFlaw(at)
		return true
	case len(r.values) == MaxProperties:
		if s.extra {
			s.flawed = true
			r.answer.RejectedTotal++
			return true
		}
		s.extra = true
		why = fmt.Sprintf("at most %d properties are taken in one sample", MaxProperties)
	case r.has(at.member):
		why = "this property stands twice in one sample; the first value is taken"
	default:
		r.values = append(r.values, realtime.Value{Name: at.member, JSON: r.written(raw)})
		return true
	}
	s.flawed = true
	r.rejectAt(at, realtime.CodeMalformed, why)
	return true
}

func (r *request) has(name string) bool {
	for i := range r.values {
		if r.values[i].Name == name {
			return true
		}
	}
	return false
}

// property reads one bare value.
func (r *request) property(thing, name string) {
	root := whole
	err := realtime.CheckThing(thing)
	if err == nil {
		err = realtime.CheckName(name)
	}
	if err != nil {
		r.reject(*asProblem(err))
		return
	}
	if name == "ts" {
		r.rejectAt(root, realtime.CodeInvalid, "ts is the time of a sample and cannot be a property")
		return
	}
	r.sc.blanks()
	raw, ok := r.sc.next(property)
	if !ok {
		r.breaks(root)
		return
	}
	if r.sc.flaw != nil {
		r.rejectFlaw(root)
		return
	}
	r.compact.Reset()
	r.values = append(r.values[:0], realtime.Value{Name: name, JSON: r.written(raw)})
	if r.sc.blanks() == 0 && r.sc.i == len(r.sc.s) {
		if _, why := r.cfg.Admit(thing, r.values); why != nil {
			r.reject(*why)
			return
		}
		r.telemetryLine(root, thing, r.now, false)
		return
	}
	r.ends()
}

func asProblem(err error) *realtime.Problem {
	var p *realtime.Problem
	if errors.As(err, &p) {
		return p
	}
	return &realtime.Problem{Code: realtime.CodeMalformed, Message: err.Error()}
}
