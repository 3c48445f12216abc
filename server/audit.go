package server

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
)

// FactStore is what the audit needs of the store of facts: those of one type and
// of things that a pattern covers, stored in a span of time, in their order.
type FactStore interface {
	BetweenOf(ctx context.Context, kind string, patterns []string, from, to time.Time, yield func(at time.Time, fact realtime.Fact) bool) error
}

const (
	// lasts is how long after it was asked for a command can have steps: its
	// time-out and the longest wait for an effect, and some for the way.
	lasts = 65 * time.Minute
	// factBudget bounds what one request reads of the store of facts.
	factBudget = 20_000
	// auditDepth is how far back is looked when the request does not say.
	auditDepth = 5 * 365 * 24 * time.Hour
)

// An auditQuery is what GET /api/commands asks for.
type auditQuery struct {
	path, action, user, via string
	status                  []string
	from, to                time.Time // to is zero for now
	after                   string
	limit                   int
	see                     func(thing string) bool // of path, and by who asks
}

func (s *Server) readAuditQuery(c echo.Context) (q auditQuery, err error) {
	if q.limit, err = pageSize(c); err != nil {
		return q, err
	}
	if q.path, q.see, err = s.scope(c, "path"); err != nil {
		return q, err
	}
	q.action, q.user, q.via, q.after = c.QueryParam("action"), c.QueryParam("user"), c.QueryParam("via"), c.QueryParam("after")
	if text := c.QueryParam("status"); text != "" {
		q.status = strings.Split(text, ",")
		for _, s := range q.status {
			if !slices.Contains(auditStates, s) {
				return q, &realtime.Problem{Code: realtime.CodeInvalid, At: "?status", Message: fmt.Sprintf("%q is none of %s", clip(s), strings.Join(auditStates, ", "))}
			}
		}
	}
	now := time.Now()
	q.from = now.Add(-auditDepth)
	if c.QueryParam("from") != "" {
		if q.from, err = moment(c, "from", "", now); err != nil {
			return q, err
		}
	}
	if c.QueryParam("to") != "" {
		if q.to, err = moment(c, "to", "", now); err != nil {
			return q, err
		}
	}
	return q, nil
}

// unreached is the word for done commands whose effect did not come.
const unreached = "unreached"

var auditStates = []string{
	realtime.Accepted, realtime.Sent, realtime.Done, realtime.Verified, realtime.Rejected, realtime.Failed,
	realtime.TimedOut, realtime.Superseded, realtime.Cancelled, unreached,
}

// wants says whether a command is one of those asked for.
func (q *auditQuery) wants(i realtime.Invoked) bool {
	at, ok := twin.IDTime(i.ID)
	switch {
	case q.action != "" && q.action != i.Action,
		q.user != "" && q.user != i.User,
		q.via != "" && q.via != i.Via,
		q.after != "" && i.ID >= q.after,
		!q.see(i.Thing),
		!ok, at.Before(q.from), !q.to.IsZero() && !at.Before(q.to):
		return false
	}
	missed := i.Reached != nil && !*i.Reached
	return q.status == nil || slices.Contains(q.status, i.Status) || missed && slices.Contains(q.status, unreached)
}

// listCommands answers GET /api/commands.
func (s *Server) listCommands(c echo.Context) error {
	q, err := s.readAuditQuery(c)
	if err != nil {
		return err
	}
	format, err := historyFormat(c)
	if err != nil {
		return err
	}
	list, next, err := s.audit(c.Request().Context(), q)
	if err != nil {
		return err
	}
	if next != "" {
		linkNext(c, next)
	}
	if format == asCSV {
		return commandsCSV(c, list)
	}
	return noStore(c).JSON(http.StatusOK, list)
}

// audit is a page of commands, the newest first, and the command after which the
// next one begins, "" when there is none. The newest are with the twins, the
// others in the store of facts.
func (s *Server) audit(ctx context.Context, q auditQuery) (list []realtime.Invoked, next string, err error) {
	list = []realtime.Invoked{}
	known, edge := map[string]bool{}, "" // the oldest that ended: others were forgotten before it
	for _, i := range s.Twins.Commands(1<<20, "") {
		known[i.ID] = true
		if i.Ended() {
			edge = i.ID
		}
		if q.wants(i) {
			list = append(list, i)
		}
	}
	if len(list) > q.limit {
		return list[:q.limit], list[q.limit-1].ID, nil
	}
	if s.Facts == nil {
		return list, "", nil
	}
	old, next, err := s.oldCommands(ctx, q, known, edge, q.limit-len(list))
	return append(list, old...), next, err
}

// oldCommands looks for commands that are not known yet in the store of facts,
// from when edge was asked for ("" is now), in windows of time that grow on the
// way back. When it has read enough for one request, next says where to go on.
func (s *Server) oldCommands(ctx context.Context, q auditQuery, known map[string]bool, edge string, limit int) (list []realtime.Invoked, next string, err error) {
	end := time.Now().Add(time.Minute) // of clocks that differ
	for _, id := range []string{edge, q.after} {
		if at, ok := twin.IDTime(id); ok && at.Before(end) {
			end = at.Add(time.Millisecond) // others may have been asked for in the same one
		}
	}
	if !q.to.IsZero() && q.to.Before(end) {
		end = q.to
	}
	left, moved := factBudget, false
	for width := time.Hour; end.After(q.from); {
		begin := end.Add(-width).Truncate(time.Millisecond) // as finely as ids tell the time
		if begin.Before(q.from) {
			begin = q.from
		}
		found, came, err := s.commandsBetween(ctx, q, known, begin, end, &left)
		switch {
		case err != nil:
			return nil, "", err
		case came > 0 && left <= 0 && moved:
			return list, idAt(end), nil
		case came > 0 && width > time.Second:
			// Too much for one window. By how far it came, half as much is no more
			// than so long, of which a minute at each end is for clocks that differ.
			width = max(came/2-2*time.Minute, time.Second)
			if !moved { // the first window of a request is read whatever it takes; it halves each time
				left = max(left, factBudget/4+1)
			}
			continue
		}
		moved = true
		list = append(list, found...)
		if len(list) > limit {
			return list[:limit], nextAfter(list[:limit], idAt(end)), nil
		}
		if left <= 0 {
			return list, idAt(begin), nil
		}
		end, width = begin, width*4
	}
	return list, "", nil
}

// nextAfter is the last command of a page, or otherwise for an empty one.
func nextAfter(list []realtime.Invoked, otherwise string) string {
	if len(list) == 0 {
		return otherwise
	}
	return list[len(list)-1].ID
}

// idAt is an id that sorts before those of all commands asked for since then.
func idAt(at time.Time) string { return twin.FirstID(at) }

// commandsBetween are the unknown commands that were asked for in a span of time, the newest first, as their last step has them. It is not the whole when
// there was more to read than one window may.
func (s *Server) commandsBetween(ctx context.Context, q auditQuery, known map[string]bool, begin, end time.Time, left *int) (list []realtime.Invoked, came time.Duration, err error) {
	var patterns []string
	if q.path != "" {
		patterns = []string{q.path}
	}
	last := map[string]realtime.Invoked{}
	window, open := 0, 0
	err = s.Facts.BetweenOf(ctx, "cmd", patterns, begin.Add(-time.Minute), end.Add(lasts), func(at time.Time, f realtime.Fact) bool {
		// Behind the window's end are only the last steps of those inside.
		behind := at.After(end.Add(time.Minute))
		if behind && open == 0 {
			return false
		}
		window++
		*left--
		if window > factBudget/4 || *left <= 0 {
			if !behind {
				came = at.Sub(begin.Add(-time.Minute))
			}
			return false
		}
		var i realtime.Invoked
		if json.Unmarshal(f.Body, &i) != nil {
			return true
		}
		asked, ok := twin.IDTime(i.ID)
		if !ok || asked.Before(begin) || !asked.Before(end) || known[i.ID] {
			return true
		}
		if was, ok := last[i.ID]; ok && underWay(was) {
			open--
		}
		if last[i.ID] = i; underWay(i) {
			open++
		}
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	for _, i := range last {
		if q.wants(i) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b realtime.Invoked) int { return strings.Compare(b.ID, a.ID) })
	return list, came, nil
}

// underWay says whether a command has steps to come.
func underWay(i realtime.Invoked) bool { return !i.Ended() || i.Verifying() }

// A commandStory is a command with its way there.
type commandStory struct {
	realtime.Invoked
	Steps []realtime.Step `json:"steps"`
}

// readCommand answers GET /api/commands/{id}: how far it is, and its way there.
func (s *Server) readCommand(c echo.Context) error {
	id := c.Param("id")
	story := commandStory{}
	var ok bool
	if story.Invoked, story.Steps, ok = s.Twins.CommandSteps(id); !ok {
		var err error
		if story, ok, err = s.oldCommand(c.Request().Context(), id); err != nil {
			return err
		}
	}
	if !ok || !userOf(c).Covers(story.Thing, realtime.Match) {
		return unknownCommand(c)
	}
	return noStore(c).JSON(http.StatusOK, story)
}

// oldCommand puts together what facts tell of a command.
func (s *Server) oldCommand(ctx context.Context, id string) (story commandStory, ok bool, err error) {
	at, isID := twin.IDTime(id)
	if !isID || s.Facts == nil {
		return story, false, nil
	}
	left := factBudget
	err = s.Facts.BetweenOf(ctx, "cmd", nil, at.Add(-time.Minute), at.Add(lasts), func(_ time.Time, f realtime.Fact) bool {
		left--
		var i realtime.Invoked
		if bytes.Contains(f.Body, []byte(id)) && json.Unmarshal(f.Body, &i) == nil && i.ID == id {
			story.Invoked, ok = i, true
			story.Steps = append(story.Steps, realtime.Step{Status: i.Status, TS: i.TS, Ground: i.Ground})
		}
		return left > 0
	})
	return story, ok, err
}

// commandsCSV writes commands for a spreadsheet.
func commandsCSV(c echo.Context, list []realtime.Invoked) error {
	rows := [][]string{{"asked", "thing", "action", "input", "status", "reached", "reported", "user", "via", "risk", "reason", "last", "evidence", "evidenceCode", "error", "errorCode", "errorReason", "cmd"}}
	for _, i := range list {
		asked, _ := twin.IDTime(i.ID)
		reached := ""
		if i.Reached != nil {
			reached = fmt.Sprint(*i.Reached)
		}
		rows = append(rows, []string{
			asked.Format(time.RFC3339Nano), i.Thing, i.Action, string(i.Input), i.Status, reached, string(i.Reported), i.User, i.Via, i.Risk,
			noFormula(i.Reason), i.TS.Format(time.RFC3339Nano), noFormula(i.Evidence), i.EvidenceCode, noFormula(i.Error), i.ErrorCode, i.ErrorReason, i.ID,
		})
	}
	return answerCSV(c, "commands.csv", rows)
}

// answerCSV sends rows, the first of which is the head, as a file.
func answerCSV(c echo.Context, name string, rows [][]string) error {
	h := noStore(c).Response().Header()
	h.Set(echo.HeaderContentType, typeCSV)
	h.Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	c.Response().WriteHeader(http.StatusOK)
	return csv.NewWriter(c.Response()).WriteAll(rows)
}

// noFormula keeps what a device or a user wrote from being calculated by a
// spreadsheet.
func noFormula(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
