package server

import (
	"bufio"
	"encoding/csv"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

// exportAlarms answers with all steps of the range for a spreadsheet, the newest
// first. It holds one window of them in memory, whatever the range.
func (s *Server) exportAlarms(c echo.Context, q alarmPast) error {
	windows := s.stepsBack(c.Request().Context(), q, new(int))
	if s.Facts == nil {
		windows = func(func(stepWindow, error) bool) {}
	}
	next, stop := iter.Pull2(windows)
	defer stop()
	w, err, more := next() // before the status is sent
	if more && err != nil {
		return err
	}
	out := newAlarmsCSV(c)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	err = out.csv.Write(alarmColumns)
	for ; more && err == nil; w, err, more = next() {
		for _, f := range slices.Backward(w.found) {
			if err = out.csv.Write(alarmRow(f.step)); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		if c.Request().Context().Err() == nil {
			s.log.Warn("an export of alarms was cut off", "err", err)
		}
		panic(http.ErrAbortHandler) // a cut is honest, half an answer is not
	}
	return nil
}

// newAlarmsCSV begins the answer that a table of alarms is.
func newAlarmsCSV(c echo.Context) *csvRows {
	h := noStore(c).Response().Header()
	h.Set(echo.HeaderContentType, typeCSV)
	h.Set(echo.HeaderContentDisposition, `attachment; filename="alarms.csv"`)
	c.Response().WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(deadlined{c.Response(), http.NewResponseController(c.Response())}, exportBuffer)
	return &csvRows{out, csv.NewWriter(out), nil}
}

// alarmsCSV answers with a page of steps for a spreadsheet.
func alarmsCSV(c echo.Context, list []realtime.AlarmState) error {
	rows := [][]string{alarmColumns}
	for _, a := range list {
		rows = append(rows, alarmRow(a))
	}
	return answerCSV(c, "alarms.csv", rows)
}

var alarmColumns = []string{
	"ts", "step", "thing", "property", "event", "rule", "ruleId", "priority", "state", "message", "messageCode", "value", "limit", "unit", "raised", "cleared", "count",
	"ackedBy", "comment", "shelvedBy", "until", "reason", "suppressed", "why", "whyCode", "id",
}

func alarmRow(a realtime.AlarmState) []string {
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339Nano)
	}
	limit := ""
	if a.Limit != nil {
		limit = strconv.FormatFloat(*a.Limit, 'g', -1, 64)
	}
	row := []string{when(a.TS), a.Step, a.Thing, a.Property, a.Event, a.Rule, a.RuleID, strconv.Itoa(a.Priority), a.State, noFormula(a.Message), a.MessageCode, string(a.Value), limit, noFormula(a.Unit), when(a.Raised), when(a.Cleared), strconv.Itoa(a.Count)}
	if a.Acked != nil {
		row = append(row, noFormula(a.Acked.By), noFormula(a.Acked.Comment))
	} else {
		row = append(row, "", "")
	}
	if a.Shelved != nil {
		row = append(row, noFormula(a.Shelved.By), when(a.Shelved.Until), noFormula(a.Shelved.Reason))
	} else {
		row = append(row, "", "", "")
	}
	return append(row, strconv.FormatBool(a.Suppressed), noFormula(a.Reason), a.ReasonCode, a.ID)
}
