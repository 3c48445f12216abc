package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"echotwin/realtime/notify"
)

// named says by which variable a flag is set, too, in an error about a value:
// who wrote the variable has never seen the flag.
func named(err error, envs map[*kong.Flag]string) error {
	if err == nil {
		return nil
	}
	for f, env := range envs {
		if what, ok := strings.CutPrefix(err.Error(), "--"+f.Name+": "); ok {
			return fmt.Errorf("--%s (%s): %s", f.Name, env, what)
		}
	}
	return err
}

// checkPublic accepts the address of a web site, or none.
func checkPublic(text string) error {
	u, err := url.Parse(text)
	if text == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return nil
	}
	return fmt.Errorf("--public-url (ECHOTWIN_PUBLIC_URL) is %q; want an address such as https://plant.example.com", text)
}

// checkAddresses refuses what could never be reached: found out only when it is
// used, it would be a line in the log each time, and for a model server the
// claim that there is none.
func (c *config) checkAddresses() error {
	web := []string{"http", "https"}
	for _, a := range []struct {
		flag, env, got string
		schemes        []string
		example        string
	}{
		{"mqtt-url", "MQTT_URL", c.MQTTURL, []string{"mqtt", "mqtts", "tcp", "ssl", "tls", "ws", "wss"}, "mqtt://user:password@broker:1883"},
		{"openai-base-url", "OPENAI_BASE_URL", c.OpenAIBase, web, "http://localhost:11434/v1"},
		{"fallback-base-url", "OPENAI_FALLBACK_BASE_URL", c.FallbackBase, web, "http://localhost:11434/v1"},
	} {
		u, err := url.Parse(a.got)
		if a.got != "" && (err != nil || u.Hostname() == "" || !slices.Contains(a.schemes, u.Scheme)) {
			return fmt.Errorf("--%s (%s) is no address; want one that begins with %s, such as %s", a.flag, a.env, strings.Join(a.schemes, ":// or ")+"://", a.example)
		}
	}
	for _, o := range c.Origins {
		u, err := url.Parse(strings.TrimSuffix(o, "/"))
		if err != nil || !slices.Contains(web, u.Scheme) || u.Host == "" || strings.TrimSuffix(strings.ToLower(o), "/") != u.Scheme+"://"+strings.ToLower(u.Host) {
			return fmt.Errorf("--origins (ECHOTWIN_ORIGINS): %q is no origin; want scheme, host and port only, as browsers send it, such as https://panel.example.com", o)
		}
	}
	return checkPublic(c.PublicURL)
}

// checkLogFile refuses what is not a file of its own that can be written to.
// Rotation renames what it finds at the path: a folder would be moved away with
// all that is in it, and so would /dev/null.
func checkLogFile(path string) error {
	if path == "" {
		return nil
	}
	const name = "--log-file (ECHOTWIN_LOG_FILE)"
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return fmt.Errorf("%s is %s, which is a folder; want the name of a file in it, such as %s", name, path, filepath.Join(path, "echotwin.log"))
		}
		return fmt.Errorf("%s is %s, which is no regular file, and it is rotated; the log is on standard output anyway", name, path)
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written to: %w", name, err)
	}
	return nil
}

// mailer is the mail server; nil without one.
func (c *config) mailer() (*notify.Mailer, error) {
	if c.SMTPURL == "" {
		if c.SMTPFrom != "" {
			return nil, errors.New("--smtp-from (ECHOTWIN_SMTP_FROM) has no use without --smtp-url (ECHOTWIN_SMTP_URL)")
		}
		return nil, nil
	}
	m, err := notify.NewMailer(c.SMTPURL, c.SMTPFrom, nil)
	if err != nil {
		return nil, fmt.Errorf("--smtp-url (ECHOTWIN_SMTP_URL): %w", err)
	}
	return m, nil
}

// check refuses what each flag alone allows.
func (c *config) check() error {
	switch {
	case c.LogSize < 64<<20:
		return fmt.Errorf("--raw-size (ECHOTWIN_RAW_SIZE) is %d bytes; at least 64MB are needed", c.LogSize)
	case c.LogAge < time.Minute:
		return fmt.Errorf("--raw-age (ECHOTWIN_RAW_AGE) is %v; at least a minute is needed", c.LogAge)
	case c.DiskReserve < 1<<20:
		return fmt.Errorf("--disk-reserve (ECHOTWIN_DISK_RESERVE) is %d bytes; at least 1MB is needed", c.DiskReserve)
	}
	if err := c.checkAddresses(); err != nil {
		return err
	}
	if _, err := c.mailer(); err != nil {
		return err
	}
	return c.checkLimits()
}

// checkLimits says which limits make no sense: none of them can be switched off.
func (c *config) checkLimits() error {
	var wrong []error
	between := func(name string, got, lo, hi float64) {
		if !(got >= lo && got <= hi) {
			wrong = append(wrong, fmt.Errorf("%s: %s is not between %s and %s", name, plain(got), plain(lo), plain(hi)))
		}
	}
	between("PORT", float64(c.Port), 0, 65535)
	between("DRAIN in seconds", c.Drain.Seconds(), 0, 3600)
	between("ECHOTWIN_GPT_PER_MINUTE", float64(c.GPTPerMinute), 1, 1_000_000)
	between("ECHOTWIN_GPT_TOKENS_A_DAY", float64(c.GPTTokensDay), 0, 1<<50)
	between("ECHOTWIN_FACTS_SIZE in bytes", float64(c.FactsSize), 1<<20, 1<<50)
	between("ECHOTWIN_FACTS_AGE in hours", time.Duration(c.FactsAge).Hours(), 1, 100*365*24)
	between("ECHOTWIN_MAX_CONNECTIONS", float64(c.MaxConnections), 1, 10_000_000)
	between("ECHOTWIN_MAX_PER_USER", float64(c.MaxPerUser), 1, 10_000_000)
	between("ECHOTWIN_MAX_PER_ADDRESS", float64(c.MaxPerAddress), 1, 10_000_000)
	between("ECHOTWIN_ACCEPT_RATE", c.AcceptRate, .1, 1_000_000)
	between("ECHOTWIN_ACCEPT_PER_ADDRESS", c.AcceptPerAddress, .1, 1_000_000)
	between("ECHOTWIN_MAX_SUBSCRIPTIONS", float64(c.MaxSubscriptions), 1, 10_000)
	between("ECHOTWIN_MAX_FRAME", float64(c.MaxFrame), 1024, 1<<20)
	between("ECHOTWIN_MAX_MESSAGES", c.MaxMessages, 1, 10_000)
	between("ECHOTWIN_MAX_RATE", c.MaxRate, .01, 100)
	between("ECHOTWIN_STALL in seconds", c.Stall.Seconds(), 1, 3600)
	between("ECHOTWIN_FACTS_IN_MEMORY", float64(c.FactsInMemory), 1, 1_000_000)
	return errors.Join(wrong...)
}

// plain is a number as people write it: 10000000, not 1e+07.
func plain(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
