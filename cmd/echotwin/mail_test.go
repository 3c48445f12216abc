package main

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// A mailbox is a real mail server that is busy the first time, as servers with a
// grey list are, and then keeps what it gets.
type mailbox struct {
	addr string

	mu      sync.Mutex
	asked   []string // what it was asked for, with whether it was busy
	letters []letter
}

// A letter is a mail as it came.
type letter struct {
	from, to, raw string
	header        mail.Header
	text          string
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	b := &mailbox{}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{box: b}, nil }))
	s.Domain = "mail.example.com"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return b
}

type delivery struct {
	box      *mailbox
	from, to string
}

func (d *delivery) Mail(from string, _ *smtp.MailOptions) error { d.from = from; return nil }

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = to
	d.box.mu.Lock()
	defer d.box.mu.Unlock()
	if len(d.box.asked) == 0 {
		d.box.asked = append(d.box.asked, to+" busy")
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted, come back"}
	}
	d.box.asked = append(d.box.asked, to+" taken")
	return nil
}

func (d *delivery) Data(r io.Reader) error {
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
	d.box.mu.Lock()
	defer d.box.mu.Unlock()
	d.box.letters = append(d.box.letters, letter{d.from, d.to, string(raw), m.Header, strings.ReplaceAll(string(text), "\r\n", "\n")})
	return nil
}

func (d *delivery) Reset()        {}
func (d *delivery) Logout() error { return nil }

func (b *mailbox) got() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.letters)
}

// From a reading over MQTT to a mail that a Vietnamese reads: through the whole
// program, a mail server that is busy at first, and headers as mail has them.
func TestAnAlarmReachesAMailbox(t *testing.T) {
	box := newMailbox(t)
	env := settings(t, map[string]string{
		"ECHOTWIN_SMTP_URL": "smtp://" + box.addr + "?starttls=off", "ECHOTWIN_SMTP_FROM": "Nhà máy số 1 <alarms@example.com>", "ECHOTWIN_PUBLIC_URL": "https://plant.example.com",
	})
	describePresses(t, env, 1)
	a, _ := start(t, env)
	c := signIn(t, a)
	code, body := c.do("POST", "/api/notify/channels", `{"kind":"email","name":"Ca đêm","addresses":["truc@example.com"],"locale":"vi","steps":["raised"]}`)
	if code != 201 {
		t.Fatalf("channel: %d %s", code, body)
	}
	channel := decode[struct{ ID string }](t, body).ID
	dev := device(t, a, "presses")
	force(t, dev, 0, 95)
	eventually(t, "the mail comes", func() bool { return len(box.got()) > 0 })

	l := box.got()[0]
	if l.from != "alarms@example.com" || l.to != "truc@example.com" {
		t.Errorf("it goes from %s to %s", l.from, l.to)
	}
	words := &mime.WordDecoder{}
	for name, want := range map[string]string{
		"Subject": "[Echotwin] phát sinh: bench/press-0: force là 95, trên ngưỡng cao 90 (cao)", "To": "<truc@example.com>", "Content-Type": "text/plain; charset=UTF-8",
		"Content-Transfer-Encoding": "quoted-printable", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
	} {
		if got, err := words.DecodeHeader(l.header.Get(name)); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	if from, err := mail.ParseAddress(l.header.Get("From")); err != nil || from.Name != "Nhà máy số 1" || from.Address != "alarms@example.com" {
		t.Errorf("From is %q: %v, %v", l.header.Get("From"), from, err)
	}
	if when, err := l.header.Date(); err != nil || time.Since(when).Abs() > time.Hour || !strings.HasSuffix(l.header.Get("Message-Id"), "@example.com>") {
		t.Errorf("it is of %v (%v), %q", when, err, l.header.Get("Message-Id"))
	}
	for i, line := range strings.Split(l.raw, "\r\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) || len(line) > 998 {
			t.Errorf("line %d is not as mail has it: %q", i, line)
		}
	}
	for _, want := range []string{"force là 95, trên ngưỡng cao 90", "Thiết bị: bench/press-0", "Ưu tiên: ", "https://plant.example.com", "Ca đêm"} {
		if !strings.Contains(l.text, want) {
			t.Errorf("it does not say %q:\n%s", want, l.text)
		}
	}

	// It was busy once, was asked again, and everybody is told how it went.
	box.mu.Lock()
	asked := slices.Clone(box.asked)
	box.mu.Unlock()
	if want := []string{"truc@example.com busy", "truc@example.com taken"}; !slices.Equal(asked, want) {
		t.Errorf("it was asked for %v, want %v", asked, want)
	}
	type sent struct {
		Status   string
		Attempts int
		Code     int
	}
	eventually(t, "the delivery is over", func() bool {
		_, body := c.do("GET", "/api/notify/channels/"+channel+"/deliveries", "")
		list := decode[[]sent](t, body)
		return len(list) == 1 && list[0] == sent{"delivered", 2, 250}
	})
	if n := len(box.got()); n != 1 {
		t.Errorf("%d mails came of one alarm", n)
	}
}
