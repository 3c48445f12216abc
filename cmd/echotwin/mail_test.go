package main

import (
	"mime"
	"net/mail"
	"strings"
	"testing"
	"time"

	"echotwin/realtime/notify/smtptest"
)

// From a reading over MQTT to a mail that a Vietnamese reads: through the whole
// program, a mail server that is busy at first, and headers as mail has them.
func TestAnAlarmReachesAMailbox(t *testing.T) {
	box := smtptest.Start(smtptest.Kind{Open: true})
	t.Cleanup(box.Close)
	box.Refuse = func(_ string, n int) error { // as servers with a grey list do
		if n == 0 {
			return smtptest.Refusal(451)
		}
		return nil
	}
	env := settings(t, map[string]string{
		"ECHOTWIN_SMTP_URL": "smtp://" + box.Addr + "?starttls=off", "ECHOTWIN_SMTP_FROM": "Nhà máy số 1 <alarms@example.com>", "ECHOTWIN_PUBLIC_URL": "https://plant.example.com",
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
	eventually(t, "the mail comes", func() bool { return len(box.Mails()) > 0 })

	l := box.Mails()[0]
	if l.From != "alarms@example.com" || l.To != "truc@example.com" {
		t.Errorf("it goes from %s to %s", l.From, l.To)
	}
	words := &mime.WordDecoder{}
	for name, want := range map[string]string{
		"Subject": "[Echotwin] phát sinh: bench/press-0: force là 95, trên ngưỡng cao 90 (cao)", "To": "<truc@example.com>", "Content-Type": "text/plain; charset=UTF-8",
		"Content-Transfer-Encoding": "quoted-printable", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
	} {
		if got, err := words.DecodeHeader(l.Header.Get(name)); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	if from, err := mail.ParseAddress(l.Header.Get("From")); err != nil || from.Name != "Nhà máy số 1" || from.Address != "alarms@example.com" {
		t.Errorf("From is %q: %v, %v", l.Header.Get("From"), from, err)
	}
	if when, err := l.Header.Date(); err != nil || time.Since(when).Abs() > time.Hour || !strings.HasSuffix(l.Header.Get("Message-Id"), "@example.com>") {
		t.Errorf("it is of %v (%v), %q", when, err, l.Header.Get("Message-Id"))
	}
	for i, line := range strings.Split(l.Raw, "\r\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) || len(line) > 998 {
			t.Errorf("line %d is not as mail has it: %q", i, line)
		}
	}
	for _, want := range []string{"force là 95, trên ngưỡng cao 90", "Thiết bị: bench/press-0", "Ưu tiên: ", "https://plant.example.com", "Ca đêm"} {
		if !strings.Contains(l.Text, want) {
			t.Errorf("it does not say %q:\n%s", want, l.Text)
		}
	}

	// It was busy once, was asked again, and everybody is told how it went.
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
	if n := len(box.Mails()); n != 1 {
		t.Errorf("%d mails came of one alarm", n)
	}
}
