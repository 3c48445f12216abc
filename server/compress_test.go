package server

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestLargeListsAreCompressed(t *testing.T) {
	s := newLine(t)
	s.login()
	batch := map[string]any{}
	for i := range 50 {
		batch[fmt.Sprintf("plant/t%02d", i)] = map[string]int{"x": i}
	}
	b, _ := json.Marshal(batch)
	s.do("POST", "/api/telemetry", string(b)).want(t, 202, "")
	s.settle()

	get := func(path string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequest("GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "gzip") // said by hand, it is not undone by the client
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, body
	}
	res, body := get("/api/things")
	if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") == "" {
		t.Fatalf("got %d with %v", res.StatusCode, res.Header)
	}
	plain := s.do("GET", "/api/things", "").body
	if len(body) > len(plain)/5 {
		t.Errorf("%d bytes of %d", len(body), len(plain))
	}
	// Whole, and the same.
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(z); err != nil || string(all) != plain {
		t.Errorf("it holds %d bytes, %v; want the %d of the plain answer", len(all), err, len(plain))
	}
	for _, path := range []string{"/api/things?path=plant/t01", "/api/things?limit=x", "/api/things/plant/t01"} {
		if res, body := get(path); res.Header.Get("Content-Encoding") != "" || !json.Valid(body) {
			t.Errorf("%s: %d with %v: %.80q", path, res.StatusCode, res.Header, body)
		}
	}
}
