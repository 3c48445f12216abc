package server

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/history"
)

const (
	exportBuffer = 32 << 10
	exportWrite  = 30 * time.Second // for one buffer; there is no limit on the whole
)

// The formats of an answer of /api/history.
const (
	asJSON   = "json"
	asCSV    = "csv"
	asNDJSON = "ndjson"
)

const typeCSV = "text/csv; charset=utf-8; header=present"

// historyFormat is what the client wants: ?format= before Accept.
func historyFormat(c echo.Context) (string, error) {
	switch f := c.QueryParam("format"); f {
	case asJSON, asCSV, asNDJSON:
		return f, nil
	case "":
	default:
		return "", &realtime.Problem{Code: realtime.CodeInvalid, At: "?format", Message: "format " + strconv.Quote(clip(f)) + " is none of json, csv and ndjson"}
	}
	accept := c.Request().Header.Get(echo.HeaderAccept)
	switch {
	case strings.Contains(accept, "text/csv"):
		return asCSV, nil
	case strings.Contains(accept, "application/x-ndjson"):
		return asNDJSON, nil
	}
	return asJSON, nil
}

// A rowWriter writes one format. Values are JSON.
type rowWriter interface {
	head(columns []string) error
	row(columns []string, cells []json.RawMessage) error
	flush() error
}

// export answers with one line for each bucket, when buckets are asked for, or
// for each sample. It holds little in memory whatever the range.
func (s *Server) export(c echo.Context, q historyQuery, format string) error {
	columns, rows, err := s.exportRows(c, q)
	if err != nil {
		return err
	}
	next, stop := iter.Pull2(rows)
	defer stop()
	cells, err, more := next() // before the status is sent
	if more && err != nil {
		return err
	}
	w := newExport(c, q, format)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	err = w.head(columns)
	for more && err == nil {
		if err = w.row(columns, cells); err == nil {
			cells, err, more = next()
		}
	}
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		if c.Request().Context().Err() == nil {
			s.log.Warn("an export of history was cut off", "thing", q.thing, "err", err)
		}
		panic(http.ErrAbortHandler) // a cut is honest, half an answer is not
	}
	return nil
}

// exportRows are the lines of an export, each as JSON values.
func (s *Server) exportRows(c echo.Context, q historyQuery) (columns []string, rows iter.Seq2[[]json.RawMessage, error], err error) {
	ctx := c.Request().Context()
	if q.buckets > 0 {
		t, err := s.trend(ctx, q)
		if err != nil {
			return nil, nil, err
		}
		return []string{"ts", "thing", "property", "min", "max", "mean", "last", "count"}, bucketRows(t), nil
	}
	if err := s.History.Known(ctx, q.thing, q.properties...); err != nil {
		return nil, nil, err
	}
	samples := s.History.Samples(ctx, history.Which{Path: q.thing, Properties: q.properties}, q.from, q.to)
	return []string{"ts", "thing", "property", "value"}, sampleRows(samples), nil
}

func sampleRows(samples iter.Seq2[history.Sample, error]) iter.Seq2[[]json.RawMessage, error] {
	return func(yield func([]json.RawMessage, error) bool) {
		cells := make([]json.RawMessage, 4)
		for one, err := range samples {
			if err != nil {
				yield(nil, err)
				return
			}
			cells[0] = strconv.AppendInt(cells[0][:0], one.TS, 10)
			cells[1], cells[2], cells[3] = quoted(one.Thing), quoted(one.Property), one.JSON
			if !yield(cells, nil) {
				return
			}
		}
	}
}

// quoted is a checked id or name as JSON: nothing in it needs escaping.
func quoted(s string) json.RawMessage { return json.RawMessage(`"` + s + `"`) }

func bucketRows(t *history.Trend) iter.Seq2[[]json.RawMessage, error] {
	return func(yield func([]json.RawMessage, error) bool) {
		for i := range t.Series {
			s := &t.Series[i]
			for _, b := range s.Buckets {
				cells := []json.RawMessage{strconv.AppendInt(nil, b.TS, 10), quoted(t.Thing), quoted(s.Property)}
				for _, v := range []float64{b.Min, b.Max, b.Mean} {
					if s.Type == "string" { // the order of names means nothing
						cells = append(cells, json.RawMessage("null"))
						continue
					}
					cells = append(cells, history.AppendNumber(nil, v))
				}
				cells = append(cells, s.Value(b.Last), strconv.AppendUint(nil, b.Count, 10))
				if !yield(cells, nil) {
					return
				}
			}
		}
	}
}

func newExport(c echo.Context, q historyQuery, format string) rowWriter {
	h := noStore(c).Response().Header()
	rc := http.NewResponseController(c.Response())
	out := bufio.NewWriterSize(deadlined{c.Response(), rc}, exportBuffer)
	name := strings.ReplaceAll(q.thing, "/", "_") + "." + format
	h.Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	typ := "application/x-ndjson"
	if format == asCSV {
		typ = typeCSV
	}
	h.Set(echo.HeaderContentType, typ)
	c.Response().WriteHeader(http.StatusOK)
	if format == asCSV {
		return &csvRows{out, csv.NewWriter(out), nil}
	}
	return &jsonRows{out}
}

// deadlined gives each write its time: an export has no end of ours, but a
// reader who stopped reading has.
type deadlined struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (d deadlined) Write(b []byte) (int, error) {
	_ = d.rc.SetWriteDeadline(time.Now().Add(exportWrite)) // a writer without deadlines has no slow reader either
	return d.w.Write(b)
}

type csvRows struct {
	out   *bufio.Writer
	csv   *csv.Writer
	texts []string
}

func (w *csvRows) head(columns []string) error { return w.csv.Write(columns) }

func (w *csvRows) row(_ []string, cells []json.RawMessage) error {
	w.texts = w.texts[:0]
	for i, c := range cells {
		w.texts = append(w.texts, plain(c, i == 0))
	}
	return w.csv.Write(w.texts)
}

func (w *csvRows) flush() error {
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return err
	}
	return w.out.Flush()
}

// plain is a JSON value as a spreadsheet wants it: strings bare, nothing for
// null, and times that people can read.
func plain(v json.RawMessage, isTime bool) string {
	switch {
	case isTime:
		ms, err := strconv.ParseInt(string(v), 10, 64)
		if err == nil {
			return realtime.Stamp(time.UnixMilli(ms))
		}
	case len(v) > 0 && v[0] == '"':
		var s string
		if json.Unmarshal(v, &s) == nil {
			return noFormula(s)
		}
	case string(v) == "null":
		return ""
	}
	return string(v)
}

type jsonRows struct{ out *bufio.Writer }

func (w *jsonRows) head([]string) error { return nil }

func (w *jsonRows) row(columns []string, cells []json.RawMessage) error {
	line := append(make([]byte, 0, 256), '{')
	for i, c := range cells {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(append(append(line, '"'), columns[i]...), '"', ':')
		line = append(line, c...)
	}
	_, err := w.out.Write(append(line, '}', '\n'))
	return err
}

func (w *jsonRows) flush() error { return w.out.Flush() }
