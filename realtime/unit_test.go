package realtime

import "testing"

// An e-mail said "temperature 130 Cel is above 120 Cel", and the screen 130 °C.
func TestUnitAsWritten(t *testing.T) {
	for said, want := range map[string]string{
		"Cel": "°C", "ucum:Cel": "°C", "http://qudt.org/vocab/unit/DEG_C": "°C", "unit:M-PER-SEC": "m/s", "qudt:BAR": "bar",
		"m3/h": "m³/h", "bar": "bar", "percent": "%", "M": "M", "unit:M": "m", "unit:NO-SUCH": "NO-SUCH", "1": "", "": "", "bottles": "bottles",
	} {
		if got := UnitAsWritten(said); got != want {
			t.Errorf("%q is written %q, want %q", said, got, want)
		}
	}
}
