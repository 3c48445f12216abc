package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"echotwin/realtime"
)

// fact writes down a record that was checked.
func (r *request) fact(rec realtime.Record) {
	r.lines = realtime.AppendRecord(r.lines, rec)
	r.chunks = append(r.chunks[:0], chunk{end: len(r.lines), facts: 1})
}

// event checks an event and its data.
func (r *request) event(thing, name string) (realtime.Record, *realtime.Problem) {
	rec := realtime.Record{Kind: realtime.Event, Thing: thing, Name: name}
	if err := realtime.CheckThing(thing); err != nil {
		return rec, asProblem(err)
	}
	if err := realtime.CheckName(name); err != nil {
		return rec, asProblem(err)
	}
	r.sc.blanks()
	if r.sc.i == len(r.sc.s) {
		return rec, nil // an event that says it all by its name
	}
	return r.data(rec)
}

// status checks that a device came or went.
func status(thing, word string) (realtime.Record, *realtime.Problem) {
	rec := realtime.Record{Kind: realtime.Status, Thing: thing, Name: word}
	if err := realtime.CheckThing(thing); err != nil {
		return rec, asProblem(err)
	}
	if word != "online" && word != "offline" {
		return rec, &realtime.Problem{Code: realtime.CodeInvalid,
			Message: fmt.Sprintf("%q is not a status: want the bare word online or offline", clip(word))}
	}
	return rec, nil
}

// result checks what a device answered to a command.
func (r *request) result(cmd string) (realtime.Record, *realtime.Problem) {
	rec := realtime.Record{Kind: realtime.Result, Cmd: cmd}
	const want = `want {"ok":true,"output":…} or {"ok":false,"error":"…"}`
	if realtime.CheckName(cmd) != nil {
		return rec, &realtime.Problem{Code: realtime.CodeMalformed, Message: fmt.Sprintf("%q is not the id of a command", clip(cmd))}
	}
	if r.sc.blanks() != '{' {
		return rec, &realtime.Problem{Code: realtime.CodeMalformed, Message: want}
	}
	rec, p := r.data(rec)
	if p != nil {
		return rec, p
	}
	values, err := realtime.ParseValues(rec.Data)
	if err != nil {
		return rec, &realtime.Problem{Code: realtime.CodeMalformed, Message: want}
	}
	for _, v := range values {
		if ok := string(v.JSON); v.Name == "ok" && (ok == "true" || ok == "false") {
			return rec, nil
		}
	}
	return rec, &realtime.Problem{Code: realtime.CodeInvalid, At: "/ok", Message: "ok must be true or false: " + want}
}

// data reads the rest of the payload as the data of a record.
func (r *request) data(rec realtime.Record) (realtime.Record, *realtime.Problem) {
	raw, ok := r.sc.next(data)
	if ok && r.sc.flaw != nil {
		return rec, r.sc.flaw
	}
	if ok {
		r.compact.Reset()
		rec.Data = r.written(raw)
		r.ends()
	} else {
		r.breaks(whole)
	}
	if len(r.answer.Rejected) > 0 {
		return rec, &r.answer.Rejected[0]
	}
	return rec, nil
}

// record checks a record of the server itself and writes it down.
func (r *request) record(rec realtime.Record) error {
	switch rec.Kind {
	case realtime.Telemetry, realtime.Event, realtime.Status, realtime.Command, realtime.Result, realtime.Alarm, realtime.Removed:
	default:
		return fmt.Errorf("ingest: %q is not a kind of record", rec.Kind)
	}
	if rec.Thing != "" || rec.Kind != realtime.Result {
		if err := realtime.CheckThing(rec.Thing); err != nil {
			return err
		}
	}
	for _, name := range []string{rec.Name, rec.Cmd} {
		if name != "" && realtime.CheckName(name) != nil {
			return realtime.CheckName(name)
		}
	}
	var err error
	if rec.Data, err = recheck(rec.Data); err != nil {
		return err
	}
	values := make([]realtime.Value, len(rec.Values))
	for i, v := range rec.Values {
		if err := realtime.CheckName(v.Name); err != nil {
			return err
		}
		if values[i].JSON, err = recheck(v.JSON); err != nil {
			return err
		}
		if values[i].Name = v.Name; len(v.JSON) == 0 {
			return &realtime.Problem{Code: realtime.CodeInvalid, At: "/" + v.Name, Message: "a value is missing"}
		}
	}
	rec.Values = values
	if rec.At.IsZero() {
		rec.At = r.now
	}
	if rec.TS.IsZero() {
		rec.TS = rec.At
	}
	r.lines = realtime.AppendRecord(r.lines, rec)
	return nil
}

// recheck makes sure that what the server made is JSON on one line.
func recheck(text []byte) ([]byte, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, fmt.Errorf("ingest: a record of the server: %w", err)
	}
	return line.Bytes(), nil
}
