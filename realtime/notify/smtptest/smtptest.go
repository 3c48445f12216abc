// Package smtptest is a mail server on a real socket, for tests only. It keeps what
// it gets, and refuses what a test tells it to.
package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Who may send where a login is wanted.
const (
	User     = "echotwin"
	Password = "p@ss word"
)

// A Kind of server: TLS from the beginning, no TLS at all, with a login. The zero
// value offers STARTTLS and takes mail from anybody.
type Kind struct{ Direct, Open, Login bool }

// A Server is one that runs until Close.
type Server struct {
	Addr  string
	Trust *tls.Config // of its clients

	// Refuse is asked for each recipient, the n-th from 0, one at a time;
	// nil takes all. It is set before the first mail.
	Refuse func(to string, n int) error

	smtp  *smtp.Server
	certs *httptest.Server

	mu    sync.Mutex
	asked int
	mails []Mail
}

// A Mail as it came.
type Mail struct {
	From, To, User string // the envelope's, and who signed in
	Header         mail.Header
	Raw, Text      string
}

// Start is a server on a free port.
func Start(kind Kind) *Server {
	s := &Server{certs: httptest.NewTLSServer(nil)} // for its certificate
	pool := x509.NewCertPool()
	pool.AddCert(s.certs.Certificate())
	s.Trust = &tls.Config{RootCAs: pool}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		if kind.Login {
			return &signed{session{server: s}}, nil
		}
		return &session{server: s}, nil
	}))
	s.smtp.Domain, s.smtp.ErrorLog = "mail.example.com", quiet{}
	if !kind.Open {
		s.smtp.TLSConfig = &tls.Config{Certificates: s.certs.TLS.Certificates}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s.Addr = l.Addr().String()
	if kind.Direct {
		l = tls.NewListener(l, s.smtp.TLSConfig)
	}
	go func() { _ = s.smtp.Serve(l) }() // until Close
	return s
}

// Close ends the server and all connections to it.
func (s *Server) Close() {
	_ = s.smtp.Close()
	s.certs.Close()
}

// Mails are those that came, in their order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Refusal is an answer for Refuse: 4xx to come back later, 5xx for good.
func Refusal(code int) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "not now"}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// A session is one connection.
type session struct {
	server         *Server
	from, to, user string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Reset()                                      {}
func (s *session) Logout() error                               { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	n := s.server.asked
	s.server.asked++
	s.to = to
	if s.server.Refuse != nil {
		return s.server.Refuse(to, n)
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, Mail{s.from, s.to, s.user, m.Header, string(raw), strings.ReplaceAll(string(text), "\r\n", "\n")})
	return nil
}

// A signed session wants a password first.
type signed struct{ session }

func (s *signed) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *signed) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != User || password != Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *signed) Mail(from string, o *smtp.MailOptions) error {
	if s.user == "" {
		return smtp.ErrAuthRequired
	}
	return s.session.Mail(from, o)
}
