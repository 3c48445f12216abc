package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"echotwin/realtime"
	"echotwin/realtime/bus"
	"echotwin/realtime/notify/smtptest"
)

// mailServer is one that ends with the test.
func mailServer(t *testing.T, kind smtptest.Kind) *smtptest.Server {
	t.Helper()
	s := smtptest.Start(kind)
	t.Cleanup(s.Close)
	return s
}

// mailsBy has mails sent by the server; %s in the address is its host and port.
func mailsBy(t *testing.T, s *smtptest.Server, address string) func(*Config) {
	t.Helper()
	m, err := NewMailer(fmt.Sprintf(address, s.Addr), "Echotwin Nhà máy <alarms@example.com>", s.Trust)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Mail = m }
}

func TestAStepReachesMailboxes(t *testing.T) {
	for _, tt := range []struct {
		address string
		kind    smtptest.Kind
	}{
		{"smtp://echotwin:p%%40ss%%20word@%s", smtptest.Kind{Login: true}},
		{"smtps://echotwin:p%%40ss%%20word@%s", smtptest.Kind{Login: true, Direct: true}},
		{"smtp://%s?starttls=off", smtptest.Kind{Open: true}},
	} {
		t.Run(tt.address, func(t *testing.T) {
			p, o := newPlant(t, bus.Config{}, bus.FactsConfig{}), mailServer(t, tt.kind)
			n, _ := p.notify(mailsBy(t, o, tt.address), func(c *Config) { c.Public = "https://plant.example.com" })
			en := add(t, n, Draft{Kind: Email, Name: "Night\u2028shift", Addresses: []string{"ana@example.com", "bob+x@example.org"}})
			vi := add(t, n, Draft{Kind: Email, Locale: "vi", Addresses: []string{"an@example.vn"}})
			if en.Secret != "" {
				t.Errorf("an e-mail has the secret %s", en.Secret)
			}
			a := alarm("plant/line1/pump", "raised", 1)
			a.Limit, a.Value = new(90.5), json.RawMessage("95.25")
			p.say(a)
			list := deliveries(t, n, en.ID, over(1))
			deliveries(t, n, vi.ID, over(1))
			if list[0].Status != Delivered || list[0].Code != 250 || list[0].Attempts != 1 || len(list[0].Mailboxes) != 2 {
				t.Errorf("got %+v", list[0])
			}
			got := o.Mails()
			slices.SortFunc(got, func(a, b smtptest.Mail) int { return strings.Compare(a.To, b.To) })
			if len(got) != 3 || got[0].To != "an@example.vn" || got[1].To != "ana@example.com" || got[2].To != "bob+x@example.org" || got[0].From != "alarms@example.com" {
				t.Fatalf("got %+v", got)
			}
			if tt.kind.Login && got[0].User != "echotwin" {
				t.Errorf("sent by %q", got[0].User)
			}
			h := got[1].Header
			subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
			from, err2 := h.AddressList("From")
			if err != nil || err2 != nil || subject != "[Echotwin] raised: plant/line1/pump: Temperature 95 °C is above 90 °C (critical)" || from[0].Name != "Echotwin Nhà máy" ||
				h.Get("To") != "<ana@example.com>" || h.Get("Message-Id") != "<"+list[0].ID+"@example.com>" || h.Get("Auto-Submitted") != "auto-generated" {
				t.Errorf("%q, %v: %v", subject, h, errors.Join(err, err2))
			}
			for _, want := range []string{"Thing: plant/line1/pump\n", "Priority: 1 (critical)\n", "State: active, not acknowledged\n", "https://plant.example.com/app/alarms?thing=plant/line1/pump\n", "the channel Night shift to ana@example.com"} {
				if !strings.Contains(got[1].Text, want) {
					t.Errorf("%q is not in %s", want, got[1].Text)
				}
			}
			subject, err = new(mime.WordDecoder).DecodeHeader(got[0].Header.Get("Subject"))
			if err != nil || subject != "[Echotwin] phát sinh: plant/line1/pump: temperature là 95,25 °C, trên ngưỡng cao 90,5 °C (nguy cấp)" || !strings.Contains(got[0].Text, "Trạng thái: đang xảy ra, chưa xác nhận\n") {
				t.Errorf("%q, %v: %s", subject, err, got[0].Text)
			}
		})
	}
}

// Nothing that a device or a person writes becomes a header or another mail.
func TestNothingCanBeInjected(t *testing.T) {
	p, o := newPlant(t, bus.Config{}, bus.FactsConfig{}), mailServer(t, smtptest.Kind{})
	n, _ := p.notify(mailsBy(t, o, "smtp://%s"))
	c := add(t, n, Draft{Kind: Email, Addresses: []string{"ana@example.com"}, Steps: []string{"acked", "raised"}})
	a := alarm("plant/pump", "acked", 1)
	a.Message = "hot\r\nBcc: eve@example.com\r\n\r\n.\r\nMAIL FROM:<eve@example.com>\n" + strings.Repeat("x", 300)
	a.Property, a.Unit = "p\r\n.\r\n", "\u2028Bcc: eve"
	a.Acked = &realtime.AlarmAck{By: "eve\r\n", Comment: "\r\n.\r\nQUIT\r\n"}
	p.say(a)
	deliveries(t, n, c.ID, over(1))
	var many []realtime.AlarmState
	for range 30 {
		a.Step = "raised"
		many = append(many, a)
	}
	p.say(many...)
	eventually(t, "the second came", func() bool { return len(o.Mails()) >= 2 })
	for _, m := range o.Mails() {
		for name := range m.Header {
			if !slices.Contains([]string{"Date", "Mime-Version", "Message-Id", "Subject", "Auto-Submitted", "From", "To", "Content-Type", "Content-Transfer-Encoding"}, name) {
				t.Errorf("a header %s: %s", name, m.Raw)
			}
		}
		for _, line := range strings.Split(m.Text, "\n") {
			if line == "." || strings.HasPrefix(line, "Bcc:") || strings.HasPrefix(line, "MAIL") || strings.HasPrefix(line, "QUIT") {
				t.Errorf("a line of its own: %q", line)
			}
		}
		if m.To != "ana@example.com" {
			t.Errorf("it went to %s", m.To)
		}
	}
}

func TestManyStepsAndTestsAreMailed(t *testing.T) {
	p, o := newPlant(t, bus.Config{}, bus.FactsConfig{}), mailServer(t, smtptest.Kind{})
	n, stop := p.notify(mailsBy(t, o, "smtp://%s"))
	for _, locale := range []string{"en", "vi"} {
		c := add(t, n, Draft{Kind: Email, Addresses: []string{locale + "@example.com"}, Locale: locale, PerMinute: new(1)})
		if d, err := n.Test(t.Context(), c.ID); err != nil || d.Status != Delivered || d.Mailboxes[locale+"@example.com"] != "" {
			t.Errorf("got %+v, %v", d, err)
		}
	}
	var many []realtime.AlarmState
	for i := range 40 {
		many = append(many, alarm(fmt.Sprintf("plant/pump-%d", i), []string{"raised", "cleared"}[i%2], 2+i%2))
	}
	stop() // on a busy machine it would see the first step alone, and may send no more for a minute
	p.say(many...)
	if err := p.facts.Wait(t.Context(), p.seq); err != nil {
		t.Fatal(err)
	}
	p.notify(mailsBy(t, o, "smtp://%s"))
	eventually(t, "all came", func() bool { return len(o.Mails()) >= 4 })
	want := map[string][]string{
		"en@example.com": {"This is a test.", " raised, ", " high, ", "The most urgent:\n- raised: plant/pump-"},
		"vi@example.com": {"Đây là thư thử.", " phát sinh, ", " cao, ", "Gấp nhất:\n- phát sinh: plant/pump-"},
	}
	for to, words := range want {
		all := ""
		for _, m := range o.Mails() {
			if m.To == to {
				all += m.Text
			}
		}
		for _, w := range words {
			if !strings.Contains(all, w) {
				t.Errorf("%q is not in what %s got: %s", w, to, all)
			}
		}
	}
}

func TestFaultsOfMailServers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		address  string
		kind     smtptest.Kind
		distrust bool
		refuse   func(to string, n int) error
		status   string
		attempts int
		err      string
		boxes    map[string]string
		letters  int
	}{
		{name: "one is refused", refuse: func(to string, _ int) error {
			if strings.HasPrefix(to, "ana") {
				return smtptest.Refusal(550)
			}
			return nil
		}, status: Delivered, attempts: 1, err: "ana@example.com", boxes: map[string]string{"ana@example.com": "550", "bob@example.com": ""}, letters: 1},
		{name: "all are refused", refuse: func(string, int) error { return smtptest.Refusal(550) }, status: Failed, attempts: 1, err: "550", boxes: map[string]string{"ana@example.com": "550", "bob@example.com": "550"}},
		{name: "one has to wait", refuse: func(_ string, n int) error {
			if n == 0 {
				return smtptest.Refusal(451)
			}
			return nil
		}, status: Delivered, attempts: 2, boxes: map[string]string{"ana@example.com": "", "bob@example.com": ""}, letters: 2},
		{name: "a wrong password", address: "smtp://echotwin:wrong@%s", kind: smtptest.Kind{Login: true}, status: Failed, attempts: 1, err: "535"},
		{name: "no password", kind: smtptest.Kind{Login: true}, status: Failed, attempts: 1, err: "502"},
		{name: "no STARTTLS", kind: smtptest.Kind{Open: true}, status: Waiting, attempts: 3, err: "offers no STARTTLS"},
		{name: "nobody vouches for it", distrust: true, status: Waiting, attempts: 3, err: "not trusted"},
		{name: "no TLS at all", address: "smtps://%s", kind: smtptest.Kind{Open: true}, status: Waiting, attempts: 3, err: "mail server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, o := newPlant(t, bus.Config{}, bus.FactsConfig{}), mailServer(t, tt.kind)
			o.Refuse = tt.refuse
			if tt.distrust {
				o.Trust = nil
			}
			if tt.address == "" {
				tt.address = "smtp://%s"
			}
			n, _ := p.notify(mailsBy(t, o, tt.address))
			c := add(t, n, Draft{Kind: Email, Addresses: []string{"ana@example.com", "bob@example.com"}})
			p.say(alarm("plant/pump", "raised", 1))
			list := deliveries(t, n, c.ID, func(l []Delivery) bool {
				return len(l) == 1 && l[0].Attempts >= tt.attempts && l[0].Status == tt.status
			})
			d := list[0]
			if !strings.Contains(d.Error, tt.err) || tt.err == "" && d.Error != "" || len(o.Mails()) != tt.letters || tt.status != Waiting && d.Attempts != tt.attempts {
				t.Errorf("%d letters, %+v", len(o.Mails()), d)
			}
			for to, want := range tt.boxes {
				if why, ok := d.Mailboxes[to]; !ok || !strings.Contains(why, want) || want == "" && why != "" {
					t.Errorf("%s: %q, want %q", to, why, want)
				}
			}
		})
	}
}

// A mail server that says nothing, or nothing more, holds nobody up for long.
func TestASilentMailServer(t *testing.T) {
	for _, says := range []string{"", "220 mail.example.com ESMTP\r\n", "220-mail.example.com\r\n", strings.Repeat("220-x\r\n", 10000), "421 4.3.2 closing\r\n", "SSH-2.0-x\r\n"} {
		t.Run(clip(says, 12), func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						c.Write([]byte(says))
						io.Copy(io.Discard, c)
					}()
				}
			}()
			p := newPlant(t, bus.Config{}, bus.FactsConfig{})
			m, err := NewMailer("smtp://"+l.Addr().String(), "alarms@example.com", nil)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := p.notify(func(c *Config) { c.Mail, c.Timeout = m, 200*time.Millisecond })
			c := add(t, n, Draft{Kind: Email, Addresses: []string{"ana@example.com"}})
			p.say(alarm("plant/pump", "raised", 1))
			deliveries(t, n, c.ID, func(l []Delivery) bool { return len(l) == 1 && l[0].Attempts >= 2 && l[0].Error != "" })
		})
	}
}

func TestWhatIsNoMailServer(t *testing.T) {
	for _, tt := range []struct{ address, from, want string }{
		{"", "a@example.com", "want an address"},
		{"mail.example.com", "a@example.com", "want an address"},
		{"http://mail.example.com", "a@example.com", "want an address"},
		{"smtp://:25", "a@example.com", "want an address"},
		{"smtp://user:hunter2@mail.example.com/path", "a@example.com", "want an address"},
		{"smtp://user:hunter2@mail example.com", "a@example.com", "want an address"},
		{"smtp://user:hunter2@mail.example.com?starttls=off", "a@example.com", "in the clear"},
		{"smtp://mail.example.com?starttls=maybe", "a@example.com", "can only be off"},
		{"smtps://mail.example.com?starttls=off", "a@example.com", "starttls=off"},
		{"smtp://mail.example.com?tls=on", "a@example.com", "starttls=off"},
		{"smtp://mail.example.com:99999", "a@example.com", "no port"},
		{"smtp://mail.example.com", "", "ECHOTWIN_SMTP_FROM"},
		{"smtp://mail.example.com", "Echotwin", "ECHOTWIN_SMTP_FROM"},
		{"smtp://mail.example.com", "a@example.com\r\nBcc: b@example.com", "ECHOTWIN_SMTP_FROM"},
	} {
		_, err := NewMailer(tt.address, tt.from, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s from %q: %v, want %q", tt.address, tt.from, err, tt.want)
		}
	}
	for address, want := range map[string]string{"smtp://mail.example.com": "587", "smtps://mail.example.com/": "465", "smtp://[::1]:2525": "2525"} {
		if m, err := NewMailer(address, "Echotwin <a@example.com>", nil); err != nil || m.port != want {
			t.Errorf("%s: %+v, %v", address, m, err)
		}
	}
}

// Both languages say everything.
func TestMailsSpeakBothLanguages(t *testing.T) {
	en, vi := languages["en"], languages["vi"]
	for _, s := range steps {
		if en.steps[s] == "" || vi.steps[s] == "" || en.steps[s] == vi.steps[s] {
			t.Errorf("the step %s is %q and %q", s, en.steps[s], vi.steps[s])
		}
	}
	for _, state := range []string{realtime.ActiveUnacked, realtime.ActiveAcked, realtime.ClearedUnacked, realtime.ClearedAcked} {
		if en.states[state] == "" || vi.states[state] == "" {
			t.Errorf("the state %s is %q and %q", state, en.states[state], vi.states[state])
		}
	}
	a := alarm("plant/pump", "raised", 1)
	a.Limit = new(90.0)
	for _, rule := range []string{"highHigh", "high", "low", "lowLow", "rate", "stale", "offline", "event", "another"} {
		a.Rule = rule
		if got := vi.message(&a); strings.Contains(got, "%!") || rule != "another" && got == a.Message || got == "" {
			t.Errorf("%s: %q", rule, got)
		}
	}
	for name, l := range languages {
		for _, text := range []string{l.thing, l.property, l.event, l.step, l.priority, l.state, l.when, l.times, l.by, l.until, l.many, l.manyPlain, l.kinds, l.urgent, l.more, l.lost, l.lostMany, l.lostText, l.test, l.testText, l.channel, l.to} {
			if text == "" {
				t.Errorf("%s lacks a word", name)
			}
		}
		if _, text := words(&kept{Channel: Channel{Locale: name}}, lost("e.1.0.1", 7, time.Time{}, time.Now(), "")); !strings.Contains(text, "7") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
