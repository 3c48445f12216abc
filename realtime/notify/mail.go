package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// noMail is why a channel of e-mail cannot be worked.
const noMail = "this server has no mail server: set ECHOTWIN_SMTP_URL and ECHOTWIN_SMTP_FROM"

// A Mailer hands e-mail to one mail server.
type Mailer struct {
	host, port, user, password string
	policy                     mail.TLSPolicy
	direct                     bool // TLS from the first byte
	from                       *netmail.Address
	trust                      *tls.Config
}

// NewMailer reads where the mail server is:
//
//	smtp://user:password@mail.example.com        STARTTLS, port 587
//	smtps://user:password@mail.example.com       TLS from the beginning, port 465
//	smtp://localhost:25?starttls=off             in the clear, without a password
//
// from is what the mails say, such as "Echotwin <alarms@example.com>". trust may
// be nil, for the certificates that the system trusts.
func NewMailer(server, from string, trust *tls.Config) (*Mailer, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		// Not the text itself, which may hold a password.
		return nil, errors.New("want an address such as smtp://user:password@mail.example.com:587, or smtps://…")
	}
	m := &Mailer{host: u.Hostname(), port: u.Port(), user: u.User.Username(), direct: u.Scheme == "smtps", policy: mail.TLSMandatory}
	m.password, _ = u.User.Password()
	if m.port == "" {
		m.port = map[bool]string{true: "465", false: "587"}[m.direct]
	}
	if n, err := strconv.Atoi(m.port); err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("%s is no port", m.port)
	}
	for name, values := range u.Query() {
		if name != "starttls" || len(values) != 1 || m.direct {
			return nil, errors.New("all that can stand behind ? is starttls=off, of smtp://")
		}
		if values[0] != "off" {
			return nil, fmt.Errorf("starttls can only be off, not %q", values[0])
		}
		m.policy = mail.NoTLS
	}
	if m.policy == mail.NoTLS && u.User != nil {
		return nil, errors.New("with starttls=off a password would go in the clear: leave one of the two out")
	}
	if m.direct { // the connection is encrypted already, and nothing is to be added
		m.policy = mail.TLSOpportunistic
	}
	if m.from, err = netmail.ParseAddress(from); err != nil || checkAddress(m.from.Address) != nil {
		return nil, fmt.Errorf("the sender (ECHOTWIN_SMTP_FROM) is %q; want one such as Echotwin <alarms@example.com>", clip(from, 80))
	}
	m.trust = trust.Clone()
	if m.trust == nil {
		m.trust = &tls.Config{}
	}
	m.trust.ServerName, m.trust.MinVersion = m.host, tls.VersionTLS12
	return m, nil
}

// send brings a message to each mailbox that is not through with it, each in a
// mail of its own, so that one that is refused keeps it from nobody else.
func (m *Mailer) send(ctx context.Context, k *kept, o *open) result {
	r := result{boxes: maps.Clone(o.Mailboxes)}
	if r.boxes == nil {
		r.boxes = map[string]string{}
	}
	client, err := m.dial(ctx)
	if err != nil {
		return mailed(k, r, err)
	}
	defer func() { _ = client.Close() }() // what was to be said is said
	subject, text := words(k, o)
	for _, to := range k.Addresses {
		if _, through := r.boxes[to]; through {
			continue
		}
		if err := ctx.Err(); err != nil {
			return mailed(k, r, err)
		}
		one, err := m.compose(to, subject, text+footer(k, to), o)
		if err == nil {
			err = client.Send(one)
		}
		switch code := codeOf(err); {
		case err == nil || one != nil && one.IsDelivered():
			r.boxes[to] = ""
		case code >= 500:
			r.boxes[to], r.code = clip(clean(reason(err)), 200), code
		case code >= 400:
			r.code, r.err = code, to+": "+clip(clean(reason(err)), 200)
		default: // the connection is of no more use
			return mailed(k, r, err)
		}
	}
	return mailed(k, r, nil)
}

// dial connects and signs in. All of it ends with ctx.
func (m *Mailer) dial(ctx context.Context) (*mail.Client, error) {
	port, _ := strconv.Atoi(m.port) // checked
	options := []mail.Option{
		mail.WithPort(port), mail.WithTimeout(10 * time.Second), mail.WithTLSConfig(m.trust), mail.WithTLSPolicy(m.policy), mail.WithoutNoop(),
		mail.WithDialContextFunc(func(dialing context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(dialing, network, addr)
			if err != nil {
				return nil, err
			}
			// The library waits for the greeting without an end.
			context.AfterFunc(ctx, func() { conn.Close() })
			if !m.direct {
				return conn, nil
			}
			secure := tls.Client(conn, m.trust)
			return secure, secure.HandshakeContext(dialing)
		}),
	}
	if m.user != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.user), mail.WithPassword(m.password))
	}
	client, err := mail.NewClient(m.host, options...)
	if err == nil {
		err = client.DialWithContext(ctx)
	}
	return client, err
}

// compose writes one mail.
func (m *Mailer) compose(to, subject, text string, o *open) (*mail.Msg, error) {
	one := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := one.FromFormat(m.from.Name, m.from.Address); err != nil {
		return nil, err
	}
	if err := one.To(to); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(m.from.Address, "@")
	one.SetMessageIDWithValue(o.ID + "@" + domain) // the same each time, so that a second one can be dropped
	one.SetDateWithValue(time.Now())
	one.Subject(subject)
	one.SetGenHeader("Auto-Submitted", "auto-generated")
	one.SetBodyString(mail.TypeTextPlain, text)
	return one, nil
}

// mailed sums up what became of the mailboxes. Err is why it could not go on.
func mailed(k *kept, r result, err error) result {
	good, missing, refused := 0, 0, ""
	for _, to := range k.Addresses {
		switch why, through := r.boxes[to]; {
		case !through:
			missing++
		case why == "":
			good++
		default:
			refused = to + ": " + why
		}
	}
	if err != nil {
		r.code, r.err = codeOf(err), clip(clean(reason(err)), 300)
		r.final = r.code >= 500
		return r
	}
	if missing > 0 {
		return r // those that are to be tried again
	}
	r.ok, r.final, r.err = good > 0, good == 0, refused
	if refused == "" {
		r.code = 250
	}
	return r
}

// codeOf is what the mail server answered, or 0 when it did not.
func codeOf(err error) int {
	var send *mail.SendError
	if errors.As(err, &send) {
		return send.ErrorCode()
	}
	var proto *textproto.Error
	if errors.As(err, &proto) {
		return proto.Code
	}
	return 0
}

// reason is an error in words for whoever looks after the channel.
func reason(err error) string {
	var cert *tls.CertificateVerificationError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &cert):
		return "the certificate of the mail server is not trusted: " + cert.Err.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return "the mail server did not answer in time"
	case strings.Contains(err.Error(), "does not support STARTTLS"):
		return "the mail server offers no STARTTLS: use smtps://, or ?starttls=off for one on this machine"
	}
	text, _, _ := strings.Cut(err.Error(), ", affected ")
	return "the mail server: " + text
}
