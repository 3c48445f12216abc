package realtime

import (
	"strings"
	"testing"
	"time"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 26, 14, 0, 0, 123456789, time.FixedZone("", 7*3600))
	for text, want := range map[string]string{
		"now":                       "2026-11-26T07:00:00.123Z",
		"1795590000000":             "2026-11-25T07:00:00.000Z",
		"1.79559e12":                "2026-11-25T07:00:00.000Z",
		"2026-11-23T08:00:00Z":      "2026-11-23T08:00:00.000Z",
		"2026-11-23T08:00:00+07:00": "2026-11-23T01:00:00.000Z",
		"2026-11-23T08:00:00 07:00": "2026-11-23T01:00:00.000Z", // as a URL makes of it
		"2026-11-23T08:00:00.1234Z": "2026-11-23T08:00:00.123Z",
		"-90s":                      "2026-11-26T06:58:30.123Z",
		"-1h30m":                    "2026-11-26T05:30:00.123Z",
		"-7d":                       "2026-11-19T07:00:00.123Z",
		"-0.5d":                     "2026-11-25T19:00:00.123Z",
		"-1w":                       "2026-11-19T07:00:00.123Z",
		"-1y":                       "2025-11-26T07:00:00.123Z",
	} {
		if got, p := ParseMoment(text, now, "/from"); p != nil || Stamp(got) != want || got.Location() != time.UTC {
			t.Errorf("%q is %v (%v), want %s", text, got, p, want)
		}
	}
	for text, code := range map[string]string{
		"": CodeMalformed, "noon": CodeMalformed, "-": CodeMalformed, "--5m": CodeMalformed, "5m": CodeMalformed, "-5": CodeOutOfRange, "0": CodeOutOfRange, "4102444800000000": CodeMalformed, "7258118400001": CodeOutOfRange,
		"-7": CodeOutOfRange, "-1e300y": CodeMalformed, "-NaNd": CodeMalformed, "NaN": CodeMalformed, "Inf": CodeMalformed, "1e300": CodeMalformed,
		"-100y": CodeOutOfRange, "-200y": CodeMalformed, "2300-01-01T00:00:00Z": CodeOutOfRange, "1989-12-31T23:59:59Z": CodeOutOfRange, "2026-11-23": CodeMalformed,
		strings.Repeat("x", 1000): CodeMalformed,
	} {
		got, p := ParseMoment(text, now, "?at")
		if p == nil || p.Code != code || p.At != "?at" || len(p.Message) > 300 || (p.Minimum != nil) != (code == CodeOutOfRange) {
			t.Errorf("%.50q is %v (%v), want %s", text, got, p, code)
		}
	}
}
