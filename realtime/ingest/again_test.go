package ingest

import (
	"fmt"
	"strings"
	"testing"
)

// A sample is read with the names of the one before in mind. Whatever came before
// it, it is read as it would be alone.
func TestASampleIsReadAsItWouldBeAlone(t *testing.T) {
	samples := []string{
		`{"a":1,"b":2}`, `{"a":1,"b":2,"a":3}`, `{"b":1,"a":2}`, `{"a" : 5 , "b":null}`, `{"a":null,"a":6,"b":7}`,
		`{"ts":1795434000000,"a":1,"b":2,"c":3}`, `{"a":1,"ts":1795434000000,"b":2}`, `{"a":1,"ts":1,"b":2}`, `{"a":{"x": 1},"b":[1, 2]}`,
		`{"a":01,"b":2,"c d":3}`, `{"b":2}`, `{"a":1,"\u0062":2,"b":3}`, `{"a":1,"ts":1795434000000,"ts":1795434000000}`, `{}`, `{"ab":1,"b":2}`,
	}
	read := func(payload string) (kept []string, refused int) {
		in, m := start(t, Config{})
		a, _ := in.Telemetry(t.Context(), "pump", []byte(payload))
		in.Close()
		for _, r := range m.records(t) {
			kept = append(kept, fmt.Sprint(r.TS))
			for _, v := range r.Values {
				kept = append(kept, v.Name+"="+string(v.JSON))
			}
		}
		return kept, a.RejectedTotal
	}
	for _, x := range samples {
		for _, y := range samples {
			wantX, refusedX := read(x)
			wantY, refusedY := read(y)
			got, refused := read("[" + x + "," + y + "]")
			if want := append(wantX, wantY...); strings.Join(got, " ") != strings.Join(want, " ") || refused != refusedX+refusedY {
				t.Errorf("%s behind %s:\n got %v, %d refused\nwant %v, %d", y, x, got, refused, want, refusedX+refusedY)
			}
		}
	}
}
