package realtime

import (
	"fmt"
	"maps"
	"strings"
)

// Wrong is a Problem of something that was sent to us. Its text is English, and
// {name} in it stands for the argument of that name, which follows as in Said; so
// a program that knows the reason can say the same in another language. A
// *Problem as an argument is what is behind it.
func Wrong(reason, text string, pairs ...any) *Problem {
	var places []string
	for i := 0; i+1 < len(pairs); i += 2 {
		said := fmt.Sprint(pairs[i+1])
		if p, ok := pairs[i+1].(*Problem); ok {
			said = p.Message
		}
		places = append(places, fmt.Sprintf("{%v}", pairs[i]), said)
	}
	p := &Problem{Code: CodeInvalid, Message: strings.NewReplacer(places...).Replace(text), Reason: reason}
	if len(pairs) > 0 {
		p.Args = Said(pairs...)
	}
	return p
}

// Of gives a new Problem its code.
func (p *Problem) Of(code string) *Problem {
	p.Code = code
	return p
}

// In says where a new Problem is.
func (p *Problem) In(place string) *Problem {
	p.At = place
	return p
}

// Beside is p with an argument that adds something to the end of its sentence,
// whatever that is.
func (p *Problem) Beside(name string, value any, text string) *Problem {
	out := *p
	out.Args = Said(name, value)
	maps.Copy(out.Args, p.Args)
	out.Message += strings.ReplaceAll(text, "{"+name+"}", fmt.Sprint(value))
	return &out
}
