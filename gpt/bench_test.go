package gpt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"echotwin/gpt/upstreamtest"
)

// BenchmarkReader is what one token costs in the reader of the upstream's
// stream: time and allocations are per chunk.
func BenchmarkReader(b *testing.B) {
	var body bytes.Buffer
	const chunks = 1000
	for i := range chunks {
		fmt.Fprintf(&body, `data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word%d"},"logprobs":null,"finish_reason":null}],"usage":null}`+"\n\n", i)
	}
	body.WriteString("data: [DONE]\n\n")
	l := Limits{}.withDefaults()
	b.ReportAllocs()
	for n := 0; n < b.N; n += chunks {
		ctx, cancel := context.WithCancelCause(context.Background())
		w := newWatch(time.Minute, time.Minute, cancel, func() bool { return true })
		s, err := newStream(ctx, &http.Response{Body: io.NopCloser(bytes.NewReader(body.Bytes())), Header: http.Header{"Content-Type": {"text/event-stream"}}}, w, l)
		for err == nil {
			_, err = s.next()
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		w.stop()
	}
}

// BenchmarkFirstToken is a whole question over a real connection, to its first
// text, of which the upstream's own part is next to nothing.
func BenchmarkFirstToken(b *testing.B) {
	up := upstreamtest.Start(upstreamtest.Say("one ", "two ", "three"))
	defer up.Close()
	r := New(Config{BaseURL: up.URL, Tools: []Tool{ReadState(plant{})}})
	for b.Loop() {
		run, err := r.Start(Ask{Asker: Asker{User: "ana"}, Question: "How is the pump?"})
		if err != nil {
			b.Fatal(err)
		}
		for es := range run.Events(b.Context(), 0, 0) {
			if es[len(es)-1].Last() {
				break
			}
		}
		run.mu.Lock()
		b.ReportMetric(float64(run.first.Microseconds()), "µs/first")
		run.mu.Unlock()
	}
}
