package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"echotwin/realtime"
)

// A mailed message as it is read: one step, or many, or none.
type letter struct {
	Type string `json:"type"`
	realtime.AlarmState
	Count      int                   `json:"count"`
	From       time.Time             `json:"from"`
	To         time.Time             `json:"to"`
	Steps      map[string]int        `json:"steps"`
	Priorities map[string]int        `json:"priorities"`
	Alarms     []realtime.AlarmState `json:"alarms"`
	Facts      int64                 `json:"facts"`
	Link       string                `json:"link"`
}

// A language is all that mails say in it.
type language struct {
	steps, priorities, states                             map[string]string
	thing, property, event, step, priority, state, when   string
	times, by, until                                      string
	many, manyPlain, kinds, urgent, more                  string
	lost, lostMany, lostText, test, testText, channel, to string
	rules                                                 map[string]string // with the subject, the value and the limit; of en the message says it
}

var languages = map[string]*language{
	"en": {
		steps:      map[string]string{"raised": "raised", "cleared": "cleared", "acked": "acknowledged", "shelved": "shelved", "unshelved": "no longer shelved", "suppressed": "suppressed", "unsuppressed": "no longer suppressed", "changed": "changed"},
		priorities: map[string]string{"1": "critical", "2": "high", "3": "medium", "4": "low"},
		states:     map[string]string{realtime.ActiveUnacked: "active, not acknowledged", realtime.ActiveAcked: "active, acknowledged", realtime.ClearedUnacked: "cleared, not acknowledged", realtime.ClearedAcked: "over"},
		thing:      "Thing", property: "Property", event: "Event", step: "Step", priority: "Priority", state: "State", when: "Time", times: "Times raised", by: "By", until: "Until",
		many: "%d steps of alarms; the most urgent: %s", manyPlain: "%d steps of alarms", kinds: "From %s to %s: %s.", urgent: "The most urgent:", more: "… and %d more.",
		lost: "Steps of alarms may be missing", lostMany: "%d facts were dropped from the store before this channel could read them; steps of alarms may be among them.",
		lostText: "Steps of alarms may have been dropped from the store before this channel could read them.",
		test:     "Test message", testText: "This is a test. Alarms will reach this mailbox.",
		channel: "Sent by Echotwin through the channel %s to %s. An administrator can change that.", to: "Open: ",
	},
	"vi": {
		steps:      map[string]string{"raised": "phát sinh", "cleared": "đã hết", "acked": "đã xác nhận", "shelved": "tạm ẩn", "unshelved": "hết tạm ẩn", "suppressed": "được bỏ qua", "unsuppressed": "không bỏ qua nữa", "changed": "đã đổi"},
		priorities: map[string]string{"1": "nguy cấp", "2": "cao", "3": "trung bình", "4": "thấp"},
		states:     map[string]string{realtime.ActiveUnacked: "đang xảy ra, chưa xác nhận", realtime.ActiveAcked: "đang xảy ra, đã xác nhận", realtime.ClearedUnacked: "đã hết, chưa xác nhận", realtime.ClearedAcked: "đã xong"},
		thing:      "Thiết bị", property: "Thông số", event: "Sự kiện", step: "Bước", priority: "Ưu tiên", state: "Trạng thái", when: "Lúc", times: "Số lần phát sinh", by: "Người làm", until: "Đến",
		many: "%d bước của cảnh báo; gấp nhất: %s", manyPlain: "%d bước của cảnh báo", kinds: "Từ %s đến %s: %s.", urgent: "Gấp nhất:", more: "… và %d bước nữa.",
		lost: "Có thể thiếu bước của cảnh báo", lostMany: "%d mục đã bị xoá khỏi kho trước khi kênh này đọc được; trong đó có thể có bước của cảnh báo.",
		lostText: "Có thể có bước của cảnh báo đã bị xoá khỏi kho trước khi kênh này đọc được.",
		test:     "Thư thử", testText: "Đây là thư thử. Cảnh báo sẽ đến hộp thư này.",
		channel: "Echotwin gửi thư này qua kênh %s đến %s. Quản trị viên có thể thay đổi.", to: "Mở: ",
		rules: map[string]string{
			"highHigh": "%[1]s là %[2]s, trên ngưỡng rất cao %[3]s", "high": "%[1]s là %[2]s, trên ngưỡng cao %[3]s",
			"low": "%[1]s là %[2]s, dưới ngưỡng thấp %[3]s", "lowLow": "%[1]s là %[2]s, dưới ngưỡng rất thấp %[3]s",
			"rate": "%[1]s thay đổi nhanh hơn %[3]s mỗi giây", "stale": "%[1]s không còn được gửi về", "offline": "Thiết bị mất mạng", "event": "Sự kiện %[1]s",
		},
	},
}

func languageOf(k *kept) *language {
	if l := languages[k.Locale]; l != nil {
		return l
	}
	return languages["en"]
}

// words are the subject and the text of a mail.
func words(k *kept, o *open) (subject, text string) {
	l := languageOf(k)
	var m letter
	if err := json.Unmarshal(o.Body, &m); err != nil {
		return l.test, string(o.Body) // nothing of ours is no JSON
	}
	var b strings.Builder
	switch m.Type {
	case kindAlarm:
		subject = l.about(&m.AlarmState)
		l.one(&b, &m.AlarmState)
	case kindAlarms:
		subject = fmt.Sprintf(l.manyPlain, m.Count)
		if len(m.Alarms) > 0 {
			subject = fmt.Sprintf(l.many, m.Count, l.about(&m.Alarms[0]))
		}
		l.list(&b, &m)
	case kindLost:
		subject = l.lost
		if m.Facts > 0 {
			fmt.Fprintf(&b, l.lostMany+"\n", m.Facts)
		} else {
			b.WriteString(l.lostText + "\n")
		}
	default:
		subject = l.test
		b.WriteString(l.testText + "\n")
	}
	if m.Link != "" {
		b.WriteString("\n" + l.to + clean(m.Link) + "\n")
	}
	return clip(clean("[Echotwin] "+subject), 200), b.String()
}

// footer says why somebody gets this.
func footer(k *kept, to string) string {
	l := languageOf(k)
	name := k.Name
	if name == "" {
		name = k.ID
	}
	return "\n-- \n" + fmt.Sprintf(l.channel, clean(name), to) + "\n"
}

// about is an alarm's step in one line.
func (l *language) about(a *realtime.AlarmState) string {
	return fmt.Sprintf("%s: %s: %s (%s)", l.steps[a.Step], a.Thing, l.message(a), l.priorities[fmt.Sprint(a.Priority)])
}

// message says what an alarm is about. That of the alarm itself is English.
func (l *language) message(a *realtime.AlarmState) string {
	form := l.rules[a.Rule]
	if form == "" {
		return clean(a.Message)
	}
	name := a.Property
	if name == "" {
		name = a.Event
	}
	unit := realtime.UnitAsWritten(a.Unit)
	if unit != "" {
		unit = " " + unit
	}
	limit := ""
	if a.Limit != nil {
		limit = fmt.Sprint(*a.Limit) + unit
	}
	// Decimals of Vietnamese have a comma.
	number := func(s string) string { return strings.Replace(clip(s, 40), ".", ",", 1) }
	text := fmt.Sprintf(form, name, number(string(a.Value))+unit, number(limit))
	if i := strings.Index(text, "%!(EXTRA"); i >= 0 {
		text = text[:i] // a form need not use all of them
	}
	return clean(text)
}

func (l *language) one(b *strings.Builder, a *realtime.AlarmState) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%s: %s\n", name, clean(value))
		}
	}
	b.WriteString(l.message(a) + "\n\n")
	line(l.thing, a.Thing)
	line(l.property, a.Property)
	line(l.event, a.Event)
	line(l.priority, fmt.Sprintf("%d (%s)", a.Priority, l.priorities[fmt.Sprint(a.Priority)]))
	line(l.step, l.steps[a.Step])
	line(l.state, l.states[a.State])
	line(l.when, moment(a.TS))
	if a.Count > 1 {
		line(l.times, fmt.Sprint(a.Count))
	}
	switch {
	case a.Step == realtime.AlarmAcked && a.Acked != nil:
		line(l.by, strings.TrimSuffix(a.Acked.By+": "+a.Acked.Comment, ": "))
	case a.Step == realtime.AlarmShelved && a.Shelved != nil:
		line(l.by, strings.TrimSuffix(a.Shelved.By+": "+a.Shelved.Reason, ": "))
		line(l.until, moment(a.Shelved.Until))
	}
}

func (l *language) list(b *strings.Builder, m *letter) {
	var parts []string
	for _, s := range steps {
		if n := m.Steps[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, l.steps[s]))
		}
	}
	for _, p := range []string{"1", "2", "3", "4"} {
		if n := m.Priorities[p]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, l.priorities[p]))
		}
	}
	fmt.Fprintf(b, l.kinds+"\n\n%s\n", moment(m.From), moment(m.To), strings.Join(parts, ", "), l.urgent)
	for i := range m.Alarms {
		fmt.Fprintf(b, "- %s, %s\n", l.about(&m.Alarms[i]), moment(m.Alarms[i].TS))
	}
	if left := m.Count - len(m.Alarms); left > 0 {
		fmt.Fprintf(b, l.more+"\n", left)
	}
}

// moment is a time as the machine's own clock shows it, with its zone.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -07:00") }

// clean takes out what would begin a new line or a new header.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
