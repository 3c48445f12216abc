package realtime

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"slices"
)

//go:embed units.json
var unitsFile []byte

// written are units as descriptions name them, UCUM codes, names of QUDT and a few
// words in use, and as people write them. The screen uses the same file.
var written = func() (m map[string]string) {
	if err := json.Unmarshal(unitsFile, &m); err != nil {
		panic(err) // it is part of the program
	}
	return m
}()

var (
	ucumName = regexp.MustCompile(`^(?i:ucum|om2?):`)
	qudtName = regexp.MustCompile(`^(?:https?://qudt\.org/vocab/unit[/#]|qudt-unit:|unit:|qudt:)(.+)$`)

	// Names of QUDT that without their prefix mean something else, or nothing.
	onlyQUDT = []string{"MIN", "DAY", "M", "PH", "GM"}
)

// UnitAsWritten is a unit as people write it: °C for Cel and for unit:DEG_C. One
// that is not known stays as it came.
func UnitAsWritten(said string) string {
	if m := qudtName.FindStringSubmatch(said); m != nil {
		if text, ok := written[m[1]]; ok {
			return text
		}
		return m[1]
	}
	ucum := ucumName.ReplaceAllString(said, "")
	for _, name := range []string{said, ucum} {
		if text, ok := written[name]; ok && !slices.Contains(onlyQUDT, name) {
			return text
		}
	}
	return ucum
}
