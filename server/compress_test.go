package server

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
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

	// Said by hand, it is not undone by the client.
	get := func(path string) answer { return s.get(path, "Accept-Encoding: gzip") }
	a := get("/api/things")
	if a.StatusCode != 200 || a.Header.Get("Content-Encoding") != "gzip" || a.Header.Get("Vary") == "" {
		t.Fatalf("got %d with %v", a.StatusCode, a.Header)
	}
	plain := s.do("GET", "/api/things", "").body
	if len(a.body) > len(plain)/5 {
		t.Errorf("%d bytes of %d", len(a.body), len(plain))
	}
	// Whole, and the same.
	z, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(z); err != nil || string(all) != plain {
		t.Errorf("it holds %d bytes, %v; want the %d of the plain answer", len(all), err, len(plain))
	}
	for _, path := range []string{"/api/things?path=plant/t01", "/api/things?limit=x", "/api/things/plant/t01"} {
		if a := get(path); a.Header.Get("Content-Encoding") != "" || !json.Valid([]byte(a.body)) {
			t.Errorf("%s: %d with %v: %.80q", path, a.StatusCode, a.Header, a.body)
		}
	}
}
