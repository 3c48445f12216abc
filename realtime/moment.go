package realtime

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The times between which anything can have been measured.
var (
	Earliest = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	Latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// ParseMoment reads a point in time as everything that asks for one takes it:
// RFC 3339, milliseconds since 1970, now, or how long before now, such as -90s,
// -1h30m or -7d. It is in UTC and a whole millisecond. At is the place that a
// Problem names.
func ParseMoment(text string, now time.Time, at string) (time.Time, *Problem) {
	t, ok := parseMoment(text, now)
	if !ok {
		return t, &Problem{Code: CodeMalformed, At: at,
			Message: fmt.Sprintf("%.40q is no time: want RFC 3339 (2026-11-23T08:00:00Z), milliseconds since 1970, now, or how long ago (-90s, -1h30m, -7d)", text)}
	}
	if t.Before(Earliest) || t.After(Latest) {
		lo, hi := float64(Earliest.UnixMilli()), float64(Latest.UnixMilli())
		return t, &Problem{Code: CodeOutOfRange, At: at, Minimum: &lo, Maximum: &hi,
			Message: fmt.Sprintf("%.40q is not between the years 1990 and 2200", text)}
	}
	return t.UTC().Truncate(time.Millisecond), nil
}

func parseMoment(text string, now time.Time) (time.Time, bool) {
	if text == "now" {
		return now, true
	}
	if ms, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(ms) < 1e15 {
		return time.UnixMilli(int64(ms)), true
	}
	if back, ok := strings.CutPrefix(text, "-"); ok {
		d, ok := parseAgo(back)
		return now.Add(-d), ok
	}
	// A + of a time zone that was not escaped in a URL arrives as a space.
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(text, " ", "+"))
	return t, err == nil
}

// parseAgo reads a duration as Go writes it, or of one unit of days, weeks or years.
func parseAgo(text string) (time.Duration, bool) {
	for unit, d := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || !(f >= 0 && f*float64(d) < 1<<62) {
				return 0, false
			}
			return time.Duration(f * float64(d)), true
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// Stamp writes a point in time as frames and messages do.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
