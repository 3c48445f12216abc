package twin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"echotwin/realtime"
)

// oven is a thing with a property that may be written, and one that may not.
const oven = `{
	"id": "urn:echotwin:lab/oven", "title": "Oven",
	"properties": {
		"setpoint": {"type": "number", "minimum": 20, "maximum": 250, "echotwin:tolerance": 0.5},
		"program": {"type": "string", "enum": ["bread", "cake"]},
		"temperature": {"type": "number", "readOnly": true}
	}
}`

const ovenID = "lab/oven"

func write(name, value string) realtime.Invocation {
	return realtime.Invocation{Thing: ovenID, Action: "properties/" + name, Input: json.RawMessage(value), User: "ana", Via: "api"}
}

// What was written is desired until it is reported, on every node and over a
// restart, and nobody takes it for the value.
func TestAWrittenPropertyIsDesiredUntilItIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t, lag: time.Millisecond}
		tw, l := p.node(oven)
		other, heard := p.node(oven)
		p.device(ovenID, func(cmd string, input []byte) error {
			if string(input) != "180" {
				t.Errorf("the device got %s", input)
			}
			p.answer(cmd, `{"ok":true}`)
			return nil
		})
		p.say(reading(ovenID, time.Now(), `{"setpoint":100}`))
		time.Sleep(time.Second)
		got, err := tw.Invoke(t.Context(), write("setpoint", "180"))
		if err != nil || got.Status != realtime.Done {
			t.Fatalf("got %+v, %v", got, err)
		}
		synctest.Wait()
		for i, n := range []*Twins{tw, other} {
			s, _ := n.Property(ovenID, "setpoint")
			if string(s.Value) != "100" || s.Desired == nil || string(s.Desired.Value) != "180" || s.Desired.User != "ana" || s.Desired.Command != got.ID || s.Desired.Status != realtime.Done {
				t.Errorf("node %d has %s, desired %+v", i, s.Value, s.Desired)
			}
		}
		if want := map[string]json.RawMessage{"setpoint": json.RawMessage("180")}; !reflect.DeepEqual(desiredSeen(heard), want) {
			t.Errorf("the other node's viewers see %v, want %v", desiredSeen(heard), want)
		}

		_, chunks := tw.Checkpoint()
		again := New(Config{})
		if _, err := again.Restore(chunks); err != nil {
			t.Fatal(err)
		}
		if s, _ := again.Property(ovenID, "setpoint"); s.Desired == nil || string(s.Desired.Value) != "180" {
			t.Errorf("after a restart %+v is desired", s.Desired)
		}

		// A value of before, and one that is not close enough, change nothing.
		p.say(reading(ovenID, time.Now().Add(-time.Minute), `{"setpoint":180}`))
		p.say(reading(ovenID, time.Now(), `{"setpoint":170}`))
		time.Sleep(time.Second)
		if s, _ := tw.Property(ovenID, "setpoint"); s.Desired == nil {
			t.Error("170 was taken for 180")
		}
		time.Sleep(time.Second)
		p.say(reading(ovenID, time.Now(), `{"setpoint":179.6}`))
		time.Sleep(time.Second) // on its way through the log
		if s, _ := tw.Property(ovenID, "setpoint"); s.Desired != nil {
			t.Errorf("%+v is desired though it was reported", s.Desired)
		}
		if len(desiredSeen(l)) != 0 {
			t.Errorf("viewers still see %v", desiredSeen(l))
		}
	})
}

// A newer wish takes the place of the one before; one that the device refuses,
// or never got, leaves nothing to wait for; one without an answer stays.
func TestWhatIsDesiredEnds(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		offline      bool
		desired      string
		status       string
	}{
		{"the device refuses", `{"ok":false,"error":"door open"}`, false, "", ""},
		{"no answer", "", false, "180", realtime.TimedOut},
		{"offline", "", true, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &plant{t: t}
				tw, _ := p.node(oven)
				if !tt.offline {
					p.device(ovenID, func(cmd string, _ []byte) error {
						if tt.answer != "" {
							p.answer(cmd, tt.answer)
						}
						return nil
					})
				}
				_, _ = tw.Invoke(t.Context(), write("setpoint", "180"))
				synctest.Wait()
				s, _ := tw.Property(ovenID, "setpoint")
				switch {
				case tt.desired == "" && s.Desired != nil:
					t.Errorf("%s is desired, status %s", s.Desired.Value, s.Desired.Status)
				case tt.desired != "" && (s.Desired == nil || string(s.Desired.Value) != tt.desired || s.Desired.Status != tt.status):
					t.Errorf("got %+v, want %s after %s", s.Desired, tt.desired, tt.status)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := &plant{t: t}
		tw, _ := p.node(oven)
		p.device(ovenID, func(string, []byte) error { return nil })
		for _, v := range []string{"180", "200"} {
			_, _ = tw.Invoke(t.Context(), write("setpoint", v))
		}
		if s, _ := tw.Property(ovenID, "setpoint"); s.Desired == nil || string(s.Desired.Value) != "200" {
			t.Errorf("got %+v, want 200", s.Desired)
		}
		// A description under which it cannot be written ends it.
		if err := tw.Describe([]byte(`{"id":"urn:echotwin:lab/oven","title":"Oven","properties":{"setpoint":{"type":"number","readOnly":true}}}`)); err != nil {
			t.Fatal(err)
		}
		if s, _ := tw.Property(ovenID, "setpoint"); s.Desired != nil {
			t.Errorf("%+v is desired of what can only be read", s.Desired)
		}
	})
}

func TestAWriteIsCheckedAgainstTheDescription(t *testing.T) {
	p := &plant{t: t}
	tw, _ := p.node(oven)
	p.device(ovenID, func(string, []byte) error { t.Error("the device was asked"); return nil })
	p.say(reading(ovenID, noon, `{"extra":1}`))
	for _, tt := range []struct{ name, value, code, message string }{
		{"setpoint", "251", realtime.CodeOutOfRange, "the input 251 is above the maximum 250"},
		{"setpoint", `"hot"`, realtime.CodeInvalid, "the input is a string, want a number"},
		{"setpoint", "", realtime.CodeInvalid, "the input is missing"},
		{"program", `"stew"`, realtime.CodeInvalid, `the input is not one of "bread", "cake"`},
		{"temperature", "20", realtime.CodeForbidden, "temperature of lab/oven can only be read, only program, setpoint can be written"},
		{"extra", "20", realtime.CodeForbidden, "extra of lab/oven is not described, so nothing is known that could be written to it, only program, setpoint can be written"},
		{"none", "20", realtime.CodeNotFound, "lab/oven has no property none, only program, setpoint can be written"},
	} {
		_, err := tw.Invoke(t.Context(), write(tt.name, tt.value))
		if got := problem(t, err); got.Code != tt.code || got.Message != tt.message {
			t.Errorf("%s %s: got %s: %s", tt.name, tt.value, got.Code, got.Message)
		}
	}
	td, _ := tw.TD(ovenID, "http://h/")
	var doc struct {
		Properties map[string]struct{ Forms []struct{ Op any } }
	}
	if err := json.Unmarshal(td, &doc); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(doc.Properties["setpoint"].Forms[0].Op); got != "[readproperty writeproperty]" {
		t.Errorf("the form of setpoint is for %s", got)
	}
	if got := fmt.Sprint(doc.Properties["temperature"].Forms[0].Op); got != "readproperty" {
		t.Errorf("the form of temperature is for %s", got)
	}
}

// desiredSeen is what viewers were told last of what is desired.
func desiredSeen(l *listener) (m map[string]json.RawMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.updates {
		for _, c := range u.Changes {
			if c.Marks != nil {
				m = c.Marks.Desired
			}
		}
	}
	return m
}
