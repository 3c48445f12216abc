package server

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
)

// oneConn is a listener of a single connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// serveOne serves h to the client's end of a pipe, on which time can be fake.
func serveOne(h echo.HandlerFunc, m ...echo.MiddlewareFunc) (client net.Conn, stop func()) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	e := echo.New()
	e.Use(s.answerErrors)
	e.POST("/", h, m...)
	ours, theirs := net.Pipe()
	l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
	l.conns <- theirs
	srv := &http.Server{Handler: e}
	go func() { _ = srv.Serve(l) }()
	return ours, func() { ours.Close(); srv.Close(); synctest.Wait() }
}

func TestABodyThatDoesNotComeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		c, stop := serveOne(func(c echo.Context) error {
			_, err := body(c, smallBody)
			return err
		}, s.limitAnswer)
		defer stop()
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		begin := time.Now()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusRequestTimeout || time.Since(begin) != bodyTime {
			t.Errorf("got %v, %v after %v", res, err, time.Since(begin))
		}
	})
}

// The time for the body must not end what comes after it: a stream, or a
// command that waits for its device.
func TestTheTimeForABodyEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := serveOne(func(c echo.Context) error {
			b, err := body(c, smallBody)
			if err != nil {
				return err
			}
			select {
			case <-c.Request().Context().Done():
				return c.Request().Context().Err()
			case <-time.After(3 * bodyTime):
			}
			return c.String(200, string(b))
		})
		defer stop()
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
	})
}

func TestAnAnswerThatNobodyReadsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		ended := make(chan time.Duration, 1)
		c, stop := serveOne(func(c echo.Context) error {
			begin := time.Now()
			_, err := io.Copy(c.Response(), strings.NewReader(strings.Repeat("x", 1<<20)))
			if err == nil {
				t.Error("it was all taken")
			}
			ended <- time.Since(begin)
			return nil
		}, s.limitAnswer)
		defer stop()
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		if d := <-ended; d != answerTime {
			t.Errorf("after %v", d)
		}
	})
}
