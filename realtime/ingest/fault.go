package ingest

import (
	"errors"

	"echotwin/realtime"
)

// unstored tells the sender why nothing is stored.
func unstored(f *realtime.Fault) *realtime.Problem {
	return unavailable("nothing is stored now, because " + f.Message + ": send it again in a moment")
}

// show hands on what a request brought and the log did not take.
func (in *Ingest) show(lines []byte, err error) {
	var p *realtime.Problem
	if in.cfg.Unlogged == nil || !errors.As(err, &p) || p.Code != realtime.CodeUnavailable || in.gather.closing.Err() != nil {
		return
	}
	if records, err := realtime.ParseRecords(lines); err == nil {
		in.cfg.Unlogged(records)
	}
}
