package mqtt

import (
	"slices"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"echotwin/realtime"
)

// answer publishes a result as an MQTT 5 responder does, and returns the reason.
func (d *device) answer(topic, correlation string) byte {
	d.t.Helper()
	p := &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(`{"ok":true}`)}
	if correlation != "" {
		p.Properties = &paho.PublishProperties{CorrelationData: []byte(correlation)}
	}
	r, err := d.Publish(d.t.Context(), p)
	if r == nil {
		d.t.Fatal(err)
	}
	return r.ReasonCode
}

// A device of MQTT 5 is told where and with what to answer, and needs to read
// no topic for it.
func TestResponseTopicAndCorrelationData(t *testing.T) {
	d, s := open(t, Config{Authenticate: password})
	ana, ben := dial5(t, d.Addr(), as("ana")), dial5(t, d.Addr(), as("ben"))
	ana.sub("command/ana/pump/#", 1)
	if err := d.Send(t.Context(), "ana/pump", "setSpeed", "01JD", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	got := ana.next()
	if got.Properties.ResponseTopic != "result/01JD" || string(got.Properties.CorrelationData) != "01JD" {
		t.Fatalf("got %+v", got.Properties)
	}
	for _, tt := range []struct {
		who                *device
		topic, correlation string
		code               byte
	}{
		{ana, got.Properties.ResponseTopic, string(got.Properties.CorrelationData), 0},
		{ana, "result", "01JD", 0},
		{ana, "result/01JD", "", 0},
		{ana, "result", "", 0x99},
		{ana, "result/01JD", "01JE", 0x99},
		{ana, "result", "01JE", 0x90},
		{ana, "result", "01/JD", 0x99},
		{ana, "result", "\xff\x00", 0x99},
		{ben, "result", "01JD", 0x87},
		{ben, "result/01JD", "01JD", 0x87},
	} {
		if code := tt.who.answer(tt.topic, tt.correlation); code != tt.code {
			t.Errorf("%s with %q: got 0x%02x, want 0x%02x", tt.topic, tt.correlation, code, tt.code)
		}
	}
	if lines := s.lines(); len(lines) != 3 || slices.Contains(lines, "result 01JE") {
		t.Errorf("stored %q", lines)
	}
}

// After a restart the door has forgotten what it sent; the twins have not.
func TestAResultAfterARestart(t *testing.T) {
	d, s := open(t, Config{Authenticate: password, Commanded: func(cmd string) (string, bool) { return "ana/pump", cmd == "01JD" }})
	ana, ben := dial5(t, d.Addr(), as("ana")), dial5(t, d.Addr(), as("ben"))
	if code := ben.answer("result/01JD", ""); code != 0x87 {
		t.Errorf("a stranger's result got 0x%02x, want 0x87", code)
	}
	if code := ana.answer("result/01JE", ""); code != 0x90 {
		t.Errorf("of an unknown command: got 0x%02x, want 0x90", code)
	}
	if code := ana.answer("result/01JD", ""); code != 0 || len(s.lines()) != 1 {
		t.Errorf("got 0x%02x, stored %q", code, s.lines())
	}
}

// Who looks for why a command timed out finds the answer that was not taken, at
// the thing of the command; of a stranger's answer its owner hears nothing.
func TestAResultThatIsRefusedIsToldToTheThing(t *testing.T) {
	d, s := open(t, Config{Authenticate: password})
	ana, ben := dial5(t, d.Addr(), as("ana")), dial5(t, d.Addr(), as("ben"))
	ana.sub("command/ana/pump/#", 1)
	if err := d.Send(t.Context(), "ana/pump", "setSpeed", "01JD", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	s.failWith(problem(realtime.CodeInvalid))
	ben.answer("result/01JD", "")
	ana.answer("result/01JD", "")
	s.wait(t, `event ana/pump refused {"code":"invalid"`)
	if lines := s.lines(); len(lines) != 1 {
		t.Errorf("told %q", lines)
	}
}
