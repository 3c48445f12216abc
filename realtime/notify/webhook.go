package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// A receiver that asks for more time than this gets no more.
	maxRetryAfter = 6 * time.Hour

	maxAnswer  = 64 << 10
	maxHeaders = 16 << 10
)

// hooks sends webhooks. It asks no proxy: where a name leads is checked when it
// is dialled, and a proxy would dial by itself.
type hooks struct {
	client *http.Client
	now    func() time.Time
}

func newHooks(timeout time.Duration) *hooks {
	dialer := &net.Dialer{Timeout: timeout, Control: checkDial}
	return &hooks{now: time.Now, client: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
			MaxResponseHeaderBytes: maxHeaders, MaxIdleConns: maxChannels, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		},
		// A redirect may lead anywhere, and nobody has said that the alarm may go there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send posts a message, signed as the Standard Webhooks have it.
func (h *hooks) send(ctx context.Context, k *kept, m *open) result {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL, bytes.NewReader(m.Body))
	if err != nil {
		return result{final: true, err: err.Error()}
	}
	now := h.now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Echotwin")
	req.Header.Set("webhook-id", m.ID)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	signature, err := sign(k, m.ID, now, m.Body)
	if err != nil {
		return result{final: true, err: err.Error()}
	}
	req.Header.Set("webhook-signature", signature)
	res, err := h.client.Do(req)
	if err != nil {
		return broken(ctx, err)
	}
	defer res.Body.Close()
	// An answer that is read can have another request behind it; what it says does
	// not matter. One that never ends has been given by its status.
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer)
	return answered(res, now)
}

// sign makes the header webhook-signature. For a day after a secret was replaced
// it has the signature by the former one, too.
func sign(k *kept, id string, now time.Time, body []byte) (string, error) {
	secrets := []string{k.Secret}
	if k.Former != "" && now.Before(k.FormerUntil) {
		secrets = append(secrets, k.Former)
	}
	header := ""
	for _, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(fmt.Appendf(nil, "%s.%d.", id, now.Unix()))
		mac.Write(body)
		if header != "" {
			header += " "
		}
		header += "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return header, nil
}

// answered says what a status means.
func answered(res *http.Response, now time.Time) result {
	r := result{code: res.StatusCode, err: res.Status}
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		return result{ok: true, code: code}
	case code == http.StatusGone:
		r.final, r.disable = true, true
		r.err = "410 Gone: the receiver wants no more"
	case code >= 300 && code < 400:
		r.final = true
		r.err = res.Status + ": redirects are not followed; set the url to where it leads"
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		r.after = retryAfter(res.Header.Get("Retry-After"), now)
	default:
		r.final = true
	}
	return r
}

// retryAfter reads the header, in seconds or as a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// broken says what it means that there was no answer.
func broken(ctx context.Context, err error) result {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the address, which everybody can see beside it
	}
	var no *refusal
	var cert *tls.CertificateVerificationError
	var late net.Error // whichever of the clocks was first
	switch {
	case errors.As(err, &no):
		return result{final: true, err: no.Error()}
	case errors.As(err, &cert):
		return result{err: "the certificate is not trusted: " + clip(cert.Err.Error(), 200)}
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &late) && late.Timeout():
		return result{err: "no answer in time"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return result{err: "the connection was cut before the answer"}
	}
	return result{err: clip(err.Error(), 300)}
}
