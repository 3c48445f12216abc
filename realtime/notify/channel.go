package notify

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"echotwin/realtime"
)

// The kinds of channels.
const (
	Webhook = "webhook"
	Email   = "email"
)

// Bounds of a channel.
const (
	maxChannels  = 50
	maxName      = 100
	maxURL       = 2000
	maxAddresses = 20
	maxThings    = 50
	maxPerMinute = 60

	defaultPerMinute = 10

	// A secret that was replaced signs beside the new one for so long, so that
	// receivers can be changed one after the other.
	secretOverlap = 24 * time.Hour
)

// steps are what can be told.
var steps = []string{realtime.AlarmRaised, realtime.AlarmCleared, realtime.AlarmAcked, realtime.AlarmShelved, realtime.AlarmUnshelved, realtime.AlarmSuppressed, realtime.AlarmUnsuppressed, realtime.AlarmChanged}

// A Channel says whom to tell of which alarms.
type Channel struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Kind      string    `json:"kind"` // Webhook or Email; it stays what it is
	Enabled   bool      `json:"enabled"`
	URL       string    `json:"url,omitempty"`       // of a webhook
	Addresses []string  `json:"addresses,omitempty"` // of an e-mail
	Things    []string  `json:"things,omitempty"`    // patterns; none means all things
	Priority  int       `json:"priority"`            // this one and what is more urgent: 4 is all
	Steps     []string  `json:"steps"`
	PerMinute int       `json:"perMinute"` // messages at most; more steps come together in one
	Locale    string    `json:"locale"`    // en or vi, of what people read
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
	By        string    `json:"by,omitempty"`  // who changed it last
	Off       *Off      `json:"off,omitempty"` // why the server itself has disabled it
	// Secret signs webhooks. It is only in the answer that made it.
	Secret string `json:"secret,omitempty"`
}

// Off is why and when the server disabled a channel.
type Off struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// A Draft is what somebody asks for. What is absent has its default in a new
// channel.
type Draft struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Enabled   *bool    `json:"enabled"` // true when absent
	URL       string   `json:"url"`
	Addresses []string `json:"addresses"`
	Things    []string `json:"things"`
	Priority  *int     `json:"priority"`
	Steps     []string `json:"steps"`
	PerMinute *int     `json:"perMinute"`
	Locale    string   `json:"locale"`
	// Secret is one of the caller's, or "new" for a random one. When it is absent a
	// new webhook gets a random one, and another keeps what it has.
	Secret string `json:"secret"`
}

// NewSecret asks for a random secret.
const NewSecret = "new"

// kept is a channel as it is stored.
type kept struct {
	Channel
	Former      string    `json:"former,omitempty"` // the secret before
	FormerUntil time.Time `json:"formerUntil,omitzero"`
}

// public is a channel without its secrets.
func (k *kept) public() Channel {
	c := k.Channel
	c.Secret = ""
	return c
}

func beyond(at string, got, lo, hi int) error {
	from, to := float64(lo), float64(hi)
	p := realtime.Wrong("between", "{got} is not between {minimum} and {maximum}", "got", got, "minimum", lo, "maximum", hi).Of(realtime.CodeOutOfRange).In(at)
	p.Minimum, p.Maximum = &from, &to
	return p
}

// fill makes k what the draft asks for. It says whether the secret is a new one.
func (k *kept) fill(d *Draft, now time.Time) (secret bool, err error) {
	if d.Kind != Webhook && d.Kind != Email {
		return false, realtime.Wrong("channel_kind", "the kind of a channel is {webhook} or {email}", "webhook", Webhook, "email", Email).In("/kind")
	}
	if k.Kind != "" && k.Kind != d.Kind {
		return false, realtime.Wrong("channel_stays", "this is a channel of the kind {kind} and stays one; add another", "kind", k.Kind).In("/kind")
	}
	k.Kind = d.Kind
	for _, check := range []func(*Draft) error{k.takeName, k.takeTarget, k.takeThings, k.takeSteps, k.takeNumbers} {
		if err := check(d); err != nil {
			return false, err
		}
	}
	if k.Enabled = d.Enabled == nil || *d.Enabled; k.Enabled {
		k.Off = nil
	}
	return k.takeSecret(d, now)
}

func (k *kept) takeName(d *Draft) error {
	k.Name = strings.TrimSpace(d.Name)
	if n := len(k.Name); n > maxName || strings.ContainsFunc(k.Name, unicode.IsControl) {
		return realtime.Wrong("channel_name", "a name has at most {max} bytes and no control characters", "max", maxName).In("/name")
	}
	switch k.Locale = d.Locale; d.Locale {
	case "":
		k.Locale = "en"
	case "en", "vi":
	default:
		return realtime.Wrong("locale", "the locale is en or vi").In("/locale")
	}
	return nil
}

func (k *kept) takeTarget(d *Draft) error {
	if k.Kind == Webhook {
		if len(d.Addresses) > 0 {
			return realtime.Wrong("webhook_addresses", "a webhook has a url and no addresses").In("/addresses")
		}
		k.URL = d.URL
		return checkURL(d.URL)
	}
	if d.URL != "" {
		return realtime.Wrong("email_url", "an e-mail has addresses and no url").In("/url")
	}
	if n := len(d.Addresses); n < 1 || n > maxAddresses {
		return beyond("/addresses", n, 1, maxAddresses)
	}
	k.Addresses = nil
	for i, a := range d.Addresses {
		at := fmt.Sprintf("/addresses/%d", i)
		if err := checkAddress(a); err != nil {
			return err.In(at)
		}
		if slices.Contains(k.Addresses, a) {
			return realtime.Wrong("twice", "{what} stands there twice", "what", a).In(at)
		}
		k.Addresses = append(k.Addresses, a)
	}
	return nil
}

// checkURL says what is wrong with the address of a webhook. Where it leads is
// checked when it is dialled.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return realtime.Wrong("url_missing", "a webhook needs a url, such as https://hooks.example.com/alarms").In("/url")
	case len(text) > maxURL:
		return realtime.Wrong("url_long", "a url has at most {max} bytes", "max", maxURL).In("/url")
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return realtime.Wrong("url", "that is no address of the web: want http:// or https:// and a host").In("/url")
	case u.User != nil:
		return realtime.Wrong("url_user", "a user and a password in a url would be shown to everybody who reads this list; receivers check the signature instead").In("/url")
	case u.Fragment != "":
		return realtime.Wrong("url_fragment", "what follows # is never sent; leave it out").In("/url")
	}
	return nil
}

// checkAddress accepts the bare address of one mailbox, in letters that every
// mail server takes.
func checkAddress(text string) *realtime.Problem {
	a, err := mail.ParseAddress(text)
	ascii := !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	if err != nil || a.Address != text || a.Name != "" || !ascii || len(text) > 254 || strings.ContainsAny(text, "\"<>(),;:\\[]") {
		return realtime.Wrong("mailbox", `"{address}" is no address of a mailbox: want one such as ana@example.com`, "address", clip(text, 80))
	}
	return nil
}

func (k *kept) takeThings(d *Draft) error {
	if len(d.Things) > maxThings {
		return beyond("/things", len(d.Things), 0, maxThings)
	}
	for i, p := range d.Things {
		var bad *realtime.Problem
		if errors.As(realtime.CheckPattern(p), &bad) {
			return bad.Of(realtime.CodeInvalid).In(fmt.Sprintf("/things/%d", i))
		}
	}
	k.Things = d.Things
	return nil
}

func (k *kept) takeSteps(d *Draft) error {
	k.Steps = d.Steps
	if d.Steps == nil {
		k.Steps = []string{realtime.AlarmRaised, realtime.AlarmCleared}
	}
	if len(k.Steps) == 0 {
		return realtime.Wrong("steps_none", "name at least one step: {steps}", "steps", strings.Join(steps, ", ")).In("/steps")
	}
	for i, s := range k.Steps {
		at := fmt.Sprintf("/steps/%d", i)
		if !slices.Contains(steps, s) {
			return realtime.Wrong("step", `"{step}" is no step of an alarm; those are {steps}`, "step", clip(s, 40), "steps", strings.Join(steps, ", ")).In(at)
		}
		if slices.Contains(k.Steps[:i], s) {
			return realtime.Wrong("twice", "{what} stands there twice", "what", s).In(at)
		}
	}
	return nil
}

func (k *kept) takeNumbers(d *Draft) error {
	k.Priority, k.PerMinute = 4, defaultPerMinute
	if d.Priority != nil {
		k.Priority = *d.Priority
	}
	if d.PerMinute != nil {
		k.PerMinute = *d.PerMinute
	}
	if k.Priority < 1 || k.Priority > 4 {
		return beyond("/priority", k.Priority, 1, 4)
	}
	if k.PerMinute < 1 || k.PerMinute > maxPerMinute {
		return beyond("/perMinute", k.PerMinute, 1, maxPerMinute)
	}
	return nil
}

func (k *kept) takeSecret(d *Draft, now time.Time) (fresh bool, err error) {
	next := d.Secret
	switch {
	case k.Kind != Webhook && next != "":
		return false, realtime.Wrong("secret_email", "only webhooks are signed").In("/secret")
	case k.Kind != Webhook || next == "" && k.Secret != "":
		return false, nil
	case next == "" || next == NewSecret:
		next = makeSecret()
	default:
		if _, err := keyOf(next); err != nil {
			return false, realtime.Wrong("secret", "{why}", "why", err.Error()).In("/secret")
		}
	}
	if next == k.Secret {
		return false, nil
	}
	if k.Secret != "" {
		k.Former, k.FormerUntil = k.Secret, now.Add(secretOverlap)
	}
	k.Secret = next
	return true, nil
}

// secretPrefix marks a secret, as the Standard Webhooks have it.
const secretPrefix = "whsec_"

func makeSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// keyOf is the key that a secret stands for.
func keyOf(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("a secret is %s and 24 to 64 bytes in base64; leave it out, or say %q, for a random one", secretPrefix, NewSecret)
	}
	return key, nil
}

// wants says whether a step of an alarm is for this channel. What was put aside
// by a person or is to be expected is not told, but for the step that made it so.
func (c *Channel) wants(a *realtime.AlarmState) bool {
	if a.Priority > c.Priority || !slices.Contains(c.Steps, a.Step) {
		return false
	}
	if a.Quiet() && a.Step != realtime.AlarmShelved && a.Step != realtime.AlarmSuppressed {
		return false
	}
	return len(c.Things) == 0 || slices.ContainsFunc(c.Things, func(p string) bool { return realtime.Match(p, a.Thing) })
}

// clip keeps a text short, in whole letters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
