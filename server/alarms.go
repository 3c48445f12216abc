package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
	"echotwin/realtime/twin"
	"echotwin/server/auth"
)

// maxAcked is how many alarms one request acknowledges.
const maxAcked = 500

// alarmRoutes is what stands, and what people do about it.
func (s *Server) alarmRoutes() {
	s.get("/api/alarms", auth.ReadAlarms, s.listAlarms, s.limitAnswer, zipped)
	s.get("/api/alarms/summary", auth.ReadAlarms, s.alarmSummary, s.limitAnswer)
	s.get("/api/alarms/history", auth.ReadAlarms, s.alarmHistory, s.limitAnswer, zipped)
	s.get("/api/alarms/rules", auth.ReadAlarms, s.listRules, s.limitAnswer)
	s.get("/api/alarms/rules/:id", auth.ReadAlarms, s.readRule, s.limitAnswer)
	s.post("/api/alarms/rules", auth.EditAlarms, s.createRule)
	s.post("/api/alarms/rules/try", auth.EditAlarms, s.tryRule, s.limitAnswer)
	s.put("/api/alarms/rules/:id", auth.EditAlarms, s.putRule)
	s.patch("/api/alarms/rules/:id", auth.EditAlarms, s.patchRule)
	s.delete("/api/alarms/rules/:id", auth.EditAlarms, s.deleteRule)
	s.get("/api/alarms/:id", auth.ReadAlarms, s.readAlarm, s.limitAnswer)
	s.post("/api/alarms/ack", auth.AckAlarms, s.ackAlarms)
	s.post("/api/alarms/:id/ack", auth.AckAlarms, s.ackAlarm)
	s.post("/api/alarms/:id/shelve", auth.ShelveAlarms, s.shelveAlarm)
	s.post("/api/alarms/:id/unshelve", auth.ShelveAlarms, s.unshelveAlarm)
}

// alarmStates are the words of ?state=.
var alarmStates = []string{"active", "unacked", "shelved", "suppressed"}

// listAlarms answers GET /api/alarms.
func (s *Server) listAlarms(c echo.Context) error {
	limit, err := pageSize(c)
	if err != nil {
		return err
	}
	q := twin.AlarmQuery{State: c.QueryParam("state")}
	if _, q.See, err = s.scope(c, "thing"); err != nil {
		return err
	}
	if q.State != "" && !slices.Contains(alarmStates, q.State) {
		return &realtime.Problem{Code: realtime.CodeInvalid, At: "?state", Message: "state " + strconv.Quote(clip(q.State)) + " is none of " + strings.Join(alarmStates, ", ")}
	}
	if q.Priorities, err = priorities(c); err != nil {
		return err
	}
	list := s.Twins.Alarms(q)
	if after := c.QueryParam("after"); after != "" {
		// One that has gone meanwhile cannot say where the list goes on.
		i := slices.IndexFunc(list, func(a realtime.AlarmState) bool { return a.ID == after })
		if i < 0 {
			return problem(realtime.CodeConflict, "the alarm %s is not in this list any more; read it from the beginning", clip(after))
		}
		list = list[i+1:]
	}
	if len(list) > limit {
		list = list[:limit]
		linkNext(c, list[limit-1].ID)
	}
	return noStore(c).JSON(http.StatusOK, list)
}

// priorities reads ?priority=1,2; nil is all.
func priorities(c echo.Context) (out []int, err error) {
	text := c.QueryParam("priority")
	if text == "" {
		return nil, nil
	}
	for _, one := range strings.Split(text, ",") {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 || n > 4 {
			return nil, outOfRange("priority", one, 1, 4)
		}
		out = append(out, n)
	}
	return out, nil
}

// alarmSummary answers GET /api/alarms/summary.
func (s *Server) alarmSummary(c echo.Context) error {
	_, see, err := s.scope(c, "thing")
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, s.Twins.AlarmSummary(see))
}

// readAlarm answers GET /api/alarms/{id}.
func (s *Server) readAlarm(c echo.Context) error {
	a, err := s.visibleAlarm(c, c.Param("id"))
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, a)
}

// visibleAlarm is an alarm of a thing that who asks may see.
func (s *Server) visibleAlarm(c echo.Context, id string) (realtime.AlarmState, error) {
	a, ok := s.Twins.AlarmState(id)
	if !ok || !userOf(c).Covers(a.Thing, realtime.Match) {
		return a, problem(realtime.CodeNotFound, "no alarm %s is known, or none any more", clip(id))
	}
	return a, nil
}

// ackAlarm answers POST /api/alarms/{id}/ack.
func (s *Server) ackAlarm(c echo.Context) error {
	list, err := s.ack(c, c.Param("id"))
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, list[0])
}

// ackAlarms answers POST /api/alarms/ack.
func (s *Server) ackAlarms(c echo.Context) error {
	list, err := s.ack(c, "")
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, list)
}

// ack acknowledges one alarm, or with no id those of the body. The body may be
// empty for one.
func (s *Server) ack(c echo.Context, id string) ([]realtime.AlarmState, error) {
	var in struct {
		IDs     []string `json:"ids"`
		Comment string   `json:"comment"`
	}
	if id == "" || c.Request().ContentLength != 0 {
		if err := decodeExact(c, commandBody, &in); err != nil {
			return nil, err
		}
	}
	if id != "" {
		in.IDs = []string{id}
	}
	if n := len(in.IDs); n < 1 || n > maxAcked {
		lo, hi := 1.0, float64(maxAcked)
		return nil, &realtime.Problem{Code: realtime.CodeOutOfRange, At: "/ids", Minimum: &lo, Maximum: &hi, Message: strconv.Itoa(n) + " ids; want 1 to " + strconv.Itoa(maxAcked)}
	}
	for _, id := range in.IDs {
		if _, err := s.visibleAlarm(c, id); err != nil {
			return nil, err
		}
	}
	list, err := s.Twins.AckAlarms(c.Request().Context(), userOf(c).User, in.Comment, in.IDs...)
	s.log.Info("alarms acknowledged", "user", userOf(c).User, "alarms", len(in.IDs), "err", err)
	return list, err
}

// shelveAlarm answers POST /api/alarms/{id}/shelve.
func (s *Server) shelveAlarm(c echo.Context) error {
	var in struct {
		Seconds float64 `json:"seconds"`
		Reason  string  `json:"reason"`
	}
	a, err := s.visibleAlarm(c, c.Param("id"))
	if err != nil {
		return err
	}
	if err := decodeExact(c, smallBody, &in); err != nil {
		return err
	}
	// What is beyond a duration is beyond the limit in any case.
	d := time.Duration(min(max(in.Seconds, 0), 1e9) * float64(time.Second))
	a, err = s.Twins.ShelveAlarm(c.Request().Context(), a.ID, userOf(c).User, in.Reason, d)
	s.log.Info("alarm shelved", "user", userOf(c).User, "alarm", c.Param("id"), "for", d, "err", err)
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, a)
}

// unshelveAlarm answers POST /api/alarms/{id}/unshelve.
func (s *Server) unshelveAlarm(c echo.Context) error {
	a, err := s.visibleAlarm(c, c.Param("id"))
	if err != nil {
		return err
	}
	a, err = s.Twins.UnshelveAlarm(c.Request().Context(), a.ID, userOf(c).User)
	s.log.Info("alarm unshelved", "user", userOf(c).User, "alarm", c.Param("id"), "err", err)
	if err != nil {
		return err
	}
	return noStore(c).JSON(http.StatusOK, a)
}
