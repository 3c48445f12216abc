package twin

import "testing"

// Things that say the same share one schema, however many there are, and the shelf
// of schemas does not grow.
func TestSchemasAreShared(t *testing.T) {
	a, errA := compile(map[string]any{"type": "number", "maximum": 7})
	b, errB := compile(map[string]any{"maximum": 7, "type": "number"})
	if errA != nil || errB != nil || a != b {
		t.Errorf("two of the same: %v, %v", errA, errB)
	}
	if c, err := compile(map[string]any{"maximum": 8, "type": "number"}); err != nil || c == a || c.check(float64(9), "") == nil || c.check(float64(8), "") != nil || a.check(float64(8), "") == nil {
		t.Errorf("one that differs: %v", err)
	}
	for i := range 2 * maxShelved {
		if _, err := compile(map[string]any{"maxLength": i}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(shelved.m); n > maxShelved {
		t.Errorf("%d schemas are kept", n)
	}
	if _, err := compile(map[string]any{"type": 7}); err == nil {
		t.Error("what is no schema was taken for one")
	}
}
