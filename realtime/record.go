package realtime

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// A record is written once, at ingest, as one line of JSON, and log, twin and
// history read the same bytes:
//
//	{"kind":"telemetry","thing":"plant/line1/pump","ts":1790000000123,"at":1790000000125,"set":{"speed":60.4}}

// AppendRecord appends r as one line to dst. The names and the thing must have
// passed CheckName and CheckThing and the JSON must be valid and compact, as
// ingest sees to.
func AppendRecord(dst []byte, r Record) []byte {
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, r.Kind...)
	dst = append(dst, '"')
	if r.Thing != "" {
		dst = append(dst, `,"thing":"`...)
		dst = append(dst, r.Thing...)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"ts":`...)
	dst = strconv.AppendInt(dst, r.TS.UnixMilli(), 10)
	dst = append(dst, `,"at":`...)
	dst = strconv.AppendInt(dst, r.At.UnixMilli(), 10)
	if r.Name != "" {
		dst = append(dst, `,"name":"`...)
		dst = append(dst, r.Name...)
		dst = append(dst, '"')
	}
	if r.Cmd != "" {
		dst = append(dst, `,"cmd":"`...)
		dst = append(dst, r.Cmd...)
		dst = append(dst, '"')
	}
	if len(r.Values) > 0 {
		dst = append(dst, `,"set":{`...)
		for i, v := range r.Values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, '"')
			dst = append(dst, v.Name...)
			dst = append(dst, '"', ':')
			dst = append(dst, v.JSON...)
		}
		dst = append(dst, '}')
	}
	if len(r.Data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, r.Data...)
	}
	return append(dst, '}', '\n')
}

// ParseRecords reads the lines of one bundle. The records own their memory. A
// line that cannot be read is an error that names it, with the records before it.
func ParseRecords(lines []byte) ([]Record, error) {
	out := make([]Record, 0, bytes.Count(lines, []byte{'\n'})+1)
	var s scanner
	for n := 1; len(lines) > 0; n++ {
		line, rest, _ := bytes.Cut(lines, []byte{'\n'})
		lines = rest
		r, ok := s.record(line)
		if !ok {
			var err error
			if r, err = parseRecord(line); err != nil {
				return out, fmt.Errorf("line %d of the bundle: %w", n, err)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// parseRecord reads any line that is JSON.
func parseRecord(line []byte) (Record, error) {
	var l struct {
		Kind  Kind            `json:"kind"`
		Thing string          `json:"thing"`
		TS    int64           `json:"ts"`
		At    int64           `json:"at"`
		Name  string          `json:"name"`
		Cmd   string          `json:"cmd"`
		Set   json.RawMessage `json:"set"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return Record{}, err
	}
	r := Record{Kind: l.Kind, Thing: l.Thing, TS: time.UnixMilli(l.TS).UTC(), At: time.UnixMilli(l.At).UTC(), Name: l.Name, Cmd: l.Cmd, Data: l.Data}
	if len(l.Set) > 0 {
		vs, err := ParseValues(l.Set)
		if err != nil {
			return Record{}, err
		}
		r.Values = vs
	}
	return r, nil
}

// ParseValues reads the members of a JSON object in their order. A name that
// stands twice keeps its last value, as in JSON everywhere. The values share
// obj's memory.
func ParseValues(obj []byte) ([]Value, error) {
	d := json.NewDecoder(bytes.NewReader(obj))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, fmt.Errorf("want a JSON object, got %v", t)
	}
	var vs []Value
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		vs = setValue(vs, Value{name, v})
	}
	_, err = d.Token()
	return vs, err
}

func setValue(vs []Value, v Value) []Value {
	for i := range vs {
		if vs[i].Name == v.Name {
			vs[i] = v
			return vs
		}
	}
	return append(vs, v)
}
