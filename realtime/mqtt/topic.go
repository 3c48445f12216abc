package mqtt

import (
	"fmt"
	"strings"

	"echotwin/realtime"
)

// kind is what a device's topic is for.
type kind int

const (
	telemetry kind = iota
	property
	event
	status
	result
)

// A topic is where a device published, taken apart and checked.
type topic struct {
	kind  kind
	thing string // of a result once it is known
	name  string // of a property or an event
	cmd   string // of a result
}

const topicsAllowed = "telemetry/<thing>, telemetry/<thing>/properties/<name>, event/<thing>/<name>, status/<thing> or result/<cmd>"

// parseTopic takes apart a topic that a device published to. On an error the
// topic still holds the thing when its id is valid, so that the refusal can be
// recorded there.
func parseTopic(s string) (topic, error) {
	first, rest, _ := strings.Cut(s, "/")
	var t topic
	switch first {
	case "telemetry":
		if thing, name, ok := strings.Cut(rest, "/properties/"); ok {
			t = topic{kind: property, thing: thing, name: name}
			break
		}
		t = topic{kind: telemetry, thing: rest}
	case "event":
		i := strings.LastIndexByte(rest, '/')
		if i < 0 {
			return topic{}, &realtime.Problem{Code: realtime.CodeMalformed, Message: "an event's topic is event/<thing>/<name>"}
		}
		t = topic{kind: event, thing: rest[:i], name: rest[i+1:]}
	case "status":
		t = topic{kind: status, thing: rest}
	case "result":
		if err := realtime.CheckName(rest); err != nil {
			return topic{}, err
		}
		return topic{kind: result, cmd: rest}, nil
	case "command":
		return topic{}, &realtime.Problem{Code: realtime.CodeForbidden, Message: "only the server publishes command/…"}
	default:
		return topic{}, &realtime.Problem{Code: realtime.CodeNotFound, Message: fmt.Sprintf("no topic %q here: publish to %s", clip(s, 80), topicsAllowed)}
	}
	if err := realtime.CheckThing(t.thing); err != nil {
		return topic{}, err
	}
	if t.kind == property || t.kind == event {
		if err := realtime.CheckName(t.name); err != nil {
			return topic{thing: t.thing}, err
		}
	}
	return t, nil
}

// commandTopic is where a command goes.
func commandTopic(thing, action, cmd string) string {
	return "command/" + thing + "/" + action + "/" + cmd
}

// responseTopic is where an MQTT 5 device is asked to answer. With the
// correlation data, which is the command's id, the bare "result" does too.
func responseTopic(cmd string) string { return "result/" + cmd }

// correlate is the topic that a result is meant for, by what MQTT 5 sends along.
func correlate(topic string, data []byte) (string, *realtime.Problem) {
	switch cmd, ok := strings.CutPrefix(topic, "result/"); {
	case topic == "result" && len(data) == 0:
		return topic, &realtime.Problem{Code: realtime.CodeMalformed, Message: "publish to result/<cmd>, or to result with the command's correlation data"}
	case topic == "result":
		return responseTopic(string(data)), nil
	case ok && len(data) > 0 && string(data) != cmd:
		return topic, &realtime.Problem{Code: realtime.CodeInvalid, Message: "the correlation data is that of another command than the topic's"}
	}
	return topic, nil
}

// namesThing says whether a filter asks for the commands of this one thing: it
// names the thing in full and matches the topic. A filter such as command/#
// looks at everything and makes nobody a device.
func namesThing(filter, thing, topic string) bool {
	return strings.HasPrefix(filter, "command/"+thing+"/") && matches(filter, topic)
}

// ofDevice says whether a filter names a thing in full, as that of a device
// does, in characters that a thing can have.
func ofDevice(filter string) bool {
	segs := strings.Split(filter, "/")
	for i, seg := range segs {
		if wild := seg == "+" || seg == "#"; wild && i < 2 || !wild && realtime.CheckName(seg) != nil {
			return false
		}
	}
	return segs[0] == "command" && len(segs) > 2
}

// matches says whether an MQTT filter covers a topic.
func matches(filter, topic string) bool {
	for {
		f, frest, fmore := strings.Cut(filter, "/")
		t, trest, tmore := strings.Cut(topic, "/")
		if f == "#" {
			return true
		}
		if f != "+" && f != t {
			return false
		}
		if fmore && !tmore {
			return frest == "#" // a/# covers a too
		}
		if !fmore || !tmore {
			return fmore == tmore
		}
		filter, topic = frest, trest
	}
}

// mayHear says whether somebody who owns the given things may subscribe to a
// filter: command/ followed by an own thing, perhaps one of its actions, and
// then wildcards.
func mayHear(filter string, owns func(thing string) bool) bool {
	rest, ok := strings.CutPrefix(filter, "command/")
	if !ok {
		return false
	}
	segs := strings.Split(rest, "/")
	n := 0
	for n < len(segs) && segs[n] != "+" && segs[n] != "#" {
		n++
	}
	for cut := n; cut >= max(n-2, 1); cut-- { // thing, thing and action, thing, action and command
		thing := strings.Join(segs[:cut], "/")
		if realtime.CheckThing(thing) == nil && owns(thing) {
			return true
		}
	}
	return false
}

// clip keeps a text short whatever was sent, without splitting a rune.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
