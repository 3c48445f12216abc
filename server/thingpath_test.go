package server

import (
	"strings"
	"testing"
)

func TestParseThingPath(t *testing.T) {
	for _, tt := range []struct {
		path string
		want thingPath
		code string // of the error
	}{
		{path: "pump", want: thingPath{id: "pump"}},
		{path: "plant/line1/pump", want: thingPath{id: "plant/line1/pump"}},
		{path: "plant%2Fline1%2Fpump", want: thingPath{id: "plant/line1/pump"}},
		{path: "plant%2fline1/pump", want: thingPath{id: "plant/line1/pump"}},
		{path: "plant/pump/state", want: thingPath{id: "plant/pump", part: "state"}},
		{path: "plant%2Fpump/state", want: thingPath{id: "plant/pump", part: "state"}},
		{path: "plant%2Fstate", want: thingPath{id: "plant/state"}},
		{path: "plant%2Fstate/state", want: thingPath{id: "plant/state", part: "state"}},
		{path: "state", want: thingPath{id: "state"}},
		{path: "plant/pump/properties", want: thingPath{id: "plant/pump", part: "properties"}},
		{path: "plant/pump/properties/speed", want: thingPath{id: "plant/pump", part: "properties", name: "speed"}},
		{path: "plant/pump/properties/speed/sse", want: thingPath{id: "plant/pump", part: "properties", name: "speed", sse: true}},
		{path: "plant/pump/properties/sse", want: thingPath{id: "plant/pump", part: "properties", name: "sse"}},
		{path: "plant/pump/properties/sse/sse", want: thingPath{id: "plant/pump", part: "properties", name: "sse", sse: true}},
		{path: "plant/pump/properties/state", want: thingPath{id: "plant/pump", part: "properties", name: "state"}},
		{path: "plant/pump/actions/setSpeed", want: thingPath{id: "plant/pump", part: "actions", name: "setSpeed"}},
		{path: "plant/pump/events/overheat", want: thingPath{id: "plant/pump", part: "events", name: "overheat"}},
		{path: "a/b/c/d/e/f/g/h/properties/x/sse", want: thingPath{id: "a/b/c/d/e/f/g/h", part: "properties", name: "x", sse: true}},

		{path: "", code: "malformed"},
		{path: "/", code: "malformed"},
		{path: "plant//pump", code: "malformed"},
		{path: "plant/pump/", code: "malformed"},
		{path: "properties/speed", code: "malformed"},
		{path: "..", code: "malformed"},
		{path: "%2e%2e", code: "malformed"},
		{path: "plant/%2e%2e/secret", code: "malformed"},
		{path: "plant/%2e%2e%2fsecret", code: "malformed"},
		{path: "plant%5cpump", code: "malformed"},
		{path: "plant/pump%00", code: "malformed"},
		{path: "plant/pump/properties/", code: "malformed"},
		{path: "plant/pump/properties/a%2Fb", code: "malformed"},
		{path: "plant/pump/properties/speed/x", code: "not_found"},
		{path: "plant/pump/actions/setSpeed/sse", code: "not_found"},
		{path: "plant/pump/properties/speed/sse/x", code: "not_found"},
		{path: "plant%2Fpump%2Fproperties/x", code: "malformed"},
		{path: "a/b/c/d/e/f/g/h/i", code: "malformed"},
		{path: strings.Repeat("a/", 100000), code: "malformed"},
	} {
		got, err := parseThingPath(tt.path)
		code := ""
		if err != nil {
			code = failureOf(err, "").Code
		}
		if got != tt.want || code != tt.code {
			t.Errorf("%.60q: got %+v, %v, want %+v, %s", tt.path, got, err, tt.want, tt.code)
		}
	}
}

func FuzzParseThingPath(f *testing.F) {
	f.Add("plant%2Fline1/pump/properties/speed/sse")
	f.Fuzz(func(t *testing.T, path string) {
		p, err := parseThingPath(path)
		if err == nil && (p.id == "" || strings.Contains(p.id, "..") || strings.ContainsAny(p.id+p.name, "\\%\x00")) {
			t.Errorf("%q became %+v", path, p)
		}
	})
}
