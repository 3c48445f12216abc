package hub

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Whatever a client had last, the next patch it gets brings it to the value.
func TestPatchBringsAnyClientToTheValue(t *testing.T) {
	values := []string{`{"x":1,"y":2}`, `{"x":1}`, `{"y":{"a":1,"b":{"c":1}}}`, `7`, `{"y":{"a":1}}`, `{}`, `{"y":{"b":{}}}`, `[1]`, `{"y":{"a":1}}`}
	var m members
	had := []string{"null"} // screens of clients that last came by at each step
	for i, v := range values {
		patch := string(m.patch([]byte(v)))
		for _, h := range had {
			var got, want any
			json.Unmarshal([]byte(mergePatch(t, h, patch)), &got)
			json.Unmarshal([]byte(v), &want)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("step %d: %s over %s gives %v, want %s", i, patch, h, got, v)
			}
		}
		had = append(had, v)
	}
}

func TestPatchIsBounded(t *testing.T) {
	var m members
	for i := range 1000 {
		if n := len(m.patch(fmt.Appendf(nil, `{"k%d":{"k":1}}`, i))); n > 8<<10 {
			t.Fatalf("a patch of %d bytes", n)
		}
	}
}
