package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/gpt"
	"echotwin/realtime/sse"
)

// streamGPT streams a run's events after the one seen. Leaving is no error: the
// run goes on for a while, and the reader may come back.
func (s *Server) streamGPT(c echo.Context, run *gpt.Run, after int) error {
	out, err := sse.Open(c.Response(), 0)
	if err != nil {
		return nil // the reader left
	}
	if out.Retry(2*time.Second) != nil {
		return nil
	}
	var buf []byte
	for news, err := range run.Events(c.Request().Context(), after, heartbeat) {
		if err != nil {
			return nil
		}
		buf = buf[:0]
		for _, e := range news {
			buf = sse.AppendEvent(buf, strconv.Itoa(e.ID), e.Type, e.Data)
		}
		if len(news) == 0 {
			buf = sse.AppendComment(buf, "hb")
		}
		if out.Write(buf) != nil {
			return nil
		}
	}
	return nil
}

// speakGPT streams the bare words, for people with curl -N. Plain text has no
// place for an error, so a failure is a last line in brackets and a connection
// that is cut, at which curl ends with an error.
func (s *Server) speakGPT(c echo.Context, run *gpt.Run) error {
	w := c.Response()
	h := w.Header()
	h.Set(echo.HeaderContentType, "text/plain; charset=utf-8")
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	write := func(text string) error {
		// Each write has its deadline; the answer as a whole has none.
		if err := rc.SetWriteDeadline(time.Now().Add(sse.DefaultTimeout)); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return rc.Flush()
	}
	w.WriteHeader(http.StatusOK)
	if write("") != nil {
		return nil
	}
	for news, err := range run.Events(c.Request().Context(), 0, 0) {
		if err != nil {
			return nil
		}
		text := ""
		for _, e := range news {
			text += e.Text
		}
		if write(text) != nil {
			return nil
		}
	}
	end, whole := plainEnd(run)
	if write(end) == nil && whole {
		return nil
	}
	panic(http.ErrAbortHandler)
}

// plainEnd is the last line of a plain answer, and whether the answer is whole.
func plainEnd(run *gpt.Run) (line string, whole bool) {
	st := run.Status()
	switch {
	case st.Status == "failed":
		return fmt.Sprintf("\n[failed: %s (%s)]\n", st.Error, st.Code), false
	case st.Finish == codeCancelled:
		return "\n[stopped before the end]\n", false
	case st.Finish == "length":
		return "\n[cut: the answer reached its length limit]\n", true
	}
	return "\n", true
}
