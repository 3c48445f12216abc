package realtime_test

import (
	"encoding/json"
	"testing"

	"echotwin/realtime"
)

func TestAProblemCanBeSaidInAnotherLanguage(t *testing.T) {
	behind := realtime.Wrong("below", "{name} {got} is below {limit}", "name", "speed", "got", 1.5, "limit", json.Number("2"))
	for _, tt := range []struct {
		p    *realtime.Problem
		want string
	}{
		{realtime.Wrong("empty", "it is empty"), `{"code":"invalid","message":"it is empty","reason":"empty"}`},
		{behind.Of(realtime.CodeOutOfRange).In("/speed"), `{"code":"out_of_range","message":"speed 1.5 is below 2","at":"/speed","reason":"below","args":{"got":1.5,"limit":2,"name":"speed"}}`},
		{behind.Beside("more", 3, " (and {more} more)"), `{"code":"out_of_range","message":"speed 1.5 is below 2 (and 3 more)","at":"/speed","reason":"below","args":{"got":1.5,"limit":2,"more":3,"name":"speed"}}`},
		{realtime.Wrong("model", "{model} is wrong: {why}", "model", "pump {why}", "why", behind),
			`{"code":"invalid","message":"pump {why} is wrong: speed 1.5 is below 2","reason":"model","args":{"model":"pump {why}","why":{"code":"out_of_range","message":"speed 1.5 is below 2","at":"/speed","reason":"below","args":{"got":1.5,"limit":2,"name":"speed"}}}}`},
	} {
		if got, err := json.Marshal(tt.p); err != nil || string(got) != tt.want {
			t.Errorf("got %s (%v), want\n%s", got, err, tt.want)
		}
	}
	if behind.Message != "speed 1.5 is below 2" || len(behind.Args) != 3 {
		t.Errorf("what was added beside changed the problem itself: %+v", behind)
	}
}
