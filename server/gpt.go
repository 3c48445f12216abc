package server

import (
	"errors"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/gpt"
	"echotwin/realtime"
	"echotwin/server/auth"
)

const (
	// questionBody is far above what a question may have, so that a long one is
	// told its limit (400) and not the limit of bodies (413).
	questionBody = 1 << 20

	questionsPerMinute = 15

	codeCancelled = "cancelled"
)

// heartbeat keeps proxies from ending a stream in which a model thinks, from
// before it has said anything.
var heartbeat = 15 * time.Second

// gptStatuses says what each code of a gpt.Failure means over HTTP. The codes
// that are not here are faults of the upstream: 502.
var gptStatuses = map[gpt.Code]int{
	gpt.CodeMissingKey:   http.StatusInternalServerError, // as the seed has it
	gpt.CodeInternal:     http.StatusInternalServerError,
	gpt.CodeEmpty:        http.StatusBadRequest,
	gpt.CodeTooLong:      http.StatusBadRequest,
	gpt.CodeBannedWord:   http.StatusBadRequest,
	gpt.CodeMalformed:    http.StatusBadRequest,
	gpt.CodeNotFound:     http.StatusNotFound,
	gpt.CodeTooManyRuns:  http.StatusTooManyRequests,
	gpt.CodeTokensPerDay: http.StatusTooManyRequests,
	gpt.CodeBusy:         http.StatusServiceUnavailable,
	gpt.CodeStopping:     http.StatusServiceUnavailable,
	gpt.CodeTimeout:      http.StatusGatewayTimeout,
	gpt.CodeSilent:       http.StatusGatewayTimeout,
	gpt.CodeStalled:      http.StatusGatewayTimeout,
	gpt.CodeRunTooLong:   http.StatusGatewayTimeout,
}

// gptRoutes is the assistant, in our words and in OpenAI's. The limit is one
// for both: it counts questions, not paths.
func (s *Server) gptRoutes() {
	if s.Runs == nil {
		s.Runs = gpt.New(gpt.Config{Log: s.log}) // says what to set
	}
	perMinute := s.QuestionsPerMinute
	if perMinute <= 0 {
		perMinute = questionsPerMinute
	}
	limit := s.perMinute(perMinute)
	s.get("/api/gpt", auth.Ask, s.gptSetup)
	s.post("/api/gpt", auth.Ask, limit(s.askGPT))
	s.get("/api/gpt/runs/:id", auth.Ask, s.gptRun)
	s.getStream("/api/gpt/runs/:id/events", auth.Ask, s.gptEvents)
	s.post("/api/gpt/runs/:id/cancel", auth.Ask, s.cancelGPT)
	s.openAIRoutes(limit)
	if err := s.Metrics.Register(runsCollector{s.Runs}); err != nil {
		s.log.Warn("the assistant's figures are not in /metrics", "err", err)
	}
}

// gptFailure is an error of the assistant as the client sees it.
type gptFailure struct {
	Error     string     `json:"error"`
	Code      gpt.Code   `json:"code"`
	Retryable bool       `json:"retryable,omitempty"`
	Run       string     `json:"run,omitempty"`
	How       []gpt.Hint `json:"how,omitempty"` // what to set, when there is no model
}

// failGPT answers a Failure; any other error goes on to the one table.
func failGPT(c echo.Context, run string, err error) error {
	var f *gpt.Failure
	if !errors.As(err, &f) {
		return err
	}
	retryAfter(c, f)
	return noStore(c).JSON(gptStatus(f.Code), gptFailure{f.Message, f.Code, f.Retryable, run, f.How})
}

func gptStatus(code gpt.Code) int {
	if status := gptStatuses[code]; status != 0 {
		return status
	}
	return http.StatusBadGateway
}

func retryAfter(c echo.Context, f *gpt.Failure) {
	wait := f.RetryAfter
	if wait == 0 && (f.Code == gpt.CodeBusy || f.Code == gpt.CodeStopping || f.Code == gpt.CodeTooManyRuns) {
		wait = time.Second
	}
	if wait > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}

// asker is who asks, and what of the plant the assistant may show them.
func asker(c echo.Context) gpt.Asker {
	who := userOf(c)
	return gpt.Asker{User: who.User, See: sees(who)}
}

// gptSetup answers GET /api/gpt: whether questions can be asked, and what to
// set when not.
func (s *Server) gptSetup(c echo.Context) error {
	return noStore(c).JSON(http.StatusOK, s.Runs.Setup())
}

// askGPT answers POST /api/gpt, in the form that Accept asks for.
func (s *Server) askGPT(c echo.Context) error {
	var in struct {
		Question     string `json:"question"`
		Conversation string `json:"conversation"`
	}
	if err := decode(c, questionBody, &in); err != nil {
		return err
	}
	run, err := s.Runs.Start(gpt.Ask{Asker: asker(c), Question: in.Question, Conversation: in.Conversation})
	if err != nil {
		return failGPT(c, "", err)
	}
	c.Response().Header().Set("X-Run-Id", run.ID())
	switch accepted(c.Request(), "application/json", "text/event-stream", "text/plain") {
	case "text/event-stream":
		return s.streamGPT(c, run, 0)
	case "text/plain":
		return s.speakGPT(c, run)
	}
	return s.answerGPT(c, run)
}

// answerGPT waits for the whole answer. Who leaves before it has never learnt
// the run's name, so nobody can come back for it and it stops at once.
func (s *Server) answerGPT(c echo.Context, run *gpt.Run) error {
	out, err := run.Wait(c.Request().Context())
	if err != nil {
		return s.Runs.Cancel(userOf(c).User, run.ID())
	}
	switch {
	case out.Failure != nil:
		return failGPT(c, run.ID(), out.Failure)
	case out.Finish == codeCancelled:
		return noStore(c).JSON(http.StatusConflict, gptFailure{Error: "The answer was stopped before its end.", Code: codeCancelled, Run: run.ID()})
	}
	answer := struct {
		Answer       string    `json:"answer"`
		Run          string    `json:"run"`
		Conversation string    `json:"conversation"`
		Finish       string    `json:"finish"`
		Usage        gpt.Usage `json:"usage"`
	}{out.Text, run.ID(), run.Conversation(), out.Finish, out.Usage}
	return noStore(c).JSON(http.StatusOK, answer)
}

// findRun is the run in the path if it is the user's.
func (s *Server) findRun(c echo.Context) (*gpt.Run, error) {
	return s.Runs.Find(userOf(c).User, c.Param("id"))
}

// gptRun answers GET /api/gpt/runs/{id}.
func (s *Server) gptRun(c echo.Context) error {
	run, err := s.findRun(c)
	if err != nil {
		return failGPT(c, "", err)
	}
	return noStore(c).JSON(http.StatusOK, run.Status())
}

// cancelGPT answers POST /api/gpt/runs/{id}/cancel with what the run then is.
func (s *Server) cancelGPT(c echo.Context) error {
	run, err := s.findRun(c)
	if err == nil {
		err = s.Runs.Cancel(userOf(c).User, run.ID())
	}
	if err != nil {
		return failGPT(c, "", err)
	}
	for news := range run.Events(c.Request().Context(), 0, time.Second) {
		if len(news) == 0 {
			break // a tool takes its time; the run ends when that does
		}
	}
	return noStore(c).JSON(http.StatusOK, run.Status())
}

// gptEvents answers GET /api/gpt/runs/{id}/events: everything after the event
// that the reader has seen, and 204 when there is no more, at which EventSource
// stops coming back.
func (s *Server) gptEvents(c echo.Context) error {
	run, err := s.findRun(c)
	if err != nil {
		return failGPT(c, "", err)
	}
	seen := c.Request().Header.Get("Last-Event-ID")
	if seen == "" {
		seen = c.QueryParam("after")
	}
	after := 0
	if seen != "" {
		if after, err = strconv.Atoi(seen); err != nil || after < 0 {
			return &realtime.Problem{Code: realtime.CodeMalformed, Message: "Last-Event-ID and after are the number of an event", At: "/after"}
		}
	}
	c.Response().Header().Set("X-Run-Id", run.ID())
	if !run.Left(after) {
		return noStore(c).NoContent(http.StatusNoContent)
	}
	return s.streamGPT(c, run, after)
}

// accepted is the one of offers that the client likes best, the first when it
// does not care or likes none.
func accepted(r *http.Request, offers ...string) string {
	best, bestQ := offers[0], 0.0
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = v
		}
		for _, o := range offers {
			if kind == o && q > bestQ {
				best, bestQ = o, q
			}
		}
	}
	return best
}
