package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// within sends requests to a handler of this process.
type within struct{ http.Handler }

func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.RemoteAddr, r.Host, r.RequestURI = "127.0.0.1:1", "localhost", r.URL.RequestURI()
	a := &recorder{header: http.Header{}, status: http.StatusOK}
	w.ServeHTTP(a, r)
	return &http.Response{
		StatusCode: a.status, Status: fmt.Sprint(a.status, " ", http.StatusText(a.status)),
		Header: a.header, Body: io.NopCloser(&a.body), Request: r,
	}, nil
}

// A recorder is an answer in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// send asks, and a list for all of its pages.
func (a call) send(ctx context.Context, api http.RoundTripper, base, token string) ([]byte, error) {
	b, next, err := a.page(ctx, api, base, token)
	if err != nil || next == "" {
		return b, err
	}
	var all []json.RawMessage
	for {
		var some []json.RawMessage
		if err := json.Unmarshal(b, &some); err != nil {
			return nil, err
		}
		all = append(all, some...)
		if next == "" {
			return json.Marshal(all)
		}
		a.path = next
		if b, next, err = a.page(ctx, api, base, token); err != nil {
			return nil, err
		}
	}
}

// page is one answer, and the path where a list goes on.
func (a call) page(ctx context.Context, api http.RoundTripper, base, token string) (b []byte, next string, err error) {
	var body io.Reader = http.NoBody
	if a.body != nil {
		b, err := json.Marshal(a.body)
		if err != nil {
			return nil, "", err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, a.method, strings.TrimSuffix(base, "/")+a.path, body)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Transport: api, Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err = io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return nil, "", err
	}
	if res.StatusCode < 300 {
		return b, nextPage(res.Header.Get("Link")), nil
	}
	return nil, "", a.refused(res, b)
}

// refused is what the server said instead of an answer.
func (a call) refused(res *http.Response, body []byte) error {
	var f struct{ Error, At string }
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		return fmt.Errorf("the server answers %s", res.Status)
	}
	if res.StatusCode == http.StatusNotFound && strings.Count(a.path, "/") > 2 { // it names one
		return a.noSuch()
	}
	if f.At != "" {
		return fmt.Errorf("%s: %s", strings.TrimPrefix(f.At, "/"), f.Error)
	}
	return errors.New(f.Error)
}

// nextPage is the path of the Link with rel="next", as the API writes it.
func nextPage(link string) string {
	target, rel, _ := strings.Cut(link, ">; ")
	if rel != `rel="next"` {
		return ""
	}
	return strings.TrimPrefix(target, "<")
}

// noSuch says what is not there: /api/users/ana is the user ana.
func (a call) noSuch() error {
	kind, name, _ := strings.Cut(strings.TrimPrefix(a.path, "/api/"), "/")
	return fmt.Errorf("no such %s: %s", strings.TrimSuffix(kind, "s"), name)
}
