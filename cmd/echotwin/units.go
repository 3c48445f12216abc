package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// days is a duration that may be given in days, weeks and years, too.
type days time.Duration

func (d *days) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || f <= 0 || f*float64(length) > 1<<62 {
				return fmt.Errorf("%q is no duration: want 90d, 12h or 1y", text)
			}
			*d = days(f * float64(length))
			return nil
		}
	}
	v, err := time.ParseDuration(text)
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is no duration: want 90d, 12h or 1y", text)
	}
	*d = days(v)
	return nil
}

// byteSize is a number of bytes that may be given in KB, MB, GB and TB.
type byteSize int64

func (s *byteSize) UnmarshalText(b []byte) error {
	text := strings.ToUpper(strings.TrimSpace(string(b)))
	number, unit := strings.TrimRight(text, "KMGTB"), 1.0
	switch strings.TrimSuffix(text[len(number):], "B") {
	case "":
	case "K":
		unit = 1 << 10
	case "M":
		unit = 1 << 20
	case "G":
		unit = 1 << 30
	case "T":
		unit = 1 << 40
	default:
		number = ""
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f <= 0 || f*unit >= 1<<62 {
		return fmt.Errorf("%q is no size: want 500MB, 10GB or a number of bytes", b)
	}
	*s = byteSize(f * unit)
	return nil
}
