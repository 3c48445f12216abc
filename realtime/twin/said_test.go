package twin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"echotwin/realtime"
)

// What each code says in English, with what it fills in. A program that knows
// these needs no text of ours.
var sentences = map[string]string{
	realtime.BecauseValid:    "the input is valid by the description[; these hold: {conditions}]",
	realtime.BecausePuback:   "PUBACK",
	realtime.BecauseResult:   "result {answer}",
	realtime.BecauseReported: "{property} {value} was reported",
	realtime.BecauseLast:     "{property} {value} was the last report within {within} s",
	realtime.BecauseNever:    "{property} was never reported",
	realtime.BecauseUnsent:   "nothing was sent",
	realtime.BecauseCancel:   "{by} cancelled it ({via})",
	realtime.BecauseReplaced: "{cmd} of {by} took its place",

	realtime.ClearedLimit: "its limit is {limit} now",
}

var troubles = map[string]string{
	realtime.TroubleNoResult: "the device took the command and gave no result in time: whether it ran is unknown",
	realtime.TroubleNoWord:   "there is no evidence that the device got the command, and no result: whether it ran is unknown",
	realtime.BecauseUnsent:   "{was} before it was sent: the device did not get it",
	realtime.BecauseReplaced: "superseded by a newer command of {by}: ",
	realtime.BecauseCancel:   "cancelled by {by}: ",
	realtime.TroubleLate:     "a late result says: it[ failed, {failed}]",
	realtime.TroubleAgain:    "the device answered again, and differently: it[ failed, {failed}]",
}

// sentence is what a code says. What stands in brackets is said when it is known.
func sentence(code string, args realtime.Args, of map[string]string) string {
	text := of[code]
	if before, more, ok := strings.Cut(text, "["); ok { // it is the last part
		text = before
		if len(args) > 0 {
			text += strings.TrimSuffix(more, "]")
		}
	}
	for name, v := range args {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		text = strings.ReplaceAll(text, "{"+name+"}", s)
	}
	return text
}

// unsaid is what is wrong with the codes in what is told of commands and alarms;
// every listener of every test looks.
func unsaid(u realtime.Update) (wrong []string) {
	for _, f := range u.Facts {
		var c realtime.Invoked
		var a realtime.AlarmState
		switch {
		case f.Type == "cmd" && json.Unmarshal(f.Body, &c) == nil:
			long := len(c.Evidence) > maxEvidence/2 // may be cut off
			if (c.Evidence == "") != (c.EvidenceCode == "") || !long && c.Evidence != sentence(c.EvidenceCode, c.EvidenceArgs, sentences) {
				wrong = append(wrong, fmt.Sprintf("%s says %q, and its code %q", f.Body, c.Evidence, sentence(c.EvidenceCode, c.EvidenceArgs, sentences)))
			}
			if (c.Error == "") != (c.ErrorCode == "") || len(c.Error) < maxError && !strings.Contains(c.Error, sentence(c.ErrorCode, c.ErrorArgs, troubles)) {
				wrong = append(wrong, fmt.Sprintf("%s says %q, and its code %q", f.Body, c.Error, sentence(c.ErrorCode, c.ErrorArgs, troubles)))
			}
		case f.Type == "alarm" && json.Unmarshal(f.Body, &a) == nil:
			said := cleared[a.ReasonCode]
			if said == "" {
				said = sentence(a.ReasonCode, a.ReasonArgs, sentences)
			}
			if a.Reason != said {
				wrong = append(wrong, fmt.Sprintf("%s says %q, and its code %q", f.Body, a.Reason, said))
			}
		}
	}
	return wrong
}

// A rule by the API that brings no message has one of ours, and says so; one that
// brings its own has no code.
func TestMessagesOfOursHaveACode(t *testing.T) {
	own := &point{alarmRule: &alarmRule{rule: ruleHigh, text: "Mở van"}, th: &thing{id: "a"}}
	ours := &point{alarmRule: &alarmRule{rule: ruleHigh, title: "Flow"}, th: &thing{id: "a"}}
	for _, tt := range []struct {
		p    *point
		code string
	}{{own, ""}, {ours, ruleHigh}} {
		tw := New(Config{})
		raise := tt.p.raise(json.RawMessage("7"), false)
		data, _ := json.Marshal(raise)
		tw.Apply(realtime.Bundle{Seq: 1, Records: []realtime.Record{{Kind: realtime.Alarm, Thing: "a", Name: realtime.AlarmRaised, Cmd: "x", TS: noon, At: noon, Data: data}}})
		if a, _ := tw.AlarmState("x"); a.MessageCode != tt.code {
			t.Errorf("%q has the code %q, want %q", a.Message, a.MessageCode, tt.code)
		}
	}
}

// What was stored before there were codes is told as it is.
func TestFactsWithoutCodesAreTold(t *testing.T) {
	tw := New(Config{})
	l := &listener{}
	tw.OnChange(l.hear)
	tw.Apply(realtime.Bundle{Seq: 1, Records: []realtime.Record{
		{Kind: realtime.Command, Thing: "a", Cmd: "1", TS: noon, At: noon, Data: json.RawMessage(`{"cmd":"1","thing":"a","action":"x","status":"accepted","ts":"2026-11-23T12:00:00Z","evidence":"the input is valid by the description"}`)},
		{Kind: realtime.Command, Thing: "a", Cmd: "1", TS: noon, At: noon, Data: json.RawMessage(`{"cmd":"1","thing":"a","action":"x","status":"sent","ts":"2026-11-23T12:00:01Z","evidence":"PUBACK"}`)},
	}})
	_, steps, _ := tw.CommandSteps("1")
	if len(steps) != 2 || steps[1].Evidence != "PUBACK" || steps[1].EvidenceCode != "" {
		t.Errorf("%+v", steps)
	}
	if told := l.facts("cmd"); len(told) != 2 || strings.Contains(told[1], "evidenceCode") {
		t.Errorf("%s", told)
	}
}
