package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

// backupIdle is how long one write of a backup may take: whoever reads it slowly
// is waited for, whoever does not read is not.
const backupIdle = time.Minute

// backup answers GET /api/backup with everything that is kept, as a tar file that
// ends with a checksum: one that was cut off is known by its missing end, since
// by then the status is long gone. One at a time is made.
func (s *Server) backup(c echo.Context) error {
	if s.Backup == nil {
		return problem(realtime.CodeNotFound, "there is nothing to back up here")
	}
	if !s.backingUp.TryLock() {
		return problem(realtime.CodeConflict, "another backup is being made")
	}
	defer s.backingUp.Unlock()
	h := noStore(c).Response().Header()
	h.Set(echo.HeaderContentType, "application/x-tar")
	h.Set(echo.HeaderContentDisposition, `attachment; filename="echotwin-`+time.Now().UTC().Format("20060102-150405")+`.tar"`)
	w := &patientWriter{c.Response(), http.NewResponseController(c.Response())}
	err := s.Backup(c.Request().Context(), w)
	if err == nil {
		return nil
	}
	if c.Response().Committed {
		s.log.Error("a backup was cut off", "err", err)
		panic(http.ErrAbortHandler) // so that the client sees that it is not whole
	}
	h.Del(echo.HeaderContentDisposition)
	return err
}

// A patientWriter gives every write its own time.
type patientWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(backupIdle)) // a recorder has none
	return p.w.Write(b)
}
