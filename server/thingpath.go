package server

import (
	"net/url"
	"strings"

	"echotwin/realtime"
)

// thingsPrefix is where things are. Their ids hold slashes, so what follows is
// taken apart here and not by the router.
const thingsPrefix = "/api/things/"

// A thingPath is a path below /api/things/, taken apart.
type thingPath struct {
	id   string
	part string // "", "state", "properties", "actions" or "events"
	name string // of the property, action or event; "" means all of them
	sse  bool   // the stream of a property
}

// template is the route's name in metrics and in the OpenAPI document.
func (p thingPath) template() string {
	t := thingsPrefix + "{id}"
	if p.part != "" {
		t += "/" + p.part
	}
	if p.name != "" {
		t += "/{name}"
	}
	if p.sse {
		t += "/sse"
	}
	return t
}

// parseThingPath takes apart what the client sent after /api/things/, still
// escaped. An id may be sent as it is, or with its slashes as %2F, as generated
// clients do; only then can "state" be the last segment of an id that has the
// id before it. Nothing is cleaned: "." and ".." are no segments.
func parseThingPath(escaped string) (thingPath, error) {
	var segs []string
	for _, raw := range strings.Split(escaped, "/") {
		seg, err := url.PathUnescape(raw)
		if err != nil {
			return thingPath{}, problem(realtime.CodeMalformed, "%q is not an escaped path", clip(raw))
		}
		segs = append(segs, seg)
		if len(segs) > realtime.MaxSegments+3 {
			return thingPath{}, problem(realtime.CodeMalformed, "a thing's id has at most %d segments", realtime.MaxSegments)
		}
	}
	p := thingPath{}
	end := len(segs)
	for i, seg := range segs {
		if seg == "properties" || seg == "actions" || seg == "events" {
			p.part, end = seg, i
			break
		}
	}
	rest := segs[min(end+1, len(segs)):]
	if p.part == "" && end > 1 && segs[end-1] == "state" {
		p.part, end = "state", end-1
	}
	p.id = strings.Join(segs[:end], "/")
	if err := realtime.CheckThing(p.id); err != nil {
		return thingPath{}, err
	}
	switch {
	case len(rest) == 2 && p.part == "properties" && rest[1] == "sse":
		p.name, p.sse = rest[0], true
	case len(rest) == 1:
		p.name = rest[0]
	case len(rest) != 0:
		return thingPath{}, problem(realtime.CodeNotFound, "there is nothing at this place of a thing")
	}
	if len(rest) > 0 {
		if err := realtime.CheckName(p.name); err != nil {
			return thingPath{}, err
		}
	}
	return p, nil
}
