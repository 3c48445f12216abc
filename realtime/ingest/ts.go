package ingest

import (
	"math"
	"strconv"
	"time"

	"echotwin/realtime"
)

// Before oldest, a clock was never set, or it counted seconds. A reading with
// such a time is refused, not given another: it may be old or new, and to show
// an old one as new would be a lie.
var oldest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const wantTime = `want RFC 3339 ("2026-11-23T08:00:00.120Z") or the milliseconds since 1970 as a number (1795420800120); without ts the time of arrival is taken`

// time takes the ts of a sample. A time too far in the future becomes the time
// of arrival, since one such value would spoil the history of all others.
func (r *request) time(s *reading, at place, raw string) {
	code, why := realtime.CodeInvalid, ""
	var ts time.Time
	ok := r.sc.flaw == nil
	if ok {
		ts, ok = readTime(raw)
	}
	switch {
	case s.timed:
		why = "ts stands twice in one sample"
	case !ok:
		why = clip(raw) + " is no time: " + wantTime
	case ts.Before(oldest):
		code = realtime.CodeOutOfRange
		why = clip(raw) + " is before the year 2000, the clock is not set"
		if raw[0] != '"' {
			why += " or counts seconds"
		}
		why += ": " + wantTime
	}
	s.timed = true
	if why != "" {
		s.unusable, s.flawed = true, true
		r.rejectAt(at, code, why)
		return
	}
	s.ts = ts
	if ts.After(r.now.Add(r.cfg.MaxAhead)) {
		s.ts, s.clamped = r.now, true
	}
}

func readTime(raw string) (time.Time, bool) {
	if raw[0] == '"' {
		t, err := time.Parse(time.RFC3339, raw[1:len(raw)-1])
		return t, err == nil
	}
	ms, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(raw, 64) // 1795420800120.5, 1.7954208e12
		if err != nil || math.Abs(f) > 1e17 {
			return time.Time{}, false
		}
		ms = int64(math.Floor(f))
	}
	const year10000 = 253402300800000
	return time.UnixMilli(ms), ms < year10000 && ms > -year10000
}
