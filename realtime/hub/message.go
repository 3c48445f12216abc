package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"echotwin/realtime"
)

// A message is what a client may say.
type message struct {
	Type string          `json:"type"`
	ID   json.RawMessage `json:"id"`
	subRequest
	Sub     string          `json:"sub"`
	Epoch   string          `json:"epoch"`
	Seq     uint64          `json:"seq"`
	Subs    []subRequest    `json:"subs"`
	Token   string          `json:"token"`
	Thing   string          `json:"thing"`
	Action  string          `json:"action"`
	Input   json.RawMessage `json:"input"`
	Timeout *float64        `json:"timeout"`
	Key     string          `json:"key"`
	Reason  string          `json:"reason"`
	Confirm bool            `json:"confirm"`
	replayRequest
}

// types is what a client may say, with an example of each.
var types = []struct{ name, example string }{
	{"sub", `{"type":"sub","path":"plant/line1/**","fields":["speed"],"rate":5}`},
	{"unsub", `{"type":"unsub","sub":"s1"}`},
	{"resume", `{"type":"resume","epoch":"k3f9","seq":184251,"subs":[{"path":"plant/line1/**"}]}`},
	{"replay", `{"type":"replay","from":"2026-11-23T08:00:00Z","speed":10}`},
	{"live", `{"type":"live"}`},
	{"cmd", `{"type":"cmd","id":"7","thing":"plant/line1/conveyor-1","action":"setSpeed","input":{"speed":80}}`},
	{"auth", `{"type":"auth","token":"…"}`},
	{"ping", `{"type":"ping"}`},
	{"help", `{"type":"help"}`},
}

// Types are the types of frames that a client may send.
func Types() []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.name
	}
	return names
}

const (
	maxID    = 128
	teachSay = `one JSON object a frame with a "type", such as {"type":"sub","path":"plant/**"}; or the words sub <path>, unsub, replay <time>, live, ping, help`
)

// parse reads one text frame. The message carries the id as far as it could be
// read, so that a problem can be answered with it.
func parse(b []byte) (message, *realtime.Problem) {
	b = bytes.TrimSpace(b)
	var m message
	if !utf8.Valid(b) || len(b) == 0 {
		return m, &realtime.Problem{Code: realtime.CodeMalformed, Message: "say " + teachSay}
	}
	if b[0] != '{' {
		return words(string(b))
	}
	if err := json.Unmarshal(b, &m); err != nil {
		m.ID = plainID(m.ID)
		return m, explain(err)
	}
	if id := plainID(m.ID); id == nil && m.ID != nil {
		m.ID = nil
		return m, &realtime.Problem{Code: realtime.CodeMalformed, At: "/id", Message: fmt.Sprintf("id is a string or a number of at most %d bytes", maxID)}
	}
	if m.Type == "" {
		return m, &realtime.Problem{Code: realtime.CodeMalformed, At: "/type", Message: "no type: say " + teachSay}
	}
	return m, nil
}

// idIn is the id of a frame of which nothing else is read.
func idIn(b []byte) json.RawMessage {
	var m struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(b, &m) != nil {
		return nil
	}
	return plainID(m.ID)
}

// plainID is the id when it is a short string or number, else nil.
func plainID(id json.RawMessage) json.RawMessage {
	if len(id) == 0 || len(id) > maxID {
		return nil
	}
	if c := id[0]; c == '"' || c == '-' || c >= '0' && c <= '9' {
		return id
	}
	return nil
}

// explain says what was wrong with a frame in the words of the frame.
func explain(err error) *realtime.Problem {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong):
		field := wrong.Field
		for _, part := range []string{"subRequest.", "replayRequest."} {
			field = strings.TrimPrefix(field, part)
		}
		return &realtime.Problem{Code: realtime.CodeMalformed, At: "/" + strings.ReplaceAll(field, ".", "/"),
			Message: fmt.Sprintf("%s cannot be %s", field, aJSON(wrong.Value))}
	case errors.As(err, &syntax):
		return &realtime.Problem{Code: realtime.CodeMalformed, Message: fmt.Sprintf("not JSON at byte %d (%s): say %s", syntax.Offset, strings.TrimPrefix(syntax.Error(), "json: "), teachSay)}
	}
	return &realtime.Problem{Code: realtime.CodeMalformed, Message: "not JSON: say " + teachSay}
}

func aJSON(kind string) string {
	if strings.HasPrefix(kind, "number ") {
		return kind + " here"
	}
	if kind == "array" || kind == "object" {
		return "an " + kind
	}
	return "a " + kind
}

// words reads what a person types.
func words(text string) (message, *realtime.Problem) {
	w := strings.Fields(text)
	m := message{Type: w[0]}
	switch {
	case w[0] == "sub" && len(w) == 2:
		m.Path = w[1]
	case w[0] == "unsub" && len(w) == 2:
		m.Sub = w[1]
	case w[0] == "replay" && (len(w) == 2 || len(w) == 3):
		m.From, _ = json.Marshal(w[1]) // a string can always be encoded
		if len(w) == 3 {
			speed, err := strconv.ParseFloat(strings.TrimSuffix(w[2], "x"), 64)
			if err != nil {
				return m, &realtime.Problem{Code: realtime.CodeMalformed, At: "/speed", Message: fmt.Sprintf("%.20q is no speed, such as 10", w[2])}
			}
			m.Speed = &speed
		}
	case (w[0] == "unsub" || w[0] == "live" || w[0] == "ping" || w[0] == "help") && len(w) == 1:
	default:
		return m, &realtime.Problem{Code: realtime.CodeMalformed, Message: fmt.Sprintf("%.40q is neither JSON nor a word known here: say %s", text, teachSay)}
	}
	return m, nil
}
