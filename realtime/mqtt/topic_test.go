package mqtt

import "testing"

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"command/a/#", "command/a/setSpeed/1", true},
		{"command/a/#", "command/a", true},
		{"command/a/#", "command/b/setSpeed/1", false},
		{"command/a/+/+", "command/a/setSpeed/1", true},
		{"command/a/+", "command/a/setSpeed/1", false},
		{"command/a/setSpeed/+", "command/a/setSpeed/1", true},
		{"command/a/stop/+", "command/a/setSpeed/1", false},
		{"command/+/setSpeed/1", "command/a/setSpeed/1", true},
		{"command/a/setSpeed/1/#", "command/a/setSpeed/1", true},
		{"command/a/setSpeed/1/x", "command/a/setSpeed/1", false},
		{"#", "command/a/setSpeed/1", true},
	} {
		if got := matches(tt.filter, tt.topic); got != tt.want {
			t.Errorf("matches(%q, %q) = %v, want %v", tt.filter, tt.topic, got, tt.want)
		}
	}
}

func TestOfDevice(t *testing.T) {
	for filter, want := range map[string]bool{
		"command/a/#": true, "command/plant/pump/+/+": true, "command/plant/pump/setSpeed/+": true, "command/plant/+/x": true,
		"command/#": false, "command/+/#": false, "command": false, "command/a": false, "#": false, "telemetry/a/#": false,
		"command/a.b/#": false, "command/>/#": false, "command/*/#": false, "command//#": false,
	} {
		if got := ofDevice(filter); got != want {
			t.Errorf("ofDevice(%q) = %v, want %v", filter, got, want)
		}
	}
}

func FuzzParseTopic(f *testing.F) {
	f.Add("telemetry/plant/pump/properties/speed")
	f.Add("event//")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTopic(s)
		if err == nil && got.thing == "" && got.cmd == "" {
			t.Errorf("parseTopic(%q) names nothing: %+v", s, got)
		}
		if err != nil && refusal(err) == nil {
			t.Errorf("parseTopic(%q): %v is not for the device to read", s, err)
		}
	})
}
